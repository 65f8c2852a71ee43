//! What no file of the repository may hold: leftovers, places of one machine, impure calls in the pure crates, and
//! files too long to read.

use std::fs;
use std::path::{Path, PathBuf};

/// No source file is longer; one that grows there is split by idea.
const LINES: usize = 800;

/// Words that mean unfinished work or one person's machine. Written in two halves, so that this file has none of them.
const WORDS: [(&str, &str); 12] = [
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("FIX", "ME"),
    ("XX", "X:"),
    ("/work", "/main"),
    ("/work", "/shared"),
    ("/work", "/target"),
    ("/work", "/brief"),
    ("/root", "/.ca"),
    ("Lorem", " ipsum"),
    ("replace", "-with ="),
];

/// The pure crates have none of these outside their tests, under whatever name they are imported.
const IMPURE: [&str; 12] = [
    "std::fs",
    "std::env::",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "async fn",
    "async {",
    "std::io::std",
];

/// Every text file of the repository.
fn files() -> Vec<PathBuf> {
    let root = tagline_tests::workspace();
    let mut open = vec![root.to_path_buf()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry of the repository").path();
            let name = path.file_name().expect("entries have names").to_string_lossy().into_owned();
            if path.is_symlink() || name == ".git" || name == "target" || name == "node_modules" {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    let rust = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "rs");
    files().into_iter().filter(rust).map(|file| (file.clone(), fs::read_to_string(file).expect("UTF-8"))).collect()
}

fn place(file: &Path) -> String {
    file.strip_prefix(tagline_tests::workspace()).unwrap_or(file).display().to_string()
}

#[test]
fn no_file_holds_leftovers_or_places_of_one_machine() {
    let words: Vec<String> = WORDS.iter().map(|(left, right)| format!("{left}{right}")).collect();
    let mut bad = Vec::new();
    for file in files() {
        // Pictures and archives are no text.
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                bad.push(format!("{}:{}: `{word}`", place(&file), number + 1));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn no_source_file_is_too_long() {
    let sources = sources();
    let mut lengths: Vec<(usize, String)> =
        sources.iter().map(|(file, text)| (text.lines().count(), place(file))).collect();
    lengths.sort();
    let median = lengths[lengths.len() / 2].0;
    println!("{} source files, median {median} lines, longest {:?}", lengths.len(), lengths.last());
    let long: Vec<_> = lengths.iter().filter(|(lines, _)| *lines > LINES).collect();
    assert!(long.is_empty(), "longer than {LINES} lines: {long:?}");
}

#[test]
fn every_module_opens_with_its_purpose() {
    let opens = |text: &String| text.starts_with("//!") || text.starts_with("#!");
    let silent: Vec<_> = sources().into_iter().filter(|(_, text)| !opens(text)).map(|(file, _)| place(&file)).collect();
    assert!(silent.is_empty(), "no `//!` on the first line: {silent:?}");
}

#[test]
fn the_pure_crates_call_nothing_of_the_world() {
    let mut bad = Vec::new();
    for (file, text) in sources() {
        let place = place(&file);
        if !["engine/syntax/src", "engine/plan/src", "engine/run/src"].iter().any(|pure| place.starts_with(pure)) {
            continue;
        }
        // Tests may read what they compare with.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if let Some(word) = IMPURE.iter().find(|word| line.contains(*word)) {
                bad.push(format!("{place}:{}: `{word}`", number + 1));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
