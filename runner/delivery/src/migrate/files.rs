//! The files of a folder of migrations, by the way they are named.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Version;
use super::lint::losses;
use crate::inputs::migrate::{Direction, Style};

/// No folder of migrations has more files, and no file is larger.
const MOST_FILES: usize = 10_000;
const MOST_BYTES: u64 = 4 << 20;

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Its number.
    pub version: Version,
    /// The file that makes it.
    pub file: String,
    /// The file that takes it back, where there is one; with a mark in one file, the same.
    #[serde(default)]
    pub back: Option<String>,
    /// It can be taken back.
    pub reversible: bool,
    /// It says that it takes away what the version before needs: a line `-- tagline: contract`.
    pub contract: bool,
    /// What it takes away, in words: `drops a column`.
    pub losses: Vec<String>,
}

impl Migration {
    /// The file that is carried out in this direction.
    pub fn file_of(&self, direction: Direction) -> &str {
        match direction {
            Direction::Up => &self.file,
            Direction::Down => self.back.as_ref().unwrap_or(&self.file),
        }
    }
}

/// What one file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Up,
    Down,
    Verify,
    /// Up, and down after a mark.
    Both,
}

/// Reads all migrations of a folder, the oldest first, and the style found.
///
/// # Errors
/// Everything that is wrong, a line each: gaps and doubles with both files.
pub fn read(tree: &Path, dir: &str, style: Style) -> Result<(Vec<Migration>, Style), Vec<String>> {
    let wrong = |error: &dyn std::fmt::Display| vec![format!("{dir}: {error}")];
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(tree.join(dir)).map_err(|error| wrong(&error))? {
        let entry = entry.map_err(|error| wrong(&error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_none_or(|end| end != "sql")
            || !entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            continue;
        }
        if files.len() >= MOST_FILES || entry.metadata().is_ok_and(|data| data.len() > MOST_BYTES) {
            return Err(wrong(&format!("{name} is larger than 4 MiB, or there are more than {MOST_FILES} files")));
        }
        let text = fs::read(entry.path()).map_err(|error| wrong(&error))?;
        files.insert(name, String::from_utf8_lossy(&text).into_owned());
    }
    let style = if style == Style::Auto { found(&files) } else { style };
    of(&files, style)
        .map(|all| (all, style))
        .map_err(|lines| lines.iter().map(|line| format!("{dir}: {line}")).collect())
}

/// The style that fits what lies there.
fn found(files: &BTreeMap<String, String>) -> Style {
    let flyway = |name: &String| name.starts_with('V') && name.contains("__");
    if files.keys().any(flyway) {
        Style::Flyway
    } else if files.iter().any(|(name, text)| !name.ends_with(".up.sql") && undo_mark(text).is_some()) {
        Style::Mybatis
    } else {
        Style::Tagline
    }
}

fn of(files: &BTreeMap<String, String>, style: Style) -> Result<Vec<Migration>, Vec<String>> {
    let mut problems = Vec::new();
    // By number: the file of each part.
    let mut parts: BTreeMap<Version, Vec<(Part, &String)>> = BTreeMap::new();
    for file in files.keys() {
        match named(file, style) {
            Some((version, part)) => parts.entry(version).or_default().push((part, file)),
            None => problems.push(format!("{file} is not named like {}", example(style))),
        }
    }
    let mut all = Vec::new();
    for (version, found) in &parts {
        let of_part = |wanted: Part| found.iter().filter(move |(part, _)| *part == wanted).map(|(_, file)| *file);
        for part in [Part::Up, Part::Both, Part::Down] {
            let files: Vec<&String> = of_part(part).collect();
            if let [first, second, ..] = files.as_slice() {
                problems.push(format!("number {version} is there twice: {first} and {second}"));
            }
        }
        let Some(file) = of_part(Part::Up).chain(of_part(Part::Both)).next() else {
            problems.push(format!("{} has no file that makes it", found[0].1));
            continue;
        };
        let text = files[file].as_str();
        let (up, undo) = undo_mark(text).map_or((text, None), |at| (&text[..at], Some(&text[at..])));
        let back = of_part(Part::Down).chain(of_part(Part::Both)).next().cloned();
        let reversible = match style {
            Style::Mybatis => undo.is_some_and(has_statement),
            _ => back.as_ref().is_some_and(|file| has_statement(&files[file])),
        };
        let contract = up.lines().any(|line| line.trim().eq_ignore_ascii_case("-- tagline: contract"));
        let (version, file, losses) = (version.clone(), file.clone(), losses(up));
        all.push(Migration { version, file, back, reversible, contract, losses });
    }
    problems.extend(gaps(&all));
    if all.is_empty() && problems.is_empty() {
        problems.push(format!("holds no migrations; {}", example(style)));
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

/// Numbers that are counted have no gaps.
fn gaps(all: &[Migration]) -> Vec<String> {
    let pairs = all.windows(2).filter(|pair| pair.iter().all(|one| one.version.is_counted()));
    let gap = |pair: &[Migration]| {
        let expected = pair[0].version.next()?;
        (expected != pair[1].version)
            .then(|| format!("number {expected} is missing between {} and {}", pair[0].file, pair[1].file))
    };
    pairs.filter_map(gap).collect()
}

fn named(file: &str, style: Style) -> Option<(Version, Part)> {
    let stem = file.strip_suffix(".sql")?;
    match style {
        Style::Flyway => {
            let (head, _) = stem.split_once("__")?;
            let part = match head.chars().next()? {
                'V' => Part::Up,
                'U' => Part::Down,
                _ => return None,
            };
            Some((Version::parse(&head[1..].replace('_', ".")).ok()?, part))
        }
        Style::Mybatis => Some((number(stem)?, Part::Both)),
        _ => {
            let (rest, kind) = stem.rsplit_once('.')?;
            let part = match kind {
                "up" => Part::Up,
                "down" => Part::Down,
                "verify" => Part::Verify,
                _ => return None,
            };
            Some((number(rest)?, part))
        }
    }
}

/// `003` of `003_name`.
fn number(stem: &str) -> Option<Version> {
    let (digits, name) = stem.split_once('_')?;
    let version = Version::parse(digits).ok().filter(|_| !digits.contains('.'))?;
    (!name.is_empty() && version > Version::zero()).then_some(version)
}

const fn example(style: Style) -> &'static str {
    match style {
        Style::Flyway => "V1__create.sql, U1__create.sql",
        Style::Mybatis => "20250101_create.sql",
        _ => "001_create.up.sql, 001_create.down.sql",
    }
}

/// Where the way back begins in one file.
fn undo_mark(text: &str) -> Option<usize> {
    text.find("//@UNDO").map(|at| text[..at].rfind('\n').map_or(0, |line| line + 1))
}

/// Something besides comments and blanks: an empty way back is none.
fn has_statement(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with("--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(files: &[(&str, &str)], style: Style) -> Result<Vec<Migration>, Vec<String>> {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let style = if style == Style::Auto { found(&files) } else { style };
        of(&files, style)
    }

    fn said(all: &[Migration]) -> Vec<String> {
        all.iter().map(|one| format!("{} {}", one.version, one.reversible)).collect()
    }

    #[test]
    fn each_style_is_read() {
        let pairs = read_all(
            &[
                ("001_a.up.sql", "x"),
                ("001_a.down.sql", "y"),
                ("002_b.up.sql", "x"),
                ("002_b.down.sql", "-- none\n"),
                ("002_b.verify.sql", "q"),
            ],
            Style::Auto,
        );
        let pairs = pairs.unwrap();
        assert_eq!(said(&pairs), ["001 true", "002 false"]);
        let files = [Direction::Up, Direction::Down].map(|direction| pairs[0].file_of(direction));
        assert_eq!(files, ["001_a.up.sql", "001_a.down.sql"]);
        let flyway = read_all(&[("V1__a.sql", "x"), ("U1__a.sql", "y"), ("V1_1__b.sql", "x")], Style::Auto);
        let flyway = flyway.unwrap();
        assert_eq!(said(&flyway), ["001 true", "1.1 false"]);
        assert_eq!(flyway[0].file_of(Direction::Down), "U1__a.sql");
        let mybatis =
            read_all(&[("20250101_a.sql", "x\n-- //@UNDO\ny"), ("20250201_b.sql", "x\n-- //@UNDO\n")], Style::Auto);
        let mybatis = mybatis.unwrap();
        assert_eq!(said(&mybatis), ["20250101 true", "20250201 false"]);
        assert_eq!(mybatis[0].file_of(Direction::Down), "20250101_a.sql");
    }

    #[test]
    fn gaps_and_doubles_name_both_files() {
        let problems = read_all(
            &[
                ("001_a.up.sql", ""),
                ("003_c.up.sql", ""),
                ("003_d.up.sql", ""),
                ("notes.sql", ""),
                ("004_e.down.sql", ""),
            ],
            Style::Tagline,
        );
        assert_eq!(
            problems.unwrap_err(),
            [
                "notes.sql is not named like 001_create.up.sql, 001_create.down.sql",
                "number 003 is there twice: 003_c.up.sql and 003_d.up.sql",
                "004_e.down.sql has no file that makes it",
                "number 002 is missing between 001_a.up.sql and 003_c.up.sql",
            ]
        );
        assert!(read_all(&[], Style::Tagline).unwrap_err()[0].contains("holds no migrations"));
    }
}
