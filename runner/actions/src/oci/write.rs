//! Writes a layout: blobs under their digest, then the index. A layout appears whole or not at all.

use super::document::Index;
use super::{Descriptor, INDEX, Layout, OciError};
use crate::digest::Hashing;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A layout in the making, beside the place it will take.
#[derive(Debug)]
pub struct LayoutWriter {
    target: PathBuf,
    staging: PathBuf,
    finished: bool,
}

impl LayoutWriter {
    /// Begins a layout that will lie at `target`. What is there may be missing, empty or another layout,
    /// which it replaces.
    pub fn new(target: &Path) -> Result<Self, OciError> {
        let free = match fs::read_dir(target) {
            Ok(mut entries) => entries.next().is_none() || Layout::open(target).is_ok(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !free {
            let source = io::Error::other("something that is not an OCI layout is there");
            return Err(OciError::io("replace", target)(source));
        }
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".writing-{}", std::process::id()));
        let staging = target.with_file_name(name);
        fs::create_dir_all(staging.join("blobs/sha256")).map_err(OciError::io("make", &staging))?;
        Ok(Self { target: target.to_owned(), staging, finished: false })
    }

    /// Adds a document.
    pub fn document(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, OciError> {
        let hex = hex::encode(Sha256::digest(bytes));
        let path = self.blob_path(&hex);
        fs::write(&path, bytes).map_err(OciError::io("write", &path))?;
        Ok(descriptor(media_type, &hex, bytes.len() as u64))
    }

    /// Adds what `fill` writes.
    pub fn stream(
        &self,
        media_type: &str,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Descriptor, OciError> {
        let temporary = self.staging.join("blob");
        let write = || {
            let file = BufWriter::with_capacity(1 << 16, File::create(&temporary)?);
            let mut hashing = Hashing::new(file);
            fill(&mut hashing)?;
            let (mut file, hex, size) = hashing.finish();
            file.flush()?;
            fs::rename(&temporary, self.blob_path(&hex))?;
            Ok(descriptor(media_type, &hex, size))
        };
        write().map_err(OciError::io("write", &temporary))
    }

    /// Copies a blob from another layout, checking it on the way.
    pub fn copy(&self, from: &Layout, blob: &Descriptor) -> Result<(), OciError> {
        let mut source = from.blob(blob)?;
        self.stream(&blob.media_type, |to| io::copy(&mut source, to).map(drop))?;
        source.check()
    }

    /// Writes the index and moves the layout into its place.
    pub fn finish(mut self, manifest: Descriptor) -> Result<(), OciError> {
        let index = Index { schema_version: 2, media_type: INDEX.to_owned(), manifests: vec![manifest] };
        let put = |name: &str, bytes: &[u8]| {
            let path = self.staging.join(name);
            fs::write(&path, bytes).map_err(OciError::io("write", &path))
        };
        put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        put("index.json", &to_json(&index))?;
        if self.target.exists() {
            fs::remove_dir_all(&self.target).map_err(OciError::io("replace", &self.target))?;
        }
        fs::rename(&self.staging, &self.target).map_err(OciError::io("write", &self.target))?;
        self.finished = true;
        Ok(())
    }

    fn blob_path(&self, hex: &str) -> PathBuf {
        self.staging.join("blobs/sha256").join(hex)
    }
}

impl Drop for LayoutWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Only what this writer made; a failure leaves a folder whose name tells what it was.
            let _ = fs::remove_dir_all(&self.staging);
        }
    }
}

/// The bytes a document is stored as.
pub(crate) fn to_json(document: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("documents have string keys and finite numbers")
}

fn descriptor(media_type: &str, hex: &str, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: format!("sha256:{hex}"),
        size,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
    }
}
