//! Where a Job of ours is made from.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::workload::dns_subdomain;

/// What a Job is made from: `cronjob/NAME` (the template of a CronJob, in the manifests or in the cluster) or a manifest's
/// path in the repository (`k8s/migrate-job.yaml`).
///
/// ```
/// # use tagline_delivery::inputs::JobSource;
/// assert_eq!(JobSource::parse("cronjob/migrations"), Ok(JobSource::CronJob("migrations".into())));
/// assert!(JobSource::parse("migrations").unwrap_err().contains("cronjob/migrations?"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobSource {
    /// A CronJob's template, by the CronJob's name.
    CronJob(String),
    /// A file of the repository with one Job or one CronJob.
    Manifest(String),
}

impl JobSource {
    /// Reads a source.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_file = [".yaml", ".yml", ".json"].iter().any(|end| text.ends_with(end));
        match text.split_once('/') {
            Some((kind, name)) if kind.eq_ignore_ascii_case("cronjob") || kind == "cj" => {
                dns_subdomain(name).map(Self::CronJob)
            }
            _ if is_file => relative_path(text).map(Self::Manifest),
            _ => Err(format!("\"{text}\" is neither cronjob/NAME nor a manifest; cronjob/{text}? {text}.yaml?")),
        }
    }
}

impl fmt::Display for JobSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CronJob(name) => write!(f, "cronjob/{name}"),
            Self::Manifest(path) => f.write_str(path),
        }
    }
}

/// A path inside the repository: relative, and never up.
pub(in super::super) fn relative_path(text: &str) -> Result<String, String> {
    let up = text.split('/').any(|part| part == "..");
    if text.is_empty() || text.starts_with('/') || text.contains('\\') || text.contains('\0') || up {
        return Err(format!(
            "\"{text}\" is not a path inside the repository; write it from the repository's root, without .."
        ));
    }
    Ok(text.strip_prefix("./").unwrap_or(text).trim_end_matches('/').to_owned())
}
