//! What is removed from a log line: every control character but the tab, and every escape sequence but colours.
//!
//! A line of a log may end up in a terminal, where sequences move the cursor, set titles and answer questions. Only
//! `ESC [ … m` with digits, `;` and `:` stays.

use std::borrow::Cow;

/// Longer parameters of a sequence are no colour.
const LONGEST: usize = 64;

/// Removes control sequences from one line that may come in parts.
#[derive(Debug, Default)]
pub struct Sanitiser {
    state: State,
    sequence: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and a byte that asks for one more.
    Intermediate,
    /// After `ESC [`.
    Parameters,
    /// In a string (title, hyperlink, device control) that ends with BEL or `ESC \`.
    Text7,
    /// In such a string, after ESC.
    Text7Escape,
    /// After 0xC2, the first byte of the control characters U+0080 to U+009F.
    Wide,
}

impl Sanitiser {
    /// Adds to `output` what stays of a part of the line.
    pub fn push(&mut self, part: &[u8], output: &mut Vec<u8>) {
        if self.state == State::Text && is_plain(part) {
            output.extend_from_slice(part);
            return;
        }
        for &byte in part {
            self.step(byte, output);
        }
    }

    /// Ends the line: an unfinished sequence is dropped.
    pub fn finish(&mut self) {
        self.state = State::Text;
        self.sequence.clear();
    }

    fn step(&mut self, byte: u8, output: &mut Vec<u8>) {
        use State::{Escape, Intermediate, Parameters, Text, Text7, Text7Escape, Wide};
        self.state = match (self.state, byte) {
            // Strings end with BEL or `ESC \`, whatever is in them.
            (Text7, 0x07) | (Text7Escape, b'\\') => Text,
            (Text7 | Text7Escape, 0x1b) => Text7Escape,
            (Text | Escape | Intermediate | Parameters | Wide, 0x1b) => Escape,
            (Text, 0xc2) => Wide,
            (Text, 0x09 | 0x20..=0x7e | 0x80..) => keep(byte, output),
            (Escape, b'[') | (Wide, 0x9b) => self.begin(),
            (Text7 | Text7Escape, _)
            | (Escape, b']' | b'P' | b'X' | b'^' | b'_')
            | (Wide, 0x90 | 0x98 | 0x9d..=0x9f) => Text7,
            (Escape | Intermediate, 0x20..=0x2f) => Intermediate,
            (Wide, 0x00..=0x7f | 0xa0..) => {
                output.push(0xc2);
                self.state = Text;
                return self.step(byte, output);
            }
            (Parameters, 0x40..=0x7e) => self.end(byte, output),
            (Parameters, 0x20..=0x3f) => {
                self.sequence.push(byte);
                Parameters
            }
            // A control character, alone or in a sequence that it breaks off, or the end of a short sequence.
            (Text | Escape | Intermediate | Wide | Parameters, _) => Text,
        };
    }

    fn begin(&mut self) -> State {
        self.sequence.clear();
        State::Parameters
    }

    fn end(&mut self, last: u8, output: &mut Vec<u8>) -> State {
        let colour = last == b'm'
            && self.sequence.len() <= LONGEST
            && self.sequence.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'));
        if colour {
            output.extend_from_slice(b"\x1b[");
            output.extend_from_slice(&self.sequence);
            output.push(b'm');
        }
        State::Text
    }
}

fn keep(byte: u8, output: &mut Vec<u8>) -> State {
    output.push(byte);
    State::Text
}

fn is_plain(bytes: &[u8]) -> bool {
    !bytes.iter().any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f || byte == 0xc2)
}

/// A whole line without its control sequences.
pub fn sanitise(line: &[u8]) -> Cow<'_, [u8]> {
    if is_plain(line) {
        return Cow::Borrowed(line);
    }
    let mut output = Vec::with_capacity(line.len());
    Sanitiser::default().push(line, &mut output);
    Cow::Owned(output)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str) -> String {
        String::from_utf8_lossy(&sanitise(text.as_bytes())).into_owned()
    }

    #[test]
    fn colours_stay_and_everything_else_goes() {
        assert_eq!(clean("a\x1b[1;31mred\x1b[0m\tb"), "a\x1b[1;31mred\x1b[0m\tb");
        assert_eq!(clean("a\x1b[2Jb\x1b[10;3Hc\x1b[?25ld"), "abcd");
        assert_eq!(clean("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c"), "abc");
        assert_eq!(clean("a\x1bPq#0\x1b\\b\x1b(Bc\x1b7d"), "abcd");
        assert_eq!(clean("a\u{9b}31mb\u{9d}0;t\x07c\u{85}d"), "a\x1b[31mbcd");
        assert_eq!(clean("a\x08\x00\x7fb é Â©"), "ab é Â©");
        assert_eq!(clean("hun\x1b[Kter2"), "hunter2");
        assert_eq!(clean("end\x1b"), "end");
    }

    proptest! {
        #[test]
        fn only_colours_survive_and_parts_do_not_matter(
            bytes in prop::collection::vec(prop::sample::select(
                b"\x1b\x1b\x1b[[]]mJH;:09?\x07\\P_aZ \t\x08\x7f\xc2\x9b\x9d\xc3\xa9".to_vec()), 0..80),
            cut in 0_usize..80,
        ) {
            let whole = sanitise(&bytes).into_owned();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let (mut parts, mut sanitiser) = (Vec::new(), Sanitiser::default());
            sanitiser.push(first, &mut parts);
            sanitiser.push(second, &mut parts);
            prop_assert_eq!(&parts, &whole);
            let mut rest = whole.as_slice();
            while let Some(place) = rest.iter().position(|byte| *byte == 0x1b) {
                let end = rest[place..].iter().position(|byte| *byte == b'm').expect("a colour ends");
                let inside = &rest[place + 2..place + end];
                prop_assert!(rest[place + 1] == b'[');
                prop_assert!(inside.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')));
                rest = &rest[place + end..];
            }
            prop_assert!(!whole.iter().any(|byte| (*byte < 0x20 && *byte != 0x1b && *byte != b'\t') || *byte == 0x7f));
        }
    }
}
