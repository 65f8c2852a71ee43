//! Root file systems for jobs with `container:`, unpacked once for each digest.
//!
//! Invariants: a root file system appears in the cache whole or not at all, and nothing changes it afterwards (a job
//! writes to an overlay of its own); two jobs that unpack the same image at once end up with one. An image that was named
//! by a digest is found again by it without its registry, also where that is the digest of a list of platforms.

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
        let asked = name.split_once('@').map(|(_, digest)| digest);
        if let Some(rootfs) = asked.and_then(|digest| self.kept(&chosen(&self.cache, digest))) {
            return Ok(rootfs);
        }
        let digest = registry.resolve(name).await.map_err(|error| error.to_string())?.digest;
        if let Some(asked) = asked {
            remember(&self.cache, asked, &digest)?;
        }
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

/// The image of this machine's platform in the list of that digest, where one was chosen before; else the digest itself.
fn chosen(cache: &Path, digest: &str) -> String {
    let text = list(cache, digest).and_then(|path| fs::read_to_string(path).ok());
    text.filter(|text| place(cache, text).is_some()).unwrap_or_else(|| digest.to_owned())
}

/// Keeps what was chosen from a list. It can only be this one ever: a digest's content does not change.
fn remember(cache: &Path, digest: &str, image: &str) -> Result<(), String> {
    let Some(path) = list(cache, digest).filter(|_| digest != image) else { return Ok(()) };
    let file = staging(cache)?;
    let new = file.path().join("list");
    let written = fs::write(&new, image).and_then(|()| fs::rename(&new, path));
    written.map_err(|error| format!("cannot use the image cache {}: {error}", cache.display()))
}

/// Where the choice from a list is kept.
fn list(cache: &Path, digest: &str) -> Option<PathBuf> {
    Some(place(cache, digest)?.with_extension("list"))
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::registry::Credentials;

    fn digest(bytes: &[u8]) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
    }

    fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
        serde_json::json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
    }

    /// A registry of these documents, by the last part of their address, and how many requests it had.
    fn registry(documents: HashMap<String, Vec<u8>>) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                let body = documents.get(path.rsplit('/').next().unwrap_or_default());
                count.fetch_add(1, Ordering::SeqCst);
                let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
                let body = body.map(Vec::as_slice).unwrap_or_default();
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), body].concat());
            }
        });
        (address, asked)
    }

    /// An image with one file, for this machine, in a list of platforms; the digests of image and list.
    fn listed() -> (HashMap<String, Vec<u8>>, String, String) {
        let mut layer = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o644);
        layer.append_data(&mut header, "mark", &b"in"[..]).unwrap();
        let layer = layer.into_inner().unwrap();
        let host = Platform::host();
        let config = serde_json::json!({
            "os": host.os, "architecture": host.architecture, "config": {},
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        let config = config.to_string().into_bytes();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut one = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        one["platform"] = serde_json::json!({ "os": host.os, "architecture": host.architecture });
        let list = serde_json::json!({ "schemaVersion": 2, "manifests": [one] }).to_string().into_bytes();
        let (image, index) = (digest(&manifest), digest(&list));
        let documents = [layer, config, manifest, list].map(|bytes| (digest(&bytes), bytes));
        (HashMap::from(documents), image, index)
    }

    #[tokio::test]
    async fn a_digest_is_asked_for_once_also_that_of_a_list() {
        let place = tempfile::tempdir().unwrap();
        let (documents, image, index) = listed();
        let (address, asked) = registry(documents);
        let images = Images::new(place.path().join("cache"), Registry::new(Credentials::none()));
        let name = |digest: &str| ImageRef::Reference(format!("{address}/a/b@{digest}"));
        let first = images.rootfs(&name(&index), None).await.unwrap();
        assert_eq!(fs::read_to_string(first.path.join("mark")).unwrap(), "in");
        let before = asked.load(Ordering::SeqCst);
        for digest in [&index, &image] {
            assert_eq!(images.rootfs(&name(digest), None).await.unwrap(), first);
        }
        assert_eq!(asked.load(Ordering::SeqCst), before, "the registry is not asked again");
    }
}
