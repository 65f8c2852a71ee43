//! Layers of an OCI image: a tar whose entries go over what lower layers left, and whose whiteouts
//! (`.wh.NAME`, `.wh..wh..opq`) take away.

use super::name::EntryName;
use super::tarball::TarReader;
use super::{ExtractError, Extracted, Item, Kind, Policy, Refusal, Writer, folder};
use std::io::Read;
use std::path::Path;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Notes a file system driver leaves for itself; they change nothing.
const DRIVER_NOTE: &[u8] = b".wh..wh.";

/// What one entry of a layer does to the layers below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is written.
    Write,
    /// What lower layers have under this name is gone.
    Hide(EntryName),
    /// What lower layers have in this folder is gone.
    HideAll(EntryName),
    /// Nothing.
    Nothing,
}

/// Reads an entry as a change. Device nodes in `dev` change nothing: whoever runs the image brings its
/// own.
pub(crate) fn change(item: &Item) -> Result<Change, ExtractError> {
    let file_name = item.name.file_name();
    if file_name == OPAQUE {
        return Ok(Change::HideAll(item.name.parent()));
    }
    if file_name.starts_with(DRIVER_NOTE) {
        return Ok(Change::Nothing);
    }
    if let Some(hidden) = file_name.strip_prefix(WHITEOUT) {
        if matches!(hidden, b"" | b"." | b"..") {
            let why = Refusal::Name("it is a whiteout of no file");
            return Err(ExtractError::entry(&item.name, why));
        }
        return Ok(Change::Hide(item.name.parent().child(hidden)));
    }
    if item.kind == Kind::Device && item.name.as_bytes().starts_with(b"dev/") {
        return Ok(Change::Nothing);
    }
    Ok(Change::Write)
}

/// Applies one layer, a tar, gzipped or not, over `rootfs`, by [`Policy::layer`]. Layers go bottom
/// first. Nothing is written outside; after an error `rootfs` holds half a layer and is to be removed.
pub fn apply_layer(layer: impl Read, rootfs: &Path) -> Result<Extracted, ExtractError> {
    let policy = Policy::layer();
    let root = folder::open_trusted(rootfs).map_err(|error| ExtractError::io("open", rootfs, error))?;
    let mut writer = Writer::over(root, rootfs, &policy);
    let mut archive = TarReader::open(layer, policy.limits)?;
    while let Some(item) = archive.next()? {
        match change(&item)? {
            Change::Write => writer.put(&item, &mut archive)?,
            Change::Hide(name) => writer.hide(&name)?,
            Change::HideAll(name) => writer.empty(&name)?,
            Change::Nothing => {}
        }
    }
    writer.finish()
}
