//! A file's text with what turns byte offsets into lines and columns.

use serde::Serialize;

use super::Diagnostic;
use crate::workflow::Position;

/// A range of bytes of a file, `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end: end.max(start) }
    }
}

/// A file: its name for people, its text, and where its lines begin.
///
/// A byte order mark at the start is dropped, and spans count from after it.
#[derive(Debug, Clone)]
pub struct SourceFile {
    name: String,
    text: String,
    lines: Vec<usize>,
    /// Characters before every [`BLOCK`]th byte, so that a column of a long line costs no walk over the line.
    blocks: Vec<usize>,
    problem: Option<Diagnostic>,
}

impl SourceFile {
    /// A file of this text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut blocks = vec![0];
        for block in text.as_bytes().chunks_exact(BLOCK) {
            blocks.push(blocks[blocks.len() - 1] + characters(block));
        }
        Self { name: name.into(), text, lines, blocks, problem: None }
    }

    /// A file of these bytes. Where they are not UTF-8 the readers report it and read nothing.
    pub fn from_bytes(name: impl Into<String>, bytes: &[u8]) -> Self {
        let Err(error) = std::str::from_utf8(bytes) else {
            return Self::new(name, String::from_utf8_lossy(bytes));
        };
        let mut file = Self::new(name, String::from_utf8_lossy(bytes));
        let bom = if bytes.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
        let at = error.valid_up_to().saturating_sub(bom);
        let message = format!("byte {} is not UTF-8", error.valid_up_to());
        file.problem = Some(
            Diagnostic::error("not-utf8", Span::new(at, at + '\u{fffd}'.len_utf8()), message)
                .help("save the file as UTF-8"),
        );
        file
    }

    /// The name, as people know the file: a path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text, without a byte order mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Why the bytes are no text.
    pub fn problem(&self) -> Option<&Diagnostic> {
        self.problem.as_ref()
    }

    /// The text of a span; empty where the span is not of this file.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Line and column of a byte offset. What lies behind the end counts as the end.
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset.min(self.text.len()));
        let line = self.lines.partition_point(|start| *start <= offset) - 1;
        let column = self.characters_before(offset) - self.characters_before(self.lines[line]) + 1;
        Position { line: count(line + 1), column: count(column) }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let block = offset / BLOCK;
        self.blocks[block] + characters(&self.text.as_bytes()[block * BLOCK..offset])
    }

    /// The byte offset of a line and column, where the file has them.
    pub fn offset(&self, position: Position) -> Option<usize> {
        let start = *self.lines.get(usize::try_from(position.line).ok()?.checked_sub(1)?)?;
        let column = usize::try_from(position.column).ok()?.checked_sub(1)?;
        let rest = &self.text[start..];
        rest.char_indices().map(|(at, _)| at).chain([rest.len()]).nth(column).map(|at| start + at)
    }
}

/// Bytes between two counts of characters.
const BLOCK: usize = 512;

/// How many characters begin in these bytes of a text.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let file = SourceFile::new("a.yml", "a: é b\nc: d\n");
        let at = file.position(file.text().find('b').unwrap());
        assert_eq!(at, Position { line: 1, column: 6 });
        assert_eq!(file.offset(at), file.text().find('b'));
        assert_eq!(file.position(999), Position { line: 3, column: 1 });
    }

    #[test]
    fn columns_of_long_lines() {
        let file = SourceFile::new("a.yml", format!("x\n{}", "aé".repeat(1000)));
        for (number, (at, _)) in file.text()[2..].char_indices().enumerate() {
            assert_eq!(file.position(2 + at), Position { line: 2, column: count(number + 1) });
        }
    }

    #[test]
    fn a_byte_order_mark_takes_no_column() {
        let file = SourceFile::from_bytes("a.yml", b"\xef\xbb\xbfa: 1");
        assert_eq!((file.text(), file.position(0)), ("a: 1", Position { line: 1, column: 1 }));
        assert!(file.problem().is_none());
    }

    #[test]
    fn other_encodings_are_named_with_their_place() {
        let file = SourceFile::from_bytes("a.yml", b"a: 1\nb: \xff\n");
        let problem = file.problem().unwrap();
        assert_eq!(file.position(problem.span().start), Position { line: 2, column: 4 });
    }
}
