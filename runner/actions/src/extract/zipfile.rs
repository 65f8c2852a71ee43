//! Zip archives: stored and deflated entries, by their central directory. The zip crate drops
//! set-user-id bits itself, so here they are stripped and never refused.

use super::limits::{Limits, Metered, check_ratio};
use super::name::EntryName;
use super::{ExtractError, Extracted, Item, Kind, Policy, Refusal, Writer, folder, stage};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

/// Type bits of a Unix mode.
const TYPE: u32 = 0o170_000;
/// Longest target of a symbolic link taken: Linux's `PATH_MAX`.
const TARGET_MAX: u64 = 4096;

/// Extracts a zip into `destination`, which is trusted and made when missing, by the rules of
/// [`extract_tar`](super::extract_tar).
pub fn extract_zip(
    mut reader: impl Read + Seek,
    destination: &Path,
    policy: &Policy,
) -> Result<Extracted, ExtractError> {
    let folder = folder::open_trusted(destination).map_err(|error| ExtractError::io("open", destination, error))?;
    let length = reader.seek(SeekFrom::End(0)).map_err(ExtractError::reading)?;
    let announced = announced_entries(&mut reader, length)?;
    let mut archive = ZipArchive::new(reader).map_err(broken)?;
    check_directory(&mut archive, announced, length, &policy.limits)?;
    stage::staged(&folder, destination, |staging| {
        let mut writer = Writer::new(staging, destination, policy);
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).map_err(broken)?;
            let item = item(&mut file, &policy.limits)?;
            writer.put(&item, &mut Metered::new(file, policy.limits, None))?;
        }
        writer.finish()
    })
}

/// What the end record says about the number of entries. The zip crate keeps one entry a name, so a
/// name used twice shows only here.
fn announced_entries(reader: &mut (impl Read + Seek), length: u64) -> Result<u16, ExtractError> {
    const RECORD: usize = 22;
    let window = length.min(RECORD as u64 + u64::from(u16::MAX));
    let mut tail = Vec::new();
    reader
        .seek(SeekFrom::Start(length - window))
        .and_then(|_| reader.read_to_end(&mut tail))
        .map_err(ExtractError::reading)?;
    let at = tail
        .windows(RECORD)
        .rposition(|record| record.starts_with(b"PK\x05\x06"))
        .ok_or(ExtractError::Archive(Refusal::Truncated))?;
    let record = &tail[at..];
    let comment = usize::from(u16::from_le_bytes([record[20], record[21]]));
    if at + RECORD + comment != tail.len() {
        return Err(malformed("bytes follow its end record"));
    }
    Ok(u16::from_le_bytes([record[10], record[11]]))
}

/// Refuses, before anything is written, what the directory already gives away: names used twice, too
/// many entries, sizes beyond the limits.
fn check_directory<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    announced: u16,
    length: u64,
    limits: &Limits,
) -> Result<(), ExtractError> {
    let entries = archive.len() as u64;
    if announced == u16::MAX {
        return Err(malformed("zip64 is not supported"));
    }
    if entries != u64::from(announced) {
        return Err(ExtractError::Archive(Refusal::Duplicate));
    }
    if entries > limits.entries {
        let limit = limits.entries;
        return Err(ExtractError::Archive(Refusal::TooMany { limit }));
    }
    let mut total: u64 = 0;
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(broken)?;
        if file.encrypted() {
            return Err(ExtractError::entry(shown(&file), Refusal::Encrypted));
        }
        total = total.saturating_add(file.size());
    }
    if total > limits.bytes {
        let limit = limits.bytes;
        return Err(ExtractError::Archive(Refusal::TooLarge { limit }));
    }
    check_ratio(limits, length, total).map_err(ExtractError::Archive)
}

fn item<R: Read>(file: &mut ZipFile<'_, R>, limits: &Limits) -> Result<Item, ExtractError> {
    let shown = shown(file);
    let refuse = |why| ExtractError::entry(&shown, why);
    let raw = file.name_raw().to_vec();
    if raw.contains(&b'\\') {
        return Err(refuse(Refusal::Name("it holds a backslash")));
    }
    let name = EntryName::parse(&raw, limits.depth).map_err(refuse)?;
    let mode = file.unix_mode().unwrap_or(0o644);
    let kind = match mode & TYPE {
        0o120_000 => Kind::Symlink { target: link_target(file).map_err(refuse)? },
        0o020_000 | 0o060_000 | 0o010_000 | 0o140_000 => Kind::Device,
        _ if raw.ends_with(b"/") => Kind::Folder,
        0o040_000 => return Err(refuse(Refusal::Malformed("a folder without `/`".into()))),
        _ => Kind::File { size: file.size() },
    };
    Ok(Item { name, kind, mode: mode & !TYPE, mtime: 0 })
}

fn link_target(file: &mut impl Read) -> Result<Vec<u8>, Refusal> {
    let mut target = Vec::new();
    file.take(TARGET_MAX + 1).read_to_end(&mut target).map_err(|error| Refusal::Malformed(error.to_string()))?;
    if target.len() as u64 > TARGET_MAX {
        return Err(Refusal::Name("its link target is longer than 4096 bytes"));
    }
    Ok(target)
}

fn shown<R: Read>(file: &ZipFile<'_, R>) -> String {
    String::from_utf8_lossy(file.name_raw()).into_owned()
}

fn malformed(what: &str) -> ExtractError {
    ExtractError::Archive(Refusal::Malformed(what.to_owned()))
}

fn broken(error: ZipError) -> ExtractError {
    match error {
        ZipError::Io(error) => ExtractError::reading(error),
        other => ExtractError::Archive(Refusal::Malformed(other.to_string())),
    }
}
