//! `tagline/rotate-secret`: new credentials without a moment in which neither works.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Period;
use super::migrate::{JobKnobs, verbatim};
use super::operate::read_job;
use super::reader::Reader;
use super::smoke::SmokeCheck;
use super::units::dns_subdomain;

/// `tagline/rotate-secret`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct RotateInputs {
    /// The Secret as the manifests name it.
    pub secret: String,
    /// The keys that change, with their new values. Never printed, and left out where this is stored.
    #[serde(skip)]
    pub values: BTreeMap<String, String>,
    /// The keys that get new random values of letters and digits, with how many.
    pub generate: BTreeMap<String, u32>,
    /// How often: younger ones are left alone, unless `force`.
    pub every: Period,
    /// What kind of accounts stand behind it.
    pub accounts: Accounts,
    /// The Job that makes the source (the database, say) know the new value; it gets the new Secret's keys as environment
    /// variables.
    pub job: JobKnobs,
    /// What must work with the new values before the old ones go.
    pub verify: Vec<SmokeCheck>,
    /// Arguments of a second run of `job` that logs in with the new values.
    pub verify_args: Vec<String>,
    /// How long the old Secret and the old account stay; as long as a release's way back is open where it is not given.
    pub keep_old: Option<Period>,
    /// The whole step.
    pub timeout: Period,
    /// Rotates though it is not due.
    pub force: bool,
}

/// Two values that work at the same time, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accounts {
    /// Two accounts in turn.
    Two,
    /// One account with two passwords.
    DualPassword,
    /// Nobody has to be told: a key that the workloads alone use.
    None,
}

impl Accounts {
    /// How often where the step does not say: what a database knows, 90 days; a key that the workloads alone use, 180.
    const fn every(self) -> Period {
        const DAY: u64 = 24 * 3600;
        match self {
            Self::Two | Self::DualPassword => Period::from_secs(90 * DAY),
            Self::None => Period::from_secs(180 * DAY),
        }
    }
}

const ACCOUNTS: [(&str, Accounts); 3] =
    [("two", Accounts::Two), ("dual-password", Accounts::DualPassword), ("none", Accounts::None)];

impl std::fmt::Debug for RotateInputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<&String> = self.values.keys().collect();
        f.debug_struct("RotateInputs").field("secret", &self.secret).field("values", &keys).finish_non_exhaustive()
    }
}

impl RotateInputs {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        // Values may be secrets: a line that is wrong is not repeated.
        let values = reader.lines("values", |line| match line.split_once('=') {
            Some((key, value)) if is_key(key.trim()) && !value.trim().is_empty() => {
                Ok((key.trim().to_owned(), value.trim().to_owned()))
            }
            Some((key, _)) if is_key(key.trim()) => Err(format!("\"{}\" is empty", key.trim())),
            _ => Err("a line is not KEY=VALUE".to_owned()),
        });
        let mut inputs = Self {
            secret: reader.read("secret", dns_subdomain).unwrap_or_default(),
            values: values.into_iter().collect(),
            generate: reader.lines("generate", generated).into_iter().collect(),
            every: Period::default(),
            accounts: reader.choice("accounts", "a kind of accounts", &ACCOUNTS),
            job: read_job(reader),
            verify: reader.lines("verify", SmokeCheck::parse),
            verify_args: reader.lines("verify-args", verbatim),
            keep_old: reader.maybe_period("keep-old"),
            timeout: reader.period("timeout"),
            force: reader.flag("force"),
        };
        inputs.every = reader.maybe_period("every").unwrap_or_else(|| inputs.accounts.every());
        let nothing = inputs.values.is_empty() && inputs.generate.is_empty();
        reader.rule(&["values", "generate"], nothing, || {
            "nothing is rotated; KEY=VALUE lines, or generate: KEY for random ones".to_owned()
        });
        for key in inputs.generate.keys().filter(|key| inputs.values.contains_key(*key)) {
            reader.problem("generate", format!("\"{key}\" has a value already, in values"));
        }
        let untold = inputs.accounts != Accounts::None && !reader.is_given("job");
        reader.rule(&["job", "accounts"], untold, || {
            "nothing makes the new value known to its source; cronjob/NAME, a manifest's path, or accounts: none"
                .to_owned()
        });
        if let (Some(keep), every) = (inputs.keep_old, inputs.every) {
            reader.rule(&["keep-old", "every", "accounts"], keep >= every, || {
                format!("keep-old {keep} is not shorter than every {every}: three values would be in use")
            });
        }
        inputs
    }
}

/// `KEY [LENGTH]`; 32 characters where no length is given.
fn generated(line: &str) -> Result<(String, u32), String> {
    let (key, length) = line.split_once(' ').unwrap_or((line, "32"));
    let length = length.trim().parse().ok().filter(|length| (16..=256).contains(length));
    match length {
        Some(length) if is_key(key) => Ok((key.to_owned(), length)),
        _ => Err(format!("\"{line}\" is not KEY or KEY LENGTH, 16 to 256 characters")),
    }
}

/// A Secret's key.
fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
