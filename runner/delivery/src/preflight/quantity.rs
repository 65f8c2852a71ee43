//! Amounts as Kubernetes writes them: `250m`, `1Gi`, `1e3`.

use std::fmt;
use std::ops::{Add, Sub};

/// An amount in thousandths (of a CPU, of a byte). Parts of a thousandth are rounded up, as the server does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(pub i128);

impl Quantity {
    /// So many whole ones.
    pub fn whole(count: i64) -> Self {
        Self(i128::from(count) * 1000)
    }

    /// Reads `250m`, `0.5`, `1Gi`, `1e3`; None where it is no quantity or past 10^27.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (numerator, denominator) = factor(suffix)?;
        let (sign, number) = match number.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, number.strip_prefix('+').unwrap_or(number)),
        };
        let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{integer}{fraction}");
        if digits.is_empty() || digits.len() > 27 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value: i128 = digits.parse().ok()?;
        let below = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?.checked_mul(denominator)?;
        let above = value.checked_mul(numerator)?.checked_mul(1000)?;
        Some(Self(sign * (above / below + i128::from(above % below != 0))))
    }

    /// So many of it.
    pub fn times(self, count: i64) -> Self {
        Self(self.0.saturating_mul(i128::from(count)))
    }

    /// As people read it: of bytes `512Mi`, of CPUs `1500m` or `2`, of counts `6`.
    pub fn text(self, resource: &str) -> String {
        let bytes = resource.contains("memory") || resource.contains("storage");
        let mebi = 1000 * (1 << 20);
        match self.0 {
            value if bytes && value >= mebi => format!("{}Mi", value / mebi),
            value if value % 1000 == 0 => (value / 1000).to_string(),
            value => format!("{value}m"),
        }
    }
}

/// What a suffix multiplies by, as a fraction.
fn factor(suffix: &str) -> Option<(i128, i128)> {
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']).filter(|rest| !rest.is_empty()) {
        let exponent: i32 = exponent.parse().ok()?;
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        return Some(if exponent < 0 { (1, power) } else { (power, 1) });
    }
    let decimal = ["", "k", "M", "G", "T", "P", "E"];
    let binary = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let small = ["", "m", "u", "n"];
    let place =
        |list: &[&str]| list.iter().position(|each| *each == suffix).and_then(|place| u32::try_from(place).ok());
    if let Some(place) = place(&decimal) {
        return Some((1000_i128.pow(place), 1));
    }
    if let Some(place) = place(&binary) {
        return Some((1024_i128.pow(place), 1));
    }
    place(&small).map(|place| (1, 1000_i128.pow(place)))
}

impl Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(""))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_are_read_as_the_server_reads_them() {
        let milli = |text: &str| Quantity::parse(text).map(|quantity| quantity.0);
        for (text, value) in [
            ("250m", 250),
            ("0.5", 500),
            ("2", 2000),
            ("1Ki", 1_024_000),
            ("1e3", 1_000_000),
            ("1E", 10_i128.pow(21)),
            ("100n", 1),
            ("5e-1", 500),
        ] {
            assert_eq!(milli(text), Some(value), "{text}");
        }
        for text in ["", "m", "1x", "1.2.3", "--1", "1e99", "Gi", "1 Gi"] {
            assert_eq!(milli(text), None, "{text}");
        }
        assert_eq!(Quantity::parse("1Gi").unwrap().text("requests.memory"), "1024Mi");
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,40}") {
            let _ = Quantity::parse(&text);
        }

        #[test]
        fn whole_numbers_come_back(number in 0_i64..1_000_000_000) {
            prop_assert_eq!(Quantity::parse(&number.to_string()), Some(Quantity::whole(number)));
            prop_assert_eq!(Quantity::whole(number).to_string(), number.to_string());
        }
    }
}
