//! The files of a folder of migrations: `NNN_name.up.sql`, `.down.sql` and `.verify.sql`.
//!
//! Without a `down` a migration is irreversible. `verify` is one query whose rows must all begin with true.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::failure::Failure;

/// One migration.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Migration {
    /// Its number, from 1.
    pub(super) version: i64,
    /// Number and name as the files have them: `001_init`.
    pub(super) name: String,
    /// SQL that makes it.
    pub(super) up: Option<String>,
    /// SQL that takes it back.
    pub(super) down: Option<String>,
    /// SQL that says whether it is as it should be.
    pub(super) verify: Option<String>,
}

impl fmt::Display for Migration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

/// All migrations of a folder, by number. Files that do not end in `.sql` are not its business.
pub(super) fn read(dir: &Path) -> Result<Vec<Migration>, Failure> {
    let wrong = |error: std::io::Error| Failure::usage(format!("{}: {error}", dir.display()));
    let mut found: BTreeMap<i64, Migration> = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(stem) = file.strip_suffix(".sql") else {
            continue;
        };
        let (version, name, kind) = parts(stem)
            .ok_or_else(|| Failure::usage(format!("{file}: named like 001_init.up.sql, .down.sql or .verify.sql")))?;
        let sql = fs::read_to_string(&path).map_err(|error| Failure::usage(format!("{file}: {error}")))?;
        let one = found.entry(version).or_default();
        if !one.name.is_empty() && one.name != name {
            return Err(Failure::usage(format!("{version:03} is there twice: {} and {name}", one.name)));
        }
        (one.version, one.name) = (version, name.to_owned());
        match kind {
            "up" => one.up = Some(sql),
            "down" => one.down = Some(sql),
            _ => one.verify = Some(sql),
        }
    }
    if let Some(one) = found.values().find(|one| one.up.is_none()) {
        return Err(Failure::usage(format!("{one} has no {one}.up.sql")));
    }
    for (expected, one) in (1..).zip(found.values()) {
        if one.version != expected {
            return Err(Failure::usage(format!("{expected:03} is missing: the next is {one}")));
        }
    }
    Ok(found.into_values().collect())
}

fn parts(stem: &str) -> Option<(i64, &str, &str)> {
    let (rest, kind) = stem.rsplit_once('.').filter(|(_, kind)| ["up", "down", "verify"].contains(kind))?;
    let (number, _) = rest.split_once('_').filter(|(_, name)| !name.is_empty())?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|version| digits && *version > 0).map(|version| (version, rest, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> Result<Vec<Migration>, Failure> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(dir.path().join(file), file).unwrap();
        }
        read(dir.path())
    }

    #[test]
    fn files_of_one_number_belong_together() {
        let read =
            folder(&["002_b.up.sql", "001_a.down.sql", "001_a.up.sql", "002_b.verify.sql", "README.md"]).unwrap();
        assert_eq!(read.iter().map(ToString::to_string).collect::<Vec<_>>(), ["001_a", "002_b"]);
        assert_eq!(read[0].down.as_deref(), Some("001_a.down.sql"));
        assert_eq!((read[1].down.as_deref(), read[1].verify.as_deref()), (None, Some("002_b.verify.sql")));
    }

    #[test]
    fn gaps_doubles_and_strange_names_are_refused() {
        for (files, expected) in [
            (&["001_a.up.sql", "003_c.up.sql"][..], "002 is missing"),
            (&["001_a.up.sql", "001_b.up.sql"], "001 is there twice"),
            (&["001_a.down.sql"], "has no 001_a.up.sql"),
            (&["a.up.sql"], "named like"),
            (&["001_a.sql"], "named like"),
            (&["000_a.up.sql"], "named like"),
        ] {
            let failure = folder(files).unwrap_err();
            assert!(failure.to_string().contains(expected) && failure.exit == 2, "{files:?}: {failure}");
        }
    }
}
