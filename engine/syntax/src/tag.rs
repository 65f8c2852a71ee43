//! Release tags: a strict semantic version, perhaps with a prefix, and the ranges that environments accept.
//!
//! Nothing else of a tag is let through: no other text, no white space, no shell's signs.

mod range;

pub use range::{RangeError, VersionRange};
use semver::Version;
use std::cmp::Ordering;
use std::fmt;

/// The longest tag, in bytes.
pub const MAX_TAG: usize = 255;

/// A tag that names a version: `1.2.3`, `v1.2.3` or `NAME-v1.2.3`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReleaseTag {
    text: String,
    prefix: usize,
    version: Version,
}

/// Why a text is no release tag, and the nearest one where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not a release tag: {problem}{}", hint(.nearest.as_deref()))]
pub struct TagError {
    /// The tag, cut where it is long.
    pub shown: String,
    /// What is wrong.
    pub problem: String,
    /// The tag that was probably meant.
    pub nearest: Option<String>,
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

impl ReleaseTag {
    /// Reads the name of a tag, without `refs/tags/`.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        let (prefix, version) = read(text).map_err(|problem| TagError {
            shown: text.chars().take(60).flat_map(char::escape_debug).collect(),
            problem,
            nearest: nearest(text),
        })?;
        Ok(Self { text: text.to_owned(), prefix, version })
    }

    /// The tag as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands before the version: nothing, `v` or `NAME-v`.
    pub fn prefix(&self) -> &str {
        &self.text[..self.prefix]
    }

    /// The `NAME` of `NAME-v1.2.3`: versions of different names have nothing to do with each other.
    pub fn name(&self) -> Option<&str> {
        self.prefix().strip_suffix("-v")
    }

    /// The version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Whether it is a prerelease, such as `1.0.0-rc.1`.
    pub fn is_prerelease(&self) -> bool {
        !self.version.pre.is_empty()
    }

    /// Which version comes first; build metadata do not count.
    pub fn cmp_precedence(&self, other: &Self) -> Ordering {
        self.version.cmp_precedence(&other.version)
    }
}

impl fmt::Display for ReleaseTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The length of the prefix and the version, or what is wrong.
fn read(text: &str) -> Result<(usize, Version), String> {
    check_characters(text)?;
    split(text)
}

fn check_characters(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > MAX_TAG {
        return Err(format!("it is longer than {MAX_TAG} bytes"));
    }
    let strange = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_'));
    match text.chars().find(strange) {
        Some(c) => Err(format!("it may hold letters, digits, `.`, `-`, `+` and `_` only, not {c:?}")),
        None => Ok(()),
    }
}

/// The length of the prefix, and the version after it.
fn split(text: &str) -> Result<(usize, Version), String> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return version(text).map(|version| (0, version));
    }
    if text.starts_with('v') && text[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return version(&text[1..]).map(|version| (1, version));
    }
    let mut problem = "it is a version such as `1.2.3`, perhaps after `v` or `NAME-v`".to_owned();
    for (at, _) in text.match_indices("-v").filter(|(at, _)| is_name(&text[..*at])) {
        let start = at + 2;
        match version(&text[start..]) {
            Ok(version) => return Ok((start, version)),
            Err(found) if text[start..].starts_with(|c: char| c.is_ascii_digit()) => problem = found,
            Err(_) => {}
        }
    }
    Err(problem)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && !name.contains('+')
}

fn version(text: &str) -> Result<Version, String> {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    if numbers.iter().any(|number| number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("a version is three numbers with dots between them".to_owned());
    }
    if numbers.len() != 3 {
        return Err(format!("a version has three numbers, not {}", numbers.len()));
    }
    if let Some(number) = numbers.iter().find(|number| number.len() > 1 && number.starts_with('0')) {
        return Err(format!("the number `{number}` has a leading zero"));
    }
    Version::parse(text).map_err(|error| error.to_string())
}

/// The release tag closest to what was written: the first three numbers and what hangs on them.
fn nearest(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix("refs/tags/").unwrap_or(text);
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let before = text[..start].trim_end_matches(['v', 'V', '.', '-', '_', '/', '@', ' ']);
    let prefix = match before {
        "" if start == 0 => String::new(),
        "" => "v".to_owned(),
        name if is_name(name) && check_characters(name).is_ok() => format!("{name}-v"),
        _ => return None,
    };
    let rest = &text[start..];
    let core_end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    let mut numbers = rest[..core_end].split('.').filter(|number| !number.is_empty());
    let mut number = || {
        let digits = numbers.next().unwrap_or("0").trim_start_matches('0');
        if digits.is_empty() { "0" } else { digits }
    };
    let core = format!("{}.{}.{}", number(), number(), number());
    let whole = format!("{prefix}{core}{}", &rest[core_end..]);
    [whole, format!("{prefix}{core}")].into_iter().find(|tag| read(tag).is_ok())
}

#[cfg(test)]
mod tests {
    use super::ReleaseTag;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    #[test]
    fn tags_fall_into_prefix_and_version() {
        for (text, prefix, name, version) in [
            ("1.2.3", "", None, "1.2.3"),
            ("v1.2.3-rc.1+build.5", "v", None, "1.2.3-rc.1+build.5"),
            ("web-ui-v0.1.0", "web-ui-v", Some("web-ui"), "0.1.0"),
            ("app-v2-v1.2.3-v2.0.0", "app-v2-v", Some("app-v2"), "1.2.3-v2.0.0"),
            ("v1.2.3-v2", "v", None, "1.2.3-v2"),
        ] {
            let tag = ReleaseTag::parse(text).unwrap();
            assert_eq!((tag.prefix(), tag.name()), (prefix, name));
            assert_eq!(tag.version().to_string(), version);
        }
    }

    #[test]
    fn a_bad_tag_is_told_the_nearest_good_one() {
        for (text, problem, nearest) in [
            ("v1.2", "a version has three numbers, not 2", Some("v1.2.0")),
            ("v01.2.3", "the number `01` has a leading zero", Some("v1.2.3")),
            ("v1.2.3.4", "a version has three numbers, not 4", Some("v1.2.3")),
            ("v1.2.3;rm -rf", "it may hold letters, digits, `.`, `-`, `+` and `_` only, not ';'", Some("v1.2.3")),
            ("V1.2.3", "it is a version such as `1.2.3`, perhaps after `v` or `NAME-v`", Some("v1.2.3")),
            ("release-1.2.3", "it is a version such as `1.2.3`, perhaps after `v` or `NAME-v`", Some("release-v1.2.3")),
            ("refs/tags/v1.2.3", "it may hold letters, digits, `.`, `-`, `+` and `_` only, not '/'", Some("v1.2.3")),
            ("app-v1.2", "a version has three numbers, not 2", Some("app-v1.2.0")),
            ("v1.2.3-01", "invalid leading zero in pre-release identifier", Some("v1.2.3")),
            ("latest", "it is a version such as `1.2.3`, perhaps after `v` or `NAME-v`", None),
            ("", "it is empty", None),
        ] {
            let error = ReleaseTag::parse(text).unwrap_err();
            assert_eq!((error.problem.as_str(), error.nearest.as_deref()), (problem, nearest), "{text}");
        }
        let long = format!("v1.2.3-{}", "a".repeat(249));
        assert!(ReleaseTag::parse(&long).is_err());
        assert!(ReleaseTag::parse(&long[..255]).is_ok());
        assert!(ReleaseTag::parse("v99999999999999999999.0.0").is_err());
        let message = ReleaseTag::parse("v1.2").unwrap_err().to_string();
        assert_eq!(message, "`v1.2` is not a release tag: a version has three numbers, not 2; did you mean `v1.2.0`?");
    }

    #[test]
    fn build_metadata_do_not_order() {
        let tag = |text| ReleaseTag::parse(text).unwrap();
        assert_eq!(tag("v1.0.0+b2").cmp_precedence(&tag("v1.0.0+b1")), Ordering::Equal);
        assert_eq!(tag("v1.0.0-rc.9").cmp_precedence(&tag("v1.0.0-rc.10")), Ordering::Less);
        assert_eq!(tag("v1.0.0-rc.1").cmp_precedence(&tag("v1.0.0")), Ordering::Less);
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic_and_what_is_proposed_is_a_tag(text in "\\PC{0,40}|[vV]?[0-9.;a-z-]{0,20}") {
            match ReleaseTag::parse(&text) {
                Ok(tag) => prop_assert_eq!(format!("{}{}", tag.prefix(), tag.version()), text),
                Err(error) => if let Some(nearest) = error.nearest {
                    prop_assert!(ReleaseTag::parse(&nearest).is_ok());
                },
            }
        }
    }
}
