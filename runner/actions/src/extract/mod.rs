//! The one extractor: tar, gzipped tar, zip and OCI layers, beneath one folder, nothing followed.
//!
//! Invariants: an archive is written to a staging folder inside the destination and moved into place
//! only when all of it proved good, so a refused archive leaves nothing behind; every path is resolved
//! by the kernel beneath the destination without following links; set-user-id bits, devices and fifos
//! never reach the disk.

mod error;
pub(crate) mod folder;
mod layer;
mod limits;
pub(crate) mod name;
mod seen;
mod stage;
pub(crate) mod tarball;
mod write;
mod zipfile;

pub use error::{ExtractError, Refusal};
pub use layer::apply_layer;
pub use limits::Limits;
pub use zipfile::extract_zip;

pub(crate) use layer::{Change, change};
pub(crate) use write::Writer;

use name::EntryName;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use tarball::TarReader;

/// Which symbolic links an archive may hold. None is ever followed while extracting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Relative ones whose target lies inside, read component by component.
    Inside,
    /// Any: a root file system and a Git tree hold links that point elsewhere.
    Any,
}

/// What happens to set-user-id and set-group-id bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialBits {
    /// An entry that has one refuses the archive.
    Refuse,
    /// They are dropped.
    Strip,
}

/// Which permissions extracted entries get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modes {
    /// 0755 for folders and executable files, 0644 for the rest, as Git and artifacts know them.
    Executable,
    /// As in the archive, but the owner can always read files and use folders.
    Kept,
}

/// What one use of the extractor allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How much.
    pub limits: Limits,
    /// Which symbolic links.
    pub links: Links,
    /// Set-user-id bits.
    pub special_bits: SpecialBits,
    /// Permissions and, with `Kept`, times.
    pub modes: Modes,
    /// Whether two names may differ only by upper and lower case.
    pub case_collisions: bool,
}

impl Policy {
    /// For artifacts: links inside only, no set-user-id bits, no names that collide on other systems.
    pub fn artifact() -> Self {
        Self {
            limits: Limits::default(),
            links: Links::Inside,
            special_bits: SpecialBits::Refuse,
            modes: Modes::Executable,
            case_collisions: false,
        }
    }

    /// For a source tree: what Git trees hold, links that point anywhere included.
    pub fn source() -> Self {
        Self {
            limits: Limits { entries: 2_000_000, ..Limits::default() },
            links: Links::Any,
            case_collisions: true,
            ..Self::artifact()
        }
    }

    /// For layers of an image: set-user-id bits are stripped, permissions and times kept, owners dropped.
    pub fn layer() -> Self {
        Self { special_bits: SpecialBits::Strip, modes: Modes::Kept, ..Self::source() }
    }
}

/// What an extraction wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One entry of an archive, its name already proven plain.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) name: EntryName,
    pub(crate) kind: Kind,
    /// Permission bits as the archive has them.
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) mtime: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File {
        size: u64,
    },
    Symlink {
        target: Vec<u8>,
    },
    HardLink {
        target: EntryName,
    },
    /// A device, a fifo or a socket: never written.
    Device,
}

/// Extracts a tar, gzipped or not, into `destination`, which is trusted and made when missing.
/// Files already there are replaced; a folder is never replaced by a file or the reverse.
pub fn extract_tar(reader: impl Read, destination: &Path, policy: &Policy) -> Result<Extracted, ExtractError> {
    let folder = folder::open_trusted(destination).map_err(|error| ExtractError::io("open", destination, error))?;
    extract_tar_at(reader, &folder, destination, policy)
}

/// As [`extract_tar`], into a folder that is open already; `shown` is its path for messages.
pub(crate) fn extract_tar_at(
    reader: impl Read,
    folder: &OwnedFd,
    shown: &Path,
    policy: &Policy,
) -> Result<Extracted, ExtractError> {
    stage::staged(folder, shown, |staging| {
        let mut writer = Writer::new(staging, shown, policy);
        let mut archive = TarReader::open(reader, policy.limits)?;
        while let Some(item) = archive.next()? {
            writer.put(&item, &mut archive)?;
        }
        writer.finish()
    })
}
