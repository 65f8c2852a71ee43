//! Unpacks an image into a root file system.

use super::read::parse;
use super::{Layout, Manifest, OciError, Platform};
use crate::extract::apply_layer;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What an image says about how to start it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// `KEY=VALUE`.
    #[serde(deserialize_with = "or_empty")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(deserialize_with = "or_empty")]
    pub entrypoint: Vec<String>,
    /// Further arguments, or the program where there is no entry point.
    #[serde(deserialize_with = "or_empty")]
    pub cmd: Vec<String>,
    /// Folder to start in; empty means `/`.
    pub working_dir: String,
    /// `UID`, `UID:GID` or names; empty means root.
    pub user: String,
}

/// Older tools write `null` for an empty list.
fn or_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    config: Option<ImageConfig>,
}

/// Unpacks the image `reference` (or the only one) of a layout into `rootfs`, which must not exist yet,
/// and tells how it wants to be started. On an error nothing is left of it.
pub fn unpack_image(
    layout: &Layout,
    reference: Option<&str>,
    platform: &Platform,
    rootfs: &Path,
) -> Result<ImageConfig, OciError> {
    let (_, manifest) = layout.image(reference, platform)?;
    let document: Document = parse(&manifest.config.digest, &layout.document(&manifest.config)?)?;
    let staging = staging(rootfs)?;
    let done = apply(layout, &manifest, &staging)
        .and_then(|()| std::fs::rename(&staging, rootfs).map_err(OciError::io("make", rootfs)));
    if done.is_err() {
        // The error that matters is the one that stopped it.
        let _ = std::fs::remove_dir_all(&staging);
    }
    done.map(|()| document.config.unwrap_or_default())
}

/// A fresh folder beside `rootfs`, on the same file system.
fn staging(rootfs: &Path) -> Result<PathBuf, OciError> {
    if rootfs.symlink_metadata().is_ok() {
        let exists = std::io::ErrorKind::AlreadyExists.into();
        return Err(OciError::io("make", rootfs)(exists));
    }
    let mut name = rootfs.file_name().unwrap_or_default().to_owned();
    name.push(format!(".unpacking-{}", std::process::id()));
    let staging = rootfs.with_file_name(name);
    std::fs::create_dir(&staging).map_err(OciError::io("make", &staging))?;
    Ok(staging)
}

fn apply(layout: &Layout, manifest: &Manifest, rootfs: &Path) -> Result<(), OciError> {
    for layer in &manifest.layers {
        let mut blob = layout.blob(layer)?;
        apply_layer(&mut blob, rootfs).map_err(|source| OciError::Layer { digest: layer.digest.clone(), source })?;
        blob.check()?;
    }
    Ok(())
}
