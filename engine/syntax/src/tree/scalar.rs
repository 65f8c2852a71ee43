//! Scalars and their types: YAML 1.2's core schema, no more.

/// A scalar as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// The value after YAML's own escapes; empty where nothing is written.
    pub value: String,
    /// How it is written.
    pub style: Style,
    /// What it stands for.
    pub typed: Typed,
    /// Where the value's text begins: after the quote, or on the first line of a block.
    pub content: usize,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single quotes.
    SingleQuoted,
    /// In double quotes.
    DoubleQuoted,
    /// A `|` block.
    Literal,
    /// A `>` block.
    Folded,
}

/// A scalar's type and value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Typed {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer or float.
    Number(f64),
    /// Anything else: the scalar's value is the string.
    String,
}

impl Typed {
    /// The type for a message, with its article.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String => "text",
        }
    }

    /// The type of a plain scalar without a tag.
    pub(super) fn of_plain(text: &str) -> Self {
        null(text).or_else(|| boolean(text)).or_else(|| integer(text)).or_else(|| float(text)).unwrap_or(Self::String)
    }

    /// The type a core-schema tag gives; nothing where the text is not of that type, an error for any other tag.
    pub(super) fn of_tag(suffix: &str, text: &str) -> Result<Option<Self>, ()> {
        match suffix {
            "str" => Ok(Some(Self::String)),
            "null" => Ok(null(text)),
            "bool" => Ok(boolean(text)),
            "int" => Ok(integer(text)),
            "float" => Ok(float(text).or_else(|| integer(text))),
            _ => Err(()),
        }
    }
}

fn null(text: &str) -> Option<Typed> {
    matches!(text, "" | "~" | "null" | "Null" | "NULL").then_some(Typed::Null)
}

fn boolean(text: &str) -> Option<Typed> {
    match text {
        "true" | "True" | "TRUE" => Some(Typed::Bool(true)),
        "false" | "False" | "FALSE" => Some(Typed::Bool(false)),
        _ => None,
    }
}

fn integer(text: &str) -> Option<Typed> {
    let radix =
        |digits: &str, radix| i64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']));
    let number = if let Some(digits) = text.strip_prefix("0x") {
        radix(digits, 16)?
    } else if let Some(digits) = text.strip_prefix("0o") {
        radix(digits, 8)?
    } else {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        return whole.then(|| text.parse().ok().map(Typed::Number)).flatten();
    };
    #[expect(clippy::cast_precision_loss, reason = "GitHub keeps every number as a double")]
    Some(Typed::Number(number as f64))
}

fn float(text: &str) -> Option<Typed> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match digits {
        ".inf" | ".Inf" | ".INF" => return Some(Typed::Number(sign * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if digits.len() == text.len() => return Some(Typed::Number(f64::NAN)),
        _ => {}
    }
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let some_digits = !whole.is_empty() || !fraction.is_empty();
    let sound = some_digits && all_digits(whole) && all_digits(fraction);
    let sound = sound && exponent.is_none_or(|part| !part.is_empty() && all_digits(part));
    sound.then(|| digits.parse::<f64>().ok().map(|number| Typed::Number(sign * number))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_schema_only() {
        for text in
            ["on", "yes", "no", "off", "1:30", "0b1", "1_000", "2001-01-01", "0x", "+", ".", "e3", "-0x1", "inf"]
        {
            assert_eq!(Typed::of_plain(text), Typed::String, "{text}");
        }
        for (text, number) in
            [("017", 17.0), ("0o17", 15.0), ("0xFf", 255.0), ("-.5", -0.5), ("1e3", 1000.0), ("1.", 1.0), ("+2", 2.0)]
        {
            assert_eq!(Typed::of_plain(text), Typed::Number(number), "{text}");
        }
        assert_eq!(Typed::of_plain("-.inf"), Typed::Number(f64::NEG_INFINITY));
        assert_eq!(Typed::of_plain("NULL"), Typed::Null);
        assert_eq!(Typed::of_plain("True"), Typed::Bool(true));
    }

    #[test]
    fn a_tag_must_fit_its_text() {
        assert_eq!(Typed::of_tag("bool", "test"), Ok(None));
        assert_eq!(Typed::of_tag("float", "123456"), Ok(Some(Typed::Number(123_456.0))));
        assert_eq!(Typed::of_tag("timestamp", "2001-01-01"), Err(()));
    }
}
