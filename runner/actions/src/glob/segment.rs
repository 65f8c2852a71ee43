//! One segment of a pattern: what lies between two slashes. Matching takes time linear in the product
//! of the two lengths, whatever the pattern.

/// What one path component is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// `**`: any number of components.
    Globstar,
    /// Exactly this text.
    Literal(String),
    /// `*`, `?` and `[…]` among characters.
    Glob(Vec<Token>),
}

/// One element of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `[a-z]`, `[!a-z]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Segment {
    pub(crate) fn parse(text: &str) -> Self {
        if text == "**" {
            return Self::Globstar;
        }
        let chars: Vec<char> = text.chars().collect();
        let mut tokens = Vec::new();
        let mut at = 0;
        while at < chars.len() {
            let (token, used) = match chars[at] {
                '\\' if at + 1 < chars.len() => (Token::Char(chars[at + 1]), 2),
                '*' => (Token::Many, 1),
                '?' => (Token::One, 1),
                '[' => class(&chars[at..]).unwrap_or((Token::Char('['), 1)),
                other => (Token::Char(other), 1),
            };
            if !(token == Token::Many && tokens.last() == Some(&Token::Many)) {
                tokens.push(token);
            }
            at += used;
        }
        literal(&tokens).map_or(Self::Glob(tokens), Self::Literal)
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Globstar => true,
            Self::Literal(literal) => literal == text,
            Self::Glob(tokens) => {
                let chars: Vec<char> = text.chars().collect();
                !chars.is_empty() && matches(tokens, &chars)
            }
        }
    }
}

/// The text of a segment without wildcards; a class of one character counts as that character.
fn literal(tokens: &[Token]) -> Option<String> {
    tokens
        .iter()
        .map(|token| match token {
            Token::Char(one) => Some(*one),
            Token::Class { negated: false, ranges } if ranges.len() == 1 && ranges[0].0 == ranges[0].1 => {
                Some(ranges[0].0)
            }
            _ => None,
        })
        .collect()
}

/// Reads a class at the start of `chars`, with the number of characters it takes; `None` when it is
/// not closed or a range runs backwards, and `[` then stands for itself.
fn class(chars: &[char]) -> Option<(Token, usize)> {
    let negated = matches!(chars.get(1), Some('!' | '^'));
    let start = if negated { 2 } else { 1 };
    let mut at = start;
    let mut members: Vec<(char, bool)> = Vec::new();
    loop {
        match *chars.get(at)? {
            ']' if at > start => break,
            '\\' => {
                at += 1;
                members.push((*chars.get(at)?, true));
            }
            other => members.push((other, false)),
        }
        at += 1;
    }
    let mut ranges = Vec::new();
    let mut rest = members.as_slice();
    while let Some(((from, _), tail)) = rest.split_first() {
        let (to, after) = if let [('-', false), (to, _), after @ ..] = tail { (to, after) } else { (from, tail) };
        if from > to {
            return None;
        }
        ranges.push((*from, *to));
        rest = after;
    }
    Some((Token::Class { negated, ranges }, at + 1))
}

/// Goes back to the last `*` only: what an earlier one could take, the last one can take too.
fn matches(tokens: &[Token], chars: &[char]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while at < chars.len() {
        let fits = match tokens.get(token) {
            Some(Token::Many) => {
                last_star = Some((token, at));
                token += 1;
                continue;
            }
            Some(Token::One) => true,
            Some(Token::Char(one)) => *one == chars[at],
            Some(Token::Class { negated, ranges }) => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&chars[at])) != *negated
            }
            None => false,
        };
        if fits {
            token += 1;
            at += 1;
        } else if let Some((star, taken)) = last_star {
            last_star = Some((star, taken + 1));
            token = star + 1;
            at = taken + 1;
        } else {
            return false;
        }
    }
    tokens[token..].iter().all(|rest| *rest == Token::Many)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(pattern: &str, text: &str) -> bool {
        Segment::parse(pattern).matches(text)
    }

    #[test]
    fn wildcards_and_classes() {
        for (pattern, text, expected) in [
            ("*", ".hidden", true),
            ("*.rs", "lib.rs", true),
            ("*.rs", "lib.rc", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("l?b", "lab", true),
            ("l?b", "lb", false),
            ("?", "ž", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]a]", "]", true),
            ("[ab", "[ab", true),
            ("[z-a]", "[z-a]", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("a**b", "axxb", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_class_of_one_character_is_literal() {
        assert_eq!(Segment::parse("[g]it"), Segment::Literal("git".into()));
        assert!(matches!(Segment::parse("[!g]it"), Segment::Glob(_)));
    }

    proptest! {
        #[test]
        fn a_text_without_wildcards_matches_itself_only(text in "[a-z.]{1,8}", other in "[a-z.]{1,8}") {
            prop_assert!(fits(&text, &text));
            prop_assert_eq!(fits(&text, &other), text == other);
        }

        #[test]
        fn stars_match_what_they_were_cut_from(parts in prop::collection::vec("[ab]{0,3}", 1..6), gaps in prop::collection::vec("[abc]{0,3}", 6)) {
            let pattern = parts.join("*");
            let text: String = parts.iter().enumerate().map(|(i, part)| if i == 0 { part.clone() } else { format!("{}{part}", gaps[i]) }).collect();
            prop_assume!(!text.is_empty() && !pattern.contains("**") && pattern != "**");
            prop_assert!(fits(&pattern, &text));
        }
    }
}
