//! Comparing strings without case, as .NET's `OrdinalIgnoreCase` does.
//!
//! One character maps to one character (so `ß` is not `SS`), and the Turkish `ı` and the long `ſ`
//! keep to themselves. Order is that of UTF-16 units of the upper-cased text.

use std::cmp::Ordering;

/// The upper-case form of one character, itself where there is no single one.
fn upper(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    if matches!(c, 'ı' | 'ſ') {
        return c;
    }
    let mut forms = c.to_uppercase();
    match (forms.next(), forms.next()) {
        (Some(single), None) => single,
        _ => c,
    }
}

/// The text every spelling of `text` shares.
pub(super) fn fold(text: &str) -> String {
    text.chars().map(upper).collect()
}

/// Whether two strings are equal without case.
pub fn eq_ignore_case(left: &str, right: &str) -> bool {
    left.chars().map(upper).eq(right.chars().map(upper))
}

/// The order of two strings without case.
pub(super) fn cmp_ignore_case(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.chars().map(upper), right.chars().map(upper));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => {
                return a.encode_utf16(&mut [0; 2]).cmp(&b.encode_utf16(&mut [0; 2]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{cmp_ignore_case, eq_ignore_case};
    use std::cmp::Ordering;

    #[test]
    fn case_folds_one_character_to_one() {
        for (left, right) in [("a", "A"), ("ς", "Σ"), ("σ", "ς"), ("ü", "Ü"), ("я", "Я")] {
            assert!(eq_ignore_case(left, right), "{left} {right}");
        }
        for (left, right) in [("i", "İ"), ("ı", "I"), ("ß", "SS"), ("ſ", "S"), ("a", "ab")] {
            assert!(!eq_ignore_case(left, right), "{left} {right}");
        }
    }

    #[test]
    fn order_is_that_of_upper_case_utf16() {
        assert_eq!(cmp_ignore_case("a", "["), Ordering::Less);
        assert_eq!(cmp_ignore_case("I", "ı"), Ordering::Less);
        assert_eq!(cmp_ignore_case("abc", "ABCD"), Ordering::Less);
        assert_eq!(cmp_ignore_case("Σ", "σ"), Ordering::Equal);
        // A surrogate pair sorts before the private use area.
        assert_eq!(cmp_ignore_case("😊", "\u{e000}"), Ordering::Less);
    }
}
