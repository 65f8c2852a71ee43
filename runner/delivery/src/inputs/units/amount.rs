//! Counts of pods.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A count of pods or a part of all: `1` or `25%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// So many.
    Count(u32),
    /// Of a hundred.
    Percent(u32),
}

impl Default for Amount {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl Amount {
    /// Reads `1` or `25%`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is neither a count nor a percentage; write 1 or 25%");
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.parse().map_err(|_| wrong())?;
            return if percent <= 100 { Ok(Self::Percent(percent)) } else { Err(format!("{text}: 0 to 100")) };
        }
        text.parse().map(Self::Count).map_err(|_| wrong())
    }

    /// 0 or 0 %.
    pub const fn is_zero(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }

    /// As the API's int-or-string.
    pub fn to_value(self) -> serde_json::Value {
        match self {
            Self::Count(count) => count.into(),
            Self::Percent(_) => self.to_string().into(),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// How many pods a workload is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replicas {
    /// What the release that it follows has (for the way back: had); what the manifest says where there is none.
    Previous,
    /// What the manifest says.
    Manifest,
    /// So many.
    Count(u32),
}

impl Replicas {
    /// Reads `previous`, `manifest` or a count of at least 1.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "previous" => Ok(Self::Previous),
            "manifest" => Ok(Self::Manifest),
            "0" => Err("0: a release needs at least 1 pod; previous, manifest or a count".to_owned()),
            _ => text
                .parse()
                .map(Self::Count)
                .map_err(|_| format!("\"{text}\" is no count; previous, manifest or a count")),
        }
    }
}
