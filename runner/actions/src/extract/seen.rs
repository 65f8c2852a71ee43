//! The names an archive has used so far: no name twice, none beneath a file or a link, and where the
//! policy says so none that another differs from only by upper and lower case.

use super::name::EntryName;
use super::{Kind, Refusal};
use std::collections::HashMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Was {
    Folder,
    File,
    Link,
}

/// Remembers names and what they were.
pub(super) struct Seen {
    names: HashMap<Vec<u8>, Was>,
    folded: Option<HashMap<String, Vec<u8>>>,
}

impl Seen {
    pub(super) fn new(case_collisions: bool) -> Self {
        Self { names: HashMap::new(), folded: (!case_collisions).then(HashMap::new) }
    }

    /// Takes the next entry in, or says which rule its name breaks.
    pub(super) fn add(&mut self, name: &EntryName, kind: &Kind) -> Result<(), Refusal> {
        for folder in name.ancestors() {
            match self.names.get(folder) {
                Some(Was::Folder) => {}
                Some(Was::File | Was::Link) => {
                    return Err(Refusal::Through { through: String::from_utf8_lossy(folder).into_owned() });
                }
                None => {
                    self.fold(folder)?;
                    self.names.insert(folder.to_vec(), Was::Folder);
                }
            }
        }
        let was = match kind {
            Kind::Folder => Was::Folder,
            Kind::File { .. } | Kind::HardLink { .. } | Kind::Device => Was::File,
            Kind::Symlink { .. } => Was::Link,
        };
        match self.names.get(name.as_bytes()) {
            Some(Was::Folder) if was == Was::Folder => return Ok(()),
            Some(_) => return Err(Refusal::Duplicate),
            None => {}
        }
        self.fold(name.as_bytes())?;
        self.names.insert(name.as_bytes().to_vec(), was);
        Ok(())
    }

    /// Whether `name` was a regular file of this archive.
    pub(super) fn is_file(&self, name: &EntryName) -> bool {
        self.names.get(name.as_bytes()) == Some(&Was::File)
    }

    /// Whether this archive wrote `name`, or something beneath it.
    pub(super) fn holds(&self, name: &EntryName) -> bool {
        self.names.contains_key(name.as_bytes())
    }

    /// Whether `name` is a folder of this archive, written or implied.
    pub(super) fn is_folder(&self, name: &EntryName) -> bool {
        self.names.get(name.as_bytes()) == Some(&Was::Folder)
    }

    fn fold(&mut self, name: &[u8]) -> Result<(), Refusal> {
        let Some(folded) = &mut self.folded else {
            return Ok(());
        };
        let key = String::from_utf8_lossy(name).to_lowercase();
        match folded.insert(key, name.to_vec()) {
            Some(other) => Err(Refusal::CaseCollision { other: String::from_utf8_lossy(&other).into_owned() }),
            None => Ok(()),
        }
    }
}
