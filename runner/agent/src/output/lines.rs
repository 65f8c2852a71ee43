//! Cutting a stream of bytes into lines, in bounded memory.

/// A line that grows past this is handed on in parts.
const LONGEST: usize = 64 * 1024;
/// A workflow command has no parts; it may be this long before it is taken for output.
const LONGEST_COMMAND: usize = 1024 * 1024;

/// Takes lines.
pub trait LineSink {
    /// A whole line without its end.
    fn line(&mut self, line: &[u8]);
    /// A part of a line too long to be held; `last` ends it.
    fn part(&mut self, part: &[u8], last: bool);
}

/// The lines of one stream. `\n`, `\r\n` and a lone `\r` (progress bars) end a line, as on GitHub.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    /// Parts of the current line have been handed on.
    long: bool,
    /// The last byte was `\r`: a `\n` right after it belongs to it.
    after_return: bool,
}

impl Lines {
    /// Cuts a chunk.
    pub fn push(&mut self, mut chunk: &[u8], sink: &mut dyn LineSink) {
        if std::mem::take(&mut self.after_return) && chunk.first() == Some(&b'\n') {
            chunk = &chunk[1..];
        }
        while let Some(end) = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.end_line(&chunk[..end], sink);
            let returned = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
            if returned {
                match chunk.first() {
                    Some(b'\n') => chunk = &chunk[1..],
                    Some(_) => {}
                    None => self.after_return = true,
                }
            }
        }
        self.partial.extend_from_slice(chunk);
        self.relieve(sink);
    }

    /// The stream has ended; what is left is a line.
    pub fn finish(&mut self, sink: &mut dyn LineSink) {
        if self.long || !self.partial.is_empty() {
            self.end_line(b"", sink);
        }
    }

    fn end_line(&mut self, rest: &[u8], sink: &mut dyn LineSink) {
        if self.long {
            self.partial.extend_from_slice(rest);
            sink.part(&self.partial, true);
        } else if self.partial.is_empty() {
            sink.line(rest);
        } else {
            self.partial.extend_from_slice(rest);
            sink.line(&self.partial);
        }
        self.long = false;
        self.partial.clear();
    }

    /// Hands on a part when the line has become too long to hold.
    fn relieve(&mut self, sink: &mut dyn LineSink) {
        let command = !self.long && self.partial.trim_ascii_start().starts_with(b"::");
        let most = if command { LONGEST_COMMAND } else { LONGEST };
        if self.partial.len() > most {
            self.long = true;
            sink.part(&self.partial, false);
            self.partial.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Seen {
        lines: Vec<Vec<u8>>,
        open: Option<Vec<u8>>,
        most: usize,
    }

    impl LineSink for Seen {
        fn line(&mut self, line: &[u8]) {
            assert!(self.open.is_none());
            self.lines.push(line.to_vec());
        }
        fn part(&mut self, part: &[u8], last: bool) {
            self.most = self.most.max(part.len());
            let open = self.open.get_or_insert_default();
            open.extend_from_slice(part);
            if last {
                self.lines.extend(self.open.take());
            }
        }
    }

    fn cut<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Seen {
        let (mut seen, mut lines) = (Seen::default(), Lines::default());
        for chunk in chunks {
            lines.push(chunk, &mut seen);
        }
        lines.finish(&mut seen);
        seen
    }

    #[test]
    fn every_kind_of_line_end_ends_a_line() {
        let seen = cut([b"a\r".as_slice(), b"\nb\rc\n\nd"]);
        assert_eq!(seen.lines, [b"a".as_slice(), b"b", b"c", b"", b"d"]);
    }

    #[test]
    fn a_line_without_end_is_held_in_bounded_memory() {
        let chunk = vec![b'x'; 64 * 1024];
        let seen = cut(std::iter::repeat_n(chunk.as_slice(), 100));
        assert_eq!(seen.lines.len(), 1);
        assert_eq!(seen.lines[0].len(), 100 * chunk.len());
        assert!(seen.most <= 3 * LONGEST);
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(text in "[ab\r\n]{0,60}", size in 1_usize..7) {
            let whole = cut([text.as_bytes()]);
            prop_assert_eq!(cut(text.as_bytes().chunks(size)).lines, whole.lines);
        }
    }
}
