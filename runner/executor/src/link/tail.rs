//! Reading a spool while it grows: whole lines only, each with the offset behind it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tagline_protocol::Record;

use crate::inside::read_regular;

/// Read at once.
const BLOCK: usize = 256 * 1024;

/// A longer line is no agent's: outputs and summaries, the largest, are bounded far below.
const LONGEST: u64 = 64 * 1024 * 1024;

/// How a log record begins, as `serde_json` writes it.
const LOG: &[u8] = b"{\"log\":";

/// One line of a spool, not decoded yet.
#[derive(Debug, Clone, Copy)]
pub struct RawLine<'a> {
    /// Without its line end.
    pub bytes: &'a [u8],
    /// Where the line starts in the spool.
    pub start: u64,
    /// Where the next line starts; reading goes on from here.
    pub end: u64,
}

impl RawLine<'_> {
    /// Whether it is a [`Record::Log`], without decoding it.
    pub fn is_log(&self) -> bool {
        self.bytes.starts_with(LOG)
    }

    /// The record; an error for a line some crash or step has damaged.
    pub fn decode(&self) -> Result<Record, serde_json::Error> {
        serde_json::from_slice(self.bytes)
    }
}

/// A reader of whole lines that can be asked again after the end.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    line: Vec<u8>,
    /// The line is whole and was handed out.
    handed: bool,
    start: u64,
}

impl Tail {
    /// Reads from a line's start; the file need not be there yet.
    pub(crate) fn new(path: &Path, from: u64) -> Self {
        Self { path: path.to_owned(), reader: None, line: Vec::new(), handed: false, start: from }
    }

    /// Where the next line starts.
    pub(crate) fn offset(&self) -> u64 {
        if self.handed { self.start + self.line.len() as u64 } else { self.start }
    }

    /// The next whole line; none at the end, until the file has grown.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<RawLine<'_>>> {
        if self.handed {
            self.start = self.offset();
            self.line.clear();
            self.handed = false;
        }
        if !self.open()? {
            return Ok(None);
        }
        let reader = self.reader.as_mut().expect("opened above");
        let room = (LONGEST + 1).saturating_sub(self.line.len() as u64);
        reader.take(room).read_until(b'\n', &mut self.line)?;
        if self.line.last() != Some(&b'\n') {
            if self.line.len() as u64 > LONGEST {
                let why =
                    format!("a line at byte {} of {} is longer than {LONGEST} bytes", self.start, self.path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            return Ok(None);
        }
        self.handed = true;
        let end = self.offset();
        let bytes = &self.line[..self.line.len() - 1];
        let start = self.start;
        Ok(Some(RawLine { bytes, start, end }))
    }

    fn open(&mut self) -> io::Result<bool> {
        if self.reader.is_some() {
            return Ok(true);
        }
        // A step that is root in its container may have put a pipe here: opening that would never end.
        let mut file = match read_regular(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        file.seek(SeekFrom::Start(self.start))?;
        self.reader = Some(BufReader::with_capacity(BLOCK, file));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn next(tail: &mut Tail) -> Option<(String, u64)> {
        let line = tail.next_line().unwrap()?;
        Some((String::from_utf8(line.bytes.to_vec()).unwrap(), line.end))
    }

    #[test]
    fn a_torn_line_is_kept_back_until_it_is_whole() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("spool.jsonl");
        let mut tail = Tail::new(&path, 0);
        assert_eq!(next(&mut tail), None);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(next(&mut tail), Some(("one".into(), 4)));
        assert_eq!(next(&mut tail), None);
        assert_eq!(tail.offset(), 4);
        file.write_all(b"o\n").unwrap();
        assert_eq!(next(&mut tail), Some(("two".into(), 8)));
        assert_eq!(next(&mut tail), None);
        assert_eq!(tail.offset(), 8);
        assert_eq!(next(&mut Tail::new(&path, 4)), Some(("two".into(), 8)));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("spool.jsonl");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, rustix::fs::Mode::RWXU, 0).unwrap();
        let refused = |path: &Path| Tail::new(path, 0).next_line().unwrap_err().to_string();
        assert!(refused(&path).ends_with("spool.jsonl is no regular file"), "{}", refused(&path));
        let link = place.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(refused(&link).ends_with("link is no regular file"), "{}", refused(&link));
    }

    #[test]
    fn logs_are_known_without_decoding() {
        let log = Record::Log {
            step: Some(1),
            at: 2,
            stream: tagline_protocol::Stream::Output,
            lines: vec!["x".into()],
            open: false,
        };
        let other = Record::JobStarted { at: 1, attempt: 1 };
        for (record, is_log) in [(log, true), (other, false)] {
            let bytes = serde_json::to_vec(&record).unwrap();
            let line = RawLine { bytes: &bytes, start: 0, end: 0 };
            assert_eq!(line.is_log(), is_log);
            assert_eq!(line.decode().unwrap(), record);
        }
    }
}
