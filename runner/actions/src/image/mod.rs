//! `tagline/image@v1`: an OCI image from nothing or from a base, plus files. The same input gives the
//! same digest: names sorted, no times, no owners, permissions 0755 or 0644 unless said otherwise.

mod config;
mod files;
mod layer;
mod spec;

pub use files::FileSpec;
pub use spec::{Base, ImageSpec};

use crate::inputs::InputError;
use crate::oci::{
    Descriptor, LAYER_GZIP, Layout, LayoutWriter, MANIFEST, Manifest, OciError, Platform, REF_NAME, to_json,
};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What stops the building of an image.
#[derive(Debug, Error)]
pub enum ImageError {
    /// An input is wrong.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A file to be put in cannot be.
    #[error("tagline/image cannot take `{path}`: {why}")]
    File {
        /// The path as given.
        path: String,
        /// Why not.
        why: String,
    },
    /// A file cannot be read.
    #[error("tagline/image cannot read {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The base or the output is at fault.
    #[error("tagline/image: {0}")]
    Oci(#[from] OciError),
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of its manifest, `sha256:…`: what it is deployed by.
    pub digest: String,
    /// Bytes of its configuration and layers, as a registry stores them.
    pub size: u64,
    /// What it runs on, `OS/ARCHITECTURE`.
    pub platform: String,
    /// Its name in the layout, if it has one.
    pub reference: Option<String>,
    /// The layout that holds it.
    pub layout: PathBuf,
}

/// Builds an image as an OCI layout. Paths of `spec` start at `workspace`.
pub fn build(spec: &ImageSpec, workspace: &Path) -> Result<Image, ImageError> {
    let files = files::collect(&spec.files, workspace)?;
    let (base_config, mut layers) = match &spec.base {
        Base::Scratch => (None, Vec::new()),
        Base::Layout { path, reference } => {
            let layout = Layout::open(&workspace.join(path))?;
            let (_, manifest) = layout.image(reference.as_deref(), &spec.platform)?;
            let config = layout.document(&manifest.config)?;
            let layers = manifest.layers.into_iter().map(|one| (layout.clone(), one));
            (Some(config), layers.collect())
        }
    };
    let output = workspace.join(&spec.output);
    let writer = LayoutWriter::new(&output)?;
    for (layout, layer) in &mut layers {
        writer.copy(layout, layer)?;
        layer.media_type = oci_name(&layer.media_type).to_owned();
    }
    let mut layers: Vec<Descriptor> = layers.into_iter().map(|(_, layer)| layer).collect();
    let mut diff_id = None;
    if !files.is_empty() {
        let (layer, digest) = layer::write(&writer, &files, base_config.is_none())?;
        layers.push(layer);
        diff_id = Some(digest);
    }
    let config = config::document(spec, base_config.as_deref(), diff_id)?;
    let config = writer.document(crate::oci::CONFIG, &config)?;
    let size = config.size + layers.iter().map(|layer| layer.size).sum::<u64>();
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        config,
        layers,
        annotations: std::collections::BTreeMap::new(),
    };
    let mut descriptor = writer.document(MANIFEST, &to_json(&manifest))?;
    let digest = descriptor.digest.clone();
    descriptor.platform = Some(spec.platform.clone());
    let reference = spec.reference();
    if let Some(reference) = &reference {
        descriptor.annotations.insert(REF_NAME.to_owned(), reference.clone());
    }
    writer.finish(descriptor)?;
    Ok(Image { digest, size, platform: spec.platform.to_string(), reference, layout: output })
}

/// Docker's names for layers mean the same bytes as OCI's.
fn oci_name(media_type: &str) -> &str {
    match media_type {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => LAYER_GZIP,
        "application/vnd.docker.image.rootfs.diff.tar" => "application/vnd.oci.image.layer.v1.tar",
        other => other,
    }
}

fn platform_or_host(text: Option<&str>) -> Option<Platform> {
    text.map_or_else(|| Some(Platform::host()), Platform::parse)
}
