//! `actions/upload-artifact`: find the files, pack them.
//!
//! The tar is deterministic: sorted by name, no times, no owners, 0755 for executable files and 0644 for
//! others, links replaced by what they mean, no entries for folders.

use super::ArtifactError;
use super::kind::Kind;
use super::name::{check_name, forbidden_in_file};
use crate::digest::Hashing;
use crate::glob::{Globber, Options};
use crate::inputs::{InputError, Inputs};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// What an upload does when its paths find nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfNoFilesFound {
    /// Says so and goes on.
    Warn,
    /// Fails.
    Error,
    /// Goes on.
    Ignore,
}

/// The inputs of `actions/upload-artifact`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The artifact's name.
    pub name: String,
    /// Globs, one a line.
    pub path: String,
    /// What to do when nothing is found.
    pub if_no_files_found: IfNoFilesFound,
    /// Whether hidden files and folders count.
    pub include_hidden_files: bool,
    /// Whether it takes the place of one of the same name.
    pub overwrite: bool,
}

impl Upload {
    /// Reads the inputs, the name checked.
    pub fn read(inputs: &Inputs) -> Result<Self, ArtifactError> {
        let name = inputs.text("name").unwrap_or("artifact").to_owned();
        check_name(&name)?;
        let if_no_files_found = match inputs.text("if-no-files-found").unwrap_or("warn") {
            "warn" => IfNoFilesFound::Warn,
            "error" => IfNoFilesFound::Error,
            "ignore" => IfNoFilesFound::Ignore,
            other => {
                return Err(inputs.wrong("if-no-files-found", other, "warn, error or ignore").into());
            }
        };
        // Artifacts are kept as plain tar under their digest, so the level changes nothing; a wrong one
        // is still a mistake worth telling.
        inputs.integer("compression-level", 0, 9)?;
        // Artifacts are kept as long as their run is.
        inputs.integer("retention-days", 0, 400)?;
        Ok(Self {
            name,
            path: inputs.required("path")?.to_owned(),
            if_no_files_found,
            include_hidden_files: inputs.boolean("include-hidden-files")?.unwrap_or(false),
            overwrite: inputs.boolean("overwrite")?.unwrap_or(false),
        })
    }
}

/// A packed artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// SHA-256 of the tar, lower-case hex.
    pub sha256: String,
    /// Size of the tar in bytes.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// What is in it, sorted by path.
    pub files: Vec<PackedFile>,
}

/// One file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedFile {
    /// Path within the artifact.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// Packs what `upload.path` finds from `workspace` into `output`, which is created or replaced. `None`
/// when nothing was found and that is not an error; no `output` is written then. `home` is what `~` means.
///
/// Links are followed, as GitHub does, so call it with the rights of the job's steps.
pub fn pack(
    upload: &Upload,
    workspace: &Path,
    home: Option<&Path>,
    output: &Path,
) -> Result<Option<Packed>, ArtifactError> {
    let globber = Globber::new(&upload.path, workspace, home)?;
    let found =
        globber.find(Options { follow_links: true, skip_hidden: !upload.include_hidden_files, folders: false })?;
    if found.is_empty() {
        return match upload.if_no_files_found {
            IfNoFilesFound::Error => Err(ArtifactError::NoFiles(upload.path.replace('\n', ", "))),
            IfNoFilesFound::Warn | IfNoFilesFound::Ignore => Ok(None),
        };
    }
    let root = root(globber.search_paths(), &found);
    let files = by_name(&found, &root)?;
    let result = write(&files, output);
    if result.is_err() {
        // Half a tar is of no use; the error that matters is the one that stopped it.
        let _ = std::fs::remove_file(output);
    }
    result.map(Some)
}

/// The folder the paths within the artifact start at: what all search paths share. A single file named
/// as such lies at the top.
fn root(search_paths: &[PathBuf], found: &[PathBuf]) -> PathBuf {
    if let [only] = search_paths {
        if let [file] = found
            && file == only
        {
            return file.parent().unwrap_or(Path::new("/")).to_owned();
        }
        return only.clone();
    }
    let mut shared = search_paths[0].as_path();
    while !search_paths.iter().all(|path| path.starts_with(shared)) {
        shared = shared.parent().unwrap_or(Path::new("/"));
    }
    shared.to_owned()
}

/// The files by their path within the artifact.
fn by_name<'a>(found: &'a [PathBuf], root: &Path) -> Result<BTreeMap<PathBuf, &'a Path>, ArtifactError> {
    let mut files = BTreeMap::new();
    let mut folded: HashMap<String, PathBuf> = HashMap::new();
    for path in found {
        let name = path.strip_prefix(root).unwrap_or(path).to_owned();
        let shown = name.to_string_lossy();
        if let Some(character) = forbidden_in_file(&shown) {
            return Err(ArtifactError::FileName {
                path: shown.into_owned(),
                character: character.escape_default().to_string(),
            });
        }
        for part in name.ancestors().filter(|part| !part.as_os_str().is_empty()) {
            let key = part.to_string_lossy().to_lowercase();
            match folded.insert(key, part.to_owned()) {
                Some(other) if other != part => {
                    let (one, two) = (other.display().to_string(), part.display().to_string());
                    return Err(ArtifactError::CaseCollision(one, two));
                }
                _ => {}
            }
        }
        files.insert(name, path.as_path());
    }
    Ok(files)
}

fn write(files: &BTreeMap<PathBuf, &Path>, output: &Path) -> Result<Packed, ArtifactError> {
    let file = File::create(output).map_err(ArtifactError::io("create", output))?;
    let mut tar = Builder::new(Hashing::new(BufWriter::with_capacity(1 << 16, file)));
    let mut packed = Vec::with_capacity(files.len());
    for (name, path) in files {
        packed.push(append(&mut tar, name, path)?);
    }
    let finish = || {
        let (mut buffered, sha256, size) = tar.into_inner()?.finish();
        buffered.flush()?;
        Ok((sha256, size))
    };
    let (sha256, size) = finish().map_err(ArtifactError::io("write", output))?;
    let kind = Kind::of(File::open(output).map_err(ArtifactError::io("read", output))?);
    Ok(Packed { sha256, size, kind, files: packed })
}

fn append<W: Write>(tar: &mut Builder<W>, name: &Path, path: &Path) -> Result<PackedFile, ArtifactError> {
    let failed = |source| ArtifactError::io("pack", path)(source);
    // Looked at before it is opened: opening a fifo would wait for a writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let (size, executable) = (metadata.len(), metadata.mode() & 0o100 != 0);
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(if executable { 0o755 } else { 0o644 });
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let mut body = file.take(size);
    tar.append_data(&mut header, Path::new(std::ffi::OsStr::from_bytes(name.as_os_str().as_bytes())), &mut body)
        .map_err(failed)?;
    if body.limit() > 0 {
        return Err(failed(io::Error::other("it became shorter while it was packed")));
    }
    Ok(PackedFile { path: name.to_owned(), size, executable })
}

impl From<&InputError> for ArtifactError {
    fn from(error: &InputError) -> Self {
        Self::Input(error.clone())
    }
}
