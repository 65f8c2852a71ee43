//! Plain YAML files.

use std::fs;
use std::path::{Path, PathBuf};

use super::documents::{Document, read as read_documents};
use super::{RenderError, not_found};

/// No file of manifests is larger.
const MOST: u64 = 16;

/// The objects of a file, or of every YAML and JSON file of a folder in the order of their names; folders in it are not
/// looked into.
pub(super) fn read(tree: &Path, path: &str) -> Result<Vec<Document>, RenderError> {
    let place = tree.join(path);
    if place.is_file() {
        return read_file(tree, Path::new(path));
    }
    let names = names(&place).map_err(|_| not_found(tree, path))?;
    let mut documents = Vec::new();
    for name in names {
        documents.extend(read_file(tree, &Path::new(path).join(name))?);
    }
    Ok(documents)
}

/// The manifests of a folder, sorted.
pub(super) fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_manifest = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if is_manifest && !name.starts_with('.') && folder.join(&name).is_file() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn read_file(tree: &Path, path: &Path) -> Result<Vec<Document>, RenderError> {
    let failed = |message: String| RenderError::File { path: path.to_owned(), message };
    let inside = |place: &PathBuf| tree.canonicalize().is_ok_and(|tree| place.starts_with(tree));
    let place = tree.join(path).canonicalize().map_err(|error| failed(error.to_string()))?;
    if !inside(&place) {
        return Err(failed("leads out of the repository".to_owned()));
    }
    let data = place.metadata().map_err(|error| failed(error.to_string()))?;
    if data.len() > MOST << 20 {
        return Err(RenderError::TooLarge { what: path.display().to_string(), limit: MOST });
    }
    let text = fs::read_to_string(&place).map_err(|error| failed(error.to_string()))?;
    read_documents(&path.to_string_lossy(), &text)
}
