//! What may be called what. Names become folders and arguments, so everything else is refused here.

use crate::fault::Fault;

/// An environment: 1 to 32 lower-case letters, digits and `-`, the first a letter.
pub(crate) fn environment(name: &str) -> Result<&str, Fault> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let good =
        name.len() <= 32 && name.bytes().all(plain) && name.starts_with(|first: char| first.is_ascii_lowercase());
    let wrong = "the environment's name is not 1 to 32 lower-case letters, digits or `-`, beginning with a letter";
    if good { Ok(name) } else { Err(Fault::new(400, wrong)) }
}

/// A version: `1.2.3`, with a prerelease or build part where it has one, 64 bytes at most.
pub(crate) fn version(text: &str) -> Result<&str, Fault> {
    let (core, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    let numeric = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits && (part == "0" || !part.starts_with('0'))
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-+.".contains(&byte);
    let good = core.split('.').count() == 3 && core.split('.').all(numeric) && rest.bytes().all(plain);
    let good = good && text.len() <= 64 && rest.len() != 1;
    if good { Ok(text) } else { Err(Fault::new(400, "version is not one like 1.2.3")) }
}

/// A SHA-256 as 64 lower-case hex digits, without the `sha256:` it may come with.
pub(crate) fn digest(text: &str) -> Result<&str, Fault> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let good = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if good { Ok(hex) } else { Err(Fault::new(400, "digest is not sha256: and 64 lower-case hex digits")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass_and_hostile_ones_do_not() {
        for name in ["staging", "eu-west-1"] {
            assert!(environment(name).is_ok(), "{name}");
        }
        for name in ["", "..", "a/b", "A", "1a", "-a", "a b", "a\0", &"a".repeat(33)] {
            assert!(environment(name).is_err(), "{name:?}");
        }
        for text in ["1.2.3", "0.0.0", "1.2.3-rc.1", "1.2.3+build.5", "1.2.3-x-y"] {
            assert!(version(text).is_ok(), "{text}");
        }
        for text in ["", "v1.2.3", "1.2", "01.2.3", "1.2.3;rm", "1.2.3-", "1.2.3/..", "1.2.3.4", "1..3", "--to"] {
            assert!(version(text).is_err(), "{text:?}");
        }
        let hex = "0123456789abcdef".repeat(4);
        assert_eq!(digest(&format!("sha256:{hex}")).unwrap(), hex);
        for text in ["", "../../x", &hex[1..], &hex.to_uppercase(), &format!("sha512:{hex}")] {
            assert!(digest(text).is_err(), "{text:?}");
        }
    }
}
