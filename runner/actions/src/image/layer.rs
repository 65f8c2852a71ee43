//! Writes the layer of an image.

use super::ImageError;
use super::files::{Entry, failed};
use crate::digest::Hashing;
use crate::oci::{Descriptor, LAYER_GZIP, LayoutWriter};
use flate2::{Compression, GzBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// Writes the entries as a gzipped tar; answers its descriptor and the digest of the tar itself. With
/// `parents` the folders above them are written too; over a base they stay as the base has them.
pub(super) fn write(
    writer: &LayoutWriter,
    entries: &BTreeMap<PathBuf, Entry>,
    parents: bool,
) -> Result<(Descriptor, String), ImageError> {
    let mut diff_id = String::new();
    let mut fault = None;
    let written = writer.stream(LAYER_GZIP, |to| {
        let gzip = GzBuilder::new().mtime(0).operating_system(255).write(to, Compression::default());
        let mut tar = Builder::new(Hashing::new(gzip));
        if let Err(error) = append_all(&mut tar, entries, parents) {
            // The error that names the file goes past the one that names the layout.
            fault = Some(error);
            return Err(io::Error::other("stopped"));
        }
        let (gzip, hex, _) = tar.into_inner()?.finish();
        gzip.finish()?;
        diff_id = format!("sha256:{hex}");
        Ok(())
    });
    match fault {
        Some(error) => Err(error),
        None => Ok((written?, diff_id)),
    }
}

fn append_all<W: Write>(
    tar: &mut Builder<W>,
    entries: &BTreeMap<PathBuf, Entry>,
    parents: bool,
) -> Result<(), ImageError> {
    let mut folders: BTreeSet<&Path> = BTreeSet::new();
    for (path, entry) in entries {
        let above: Vec<&Path> = path.ancestors().skip(1).collect();
        for folder in above.into_iter().rev().filter(|_| parents) {
            if !folder.as_os_str().is_empty() && !entries.contains_key(folder) && folders.insert(folder) {
                append(tar, folder, &Entry::Folder)?;
            }
        }
        append(tar, path, entry)?;
    }
    Ok(())
}

fn append<W: Write>(tar: &mut Builder<W>, path: &Path, entry: &Entry) -> Result<(), ImageError> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    let put = match entry {
        Entry::Folder => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            tar.append_data(&mut header, path, io::empty())
        }
        Entry::Link { target } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            tar.append_link(&mut header, path, target)
        }
        Entry::File { from, mode } => {
            let file = File::open(from).map_err(failed(from))?;
            let size = file.metadata().map_err(failed(from))?.len();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(*mode);
            header.set_size(size);
            let mut body = file.take(size);
            tar.append_data(&mut header, path, &mut body).map_err(failed(from))?;
            if body.limit() > 0 {
                return Err(failed(from)(io::Error::other("it became shorter while it was read")));
            }
            Ok(())
        }
    };
    put.map_err(failed(path))
}
