//! From an offset in a scalar's value to the byte of the file that wrote it.

use crate::diagnostic::{SourceFile, Span};
use crate::tree::{Node, Scalar, Style};

/// The bytes of the file that stand for `value[start..end]` of a scalar.
///
/// Value and source are walked side by side: indentation, folded lines and escapes are what the source has more.
pub(crate) fn locate(source: &SourceFile, node: Node<'_>, scalar: &Scalar, start: usize, end: usize) -> Span {
    let raw = source.slice(Span::new(scalar.content, node.span().end));
    let mut at = 0;
    let mut first = None;
    let mut last = 0;
    for (offset, wanted) in scalar.value.char_indices() {
        if offset >= end {
            break;
        }
        let Some((found, next)) = step(raw, at, wanted, scalar.style) else { break };
        if offset >= start {
            first.get_or_insert(found);
            last = next;
        }
        at = next;
    }
    match first {
        Some(first) => Span::new(scalar.content + first, scalar.content + last),
        None => Span::new(node.span().start, node.span().end),
    }
}

/// Where `wanted` is written at or after `at`, and where the source goes on.
fn step(raw: &str, mut at: usize, wanted: char, style: Style) -> Option<(usize, usize)> {
    loop {
        let found = raw.get(at..)?.chars().next()?;
        if style == Style::DoubleQuoted && found == '\\' {
            let length = escape_length(&raw[at..]);
            if raw[at + 1..].starts_with(['\n', '\r']) {
                at += length;
                continue;
            }
            return Some((at, at + length));
        }
        if style == Style::SingleQuoted && wanted == '\'' && raw[at..].starts_with("''") {
            return Some((at, at + 2));
        }
        if found == wanted {
            return Some((at, at + found.len_utf8()));
        }
        if found.is_whitespace() {
            at += found.len_utf8();
        } else if wanted.is_whitespace() {
            return Some((at, at));
        } else {
            return None;
        }
    }
}

fn escape_length(raw: &str) -> usize {
    let length = match raw[1..].chars().next() {
        Some('x') => 4,
        Some('u') => 6,
        Some('U') => 10,
        Some(other) => 1 + other.len_utf8(),
        None => 1,
    };
    (length..=raw.len()).find(|end| raw.is_char_boundary(*end)).unwrap_or(raw.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::parse;

    fn found(text: &str, needle: &str) -> String {
        let source = SourceFile::new("a.yml", text);
        let tree = parse(&source).0.unwrap();
        let (_, node) = tree.root().entries().next().unwrap();
        let scalar = node.scalar().unwrap();
        let start = scalar.value.find(needle).unwrap();
        let span = locate(&source, node, scalar, start, start + needle.len());
        let at = source.position(span.start);
        format!("{}:{} {}", at.line, at.column, source.slice(span))
    }

    #[test]
    fn every_style_of_scalar() {
        assert_eq!(found("a: one two\n", "two"), "1:8 two");
        assert_eq!(found("a: |\n    one\n\n      two\n", "two"), "4:7 two");
        assert_eq!(found("a: >-\n  one\n  two\n\n  three\n", "three"), "5:3 three");
        assert_eq!(found("a: 'it''s two'\n", "two"), "1:11 two");
        assert_eq!(found("a: \"\\u00e9\\n\\\n  two\"\n", "two"), "2:3 two");
        assert_eq!(found("a: one\n  é two\n", "two"), "2:5 two");
    }
}
