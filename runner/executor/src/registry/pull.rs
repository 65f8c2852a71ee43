//! From a registry into an OCI layout folder.

use std::io;
use std::path::Path;

use futures_util::StreamExt;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
    OciDescriptor,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tagline_actions::oci::{Descriptor, LayoutWriter, Manifest, Platform};
use tokio::sync::mpsc;

use super::{Access, Image, Registry, RegistryError, by_digest, failure, reference};

/// What is understood: images, and lists of them for several platforms, in OCI's and in Docker's words.
const ACCEPTED: [&str; 4] =
    [OCI_IMAGE_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE];

/// Pieces of a layer between the network and the disk.
const PIECES: usize = 16;

#[derive(Deserialize)]
struct List {
    manifests: Vec<Descriptor>,
}

/// A manifest as it came.
struct Document {
    bytes: Vec<u8>,
    digest: String,
}

impl Registry {
    /// Pulls the image `name` for this machine's platform into a layout at `target`, which must be missing, empty, or
    /// a layout to replace. It appears whole or not at all.
    pub async fn pull(&self, name: &str, target: &Path) -> Result<Image, RegistryError> {
        let image = reference(name)?;
        let client = self.client(&image, Access::Pull).await?;
        let document = manifest(&client, &image).await?;
        let parsed: Manifest = parse(&image, &document.bytes)?;
        let mut writer = LayoutWriter::new(target)?;
        let media_type = match parsed.media_type.as_str() {
            "" => OCI_IMAGE_MEDIA_TYPE,
            given => given,
        };
        let index = writer.document(media_type, &document.bytes)?;
        for blob in std::iter::once(&parsed.config).chain(&parsed.layers) {
            writer = pull_blob(&client, &image, blob.clone(), writer).await?;
        }
        writer.finish(index)?;
        Ok(Image { reference: by_digest(&image, &document.digest), digest: document.digest })
    }

    /// The digest that `name` has now, for this machine's platform; nothing but manifests is fetched.
    pub async fn resolve(&self, name: &str) -> Result<Image, RegistryError> {
        let image = reference(name)?;
        let client = self.client(&image, Access::Pull).await?;
        let digest = manifest(&client, &image).await?.digest;
        Ok(Image { reference: by_digest(&image, &digest), digest })
    }
}

/// The manifest of the image, by way of the list of platforms where there is one.
async fn manifest(client: &Client, image: &Reference) -> Result<Document, RegistryError> {
    let first = fetch(client, image).await?;
    let Ok(list) = serde_json::from_slice::<List>(&first.bytes) else {
        return Ok(first);
    };
    let host = Platform::host();
    let fits = |one: &&Descriptor| {
        one.platform.as_ref().is_some_and(|on| on.os == host.os && on.architecture == host.architecture)
    };
    let Some(chosen) = list.manifests.iter().find(fits) else {
        return Err(RegistryError::Registry {
            action: "pull",
            image: image.whole(),
            why: format!("there is no image for {host}"),
        });
    };
    let exact = image.clone_with_digest(chosen.digest.clone());
    fetch(client, &exact).await
}

/// One manifest; where the digest is known beforehand it is held against what came.
async fn fetch(client: &Client, image: &Reference) -> Result<Document, RegistryError> {
    let anonymous = RegistryAuth::Anonymous;
    // The client has the credentials stored already; these would only be used if it had not.
    let pulled = client.pull_manifest_raw(image, &anonymous, &ACCEPTED).await;
    let (bytes, _) = pulled.map_err(|error| failure("pull", image, &error))?;
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
    check(image, "the manifest", image.digest().unwrap_or(&digest), &digest)?;
    Ok(Document { bytes: bytes.to_vec(), digest })
}

fn parse(image: &Reference, bytes: &[u8]) -> Result<Manifest, RegistryError> {
    serde_json::from_slice(bytes).map_err(|error| RegistryError::Registry {
        action: "pull",
        image: image.whole(),
        why: format!("its manifest is not understood: {error}"),
    })
}

fn check(image: &Reference, what: &'static str, expected: &str, found: &str) -> Result<(), RegistryError> {
    if expected == found {
        return Ok(());
    }
    Err(RegistryError::Damaged { image: image.whole(), what, expected: expected.to_owned(), found: found.to_owned() })
}

/// Streams one blob into the layout; the layout's writer is lent to a thread that may wait for the disk.
async fn pull_blob(
    client: &Client,
    image: &Reference,
    blob: Descriptor,
    writer: LayoutWriter,
) -> Result<LayoutWriter, RegistryError> {
    let wanted = OciDescriptor {
        digest: blob.digest.clone(),
        size: i64::try_from(blob.size).unwrap_or(i64::MAX),
        media_type: blob.media_type.clone(),
        ..OciDescriptor::default()
    };
    let answer = client.pull_blob_stream(image, &wanted).await;
    let mut stream = answer.map_err(|error| failure("pull", image, &error))?.stream;
    let (pieces, mut taken) = mpsc::channel::<bytes::Bytes>(PIECES);
    let media_type = blob.media_type.clone();
    let most = blob.size;
    let write = tokio::task::spawn_blocking(move || {
        let mut room = most;
        let written = writer.stream(&media_type, |file| {
            while let Some(piece) = taken.blocking_recv() {
                let left = room.checked_sub(piece.len() as u64);
                room = left.ok_or_else(|| io::Error::other("it is longer than it should be"))?;
                file.write_all(&piece)?;
            }
            Ok(())
        });
        (writer, written)
    });
    let mut broken = None;
    while let Some(piece) = stream.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                broken = Some(RegistryError::Registry {
                    action: "pull",
                    image: image.whole(),
                    why: crate::error::chain(&error),
                });
                break;
            }
        };
        // A writer that stopped says why below.
        if pieces.send(piece).await.is_err() {
            break;
        }
    }
    drop(pieces);
    let (writer, written) = write.await.map_err(|error| RegistryError::Client(error.to_string()))?;
    if let Some(error) = broken {
        return Err(error);
    }
    check(image, "a layer", &blob.digest, &written?.digest)?;
    Ok(writer)
}
