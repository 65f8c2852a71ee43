//! What is baked into an image beside the binary: the version, and the faults of a bad release.
//!
//! `release.toml` is part of the image, so that a bad release is another digest and never a flag of its workload.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;
use crate::faults::Faults;

/// The content of `release.toml`.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    /// The application that this image stands for; pages and `/q/info` name it.
    pub(crate) name: String,
    /// The version, without a leading `v`.
    pub(crate) version: String,
    /// What it does wrong.
    pub(crate) faults: Faults,
}

impl Release {
    /// Reads the file named by `RELEASE_FILE`, else the `release.toml` beside the binary.
    pub(crate) fn load() -> Result<Self, Failure> {
        let path = match std::env::var_os("RELEASE_FILE") {
            Some(path) => PathBuf::from(path),
            None => std::env::current_exe().map_err(Failure::new)?.with_file_name("release.toml"),
        };
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!("{}: {error}; it gives the version: version = \"1.2.3\"", path.display()))
        })?;
        Self::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table = DeTable::parse(text).map_err(|error| error.to_string())?;
        let (mut name, mut version, mut faults) = ("demo".to_owned(), String::new(), Faults::default());
        for (key, given) in table.get_ref() {
            match (key.get_ref().as_ref(), given.get_ref()) {
                ("name", DeValue::String(text)) => name = text.clone().into_owned(),
                ("version", DeValue::String(text)) => version = text.clone().into_owned(),
                ("faults", DeValue::Table(table)) => {
                    for (key, given) in table {
                        let value = plain(given.get_ref()).ok_or_else(|| format!("{key}: not a plain value"))?;
                        faults.set(key.get_ref(), &value)?;
                    }
                }
                ("name" | "version", _) => return Err(format!("{key} is a text in quotes", key = key.get_ref())),
                (other, _) => return Err(format!("unknown key `{other}`; known: name, version, [faults]")),
            }
        }
        let printable = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        match (printable(&version), printable(&name)) {
            (true, true) => Ok(Self { name, version, faults }),
            (false, _) => Err("version is missing or not printable; version = \"1.2.3\"".to_owned()),
            (_, false) => Err("name is not printable".to_owned()),
        }
    }
}

/// A value as JSON has it, as faults also come from requests.
fn plain(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::from(text.as_ref())),
        DeValue::Boolean(yes) => Some(Value::from(*yes)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::from),
        DeValue::Float(number) => number.as_str().parse::<f64>().ok().map(Value::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_name_and_faults_are_read() {
        let text = "version = '1.2.5'\nname = 'shop'\n[faults]\nerror_rate = 0.08\nafter_s = 60\noom = true\n";
        let release = Release::parse(text).unwrap();
        assert_eq!((release.version.as_str(), release.name.as_str()), ("1.2.5", "shop"));
        assert_eq!((release.faults.error_rate, release.faults.after_s, release.faults.oom), (0.08, 60.0, true));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (text, expected) in [
            ("", "version is missing"),
            ("version = 1", "version is a text in quotes"),
            ("version = '1'\nfault = 1", "unknown key `fault`"),
            ("version = '1'\n[faults]\nerrors = 1", "unknown fault `errors`"),
            ("version = '1'\n[faults]\nerror_rate = 8", "error_rate"),
            ("version = '1'\n[faults]\nlatency_ms = '8'", "latency_ms"),
            ("version = '1'\n[faults]\nonly_path = []", "not a plain value"),
        ] {
            let error = Release::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
