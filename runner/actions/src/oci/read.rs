//! Reads a layout. Invariant: no byte of a blob is believed before its digest and size are checked, or,
//! for layers, the whole result is thrown away when they do not hold.

use super::document::{Index, hex_of};
use super::{Descriptor, Manifest, OciError, Platform, REF_NAME};
use crate::digest::sha256;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest JSON document taken, in bytes, as registries limit manifests.
const DOCUMENT_MAX: u64 = 4 << 20;

/// A layout on disk.
#[derive(Debug, Clone)]
pub struct Layout {
    path: PathBuf,
}

impl Layout {
    /// Opens the layout in a folder.
    pub fn open(path: &Path) -> Result<Self, OciError> {
        let layout = Self { path: path.to_owned() };
        let marker = path.join("oci-layout");
        let not_a_layout = || OciError::NotALayout(path.to_owned());
        let bytes = read_file(&marker).map_err(|_| not_a_layout())?;
        let version = serde_json::from_slice::<serde_json::Value>(&bytes)
            .ok()
            .and_then(|value| Some(value.get("imageLayoutVersion")?.as_str()? == "1.0.0"));
        if version != Some(true) {
            return Err(not_a_layout());
        }
        Ok(layout)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The image named `reference` (a tag or a digest), or the only one there is, for the platform.
    pub fn image(&self, reference: Option<&str>, platform: &Platform) -> Result<(Descriptor, Manifest), OciError> {
        let index: Index = parse("index.json", &self.index()?)?;
        let named: Vec<&Descriptor> =
            index.manifests.iter().filter(|one| reference.is_none_or(|wanted| is_named(one, wanted))).collect();
        let found = match named.as_slice() {
            [only] => *only,
            [] => return Err(self.no_image(reference.unwrap_or("any"), &index)),
            several => several
                .iter()
                .find(|one| one.platform.as_ref().is_some_and(|on| fits(on, platform)))
                .copied()
                .ok_or_else(|| self.no_image(reference.unwrap_or("without a name"), &index))?,
        };
        self.resolve(found, platform)
    }

    /// Follows an index of platforms to a manifest.
    fn resolve(&self, found: &Descriptor, platform: &Platform) -> Result<(Descriptor, Manifest), OciError> {
        let bytes = self.document(found)?;
        let value: serde_json::Value = parse(&found.digest, &bytes)?;
        if value.get("manifests").is_none() {
            return Ok((found.clone(), parse(&found.digest, &bytes)?));
        }
        let index: Index = parse(&found.digest, &bytes)?;
        let inner = index
            .manifests
            .iter()
            .find(|one| one.platform.as_ref().is_some_and(|on| fits(on, platform)))
            .ok_or_else(|| self.no_image(&platform.to_string(), &index))?;
        let bytes = self.document(inner)?;
        Ok((inner.clone(), parse(&inner.digest, &bytes)?))
    }

    /// The bytes of a small blob, checked.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, OciError> {
        let path = self.blob_path(&descriptor.digest)?;
        let bytes = read_file(&path).map_err(OciError::io("read", &path))?;
        let found = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        check(descriptor, &found, bytes.len() as u64)?;
        Ok(bytes)
    }

    /// A blob that checks itself while it is read; ask [`Blob::check`] at its end.
    pub(crate) fn blob(&self, descriptor: &Descriptor) -> Result<Blob, OciError> {
        let path = self.blob_path(&descriptor.digest)?;
        let file = File::open(&path).map_err(OciError::io("open", &path))?;
        Ok(Blob { file, hasher: Sha256::new(), bytes: 0, descriptor: descriptor.clone() })
    }

    /// Checks a blob's bytes against its descriptor.
    pub fn verify(&self, descriptor: &Descriptor) -> Result<(), OciError> {
        let path = self.blob_path(&descriptor.digest)?;
        let file = File::open(&path).map_err(OciError::io("open", &path))?;
        let size = file.metadata().map_err(OciError::io("look at", &path))?.len();
        let digest = sha256(file).map_err(OciError::io("read", &path))?;
        check(descriptor, &format!("sha256:{}", hex::encode(digest)), size)
    }

    /// Where a blob lies.
    pub fn blob_path(&self, digest: &str) -> Result<PathBuf, OciError> {
        let hex = hex_of(digest).ok_or_else(|| OciError::BadDigest(digest.to_owned()))?;
        Ok(self.path.join("blobs/sha256").join(hex))
    }

    fn index(&self) -> Result<Vec<u8>, OciError> {
        let path = self.path.join("index.json");
        read_file(&path).map_err(OciError::io("read", &path))
    }

    fn no_image(&self, wanted: &str, index: &Index) -> OciError {
        let name = |one: &Descriptor| {
            let name = one.annotations.get(REF_NAME).cloned();
            name.or_else(|| one.platform.as_ref().map(Platform::to_string)).unwrap_or_else(|| one.digest.clone())
        };
        OciError::NoImage {
            path: self.path.clone(),
            wanted: wanted.to_owned(),
            available: index.manifests.iter().map(name).collect::<Vec<_>>().join(", "),
        }
    }
}

/// A blob being read.
pub(crate) struct Blob {
    file: File,
    hasher: Sha256,
    bytes: u64,
    descriptor: Descriptor,
}

impl Blob {
    /// Whether all that was read is what the descriptor promises. Reads what is left first.
    pub(crate) fn check(mut self) -> Result<(), OciError> {
        io::copy(&mut self, &mut io::sink())
            .map_err(|error| OciError::Damaged { digest: self.descriptor.digest.clone(), found: error.to_string() })?;
        let found = format!("sha256:{}", hex::encode(self.hasher.finalize()));
        check(&self.descriptor, &found, self.bytes)
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

fn check(descriptor: &Descriptor, found: &str, size: u64) -> Result<(), OciError> {
    let damaged = |found: String| Err(OciError::Damaged { digest: descriptor.digest.clone(), found });
    if size != descriptor.size {
        return damaged(format!("{size} bytes instead of {}", descriptor.size));
    }
    if found != descriptor.digest {
        return damaged(format!("its digest is {found}"));
    }
    Ok(())
}

fn is_named(descriptor: &Descriptor, wanted: &str) -> bool {
    descriptor.digest == wanted || descriptor.annotations.get(REF_NAME).is_some_and(|name| name == wanted)
}

fn fits(has: &Platform, wanted: &Platform) -> bool {
    has.os == wanted.os
        && has.architecture == wanted.architecture
        && (wanted.variant.is_none() || has.variant == wanted.variant)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > DOCUMENT_MAX {
        return Err(io::Error::other("it is longer than 4 MiB"));
    }
    Ok(bytes)
}

pub(super) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, OciError> {
    serde_json::from_slice(bytes).map_err(|error| OciError::Malformed { what: what.to_owned(), why: error.to_string() })
}
