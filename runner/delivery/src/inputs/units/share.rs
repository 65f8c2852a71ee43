//! Shares of a whole.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A share from 0 to 1, written `5%` or `0.05`.
///
/// ```
/// # use tagline_delivery::inputs::Share;
/// assert_eq!(Share::parse("4.9%"), Share::parse("0.049"));
/// assert_eq!(Share::parse("5").unwrap_err(), "\"5\" has no unit; 5%?");
/// assert_eq!(Share::parse("120%").unwrap_err(), "120%: 0 to 100");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(f64);

impl Share {
    /// Reads a share.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a share; write 5% or 0.05");
        let number = |digits: &str| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            digits.parse::<f64>().ok().filter(|_| plain).ok_or_else(wrong)
        };
        if let Some(percent) = text.strip_suffix('%') {
            let percent = number(percent.trim_end())?;
            return if percent <= 100.0 { Ok(Self(percent / 100.0)) } else { Err(format!("{text}: 0 to 100")) };
        }
        let share = number(text)?;
        if text.contains('.') && share <= 1.0 || share == 0.0 {
            return Ok(Self(share));
        }
        Err(format!("\"{text}\" has no unit; {text}%?"))
    }

    /// From 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded to a millionth: 0.049 * 100 is not 4.9 in binary.
        write!(f, "{}%", (self.0 * 1e8).round() / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_numbers_are_shares() {
        for text in ["", "%", "-1%", "1e1%", "five", "NaN", "inf", "+5%", "5 percent"] {
            assert_eq!(Share::parse(text).unwrap_err(), format!("\"{text}\" is not a share; write 5% or 0.05"));
        }
        assert_eq!(Share::parse("1.5").unwrap_err(), "\"1.5\" has no unit; 1.5%?");
    }

    proptest! {
        #[test]
        fn what_is_said_is_read_back(parts in 0..=1_000_000_u32) {
            let share = Share(f64::from(parts) / 1e6);
            let back = Share::parse(&share.to_string()).unwrap();
            prop_assert!((back.get() - share.get()).abs() < 1e-12);
        }
    }
}
