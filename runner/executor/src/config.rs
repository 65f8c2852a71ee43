//! `runner.toml`: what of this machine jobs may use. It belongs to the machine, never to a repository.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::exposure::{Exposure, ExposureError};
use crate::sandbox::PlainProcess;

/// The runner's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folders of the host that steps in the sandbox may read; `~` is the user's home.
    pub expose: Vec<PathBuf>,
    /// The image of jobs without `container:` when they run in Docker.
    pub image: Option<String>,
    /// How many jobs run at the same time at most; as many as the machine has processors, and two at least, where it is
    /// not given.
    pub jobs: Option<NonZeroUsize>,
    /// Whether jobs run as plain processes where the kernel refuses namespaces; where it is not given, those without an
    /// environment do.
    #[serde(rename = "plain-process")]
    pub plain_process: Option<bool>,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not readable.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not TOML, or with keys nobody knows.
    #[error("{path} is not understood: {source}known keys are `expose`, `image`, `jobs` and `plain-process`", path = path.display())]
    Syntax {
        /// Where.
        path: PathBuf,
        /// What is wrong, with the place.
        source: Box<toml::de::Error>,
    },
    /// A folder that cannot be exposed.
    #[error("{path}: {source}", path = path.display())]
    Expose {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: ExposureError,
    },
}

impl Config {
    /// `$XDG_CONFIG_HOME/tagline/runner.toml`, else `~/.config/tagline/runner.toml`; none without a home.
    pub fn place() -> Option<PathBuf> {
        let given = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || std::env::home_dir().map(|home| home.join(".config"));
        Some(given.or_else(home)?.join("tagline/runner.toml"))
    }

    /// Reads the file; one that is not there is an empty configuration.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        toml::from_str(&text).map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: source.into() })
    }

    /// Which jobs may go without isolation.
    pub fn plain_process(&self) -> PlainProcess {
        match self.plain_process {
            None => PlainProcess::WithoutEnvironment,
            Some(true) => PlainProcess::Always,
            Some(false) => PlainProcess::Never,
        }
    }

    /// The folders, checked; `path` is the file, for messages.
    pub fn exposure(&self, path: &Path) -> Result<Exposure, ConfigError> {
        let exposure = Exposure::of(&self.expose, std::env::home_dir().as_deref());
        exposure.map_err(|source| ConfigError::Expose { path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("runner.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    #[test]
    fn the_keys_are_read_and_a_missing_file_is_empty() {
        let config = read("expose = [\"~/.cargo/bin\"]\nimage = \"debian:12\"\njobs = 8\n").unwrap();
        assert_eq!(config.expose, [PathBuf::from("~/.cargo/bin")]);
        assert_eq!(config.image.as_deref(), Some("debian:12"));
        assert_eq!(config.jobs.map(usize::from), Some(8));
        assert_eq!(config.plain_process(), PlainProcess::WithoutEnvironment);
        assert_eq!(read("plain-process = true").unwrap().plain_process(), PlainProcess::Always);
        assert_eq!(read("plain-process = false").unwrap().plain_process(), PlainProcess::Never);
        assert_eq!(Config::read(Path::new("/nowhere/runner.toml")).unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_and_a_bad_folder_are_named_with_the_file() {
        let error = read("expsoe = []").unwrap_err().to_string();
        assert!(error.contains("runner.toml is not understood") && error.contains("expsoe"), "{error}");
        let config = read("expose = [\"/\"]").unwrap();
        let error = config.exposure(Path::new("/etc/runner.toml")).unwrap_err().to_string();
        assert!(error.starts_with("/etc/runner.toml: `/` under `expose` would show too much"), "{error}");
    }
}
