//! Masking: every secret, in every usual encoding, becomes `***`.
//!
//! Invariants: what is masked does not depend on how the bytes were cut into chunks; overlapping and touching matches
//! become one `***`; a pattern never holds a line end, so masking a text is masking its lines.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};

use super::encodings;

/// Values shorter than this are not masked: they would blot out half of every log and give themselves away by it.
/// `tagline secret set` refuses them.
pub const LEAST: usize = 3;

/// What stands in the place of a secret.
pub const STARS: &str = "***";

/// The values masked so far. Clones share what is built.
#[derive(Debug, Clone, Default)]
pub struct Masker {
    patterns: BTreeSet<Vec<u8>>,
    search: Option<Arc<Search>>,
}

#[derive(Debug)]
struct Search {
    automaton: AhoCorasick,
    longest: usize,
}

impl Masker {
    /// Masks these values and what they look like when encoded.
    pub fn add<'v>(&mut self, values: impl IntoIterator<Item = &'v str>) {
        let before = self.patterns.len();
        for value in values {
            encodings::patterns(value, &mut self.patterns);
        }
        if self.patterns.len() == before {
            return;
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&self.patterns)
            .expect("patterns of a few megabytes at most make an automaton");
        self.search = Some(Arc::new(Search { longest: automaton.max_pattern_len(), automaton }));
    }

    /// The text with every secret masked.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.mask_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Whether masking would change the text.
    pub fn touches(&self, text: &str) -> bool {
        self.search.as_ref().is_some_and(|search| search.automaton.is_match(text))
    }

    /// The bytes of whole lines with every secret masked.
    pub fn mask_bytes<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let hit = self.search.as_ref().is_some_and(|search| search.automaton.is_match(text));
        if !hit {
            return Cow::Borrowed(text);
        }
        let mut output = Vec::with_capacity(text.len());
        let mut stream = MaskStream::default();
        stream.push(self, text, &mut output);
        stream.finish(self, &mut output);
        Cow::Owned(output)
    }
}

/// Masking of one long line that comes in chunks.
#[derive(Debug, Default)]
pub struct MaskStream {
    /// Bytes that a match may still reach into.
    tail: Vec<u8>,
    /// How many bytes of the tail belong to a match that began before it.
    covered: usize,
    /// The last byte given out was masked.
    in_mask: bool,
}

impl MaskStream {
    /// Takes a chunk and gives out what no later byte can change any more.
    pub fn push(&mut self, masker: &Masker, chunk: &[u8], output: &mut Vec<u8>) {
        self.tail.extend_from_slice(chunk);
        let held = masker.search.as_ref().map_or(0, |search| search.longest - 1);
        self.give(masker, self.tail.len().saturating_sub(held), output);
    }

    /// Gives out the rest.
    pub fn finish(&mut self, masker: &Masker, output: &mut Vec<u8>) {
        self.give(masker, self.tail.len(), output);
        *self = Self::default();
    }

    /// Gives out the first `count` bytes. Every match that covers one of them is complete in the tail.
    fn give(&mut self, masker: &Masker, count: usize, output: &mut Vec<u8>) {
        let mut at = 0;
        let mut reach = 0;
        for (start, end) in self.covered_ranges(masker) {
            if start >= count {
                break;
            }
            if start > at {
                output.extend_from_slice(&self.tail[at..start]);
                self.in_mask = false;
            }
            if !self.in_mask {
                output.extend_from_slice(STARS.as_bytes());
                self.in_mask = true;
            }
            at = end.min(count);
            reach = end;
        }
        if at < count {
            output.extend_from_slice(&self.tail[at..count]);
            self.in_mask = false;
        }
        self.tail.drain(..count);
        self.covered = reach.saturating_sub(count);
    }

    /// The masked ranges of the tail, in order, touching ones joined.
    fn covered_ranges(&self, masker: &Masker) -> Vec<(usize, usize)> {
        let mut ranges: Vec<(usize, usize)> = (self.covered > 0).then_some((0, self.covered)).into_iter().collect();
        if let Some(search) = &masker.search {
            let found = search.automaton.find_overlapping_iter(&self.tail);
            ranges.extend(found.map(|found| (found.start(), found.end())));
        }
        ranges.sort_unstable();
        let mut joined: Vec<(usize, usize)> = Vec::with_capacity(ranges.len());
        for (start, end) in ranges {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masker(values: &[&str]) -> Masker {
        let mut masker = Masker::default();
        masker.add(values.iter().copied());
        masker
    }

    #[test]
    fn overlapping_and_touching_secrets_become_one() {
        let masker = masker(&["abcdef", "defghi", "jklm"]);
        assert_eq!(masker.mask("x abcdefghijklm y"), "x *** y");
        assert_eq!(masker.mask("hunter"), "hunter");
    }

    #[test]
    fn a_longer_secret_hides_the_shorter_one_in_it() {
        assert_eq!(masker(&["hunter2", "hunter2-long"]).mask("a hunter2-long b"), "a *** b");
    }

    #[test]
    fn each_line_of_a_secret_is_one() {
        let masker = masker(&["first line\nsecond\n\nab\n"]);
        assert_eq!(masker.mask("x first line y second ab"), "x *** y *** ab");
    }

    #[test]
    fn a_secret_is_known_after_its_line_was_cleaned() {
        for secret in ["hunter\u{7f}two", "hunter\u{1b}[Ktwo", "hunter\u{85}two", "first\nhunter\u{1}two"] {
            let masker = masker(&[secret]);
            let line = format!("x {} y", secret.lines().last().unwrap());
            let clean = super::super::sanitise::sanitise(line.as_bytes()).into_owned();
            assert_eq!(masker.mask(&String::from_utf8(clean).unwrap()), "x *** y", "{secret:?}");
            assert_eq!(masker.mask(&line), "x *** y", "{secret:?}");
        }
    }

    fn secret() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9&+\"'<> é/=]{4,24}"
    }

    /// What a secret may look like in a log.
    fn disguises(secret: &str) -> Vec<String> {
        use base64::Engine as _;
        let standard = base64::engine::general_purpose::STANDARD;
        let quoted = serde_json::to_string(secret).unwrap();
        vec![
            secret.to_owned(),
            standard.encode(secret),
            hex::encode(secret),
            hex::encode_upper(secret),
            quoted[1..quoted.len() - 1].to_owned(),
            secret.replace('\'', "''"),
        ]
    }

    proptest! {
        #[test]
        fn no_split_lets_a_secret_through(
            secrets in prop::collection::vec(secret(), 1..4),
            which in 0_usize..6,
            around in "[ -~]{0,30}",
            cuts in prop::collection::vec(1_usize..9, 1..60),
        ) {
            let names: Vec<&str> = secrets.iter().map(String::as_str).collect();
            let masker = masker(&names);
            let mut text = around.clone();
            for secret in &secrets {
                text.push_str(&disguises(secret)[which]);
                text.push('|');
            }
            text.push_str(&around);
            let whole = masker.mask(&text).into_owned();
            let mut output = Vec::new();
            let mut stream = MaskStream::default();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                stream.push(&masker, chunk, &mut output);
                rest = after;
            }
            stream.finish(&masker, &mut output);
            prop_assert_eq!(String::from_utf8_lossy(&output), whole.as_str());
            for secret in secrets.iter().filter(|secret| !STARS.contains(secret.as_str())) {
                prop_assert!(!whole.contains(&disguises(secret)[which]));
            }
        }
    }
}
