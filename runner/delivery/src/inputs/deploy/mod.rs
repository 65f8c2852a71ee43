//! `tagline/deploy`: what is delivered, how, what is checked, and when it goes back.
//!
//! ```yaml
//! uses: tagline/deploy@v1
//! with:
//!   manifests: k8s/overlays/prod
//!   images: ghcr.io/acme/storefront=${{ needs.build.outputs.image }}
//!   strategy: blue-green
//!   smoke: |
//!     /q/health/ready 200
//!     /q/info json version = ${{ github.ref_name }}
//!   rollback-when: |
//!     error-rate > 5% for 5m
//!     p99 > 2x baseline within 30m
//!   watch: 15m
//!   keep-old: 24h
//! ```
//! Knobs of the strategy that is not chosen are read and checked too, and named in [`DeployInputs::notes`]: a step whose
//! `strategy` is an input of the workflow may give those of both.

mod read;

use serde::{Deserialize, Serialize};

use super::measure::MeasureKnobs;
use super::rule::RollbackRule;
use super::smoke::{LogLimit, SmokeInputs};
use super::source::{HelmSource, ImageInput, Source};
use super::{Amount, Period, Replicas, WorkloadRef};

pub(super) use read::path;

/// `tagline/deploy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeployInputs {
    /// The unit's name; the repository's where it is not given.
    pub name: Option<String>,
    /// Where objects come from.
    pub source: Source,
    /// Helm's settings, where the source is or may be a chart.
    pub helm: Option<HelmSource>,
    /// Digests by image name.
    pub images: Vec<ImageInput>,
    /// The workloads that are delivered as one; all that are rendered where there is none. The rest is applied in place.
    pub workloads: Vec<WorkloadRef>,
    /// The Services that are switched; those that select the workloads' pods where there is none.
    pub services: Vec<String>,
    /// The name of the Service that selects the new release before the switch: made for its tests, and removed after them.
    pub preview_service: Option<String>,
    /// How workloads of a blue-green release are named.
    pub names: Names,
    /// Who owns the ConfigMaps and Secrets that the workloads refer to.
    pub config: ConfigOwner,
    /// How many pods each workload gets.
    pub replicas: Replicas,
    /// How it is delivered.
    pub strategy: Strategy,
    /// For each thing that is waited for: pods that get ready, a Job, an API server that is away.
    pub timeout: Period,
    /// Without progress for so long a rollout has failed.
    pub progress_deadline: Period,
    /// A pod counts when it has been ready for so long.
    pub min_ready: Period,
    /// What follows a failure.
    pub on_failure: OnFailure,
    /// Why `on-failure: stop` is right in an environment with reviewers.
    pub reason: Option<String>,
    /// Removes objects of the unit that are not rendered any more.
    pub prune: bool,
    /// Takes fields from other managers.
    pub force_conflicts: bool,
    /// Takes over workloads and Services that Tagline has not made.
    pub adopt: bool,
    /// What is done with fields that somebody else changed.
    pub drift: Drift,
    /// Quota and room are checked first.
    pub capacity_check: bool,
    /// Tested before traffic and, its public checks, afterwards.
    pub smoke: SmokeInputs,
    /// How long the release is watched after it has all traffic.
    pub watch: Period,
    /// What ends the watch badly.
    pub rollback_when: Vec<RollbackRule>,
    /// The path that `health fails` asks; the readiness of the pods where it is not given.
    pub health: Option<String>,
    /// How signals are measured.
    pub measure: MeasureKnobs,
    /// Paths that are asked of a pod before it is removed, and kept: `:8081/dump`.
    pub evidence: Vec<EvidenceHook>,
    /// How many releases are remembered and can be gone back to.
    pub releases: u32,
    /// What is worth saying though it is no problem.
    pub notes: Vec<String>,
}

/// How it is delivered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// In place, pod by pod.
    Rolling(RollingKnobs),
    /// A second set of workloads beside the live one, and a switch.
    BlueGreen(BlueGreenKnobs),
}

/// `strategy: rolling`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollingKnobs {
    /// Pods beyond the wanted number.
    pub max_surge: Amount,
    /// Pods below it.
    pub max_unavailable: Amount,
}

/// `strategy: blue-green`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlueGreenKnobs {
    /// Between the switch and the first old pod that ends.
    pub drain: Period,
    /// Pods that the old release keeps after the watch.
    pub scale_old: u32,
    /// From the switch until the old release is deleted.
    pub keep_old: Period,
    /// Pods that the old release gets before traffic goes back to it.
    pub rollback_replicas: Replicas,
    /// What becomes of HorizontalPodAutoscalers.
    pub autoscaler: Follow,
    /// What becomes of PodDisruptionBudgets.
    pub pdb: Follow,
}

/// How workloads of a blue-green release are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Names {
    /// By release: `shop-v1-2-3-1a2b3c4d`.
    Release,
    /// `shop-blue` and `shop-green`, in turn: the one that is not live is next.
    Colours,
}

/// Who owns ConfigMaps and Secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigOwner {
    /// Each release its own, named by content: the way back finds its bytes.
    Release,
    /// Applied in place under their own names.
    Shared,
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Back to what was live.
    Rollback,
    /// Everything stays, and the step waits for a person.
    Pause,
    /// Everything stays, and the step fails.
    Stop,
}

/// What is done with fields that somebody else changed since the last release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    /// Nothing is delivered.
    Refuse,
    /// They are set to what is rendered.
    Overwrite,
    /// They are left as they are.
    Keep,
}

/// Whether something goes to the new release with the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Follow {
    /// It does.
    Follow,
    /// It stays where it is.
    Leave,
}

/// `[:PORT]/PATH`: asked of a pod before it is removed, the answer is kept as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceHook {
    /// The pod's port; that of the smoke checks where it is not given.
    pub port: Option<u16>,
    /// Path and query.
    pub path: String,
}

impl EvidenceHook {
    /// Reads a line.
    pub fn parse(line: &str) -> Result<Self, String> {
        let wrong = || format!("\"{line}\" is not [:PORT]/PATH; :8081/dump");
        let (port, path) = match line.strip_prefix(':') {
            None => (None, line),
            Some(rest) => {
                let at = rest.find('/').ok_or_else(wrong)?;
                (Some(rest[..at].parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?), &rest[at..])
            }
        };
        if path.starts_with('/') { Ok(Self { port, path: path.to_owned() }) } else { Err(wrong()) }
    }
}

impl DeployInputs {
    /// Limits on log lines of the new pods.
    pub fn log_limits(&self) -> &[LogLimit] {
        &self.measure.log_limits
    }
}
