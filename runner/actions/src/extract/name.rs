//! Names of archive entries. Invariant: an `EntryName` holds only plain components, so joining it to
//! a folder never leaves that folder unless a link on the way is followed, which nothing here does.

use super::Refusal;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Longest component Linux file systems take, in bytes.
const COMPONENT_MAX: usize = 255;
/// Longest whole name taken, in bytes: Linux's `PATH_MAX` with room for the folder it goes into.
const NAME_MAX: usize = 3500;

/// A relative path of plain components joined by `/`; empty means the root itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EntryName(Vec<u8>);

impl EntryName {
    /// Reads a name as an archive spells it. `.` components and a trailing `/` are dropped.
    pub(crate) fn parse(raw: &[u8], depth: usize) -> Result<Self, Refusal> {
        if raw.is_empty() {
            return Err(Refusal::Name("it is empty"));
        }
        if raw[0] == b'/' {
            return Err(Refusal::Absolute);
        }
        if raw.len() > NAME_MAX {
            return Err(Refusal::Name("it is longer than 3500 bytes"));
        }
        let mut name = Vec::with_capacity(raw.len());
        let mut components = 0;
        for component in raw.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => continue,
                b".." => return Err(Refusal::Parent),
                _ if component.contains(&0) => return Err(Refusal::Name("it holds a zero byte")),
                _ if component.len() > COMPONENT_MAX => {
                    return Err(Refusal::Name("a component is longer than 255 bytes"));
                }
                _ => {}
            }
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(component);
            components += 1;
        }
        if components > depth {
            return Err(Refusal::TooDeep { limit: depth });
        }
        Ok(Self(name))
    }

    /// The root of every name.
    pub(crate) fn root() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The folder that holds it; the root for a top-level name.
    pub(crate) fn parent(&self) -> Self {
        let end = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Self(self.0[..end].to_vec())
    }

    /// The last component; empty for the root.
    pub(crate) fn file_name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or(b"")
    }

    /// Its components, outermost first; none for the root.
    pub(crate) fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
    }

    /// Every folder above it, outermost first, without the root.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| &self.0[..end])
    }

    /// The entry `file_name` in this folder. `file_name` must be one plain component.
    pub(crate) fn child(&self, file_name: &[u8]) -> Self {
        let mut name = self.0.clone();
        if !name.is_empty() {
            name.push(b'/');
        }
        name.extend_from_slice(file_name);
        Self(name)
    }

    /// Whether a link of this name with `target` stays inside, read component by component.
    pub(crate) fn link_stays_inside(&self, target: &[u8]) -> bool {
        if target.is_empty() || target[0] == b'/' || target.contains(&0) {
            return false;
        }
        let mut depth = self.ancestors().count();
        for component in target.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." if depth == 0 => return false,
                b".." => depth -= 1,
                _ => depth += 1,
            }
        }
        true
    }
}

impl std::fmt::Display for EntryName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_are_normalised() {
        let name = EntryName::parse(b"./a//b/./c/", 8).unwrap();
        assert_eq!(name.as_bytes(), b"a/b/c");
        assert_eq!(name.parent().as_bytes(), b"a/b");
        assert_eq!(name.file_name(), b"c");
        assert_eq!(name.ancestors().collect::<Vec<_>>(), [b"a".as_slice(), b"a/b"]);
        assert!(EntryName::parse(b"./", 8).unwrap().is_root());
    }

    #[test]
    fn links_are_judged_by_where_they_lexically_end() {
        let name = EntryName::parse(b"a/b", 8).unwrap();
        assert!(name.link_stays_inside(b"../c"));
        assert!(name.link_stays_inside(b"x/../../c"));
        assert!(!name.link_stays_inside(b"../../c"));
        assert!(!name.link_stays_inside(b"../../a/b"));
        assert!(!name.link_stays_inside(b"/a"));
        assert!(!name.link_stays_inside(b""));
    }

    proptest! {
        #[test]
        fn no_name_has_a_component_that_moves(raw in prop::collection::vec(prop_oneof![Just(b'.'), Just(b'/'), Just(b'a'), any::<u8>()], 0..40)) {
            if let Ok(name) = EntryName::parse(&raw, 64) {
                prop_assert!(name.as_path().components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
