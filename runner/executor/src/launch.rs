//! What is launched: one attempt of one job.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tagline_protocol::{JobPaths, StepUser};

use crate::exposure::Exposure;
use crate::folder::JobFolder;
use crate::registry::Login;

/// Which attempt of which job; unique in its store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The run's number.
    pub run: u64,
    /// The job's id in the file.
    pub job: String,
    /// The leg of its matrix, from 0.
    pub leg: u32,
    /// From 1.
    pub attempt: u32,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, job, leg, attempt } = self;
        match leg {
            0 => write!(f, "{run}/{job}/{attempt}"),
            leg => write!(f, "{run}/{job}.{}/{attempt}", leg + 1),
        }
    }
}

/// Where the image of `container:` comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ImageRef {
    /// `name:tag`, `registry/name@sha256:…`.
    Reference(String),
    /// An OCI layout folder, written `oci:PATH`.
    Layout(PathBuf),
}

impl FromStr for ImageRef {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix("oci:") {
            Some(path) => Self::Layout(PathBuf::from(path)),
            // As GitHub writes images of actions and containers.
            None => Self::Reference(text.strip_prefix("docker://").unwrap_or(text).to_owned()),
        })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(text) => f.write_str(text),
            Self::Layout(path) => write!(f, "oci:{}", path.display()),
        }
    }
}

/// One launch. The same key, attempt and token launched twice is one agent.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Where the job lives on the host; its path ends up in no message of the job.
    pub folder: JobFolder,
    /// Which attempt.
    pub key: Key,
    /// The attempt's secret, random: who knows it may command the agent.
    pub token: String,
    /// `container:`, evaluated; none is the runner's own.
    pub image: Option<ImageRef>,
    /// `container.credentials`, evaluated: the login for the image's registry, before any of this machine's.
    pub login: Option<Login>,
    /// Folders of the host that steps may read, for the sandbox. A container has its image instead.
    pub expose: Exposure,
    /// Variables of the job's `container.env`, evaluated; they win over the executor's base environment.
    pub environment: Vec<(String, String)>,
    /// The agent's program on the host, static.
    pub agent_binary: PathBuf,
    /// Where the steps see their folders (see `Executor::paths`).
    pub paths: JobPaths,
    /// `container.options`, as far as they are carried out.
    pub limits: Limits,
    /// The job has an environment: it gets what a release is trusted with.
    pub has_environment: bool,
}

/// The carried-out part of GitHub's `container.options`, Docker's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// `--memory`, bytes.
    pub memory: Option<i64>,
    /// `--cpus`, billionths of a processor.
    pub nano_cpus: Option<i64>,
    /// `--pids-limit`; -1 is none at all.
    pub pids: Option<i64>,
    /// `--user UID[:GID]`: who the steps run as; the group is the user's number where none is given.
    pub user: Option<StepUser>,
    /// `--hostname`.
    pub hostname: Option<String>,
    /// `--network` is only ever `none` or the default bridge.
    pub no_network: bool,
}

/// An option that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Not one of the known ones.
    #[error(
        "the container option `{0}` is not carried out; known are --cpus, --hostname, --memory, --network none|bridge, \
         --pids-limit and --user"
    )]
    Unknown(String),
    /// Its value is missing or makes no sense.
    #[error("the container option `{option}` cannot be `{value}`")]
    Value {
        /// Which.
        option: String,
        /// As given.
        value: String,
    },
}

impl Limits {
    /// Whether there is anything to hold.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Limits {
    type Err = LimitsError;

    /// Reads `--memory 1g --cpus=2`.
    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let mut limits = Self::default();
        let mut words = text.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word, words.next()),
            };
            limits.set(option, value.unwrap_or_default())?;
        }
        Ok(limits)
    }
}

impl Limits {
    fn set(&mut self, option: &str, value: &str) -> Result<(), LimitsError> {
        let wrong = || LimitsError::Value { option: option.to_owned(), value: value.to_owned() };
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        match option {
            "--memory" | "-m" => self.memory = Some(bytes(value).ok_or_else(wrong)?),
            "--cpus" => self.nano_cpus = Some(cpus(value).ok_or_else(wrong)?),
            "--pids-limit" => {
                let count: i64 = value.parse().map_err(|_| wrong())?;
                // Docker takes 0 and everything below for no limit.
                self.pids = Some(if count > 0 { count } else { -1 });
            }
            "--user" | "-u" => self.user = Some(user(value).ok_or_else(wrong)?),
            "--hostname" | "-h" => self.hostname = Some(text().ok_or_else(wrong)?),
            "--network" | "--net" => {
                self.no_network = match value {
                    "none" => true,
                    "bridge" | "default" => false,
                    _ => return Err(wrong()),
                }
            }
            _ => return Err(LimitsError::Unknown(option.to_owned())),
        }
        Ok(())
    }
}

/// `512m`, `1g`, `1048576`.
fn bytes(text: &str) -> Option<i64> {
    let text = text.to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let digits = text.trim_end_matches(['k', 'm', 'g']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    let count: i64 = digits.parse().ok().filter(|count| *count > 0)?;
    count.checked_mul(1 << shift)
}

/// `1000` or `1000:1000`; names are the image's and are not looked up.
fn user(text: &str) -> Option<StepUser> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    Some(StepUser { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
}

/// `1.5` as billionths.
fn cpus(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 9 {
        return None;
    }
    let whole: i64 = format!("0{whole}").parse().ok()?;
    let part: i64 = format!("{part:0<9}").parse().ok()?;
    let nano = whole.checked_mul(1_000_000_000)?.checked_add(part)?;
    Some(nano).filter(|nano| *nano > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_both_spellings() {
        let limits: Limits = "--memory=512m --cpus 1.5 --pids-limit 64 -u 1000:1000 --network none".parse().unwrap();
        assert_eq!(limits.memory, Some(512 << 20));
        assert_eq!(limits.nano_cpus, Some(1_500_000_000));
        assert_eq!(limits.pids, Some(64));
        assert_eq!(limits.user, Some(StepUser { uid: 1000, gid: 1000 }));
        assert!(limits.no_network);
        assert!("".parse::<Limits>().unwrap().is_empty());
    }

    #[test]
    fn what_is_not_carried_out_is_refused_by_name() {
        for text in ["--privileged", "--volume=/:/host", "-v /:/host", "latest"] {
            let error = text.parse::<Limits>().unwrap_err().to_string();
            assert!(error.contains("is not carried out"), "{error}");
        }
        for text in [
            "--memory",
            "--memory 0",
            "--memory 9999999999g",
            "--cpus -1",
            "--cpus 0",
            "--network host",
            "--user ana",
            "--memory 1é",
        ] {
            let error = text.parse::<Limits>().unwrap_err();
            assert!(matches!(error, LimitsError::Value { .. }), "{text}");
        }
    }

    #[test]
    fn images_are_references_or_layouts() {
        let image = |text: &str| text.parse::<ImageRef>().unwrap();
        assert_eq!(image("oci:/a/b"), ImageRef::Layout("/a/b".into()));
        assert_eq!(image("docker://debian:12"), ImageRef::Reference("debian:12".into()));
        assert_eq!(image("debian:12").to_string(), "debian:12");
    }
}
