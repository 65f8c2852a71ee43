//! Why an image cannot be pulled, by the words of the kubelet and the registry.
//!
//! The image's own name and digests are no words of theirs: a digest may hold `403`, a name `not-found`.

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pull {
    /// The node does not reach the registry.
    Away,
    /// The registry has no such image.
    Missing,
    /// The registry does not give it out to these credentials.
    Refused,
    /// It is no image name.
    Invalid,
    /// Nothing of that is said.
    Unknown,
}

/// The first that fits decides: what did not reach the registry was not answered by it.
const WORDS: [(Pull, &[&str]); 4] = [
    (Pull::Away, &["no such host", "dial tcp", "i/o timeout", "connection refused", "deadline exceeded"]),
    (Pull::Missing, &["not found", "manifest unknown", "name unknown"]),
    (Pull::Refused, &["unauthorized", "denied", "forbidden", "authentication required", "authorization failed"]),
    (Pull::Invalid, &["invalidimagename", "invalid reference", "couldn't parse image"]),
];

impl Pull {
    /// Reads a message about this image.
    pub(crate) fn read(message: &str, image: &str) -> Self {
        let said = without_digests(&message.replace(image, "").to_lowercase());
        let fits = |words: &[&str]| words.iter().any(|word| said.contains(word));
        WORDS.iter().find(|(_, words)| fits(words)).map_or(Self::Unknown, |(why, _)| *why)
    }

    /// It will not get better by itself.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Missing | Self::Refused | Self::Invalid)
    }
}

fn without_digests(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.trim_start_matches(|letter: char| letter.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_registry_that_is_not_reached_said_nothing() {
        for (message, expected) in [
            (
                "failed to do request: Head \"https://r.example/v2/\": dial tcp: lookup r.example: no such host",
                Pull::Away,
            ),
            ("dial tcp 10.0.0.7:443: connect: connection refused", Pull::Away),
            ("r.example/shop@sha256:aa: not found", Pull::Missing),
            ("unexpected status from HEAD request: 401 Unauthorized", Pull::Refused),
            ("unexpected status code 403 Forbidden", Pull::Refused),
            ("pull access denied, repository does not exist or may require authorization", Pull::Refused),
            ("couldn't parse image name \"A B\": invalid reference format", Pull::Invalid),
            ("Back-off pulling image \"r.example/shop:401\"", Pull::Unknown),
        ] {
            assert_eq!(Pull::read(message, "r.example/shop:401"), expected, "{message}");
        }
        assert_eq!(Pull::read("Back-off pulling image \"r/not-found denied\"", "r/not-found denied"), Pull::Unknown);
    }

    proptest! {
        #[test]
        fn a_digest_says_nothing(digest in "[0-9a-f]{64}|401[0-9a-f]{58}403") {
            let message = format!("Back-off pulling image \"r.example/shop@sha256:{digest}\"");
            prop_assert_eq!(Pull::read(&message, "docker.io/shop"), Pull::Unknown);
        }
    }
}
