//! Embeds `examples/storefront`, dot files too, for `tagline demo`: writes `example.rs` with one entry a file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes the list of files into the folder of generated sources.
pub(crate) fn embed(example: &Path, out: &Path) {
    let mut files = Vec::new();
    walk(example, &mut files);
    files.sort();
    let mut code = String::from(
        "/// Path in the example and content of each of its files.\npub(crate) const FILES: &[(&str, &[u8])] = &[\n",
    );
    for file in files {
        let name = file.strip_prefix(example).expect("it was found there");
        println!("cargo::rerun-if-changed={}", file.display());
        writeln!(code, "    ({:?}, include_bytes!({:?})),", name.display().to_string(), file.display().to_string())
            .expect("a string takes everything");
    }
    code.push_str("];\n");
    fs::write(out.join("example.rs"), code).expect("the folder of generated sources can be written");
}

/// Everything but what a build or a run of the example leaves behind.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    println!("cargo::rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(folder).expect("the example is part of the source");
    for entry in entries.map(|entry| entry.expect("the example can be read")) {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                walk(&path, files);
            }
        } else if !name.to_string_lossy().contains(".db") {
            files.push(path);
        }
    }
}
