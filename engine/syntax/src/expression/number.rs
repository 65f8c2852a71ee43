//! Numbers as GitHub's runner reads and writes them: `f64`, JavaScript-like parsing, .NET's `G15` printing.

/// The number a string stands for, NaN where it stands for none.
///
/// White space around is ignored and an empty string is 0. Decimal numbers with a sign, a fraction
/// and an exponent; `0x` and `0o` without a sign and of 32 bits at most; `Infinity`, `-Infinity`.
pub fn parse_number(text: &str) -> f64 {
    let text = text.trim();
    match text {
        "" => return 0.0,
        "Infinity" | "+Infinity" => return f64::INFINITY,
        "-Infinity" => return f64::NEG_INFINITY,
        _ => {}
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return parse_radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return parse_radix(digits, 8);
    }
    // Rust would also take `inf`, `nan` and their like.
    let decimal = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    if text.bytes().all(decimal) { text.parse().unwrap_or(f64::NAN) } else { f64::NAN }
}

/// The runner reads these as 32-bit two's complement, so `0xffffffff` is -1.
fn parse_radix(digits: &str, radix: u32) -> f64 {
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return f64::NAN;
    }
    u32::from_str_radix(digits, radix).map_or(f64::NAN, |bits| f64::from(bits.cast_signed()))
}

/// Significant digits of .NET's `G15`.
const PRECISION: i32 = 15;

/// A number as text: 15 significant digits, an exponent from 1E+15 up and below 0.0001, never `-0`.
pub fn format_number(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{number:.14e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("the `e` format always writes an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent of an f64 fits i32");
    let sign = if number < 0.0 { "-" } else { "" };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    let body =
        if (-4..PRECISION).contains(&exponent) { fixed(digits, exponent) } else { exponential(digits, exponent) };
    format!("{sign}{body}")
}

/// `digits` with the point after place `exponent`: ("12", 2) is 120, ("12", -2) is 0.012.
fn fixed(digits: &str, exponent: i32) -> String {
    let Ok(whole) = usize::try_from(exponent + 1) else {
        return leading_zeros(digits, exponent);
    };
    if whole == 0 {
        return leading_zeros(digits, exponent);
    }
    if digits.len() <= whole {
        return format!("{digits:0<whole$}");
    }
    format!("{}.{}", &digits[..whole], &digits[whole..])
}

fn leading_zeros(digits: &str, exponent: i32) -> String {
    let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
    format!("0.{}{digits}", "0".repeat(zeros))
}

/// `1.5E+20`: a sign and at least two digits of exponent.
fn exponential(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{first}{point}{rest}E{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::{format_number, parse_number};
    use proptest::prelude::*;

    #[test]
    fn numbers_print_like_the_runner() {
        let cases: [(f64, &str); 16] = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-9.7, "-9.7"),
            (0.1 + 0.2, "0.3"),
            (123_456.789, "123456.789"),
            (0.012, "0.012"),
            (0.0001, "0.0001"),
            (0.000_01, "1E-05"),
            (0.000_012_3, "1.23E-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1E+15"),
            (12_345_678_901_234_567_890.0, "1.23456789012346E+19"),
            (1e100, "1E+100"),
            (999_999_999_999_999.9, "1E+15"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, text) in cases {
            assert_eq!(format_number(number), text);
        }
        assert_eq!(format_number(f64::NAN), "NaN");
    }

    #[test]
    fn strings_become_numbers_like_the_runner() {
        let cases = [
            ("", 0.0),
            (" \t\n", 0.0),
            (" 1.5 ", 1.5),
            ("+1.2e2", 120.0),
            (".5", 0.5),
            ("-.5", -0.5),
            ("5.", 5.0),
            ("0xff", 255.0),
            ("0xffffffff", -1.0),
            ("0o17", 15.0),
            ("1e400", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ];
        for (text, number) in cases {
            assert_eq!(parse_number(text).to_bits(), number.to_bits(), "{text}");
        }
        for text in [
            "-0xff",
            "0x",
            "0o",
            "0o8",
            "0x1ffffffff",
            "1e",
            ".",
            "+",
            "--1",
            "inf",
            "nan",
            "infinity",
            "1_000",
            "0b1",
            "1 2",
            "a",
        ] {
            assert!(parse_number(text).is_nan(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn fifteen_digits_survive_printing(digits in 1u64..=999_999_999_999_999, exponent in -30i32..30) {
            let number: f64 = format!("{digits}e{exponent}").parse().unwrap();
            prop_assert_eq!(parse_number(&format_number(number)).to_bits(), number.to_bits());
        }

        #[test]
        fn printing_is_stable_and_close(number in any::<f64>()) {
            prop_assume!(number.is_finite());
            let text = format_number(number);
            let back = parse_number(&text);
            // The largest numbers may round up past the range.
            if back.is_finite() {
                prop_assert_eq!(format_number(back), text);
                prop_assert!((back - number).abs() <= number.abs() * 1e-14 + f64::MIN_POSITIVE);
            }
        }

        #[test]
        fn any_text_parses_without_panic(text in ".*") {
            let _ = parse_number(&text);
        }
    }
}
