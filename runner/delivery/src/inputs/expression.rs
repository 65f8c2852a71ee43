//! Values that still hold `${{ }}`: which lines of them are known.

/// Whether a text holds an expression.
pub(super) fn is_open(text: &str) -> bool {
    text.contains("${{")
}

/// For each line of a text, whether an expression touches it. An expression without an end reaches to the text's end.
pub(super) fn open_lines(text: &str) -> Vec<bool> {
    let mut inside = false;
    let mut open = Vec::new();
    for line in text.lines() {
        let mut touched = inside;
        let mut rest = line;
        loop {
            let (mark, skip) = if inside { ("}}", 2) } else { ("${{", 3) };
            let Some(at) = rest.find(mark) else { break };
            rest = &rest[at + skip..];
            inside = !inside;
            touched = true;
        }
        open.push(touched);
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_an_expression_touches_are_open() {
        assert_eq!(open_lines("a\nb ${{ x }}\nc ${{\n y\n}} d\ne"), [false, true, true, true, true, false]);
        assert_eq!(open_lines("a }} b\n${{ x }} and ${{\ny"), [false, true, true]);
    }
}
