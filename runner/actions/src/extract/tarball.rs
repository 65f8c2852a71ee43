//! Reads tar entry by entry, strictly: ustar, GNU long names and PAX; where two headers could be read
//! in two ways the archive is refused, so no other reader can see other files in it than this one.

use super::limits::{Counted, Limits, Metered};
use super::name::EntryName;
use super::{ExtractError, Item, Kind, Refusal};
use std::io::{self, BufRead, BufReader, Read};
use tar::{EntryType, Header};

const BLOCK: u64 = 512;
/// Longest extended header (long name, PAX records) taken.
const EXTENDED_MAX: u64 = 1 << 20;

/// A stream of tar entries. Between two `next` calls it reads as the body of the last one.
pub(crate) struct TarReader<'a> {
    inner: Box<dyn Read + 'a>,
    limits: Limits,
    entries: u64,
    body_left: u64,
    padding: u64,
}

/// What extended headers say about the entry that follows.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<'a> TarReader<'a> {
    /// Opens a tar, gzipped or not, as its first bytes tell.
    pub(crate) fn open(reader: impl Read + 'a, limits: Limits) -> Result<Self, ExtractError> {
        let (counted, consumed) = Counted::new(BufReader::with_capacity(1 << 16, reader));
        let mut counted = counted;
        let start = counted.fill_buf().map_err(ExtractError::reading)?;
        let inner: Box<dyn Read + 'a> = if start.starts_with(&[0x1f, 0x8b]) {
            let unzipped = flate2::bufread::MultiGzDecoder::new(counted);
            Box::new(Metered::new(unzipped, limits, Some(consumed)))
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return Err(ExtractError::Archive(Refusal::Compression("zstd")));
        } else if start.starts_with(b"BZh") {
            return Err(ExtractError::Archive(Refusal::Compression("bzip2")));
        } else if start.starts_with(b"\xfd7zXZ") {
            return Err(ExtractError::Archive(Refusal::Compression("xz")));
        } else {
            Box::new(Metered::new(counted, limits, None))
        };
        Ok(Self { inner, limits, entries: 0, body_left: 0, padding: 0 })
    }

    /// The next file, folder or link; `None` after the end mark, once the rest proved to be zeros.
    pub(crate) fn next(&mut self) -> Result<Option<Item>, ExtractError> {
        let mut extended = Extended::default();
        loop {
            self.skip_body()?;
            let Some(header) = self.header()? else {
                return self.finish(&extended).map(|()| None);
            };
            let size = header.entry_size().map_err(|_| malformed("a size is not a number"))?;
            self.start_body(size);
            match header.entry_type() {
                EntryType::GNULongName => set_once(&mut extended.path, self.long_name()?)?,
                EntryType::GNULongLink => set_once(&mut extended.link, self.long_name()?)?,
                EntryType::XHeader => {
                    let records = self.extended_body()?;
                    read_pax(&records, &mut extended)?;
                }
                EntryType::XGlobalHeader => {
                    // Git writes the commit there, as a comment; anything else would change what follows.
                    let mut global = Extended::default();
                    read_pax(&self.extended_body()?, &mut global)?;
                    if global.path.is_some() || global.link.is_some() || global.size.is_some() {
                        return Err(malformed("a global header names files"));
                    }
                }
                _ => return self.item(&header, extended).map(Some),
            }
        }
    }

    fn item(&mut self, header: &Header, extended: Extended) -> Result<Item, ExtractError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ExtractError::Archive(Refusal::TooMany { limit: self.limits.entries }));
        }
        let raw = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let shown = String::from_utf8_lossy(&raw).into_owned();
        let refuse = |why| ExtractError::entry(&shown, why);
        if let Some(size) = extended.size.filter(|size| *size != self.body_left) {
            return Err(refuse(Refusal::SizeMismatch { header: self.body_left, extended: size }));
        }
        let name = EntryName::parse(&raw, self.limits.depth).map_err(refuse)?;
        let link = || {
            extended
                .link
                .clone()
                .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
                .unwrap_or_default()
        };
        let kind = match header.entry_type() {
            EntryType::Directory => Kind::Folder,
            EntryType::Regular if raw.ends_with(b"/") => Kind::Folder,
            EntryType::Regular => Kind::File { size: self.body_left },
            EntryType::Symlink => Kind::Symlink { target: link() },
            EntryType::Link => {
                let target = link();
                let name = EntryName::parse(&target, self.limits.depth)
                    .map_err(|_| refuse(Refusal::HardLink { target: String::from_utf8_lossy(&target).into_owned() }))?;
                Kind::HardLink { target: name }
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => Kind::Device,
            other => {
                let letter = char::from(other.as_byte()).escape_default().to_string();
                return Err(refuse(Refusal::Type(letter)));
            }
        };
        if !matches!(kind, Kind::File { .. }) && self.body_left > 0 {
            return Err(refuse(Refusal::SizeMismatch { header: self.body_left, extended: 0 }));
        }
        let number = |value: io::Result<u64>| value.unwrap_or(0);
        Ok(Item {
            name,
            kind,
            // A mode left blank or unreadable grants nothing.
            mode: header.mode().unwrap_or(0) & 0o7777,
            mtime: number(header.mtime()),
        })
    }

    fn header(&mut self) -> Result<Option<Header>, ExtractError> {
        let mut header = Header::new_old();
        self.inner.read_exact(header.as_mut_bytes()).map_err(ExtractError::reading)?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u32 = header
            .as_bytes()
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        if header.cksum().ok() != Some(sum) {
            return Err(malformed("a header's checksum is wrong"));
        }
        Ok(Some(header))
    }

    fn start_body(&mut self, size: u64) {
        self.body_left = size;
        self.padding = size.wrapping_neg() % BLOCK;
    }

    fn skip_body(&mut self) -> Result<(), ExtractError> {
        let skip = self.body_left.saturating_add(self.padding);
        (self.body_left, self.padding) = (0, 0);
        let skipped = io::copy(&mut (&mut self.inner).take(skip), &mut io::sink()).map_err(ExtractError::reading)?;
        if skipped < skip {
            return Err(ExtractError::Archive(Refusal::Truncated));
        }
        Ok(())
    }

    fn extended_body(&mut self) -> Result<Vec<u8>, ExtractError> {
        if self.body_left > EXTENDED_MAX {
            return Err(malformed("an extended header is longer than 1 MiB"));
        }
        let mut body = Vec::new();
        self.read_to_end(&mut body).map_err(ExtractError::reading)?;
        Ok(body)
    }

    fn long_name(&mut self) -> Result<Vec<u8>, ExtractError> {
        let mut name = self.extended_body()?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn finish(&mut self, extended: &Extended) -> Result<(), ExtractError> {
        if extended.path.is_some() || extended.link.is_some() || extended.size.is_some() {
            return Err(malformed("it ends in an extended header"));
        }
        let mut buffer = [0; 8192];
        loop {
            let read = self.inner.read(&mut buffer).map_err(ExtractError::reading)?;
            if read == 0 {
                return Ok(());
            }
            if buffer[..read].iter().any(|byte| *byte != 0) {
                return Err(malformed("it goes on after its end mark"));
            }
        }
    }
}

impl Read for TarReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.body_left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if want == 0 {
            return Ok(0);
        }
        let read = self.inner.read(&mut buffer[..want])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.body_left -= read as u64;
        Ok(read)
    }
}

fn malformed(what: &str) -> ExtractError {
    ExtractError::Archive(Refusal::Malformed(what.to_owned()))
}

fn set_once(slot: &mut Option<Vec<u8>>, value: Vec<u8>) -> Result<(), ExtractError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(first) => Err(ExtractError::entry(String::from_utf8_lossy(&first), Refusal::TwoNames)),
    }
}

/// Reads PAX records `LENGTH KEY=VALUE\n`; keys that name no file or size are passed over.
fn read_pax(mut records: &[u8], extended: &mut Extended) -> Result<(), ExtractError> {
    while !records.is_empty() {
        let (key, value, rest) = pax_record(records).ok_or_else(|| malformed("a PAX record is broken"))?;
        records = rest;
        match key {
            b"path" => set_once(&mut extended.path, value.to_vec())?,
            b"linkpath" => set_once(&mut extended.link, value.to_vec())?,
            b"size" => {
                let size = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .ok_or_else(|| malformed("a PAX size is not a number"))?;
                if extended.size.replace(size).is_some() {
                    return Err(malformed("a PAX header gives two sizes"));
                }
            }
            _ if key.starts_with(b"GNU.sparse") => {
                return Err(malformed("sparse files are not supported"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Splits the first record off: key, value, rest.
fn pax_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    if length <= space + 1 || length > records.len() {
        return None;
    }
    let record = records[space + 1..length].strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &records[length..]))
}
