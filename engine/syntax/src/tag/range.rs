//! Ranges of versions, with a rule for prereleases of their own.

use semver::{BuildMetadata, Comparator, Op, Prerelease, Version, VersionReq};
use std::fmt;

/// A range of versions, as `tags:` of an environment has it: `>=1.0.0`, `^1.2, <1.9`, `1.* || 2.*`.
///
/// Prereleases are in it only where the range names one (`>=1.0.0-0`), and then by precedence. Even so
/// `<2.0.0` leaves `2.0.0-rc.1` out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRange {
    text: String,
    /// One of them must hold.
    alternatives: Vec<VersionReq>,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a range of versions: {problem} (write `>=1.0.0`, `^1.2`, `>=1.2.0, <2.0.0`)")]
pub struct RangeError {
    /// The range as written.
    pub text: String,
    /// What is wrong.
    pub problem: String,
}

impl VersionRange {
    /// Reads a range: comparisons joined by `,` (all hold), such groups joined by `||` (one holds).
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let alternatives = text.split("||").map(|group| VersionReq::parse(group.trim()));
        let alternatives = alternatives
            .collect::<Result<_, _>>()
            .map_err(|error| RangeError { text: text.to_owned(), problem: error.to_string() })?;
        Ok(Self { text: text.to_owned(), alternatives })
    }

    /// The range as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the version is in the range.
    pub fn matches(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|range| in_range(range, version))
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn in_range(range: &VersionReq, version: &Version) -> bool {
    if version.pre.is_empty() {
        return range.matches(version);
    }
    let names_prerelease = range.comparators.iter().any(|comparator| !comparator.pre.is_empty());
    names_prerelease && range.comparators.iter().all(|comparator| holds(comparator, version))
}

/// Whether a prerelease satisfies a comparison. `VersionReq` would compare it only with prereleases of the
/// same three numbers.
fn holds(comparator: &Comparator, version: &Version) -> bool {
    let release = Version { pre: Prerelease::EMPTY, build: BuildMetadata::EMPTY, ..version.clone() };
    let numbers = Comparator { pre: Prerelease::EMPTY, ..comparator.clone() };
    let by_numbers = numbers.matches(&release);
    let bound = Version {
        major: comparator.major,
        minor: comparator.minor.unwrap_or(0),
        patch: comparator.patch.unwrap_or(0),
        pre: comparator.pre.clone(),
        build: BuildMetadata::EMPTY,
    };
    let order = version.cmp_precedence(&bound);
    match comparator.op {
        Op::GreaterEq | Op::Tilde | Op::Caret => by_numbers && order.is_ge(),
        Op::Less if comparator.pre.is_empty() => by_numbers,
        _ if comparator.patch.is_none() => by_numbers,
        Op::Exact => order.is_eq(),
        Op::Greater => order.is_gt(),
        Op::Less => order.is_lt(),
        Op::LessEq => order.is_le(),
        _ => by_numbers,
    }
}

#[cfg(test)]
mod tests {
    use super::VersionRange;
    use proptest::prelude::*;

    fn is_in(range: &str, version: &str) -> bool {
        VersionRange::parse(range).unwrap().matches(&version.parse().unwrap())
    }

    #[test]
    fn prereleases_need_a_range_that_names_one() {
        for (range, inside, outside) in [
            (">=1.0.0", &["1.0.0", "2.5.0+b"][..], &["0.9.9", "1.5.0-rc.1", "1.0.0-rc.1"][..]),
            (">=1.0.0-0", &["1.0.0-rc.1", "1.5.0-rc.1", "1.0.0", "3.0.0"], &["0.9.9"]),
            (">=1.0.0-0, <2.0.0", &["1.9.9-rc.1", "1.0.0-alpha"], &["2.0.0-rc.1", "2.0.0"]),
            (
                "^1.2.3-rc.1",
                &["1.2.3-rc.1", "1.2.3-rc.2", "1.4.0-beta", "1.9.0"],
                &["1.2.3-alpha", "2.0.0-rc.1", "1.2.2"],
            ),
            ("~1.2.3-rc.1", &["1.2.3-rc.1", "1.2.9-beta"], &["1.3.0-beta"]),
            ("=1.2.3-rc.1", &["1.2.3-rc.1"], &["1.2.3", "1.2.3-rc.2"]),
            (">1.0.0-rc.1, <1.0.0-rc.4", &["1.0.0-rc.2"], &["1.0.0-rc.1", "1.0.0-rc.4"]),
            ("1.* || >=3.0.0-rc.1", &["1.2.3", "3.1.0-beta"], &["1.2.3-rc.1", "2.0.0"]),
            ("*", &["0.0.1"], &["1.0.0-rc.1"]),
        ] {
            for version in inside {
                assert!(is_in(range, version), "{version} in {range}");
            }
            for version in outside {
                assert!(!is_in(range, version), "{version} not in {range}");
            }
        }
        assert!(VersionRange::parse("soon").is_err());
        assert!(VersionRange::parse("").is_err());
    }

    proptest! {
        #[test]
        fn ranges_never_panic(text in "[<>=~^0-9.*, |a-z-]{0,30}", version in "[0-9]\\.[0-9]\\.[0-9](-[a-z0-9]{1,3})?") {
            if let (Ok(range), Ok(version)) = (VersionRange::parse(&text), version.parse()) {
                let _ = range.matches(&version);
            }
        }
    }
}
