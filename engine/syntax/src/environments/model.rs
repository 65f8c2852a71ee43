//! The types of an environments file; plain data, frozen into the plan.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A whole environments file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct EnvironmentsFile {
    /// `teams`: members by team, e-mail addresses in lower case.
    pub teams: IndexMap<String, Vec<String>>,
    /// `variables` of the repository: `vars` in every job, under those of an environment.
    pub variables: IndexMap<String, String>,
    /// `environments`, in the file's order.
    pub environments: IndexMap<String, Environment>,
}

/// One environment with its protection rules. Defaults are the safe ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Environment {
    /// `url`.
    pub url: Option<String>,
    /// `tags`: a SemVer range as written; prereleases only where it names one.
    pub tags: Option<String>,
    /// `after`: the environment that these very digests must have passed.
    pub after: Option<String>,
    /// `reviewers`; none means nobody is asked.
    pub reviewers: Option<Reviewers>,
    /// `expires`, in seconds: silence that long is a no. 259,200 (72 h) unless said otherwise.
    pub expires_seconds: u64,
    /// `variables`: `vars` of jobs in this environment.
    pub variables: IndexMap<String, String>,
    /// `required-variables`: refused before the first step when one is missing or empty.
    pub required_variables: Vec<String>,
    /// `secrets`: must be set before anything starts.
    pub secrets: Vec<String>,
    /// `cluster`: where delivery steps work. Left out of the text where there is none, so that plans made before it was
    /// known keep their digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
}

/// `cluster` of an environment: a namespace of a Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// `context`: of the kubeconfig files; named always, the user's current one is never used unasked.
    pub context: String,
    /// `namespace`: a DNS label.
    pub namespace: String,
}

/// `reviewers` of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewers {
    /// `any-of`: teams or people (e-mail addresses in lower case).
    pub any_of: Vec<String>,
    /// `required`: how many different people must approve; 1 unless said otherwise.
    pub required: u32,
    /// `from`: of them, at least so many from each named team.
    pub from: BTreeMap<String, u32>,
    /// `prevent-self-review`: nobody approves their own release; true unless said otherwise.
    pub prevent_self_review: bool,
}
