//! Versions of a schema.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A schema's version: numbers between points, compared as numbers. `001` and `1` are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(Vec<u64>);

impl Version {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Result<Vec<u64>, _> = text.split('.').map(str::parse).collect();
        parts
            .map(Self)
            .map_err(|_| format!("\"{text}\" is not a version of a schema; a number, or numbers with points"))
    }

    /// An empty schema.
    pub fn zero() -> Self {
        Self(vec![0])
    }

    /// The next whole number, if this is a plain one.
    pub fn next(&self) -> Option<Self> {
        match self.0.as_slice() {
            [one] => Some(Self(vec![one + 1])),
            _ => None,
        }
    }

    /// Counted by one, not by the clock: gaps between them mean something.
    pub fn is_counted(&self) -> bool {
        matches!(self.0.as_slice(), [one] if *one < 1_000_000)
    }

    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Self::parse(&number.to_string()).ok(),
            Value::String(text) => Self::parse(text).ok(),
            _ => None,
        }
    }
}

/// What a status Job says of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// The version in force.
    pub(super) version: Version,
    /// A migration to this version, or from it, ended half-way: the schema is neither this nor another.
    pub(super) dirty: Option<Version>,
}

impl Said {
    /// Of its result the values `version` and `dirty` (true, or a list of versions); else of its log the number on the last
    /// line that has one, and the last line that calls a number dirty: `3 (dirty)`.
    pub(super) fn read(result: Option<&Value>, log: &str) -> Option<Self> {
        let from_json = result.and_then(|result| {
            let version = Version::of(&result["version"])?;
            let dirty = match &result["dirty"] {
                Value::Array(all) => all.first().map(|one| Version::of(one).unwrap_or_else(|| version.clone())),
                other => (*other == true).then(|| version.clone()),
            };
            Some(Self { version, dirty })
        });
        from_json.or_else(|| {
            let version = log.lines().rev().find_map(number)?;
            Some(Self { version, dirty: log.lines().rev().find_map(dirty) })
        })
    }
}

fn words(line: &str) -> impl DoubleEndedIterator<Item = &str> {
    line.split(|c: char| c.is_whitespace() || ",:=()".contains(c)).filter(|word| !word.is_empty())
}

/// The last number of a line.
fn number(line: &str) -> Option<Version> {
    words(line).rev().find_map(|word| Version::parse(word).ok())
}

/// The number that a line calls dirty: the word beside it, or anywhere on a line that says `dirty: true`.
fn dirty(line: &str) -> Option<Version> {
    let words: Vec<&str> = words(line).collect();
    let at = words.iter().position(|word| word.eq_ignore_ascii_case("dirty"))?;
    match words.get(at + 1) {
        Some(&"true") => number(line),
        Some(&("false" | "no" | "none" | "0")) => None,
        _ => at.checked_sub(1).and_then(|before| Version::parse(words.get(before)?).ok()),
    }
}

impl fmt::Display for Version {
    /// Plain numbers as the files have them: at least three digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [one] = self.0.as_slice() {
            return write!(f, "{one:03}");
        }
        let parts: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_are_numbers() {
        let of = |text| Version::parse(text).unwrap();
        assert_eq!(of("001"), of("1"));
        assert!(of("9") < of("10") && of("1.9") < of("1.10") && of("1") < of("1.1"));
        assert_eq!(of("7").to_string(), "007");
        assert!(Version::parse("x1").is_err() && Version::parse("").is_err());
    }

    #[test]
    fn a_status_is_understood() {
        let said = |log: &str| Said::read(None, log).map(|said| said.version.to_string());
        assert_eq!(read(&json!({"version": 2})), ("002".to_owned(), None));
        assert_eq!(read(&json!({"version": "1.10"})), ("1.10".to_owned(), None));
        assert_eq!(said("001_init applied\n002_sku pending irreversible\nversion 001\n").as_deref(), Some("001"));
        assert_eq!(said("3\n").as_deref(), Some("003"));
        assert_eq!(said("nothing\n"), None);
    }

    fn read(result: &Value) -> (String, Option<String>) {
        let said = Said::read(Some(result), "").unwrap();
        (said.version.to_string(), said.dirty.map(|dirty| dirty.to_string()))
    }

    #[test]
    fn a_schema_that_was_left_half_way_is_dirty() {
        let dirty = |at: &str| Some(at.to_owned());
        assert_eq!(read(&json!({"version": 3, "dirty": true})), ("003".to_owned(), dirty("003")));
        assert_eq!(read(&json!({"version": 3, "dirty": [2]})), ("003".to_owned(), dirty("002")));
        for clean in [json!(false), json!([]), json!(null)] {
            assert_eq!(read(&json!({"version": 3, "dirty": clean})), ("003".to_owned(), None));
        }
        let of_log = |log: &str| Said::read(None, log).unwrap().dirty.map(|dirty| dirty.to_string());
        assert_eq!(of_log("3 (dirty)\n"), dirty("003"));
        assert_eq!(of_log("001_init applied\n002 dirty\nversion 003\n"), dirty("002"));
        assert_eq!(of_log("Dirty: true, version: 3"), dirty("003"));
        for clean in ["3\n", "version 3, dirty: false", "version=3 dirty=false", "3 not dirty", "12:00 no dirty row\n3"]
        {
            assert_eq!(of_log(clean), None, "{clean}");
        }
    }
}
