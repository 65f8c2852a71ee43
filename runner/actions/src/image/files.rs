//! Which files go into an image, and where.

use super::ImageError;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// One line of `files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// A file or a folder, from the workspace; of a folder all that is in it.
    pub source: String,
    /// Where it goes: absolute; ending in `/` it is the folder the file goes into.
    pub destination: String,
    /// Permissions of the files; `None` keeps whether they are executable.
    pub mode: Option<u32>,
}

impl FileSpec {
    /// Reads `SOURCE:/DESTINATION[:MODE]`, the mode octal and without set-user-id bits.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(':');
        let (source, destination) = (parts.next()?, parts.next()?);
        let mode = match parts.next() {
            None => None,
            Some(text) => Some(u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777)?),
        };
        let fits = !source.is_empty() && destination.starts_with('/') && parts.next().is_none();
        fits.then(|| Self { source: source.to_owned(), destination: destination.to_owned(), mode })
    }
}

/// What lies at one path of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Folder,
    File { from: PathBuf, mode: u32 },
    Link { target: PathBuf },
}

/// The entries of the layer by their path, relative to the root. A later line replaces an earlier one.
pub(super) fn collect(specs: &[FileSpec], workspace: &Path) -> Result<BTreeMap<PathBuf, Entry>, ImageError> {
    let mut entries = BTreeMap::new();
    for spec in specs {
        let source = inside(&spec.source, workspace)?;
        let destination = relative(&spec.destination)?;
        let metadata = fs::metadata(&source).map_err(failed(&source))?;
        if metadata.is_dir() {
            folder(&source, &destination, spec, &mut entries)?;
        } else {
            let to = if spec.destination.ends_with('/') {
                destination.join(source.file_name().unwrap_or_default())
            } else {
                destination
            };
            if to.as_os_str().is_empty() {
                return Err(wrong(&spec.destination, "a file cannot be the root"));
            }
            file(&source, to, spec, &mut entries)?;
        }
    }
    Ok(entries)
}

/// The real path of a source, which must lie in the workspace.
fn inside(source: &str, workspace: &Path) -> Result<PathBuf, ImageError> {
    let root = fs::canonicalize(workspace).map_err(failed(workspace))?;
    let path = workspace.join(source);
    let real = fs::canonicalize(&path).map_err(failed(&path))?;
    if !real.starts_with(&root) {
        return Err(wrong(source, "it lies outside the workspace"));
    }
    Ok(real)
}

fn relative(destination: &str) -> Result<PathBuf, ImageError> {
    let mut path = PathBuf::new();
    for part in Path::new(destination).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) if !name.as_encoded_bytes().starts_with(b".wh.") => {
                path.push(name);
            }
            _ => return Err(wrong(destination, "its destination holds `..` or begins with `.wh.`")),
        }
    }
    Ok(path)
}

fn folder(
    source: &Path,
    destination: &Path,
    spec: &FileSpec,
    entries: &mut BTreeMap<PathBuf, Entry>,
) -> Result<(), ImageError> {
    for child in fs::read_dir(source).map_err(failed(source))? {
        let child = child.map_err(failed(source))?;
        let (from, to) = (child.path(), destination.join(child.file_name()));
        if child.file_name().as_encoded_bytes().starts_with(b".wh.") {
            return Err(wrong(&from.to_string_lossy(), "a name that begins with `.wh.` means a deletion in a layer"));
        }
        let kind = child.file_type().map_err(failed(&from))?;
        if kind.is_dir() {
            entries.insert(to.clone(), Entry::Folder);
            folder(&from, &to, spec, entries)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&from).map_err(failed(&from))?;
            entries.insert(to, Entry::Link { target });
        } else {
            file(&from, to, spec, entries)?;
        }
    }
    Ok(())
}

fn file(from: &Path, to: PathBuf, spec: &FileSpec, entries: &mut BTreeMap<PathBuf, Entry>) -> Result<(), ImageError> {
    let metadata = fs::symlink_metadata(from).map_err(failed(from))?;
    if !metadata.is_file() {
        return Err(wrong(&from.to_string_lossy(), "it is not a regular file"));
    }
    let executable = metadata.mode() & 0o100 != 0;
    let mode = spec.mode.unwrap_or(if executable { 0o755 } else { 0o644 });
    let from = from.to_owned();
    entries.insert(to, Entry::File { from, mode });
    Ok(())
}

fn wrong(path: &str, why: &str) -> ImageError {
    ImageError::File { path: path.to_owned(), why: why.to_owned() }
}

pub(super) fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ImageError {
    let path = path.to_owned();
    move |source| ImageError::Io { path, source }
}
