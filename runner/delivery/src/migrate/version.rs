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

    /// What a status Job says: the value `version` of its result, else the number on its last line that has one.
    pub fn said(result: Option<&Value>, log: &str) -> Option<Self> {
        let from_json = result.and_then(|result| match &result["version"] {
            Value::Number(number) => Self::parse(&number.to_string()).ok(),
            Value::String(text) => Self::parse(text).ok(),
            _ => None,
        });
        from_json.or_else(|| {
            let words = |line: &str| -> Option<Self> {
                line.split(|c: char| c.is_whitespace() || c == ',' || c == ':')
                    .rev()
                    .find_map(|word| Self::parse(word).ok())
            };
            log.lines().rev().find_map(words)
        })
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
        let said = |log: &str| Version::said(None, log).map(|version| version.to_string());
        assert_eq!(Version::said(Some(&json!({"version": 2})), ""), Some(Version::parse("2").unwrap()));
        assert_eq!(said("001_init applied\n002_sku pending irreversible\nversion 001\n").as_deref(), Some("001"));
        assert_eq!(said("3\n").as_deref(), Some("003"));
        assert_eq!(said("nothing\n"), None);
    }
}
