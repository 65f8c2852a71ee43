//! Writes archives byte by byte, so that they can say what no honest writer would.

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use std::fmt::Write as _;
use std::io::Write;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A tar in the making.
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn file(self, name: &str, body: &str) -> Self {
        self.typed(name, b'0', body.as_bytes())
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.typed(name, b'5', b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(name, b'2', 0o777, target, 0, b"")
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(name, b'1', 0o644, target, 0, b"")
    }

    pub(crate) fn mode(self, name: &str, mode: u32) -> Self {
        self.raw(name, b'0', mode, "", 1, b"x")
    }

    /// An entry whose header claims a size and that has no body.
    pub(crate) fn claims(self, name: &str, size: u64) -> Self {
        self.raw(name, b'0', 0o644, "", size, b"")
    }

    pub(crate) fn long_name(self, name: &str) -> Self {
        self.typed("././@LongLink", b'L', format!("{name}\0").as_bytes())
    }

    pub(crate) fn long_link(self, target: &str) -> Self {
        self.typed("././@LongLink", b'K', format!("{target}\0").as_bytes())
    }

    pub(crate) fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut body = String::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            writeln!(body, "{length} {key}={value}").unwrap();
        }
        self.typed("pax", b'x', body.as_bytes())
    }

    pub(crate) fn typed(self, name: &str, kind: u8, body: &[u8]) -> Self {
        self.raw(name, kind, 0o644, "", body.len() as u64, body)
    }

    fn raw(mut self, name: &str, kind: u8, mode: u32, link: &str, size: u64, body: &[u8]) -> Self {
        let mut header = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        if size < 1 << 33 {
            put(124, format!("{size:011o}").as_bytes());
        } else {
            put(124, &[0x80, 0, 0, 0]);
            put(128, &size.to_be_bytes());
        }
        put(136, b"00000000000");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().div_ceil(512) * 512, 0);
        self
    }

    /// Flips a bit of one byte.
    pub(crate) fn flip(mut self, at: usize) -> Self {
        self.0[at] ^= 1;
        self
    }

    /// The first bytes only.
    pub(crate) fn cut(mut self, length: usize) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0.truncate(length);
        self.0
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// A zip in the making.
pub(crate) struct Zip {
    entries: Vec<ZipEntry>,
}

struct ZipEntry {
    name: String,
    body: Vec<u8>,
    size: u32,
    checksum: u32,
    mode: u32,
    method: u16,
    flags: u16,
}

impl Zip {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new() }
    }

    pub(crate) fn file(self, name: &str, body: &[u8]) -> Self {
        self.entry(name, body, 0o100_644)
    }

    pub(crate) fn entry(mut self, name: &str, body: &[u8], mode: u32) -> Self {
        self.entries.push(ZipEntry {
            name: name.to_owned(),
            body: body.to_vec(),
            size: u32::try_from(body.len()).unwrap(),
            checksum: checksum(body),
            mode,
            method: 0,
            flags: 0,
        });
        self
    }

    pub(crate) fn deflated(self, name: &str, body: &[u8]) -> Self {
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(body).unwrap();
        let packed = deflate.finish().unwrap();
        let mut zip = self.entry(name, body, 0o100_644);
        let last = zip.last();
        (last.body, last.method) = (packed, 8);
        zip
    }

    pub(crate) fn claims(mut self, size: u32) -> Self {
        self.last().size = size;
        self
    }

    pub(crate) fn wrong_checksum(mut self) -> Self {
        self.last().checksum ^= 1;
        self
    }

    pub(crate) fn encrypted(mut self) -> Self {
        self.last().flags |= 1;
        self
    }

    fn last(&mut self) -> &mut ZipEntry {
        self.entries.last_mut().unwrap()
    }

    pub(crate) fn end(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut directory = Vec::new();
        for entry in &self.entries {
            let offset = u32::try_from(bytes.len()).unwrap();
            bytes.extend(b"PK\x03\x04\x14\x00");
            bytes.extend(entry.common());
            bytes.extend(entry.name.as_bytes());
            bytes.extend(&entry.body);
            directory.extend(b"PK\x01\x02\x14\x03\x14\x00");
            directory.extend(entry.common());
            directory.extend([0; 6]);
            directory.extend((entry.mode << 16).to_le_bytes());
            directory.extend(offset.to_le_bytes());
            directory.extend(entry.name.as_bytes());
        }
        let count = u16::try_from(self.entries.len()).unwrap().to_le_bytes();
        let start = u32::try_from(bytes.len()).unwrap();
        let length = u32::try_from(directory.len()).unwrap();
        bytes.extend(directory);
        bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
        bytes.extend(count);
        bytes.extend(count);
        bytes.extend(length.to_le_bytes());
        bytes.extend(start.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }
}

impl ZipEntry {
    /// What both headers of an entry say, from the flags to the lengths.
    fn common(&self) -> Vec<u8> {
        let packed = u32::try_from(self.body.len()).unwrap();
        let name = u16::try_from(self.name.len()).unwrap();
        let mut bytes = Vec::new();
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.method.to_le_bytes());
        bytes.extend([0, 0, 0x21, 0]);
        bytes.extend(self.checksum.to_le_bytes());
        bytes.extend(packed.to_le_bytes());
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(name.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }
}

fn checksum(body: &[u8]) -> u32 {
    let mut checksum = flate2::Crc::new();
    checksum.update(body);
    checksum.sum()
}
