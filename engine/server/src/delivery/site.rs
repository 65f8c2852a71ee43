//! Where and for whom a delivery works, from a run's state.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tagline_delivery::{Site, Target};
use tagline_run::{Attempt, JobKey, RunState};

use crate::attend::Context;
use crate::services::chain;
use crate::source::{self, Wanted};

/// Length of a digest as text: `sha256:` and 64 hex digits.
const DIGEST: usize = 71;

/// The site of a step. `environment` is the one its leg names.
///
/// # Errors
/// One sentence: the environment has no cluster.
pub(crate) fn site(
    state: &RunState,
    environment: &str,
    key: &JobKey,
    attempt: Attempt,
    step: u32,
    tree: PathBuf,
) -> Result<Site, String> {
    let missing = || {
        format!(
            "environment {environment} has no `cluster:`; say in .tagline/environments.yml where it delivers to: \
             `cluster: {{ context: …, namespace: … }}`"
        )
    };
    let (name, rules) = state.rules(environment).ok_or_else(missing)?;
    let cluster = rules.cluster.as_ref().ok_or_else(missing)?;
    let trigger = &state.plan.trigger;
    Ok(Site {
        environment: name.to_owned(),
        protected: rules.reviewers.is_some(),
        target: Target { context: cluster.context.clone(), namespace: cluster.namespace.clone() },
        kubeconfig: kubeconfig(),
        repository: state.plan.repository.rsplit('/').next().unwrap_or_default().to_owned(),
        version: trigger.version.clone().unwrap_or_else(|| Site::untagged(&trigger.commit)),
        commit: trigger.commit.clone(),
        run: state.run.0,
        identity: state.identity.clone(),
        job: key.to_string(),
        attempt: attempt.0,
        step,
        tree,
        built: built(state),
    })
}

/// The run's files, unpacked once for all its deliveries.
pub(crate) async fn tree(context: &Context) -> Result<PathBuf, String> {
    let trigger = &context.state.plan.trigger;
    let wanted = Wanted {
        root: context.root.clone(),
        revision: trigger.commit.clone(),
        reference: trigger.reference.clone(),
        depth: 1,
        tags: false,
        working_tree: trigger.working_tree,
    };
    let folder = source::trees(&context.store.folder().cache()).join(context.state.run.to_string());
    // Once begun it is finished, so that `git` never writes into a folder that is being removed.
    let made = tokio::spawn(async move { source::tree(&wanted, &folder).await.map(|()| folder) }).await;
    made.map_err(|error| error.to_string())?.map_err(|error| chain(&error))
}

/// `KUBECONFIG` of the engine; empty means the user's default.
pub(super) fn kubeconfig() -> Vec<PathBuf> {
    let paths = std::env::var_os("KUBECONFIG").unwrap_or_default();
    std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect()
}

/// Digests that jobs of the run have handed on: of artifacts, and in outputs, as the store recorded both. What deliveries
/// keep as evidence is nothing that could be delivered.
fn built(state: &RunState) -> Vec<String> {
    let made = state.artifacts.values().filter(|artifact| artifact.kind != "evidence" && artifact.kind != "sbom");
    let mut digests: BTreeSet<String> = made.map(|artifact| artifact.digest.clone()).collect();
    for finished in state.facts().finished.values() {
        digests.extend(finished.outputs.values().flat_map(|value| digests_in(value)));
    }
    digests.into_iter().collect()
}

/// Every `sha256:` with 64 hex digits in a text.
fn digests_in(text: &str) -> impl Iterator<Item = String> {
    let is_digest =
        |part: &&str| part["sha256:".len()..].bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    text.match_indices("sha256:").filter_map(|(at, _)| text.get(at..at + DIGEST)).filter(is_digest).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_where_they_are_whole() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let text = format!("a=x@{digest} sha256:12 {digest}0 sha256:{}", "Z".repeat(64));
        assert_eq!(digests_in(&text).collect::<Vec<_>>(), [digest.clone(), digest]);
    }
}
