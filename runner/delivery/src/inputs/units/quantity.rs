//! Quantities of CPU, memory and bytes, in the API's notation.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A quantity of the API: `500m`, `2`, `0.5`, `256Mi`, `1G`; `KiB`, `MiB`, `GiB` are read as `Ki`, `Mi`, `Gi`.
///
/// ```
/// # use tagline_delivery::inputs::Quantity;
/// assert_eq!(Quantity::parse("500m").unwrap().milli(), 500);
/// assert_eq!(Quantity::parse("1MiB").unwrap().bytes(), Ok(1 << 20));
/// assert_eq!(Quantity::parse("1MiB").unwrap().to_string(), "1Mi");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity {
    text: String,
    milli: u128,
}

/// Suffixes with what they stand for, in thousandths.
const SUFFIXES: [(&str, u128); 12] = [
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("", 1000),
];

impl Quantity {
    /// Reads a quantity. Not read: exponents, signs, and more than 9 digits on either side of the point.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a quantity; write 500m, 2, 256Mi or 1Gi");
        let canonical = text.strip_suffix('B').unwrap_or(text);
        let digits = canonical.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(canonical.len());
        let (number, suffix) = canonical.split_at(digits);
        let (_, size) = SUFFIXES.into_iter().find(|(known, _)| *known == suffix).ok_or_else(wrong)?;
        // `1B` is no notation of anybody's.
        if canonical != text && !suffix.ends_with('i') {
            return Err(wrong());
        }
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let is_number = |digits: &str| digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || part.len() > 9 || !is_number(part) || number.ends_with('.') {
            return Err(wrong());
        }
        let scale = 10_u128.pow(u32::try_from(part.len()).map_err(|_| wrong())?);
        let digits: u128 = format!("{whole}{part}").parse().map_err(|_| wrong())?;
        let milli = digits.checked_mul(size).ok_or_else(wrong)?.div_ceil(scale);
        Ok(Self { text: canonical.to_owned(), milli })
    }

    /// In thousandths of one, rounded up as the API does.
    pub const fn milli(&self) -> u128 {
        self.milli
    }

    /// As whole bytes.
    pub fn bytes(&self) -> Result<u64, String> {
        let whole = self.milli.is_multiple_of(1000).then_some(self.milli / 1000);
        whole
            .and_then(|bytes| u64::try_from(bytes).ok())
            .ok_or_else(|| format!("\"{}\" is not a number of bytes", self.text))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Quantity {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn notations_of_the_api_are_compared_by_value() {
        for (text, milli) in [("0.5", 500), ("100m", 100), ("1.5Gi", (1536 * 1000) << 20), ("2k", 2_000_000), ("0", 0)]
        {
            assert_eq!(Quantity::parse(text).unwrap().milli(), milli, "{text}");
        }
        for text in ["", "Mi", "1 Gi", "1g", "-1", "1e3", "1.", ".5", "1.2.3", "1B", "1MB", "９"] {
            assert!(Quantity::parse(text).unwrap_err().contains("is not a quantity"), "{text}");
        }
        assert_eq!(Quantity::parse("500m").unwrap().bytes().unwrap_err(), "\"500m\" is not a number of bytes");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[0-9.]{0,30}[KMGTPikm]{0,3}B?") {
            let _ = Quantity::parse(&text);
        }
    }
}
