//! OCI image layouts on disk: reading one with every digest checked, and writing one.

mod document;
mod read;
mod rootfs;
mod tree;
mod write;

pub use document::{Descriptor, Manifest, Platform};
pub use read::Layout;
pub use rootfs::{ImageConfig, unpack_image};
pub use tree::ImageTree;
pub use write::LayoutWriter;

pub(crate) use write::to_json;

use crate::extract::ExtractError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What is wrong with a layout, or stops reading and writing it.
#[derive(Debug, Error)]
pub enum OciError {
    /// The folder is no layout of the version known.
    #[error("{} is not an OCI image layout of version 1.0.0", .0.display())]
    NotALayout(PathBuf),
    /// No image of that name, or none for the platform.
    #[error("there is no image `{wanted}` in {}; there is: {available}", path.display())]
    NoImage {
        /// The layout.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What there is.
        available: String,
    },
    /// A digest is not `sha256:` and 64 lower-case hex digits.
    #[error("`{0}` is not a SHA-256 digest")]
    BadDigest(String),
    /// A blob's bytes are not those its descriptor promises.
    #[error("blob {digest} is damaged: {found}")]
    Damaged {
        /// The digest promised.
        digest: String,
        /// What was found instead.
        found: String,
    },
    /// A document does not keep to its format.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// Which document.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// A layer is refused.
    #[error("layer {digest}: {source}")]
    Layer {
        /// The layer.
        digest: String,
        /// Why.
        source: ExtractError,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl OciError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
