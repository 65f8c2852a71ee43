//! From an OCI layout folder into a registry.

use std::path::Path;

use futures_util::stream;
use oci_client::errors::OciDistributionError;
use oci_client::{Client, Reference};
use tagline_actions::oci::{Descriptor, Layout, Platform};
use tokio::io::AsyncReadExt;

use super::{Access, Image, Registry, RegistryError, by_digest, failure, reference};

/// Read and sent at a time.
const PIECE: usize = 256 * 1024;

impl Registry {
    /// Pushes the image with the manifest `digest` in the layout (the only one where none is given) under `name`. What
    /// the registry has already is not sent again.
    pub async fn push(&self, layout: &Path, digest: Option<&str>, name: &str) -> Result<Image, RegistryError> {
        let image = reference(name)?;
        let layout = Layout::open(layout)?;
        let (descriptor, manifest) = layout.image(digest, &Platform::host())?;
        let client = self.client(&image, Access::Push).await?;
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            push_blob(&client, &image, &layout, blob).await?;
        }
        let bytes = layout.document(&descriptor)?;
        let media_type = media_type(&descriptor.media_type, &manifest.media_type);
        let pushed = client.push_manifest_raw(&image, bytes, media_type).await;
        pushed.map_err(|error| failure("push", &image, &error))?;
        Ok(Image { reference: by_digest(&image, &descriptor.digest), digest: descriptor.digest })
    }
}

/// What the layout's index calls the manifest, else what it calls itself, else OCI's name.
fn media_type(in_index: &str, own: &str) -> http::HeaderValue {
    [in_index, own]
        .into_iter()
        .filter(|text| !text.is_empty())
        .find_map(|text| text.parse().ok())
        .unwrap_or_else(|| http::HeaderValue::from_static(oci_client::manifest::OCI_IMAGE_MEDIA_TYPE))
}

async fn push_blob(
    client: &Client,
    image: &Reference,
    layout: &Layout,
    blob: &Descriptor,
) -> Result<(), RegistryError> {
    let fail = |error: OciDistributionError| failure("push", image, &error);
    if client.blob_exists(image, &blob.digest).await.map_err(fail)? {
        return Ok(());
    }
    let path = layout.blob_path(&blob.digest)?;
    let opened = tokio::fs::File::open(&path).await;
    let file = opened.map_err(|error| fail(error.into()))?;
    // The registry hashes what comes and refuses what is not of this digest.
    let pieces = stream::try_unfold(file, |mut file| async move {
        let mut piece = bytes::BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), file)))
    });
    let sent = client.push_blob_stream(image, pieces, &blob.digest, Some(blob.size));
    sent.await.map_err(fail)?;
    Ok(())
}
