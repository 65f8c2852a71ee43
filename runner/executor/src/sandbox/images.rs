//! Root file systems for jobs with `container:`, unpacked once for each digest.
//!
//! Invariants: a root file system appears in the cache whole or not at all, and nothing changes it afterwards (a job
//! writes to an overlay of its own); two jobs that unpack the same image at once end up with one.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tagline_actions::oci::{Layout, Platform, unpack_image};

use crate::error::ExecutorError;
use crate::launch::ImageRef;
use crate::registry::{Login, Registry};

/// An unpacked image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rootfs {
    pub(super) path: PathBuf,
    /// The image's own variables.
    pub(super) environment: Vec<(String, String)>,
}

/// What is kept beside a root file system.
#[derive(Serialize, Deserialize)]
struct Kept {
    environment: Vec<(String, String)>,
}

const ROOTFS: &str = "rootfs";
const CONFIG: &str = "image.json";

/// The cache and where its images come from.
#[derive(Debug, Clone)]
pub(super) struct Images {
    cache: PathBuf,
    registry: Registry,
}

impl Images {
    pub(super) fn new(cache: PathBuf, registry: Registry) -> Self {
        Self { cache, registry }
    }

    /// The image's root file system, fetched and unpacked where it is not there yet.
    pub(super) async fn rootfs(&self, image: &ImageRef, login: Option<&Login>) -> Result<Rootfs, ExecutorError> {
        let wrap = |why: String| ExecutorError::Image { image: image.clone(), why };
        match image {
            ImageRef::Layout(path) => {
                let (cache, path) = (self.cache.clone(), path.clone());
                let unpack = move || of_layout(&cache, &path);
                let unpacked = tokio::task::spawn_blocking(unpack).await;
                unpacked.map_err(|error| wrap(error.to_string()))?.map_err(wrap)
            }
            ImageRef::Reference(name) => self.of_registry(name, login).await.map_err(wrap),
        }
    }

    async fn of_registry(&self, name: &str, login: Option<&Login>) -> Result<Rootfs, String> {
        let registry = self.registry.or_given(login);
        // A digest says all: no registry need be asked for what is here.
        let digest = match name.split_once('@') {
            Some((_, digest)) if self.kept(digest).is_some() => digest.to_owned(),
            _ => {
                let image = registry.resolve(name).await;
                image.map_err(|error| error.to_string())?.digest
            }
        };
        if let Some(rootfs) = self.kept(&digest) {
            return Ok(rootfs);
        }
        let place = staging(&self.cache)?;
        let layout = place.path().join("layout");
        let pulled = registry.pull(name, &layout).await;
        let digest = pulled.map_err(|error| error.to_string())?.digest;
        let cache = self.cache.clone();
        let unpack = move || unpack(&cache, &layout, &digest, place.path());
        let unpacked = tokio::task::spawn_blocking(unpack).await;
        unpacked.map_err(|error| error.to_string())?
    }

    fn kept(&self, digest: &str) -> Option<Rootfs> {
        kept(&self.cache, digest)
    }
}

fn of_layout(cache: &Path, path: &Path) -> Result<Rootfs, String> {
    let layout = Layout::open(path).map_err(|error| error.to_string())?;
    let image = layout.image(None, &Platform::host());
    let (descriptor, _) = image.map_err(|error| error.to_string())?;
    match kept(cache, &descriptor.digest) {
        Some(rootfs) => Ok(rootfs),
        None => unpack(cache, path, &descriptor.digest, staging(cache)?.path()),
    }
}

/// Where the image of that digest is or would be; none for what is no digest.
fn place(cache: &Path, digest: &str) -> Option<PathBuf> {
    let hex = digest.strip_prefix("sha256:")?;
    let plain = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| cache.join(hex))
}

fn kept(cache: &Path, digest: &str) -> Option<Rootfs> {
    let place = place(cache, digest)?;
    let text = fs::read(place.join(CONFIG)).ok()?;
    let kept: Kept = serde_json::from_slice(&text).ok()?;
    Some(Rootfs { path: place.join(ROOTFS), environment: kept.environment })
}

fn staging(cache: &Path) -> Result<tempfile::TempDir, String> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(cache)
        .and_then(|()| tempfile::Builder::new().prefix(".unpacking-").tempdir_in(cache));
    made.map_err(|error| format!("cannot use the image cache {}: {error}", cache.display()))
}

/// Unpacks beside the cache's entries, then moves into place.
fn unpack(cache: &Path, layout: &Path, digest: &str, staging: &Path) -> Result<Rootfs, String> {
    let target = place(cache, digest).ok_or_else(|| format!("`{digest}` is not a digest"))?;
    let entry = staging.join("entry");
    let wrap = |error: io::Error| format!("cannot unpack it into {}: {error}", cache.display());
    fs::create_dir(&entry).map_err(wrap)?;
    let rootfs = entry.join(ROOTFS);
    let layout = Layout::open(layout).map_err(|error| error.to_string())?;
    let config = unpack_image(&layout, None, &Platform::host(), &rootfs);
    let config = config.map_err(|error| error.to_string())?;
    // Steps are not its owner.
    fs::set_permissions(&rootfs, fs::Permissions::from_mode(0o755)).map_err(wrap)?;
    let pairs = config.env.iter().filter_map(|pair| pair.split_once('='));
    let kept = Kept { environment: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() };
    let text = serde_json::to_vec(&kept).expect("an image's variables are plain data");
    fs::write(entry.join(CONFIG), text).map_err(wrap)?;
    match fs::rename(&entry, &target) {
        Ok(()) => {}
        // Another job was faster; its copy is the same.
        Err(_) if self::kept(cache, digest).is_some() => {}
        Err(error) => return Err(wrap(error)),
    }
    // Folders of the staging copy may be read-only.
    crate::remove::tree(staging).map_err(wrap)?;
    self::kept(cache, digest).ok_or_else(|| format!("it is gone from {}", cache.display()))
}
