//! Splits a line into words.

/// A word and whether it was quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) quoted: bool,
}

impl Word {
    /// It is this bare word.
    pub(super) fn is(&self, word: &str) -> bool {
        !self.quoted && self.text == word
    }
}

/// Words between spaces. A word that begins with `"` or `'` reaches to the same mark again; inside `"…"`, `\"` and `\\`
/// stand for `"` and `\`. Elsewhere these marks are ordinary.
pub(super) fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(&first) = chars.peek() {
        if first.is_whitespace() {
            chars.next();
        } else if first == '"' || first == '\'' {
            chars.next();
            let mut text = String::new();
            loop {
                match chars.next() {
                    None => return Err(format!("`{line}`: {first} without its end")),
                    Some(c) if c == first => break,
                    Some('\\') if first == '"' && matches!(chars.peek(), Some('"' | '\\')) => text.extend(chars.next()),
                    Some(c) => text.push(c),
                }
            }
            if chars.peek().is_some_and(|next| !next.is_whitespace()) {
                return Err(format!("`{line}`: a space is missing after {first}"));
            }
            words.push(Word { text, quoted: true });
        } else {
            let mut text = String::new();
            while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                text.push(c);
            }
            words.push(Word { text, quoted: false });
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_hold_spaces_together() {
        let texts = |line| words(line).map(|words| words.into_iter().map(|word| word.text).collect::<Vec<_>>());
        assert_eq!(texts(r#"a "b c" '"d"' {"e":"f"}"#).unwrap(), ["a", "b c", "\"d\"", "{\"e\":\"f\"}"]);
        assert_eq!(texts(r#""a\"b\\c""#).unwrap(), ["a\"b\\c"]);
        assert_eq!(texts("a 'b").unwrap_err(), "`a 'b`: ' without its end");
        assert_eq!(texts("'a'b").unwrap_err(), "`'a'b`: a space is missing after '");
    }

    proptest! {
        #[test]
        fn quoted_words_are_read_back(parts in proptest::collection::vec(".{0,8}", 0..5)) {
            let line: Vec<String> =
                parts.iter().map(|part| format!("\"{}\"", part.replace('\\', "\\\\").replace('"', "\\\""))).collect();
            let read: Vec<String> = words(&line.join(" ")).unwrap().into_iter().map(|word| word.text).collect();
            prop_assert_eq!(read, parts);
        }
    }
}
