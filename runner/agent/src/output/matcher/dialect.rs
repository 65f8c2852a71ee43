//! From the regular expressions of matchers, which are ECMAScript's, to those of the engine here.

/// The expression with what both spell alike and read differently written out: `\<` and `\>` are signs and not ends of
/// words, `[` in a set and `{` that begins no count are signs.
pub(super) fn translated(regexp: &str) -> String {
    let mut text = String::with_capacity(regexp.len() + 8);
    let mut in_set = false;
    let mut rest = regexp.chars();
    while let Some(sign) = rest.next() {
        match sign {
            '\\' => match rest.next() {
                Some(escaped @ ('<' | '>')) => text.push(escaped),
                Some(escaped) => text.extend(['\\', escaped]),
                None => text.push('\\'),
            },
            '[' if in_set => text.push_str("\\["),
            '&' | '~' if in_set => text.extend(['\\', sign]),
            '[' => {
                in_set = true;
                text.push('[');
                let negated = rest.as_str().starts_with('^');
                if negated {
                    text.extend(rest.next());
                }
            }
            ']' => {
                in_set = false;
                text.push(']');
            }
            '{' if !in_set && !begins_count(rest.as_str()) => text.push_str("\\{"),
            other => text.push(other),
        }
    }
    text
}

/// Whether `3}`, `3,}` or `3,5}` follows.
fn begins_count(rest: &str) -> bool {
    let Some((count, _)) = rest.split_once('}') else { return false };
    let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let (least, most) = count.split_once(',').unwrap_or((count, ""));
    !least.is_empty() && digits(least) && digits(most)
}

#[cfg(test)]
mod tests {
    use super::translated;

    #[test]
    fn only_what_reads_differently_is_changed() {
        for same in [r"^(\d+):(\w{1,2})\s*[^\]]*$", r"^([^\s].*)\((\d+|\d+,\d+)\): [a-z]{3,}$"] {
            assert_eq!(translated(same), same);
        }
        assert_eq!(translated(r"\d+\> {x} {1"), r"\d+> \{x} \{1");
        assert_eq!(translated(r"[^[]+[&&a]"), r"[^\[]+[\&\&a]");
    }
}
