//! The files of an image as its layers leave them, without unpacking it: only the files that are wanted
//! are kept, in memory.

use super::{Layout, OciError, Platform};
use crate::extract::name::EntryName;
use crate::extract::tarball::TarReader;
use crate::extract::{Change, ExtractError, Item, Kind, Policy, Refusal, change};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::PathBuf;
use tagline_evidence::catalog::Problem;
use tagline_evidence::tree::{FILE_MAX, FileTree, TreeError};

/// Most bytes of wanted files kept, for they are kept in memory.
const KEPT_MAX: usize = 256 << 20;

/// The wanted files of an image.
#[derive(Debug, Clone, Default)]
pub struct ImageTree {
    files: BTreeMap<String, Vec<u8>>,
}

impl ImageTree {
    /// Reads the image `reference` (or the only one) of a layout and keeps the files `wanted` says yes
    /// to. All blobs are checked against their digests.
    pub fn open(
        layout: &Layout,
        reference: Option<&str>,
        platform: &Platform,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Self, OciError> {
        let (_, manifest) = layout.image(reference, platform)?;
        layout.verify(&manifest.config)?;
        let mut tree = Self::default();
        for layer in &manifest.layers {
            let mut blob = layout.blob(layer)?;
            tree.apply(&mut blob, &wanted)
                .map_err(|source| OciError::Layer { digest: layer.digest.clone(), source })?;
            blob.check()?;
        }
        Ok(tree)
    }

    fn apply(&mut self, layer: impl Read, wanted: &impl Fn(&str) -> bool) -> Result<(), ExtractError> {
        let mut archive = TarReader::open(layer, Policy::layer().limits)?;
        let mut written: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        while let Some(item) = archive.next()? {
            match change(&item)? {
                Change::Write => self.write(&item, &mut archive, &mut written, wanted)?,
                Change::Hide(name) => self.hide(&name, true),
                Change::HideAll(name) => self.hide(&name, false),
                Change::Nothing => {}
            }
        }
        self.files.append(&mut written);
        Ok(())
    }

    fn write(
        &mut self,
        item: &Item,
        body: &mut impl Read,
        written: &mut BTreeMap<String, Vec<u8>>,
        wanted: &impl Fn(&str) -> bool,
    ) -> Result<(), ExtractError> {
        // A name that is not UTF-8 is no manifest's.
        let Ok(name) = std::str::from_utf8(item.name.as_bytes()) else {
            return Ok(());
        };
        if item.kind != Kind::Folder {
            self.hide(&item.name, true);
        }
        let bytes = match &item.kind {
            Kind::File { size } if wanted(name) => Some(read(body, *size, name)?),
            Kind::HardLink { target } if wanted(name) => {
                let target = target.to_string();
                written.get(&target).or_else(|| self.files.get(&target)).cloned()
            }
            _ => None,
        };
        if let Some(bytes) = bytes {
            written.insert(name.to_owned(), bytes);
            let kept: usize = self.files.values().chain(written.values()).map(Vec::len).sum();
            if kept > KEPT_MAX {
                let limit = KEPT_MAX as u64;
                return Err(ExtractError::entry(name, Refusal::TooLarge { limit }));
            }
        }
        Ok(())
    }

    /// Forgets what lower layers have beneath a name, and with `itself` at it.
    fn hide(&mut self, name: &EntryName, itself: bool) {
        let name = name.to_string();
        if itself {
            self.files.remove(&name);
        }
        let beneath = if name.is_empty() { name } else { format!("{name}/") };
        let from = self.files.range(beneath.clone()..);
        let hidden: Vec<String> =
            from.map(|(path, _)| path).take_while(|path| path.starts_with(&beneath)).cloned().collect();
        for path in hidden {
            self.files.remove(&path);
        }
    }
}

impl FileTree for ImageTree {
    fn files(&self, _: &mut Vec<Problem>) -> Result<BTreeSet<String>, TreeError> {
        Ok(self.files.keys().cloned().collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, TreeError> {
        self.files.get(path).cloned().ok_or_else(|| TreeError {
            action: "read",
            path: PathBuf::from(path),
            source: io::ErrorKind::NotFound.into(),
        })
    }
}

fn read(body: &mut impl Read, size: u64, name: &str) -> Result<Vec<u8>, ExtractError> {
    if size > FILE_MAX {
        let why = Refusal::TooLarge { limit: FILE_MAX };
        return Err(ExtractError::entry(name, why));
    }
    let mut bytes = Vec::new();
    body.take(size).read_to_end(&mut bytes).map_err(ExtractError::reading)?;
    Ok(bytes)
}
