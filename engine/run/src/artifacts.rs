//! Artifacts: names unique in a run, never a path, and never given to other bytes once they were approved; and who may
//! have which. A job behind a guarded gate gets what stood in the plan that was approved, never what came later.

use crate::decide::Decider;
use crate::event::Fact;
use crate::ids::{GateId, JobKey};
use crate::input::Sender;
use crate::query::is_in;
use crate::refusal::Refusal;
use crate::state::{Artifact, Gate, GateStatus, RunState};

/// What an artifact can be. The engine says so by its bytes (`evidence` is its own), because rules follow from it.
const KINDS: [&str; 4] = ["file", "sbom", "image", "evidence"];

/// GitHub's list of characters that a name cannot have (actions/upload-artifact), and what no name has.
const FORBIDDEN: [char; 9] = ['"', ':', '<', '>', '|', '*', '?', '\\', '/'];

/// An artifact that a job may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "artifact `{name}` was made after {environment}'s plan was approved, so nobody said yes to it; let the jobs of \
     {environment} need `{job}`, which makes it"
)]
pub struct Unapproved {
    name: String,
    environment: String,
    job: String,
}

impl RunState {
    /// Why a leg may not have an artifact of the run.
    ///
    /// Where people approve its environment, or `after` guards it, it gets what its gate's plan binds, and what its own
    /// stage has made in this attempt: nobody has looked at anything else.
    ///
    /// # Errors
    /// [`Unapproved`]; the artifact is another one's that came later.
    pub fn may_have(&self, key: &JobKey, name: &str, artifact: &Artifact) -> Result<(), Unapproved> {
        let Some(environment) = self.leg(key).and_then(|leg| leg.ready.leg.environment.as_deref()) else {
            return Ok(());
        };
        let Some((environment, rules)) = self.rules(environment) else { return Ok(()) };
        if rules.reviewers.is_none() && rules.after.is_none() {
            return Ok(());
        }
        let opened = self.gate_of(key).and_then(|(_, gate)| gate.opened.as_ref());
        let bound = opened.and_then(|opened| opened.plan.artifacts.get(name)) == Some(&artifact.digest);
        let own =
            artifact.attempt == self.attempt && self.known_leg(&artifact.by).is_some_and(|leg| is_in(leg, environment));
        if bound || own {
            return Ok(());
        }
        let job = artifact.by.job.clone();
        Err(Unapproved { name: name.to_owned(), environment: environment.to_owned(), job })
    }
}

impl Decider {
    pub(crate) fn artifact_stored(
        &mut self,
        from: &Sender,
        name: String,
        digest: String,
        size: u64,
        kind: String,
        overwrite: bool,
    ) -> Result<(), Refusal> {
        if self.sender(from)?.is_none() {
            return Err(Refusal::StaleReport(from.key.clone()));
        }
        if !is_name(&name) {
            return Err(Refusal::BadArtifactName(name));
        }
        if !is_digest(&digest) {
            return Err(Refusal::BadDigest(digest));
        }
        if !KINDS.contains(&kind.as_str()) {
            return Err(Refusal::BadArtifactKind(kind));
        }
        let old = self.state.artifacts.get(&name);
        if let Some(old) = old {
            let mine = old.by == from.key;
            if mine && old.attempt == from.attempt && old.digest == digest {
                return Ok(());
            }
            let earlier = mine && old.attempt < from.attempt;
            if !overwrite && !earlier {
                return Err(Refusal::ArtifactExists { name, by: old.by.clone() });
            }
            if old.digest != digest {
                self.free_of_approvals(&name, old)?;
            }
        }
        let stale = self.gates_with(&name, &digest);
        let id = self.state.artifacts.values().map(|a| a.id).max().unwrap_or(0) + 1;
        let (key, attempt) = (from.key.clone(), from.attempt);
        self.emit(Fact::ArtifactStored { key, attempt, id, name: name.clone(), digest, size, kind });
        for gate in stale {
            let why = format!("artifact {name} was made again with other bytes");
            self.emit(Fact::GateVoided { gate, why });
        }
        Ok(())
    }

    /// What was approved for jobs that are not over cannot change.
    fn free_of_approvals(&self, name: &str, old: &Artifact) -> Result<(), Refusal> {
        let in_use = |gate: &&Gate| {
            matches!(gate.status, GateStatus::Approved { .. })
                && gate.attempt == self.state.attempt
                && gate.opened.as_ref().is_some_and(|o| o.plan.artifacts.contains_key(name))
                && gate.jobs.iter().any(|key| self.state.jobs.get(&key.job).is_some_and(|job| !job.is_over()))
        };
        match self.state.gates.values().find(in_use) {
            None => Ok(()),
            Some(gate) => Err(Refusal::ArtifactApproved {
                name: name.to_owned(),
                environment: gate.environment.clone(),
                digest: old.digest.clone(),
            }),
        }
    }

    /// The open gates that bind the name to other bytes.
    fn gates_with(&self, name: &str, digest: &str) -> Vec<GateId> {
        let binds = |gate: &Gate| {
            let opened = gate.opened.as_ref().filter(|_| gate.status == GateStatus::Open);
            let bound = opened.and_then(|opened| opened.plan.artifacts.get(name));
            bound.is_some_and(|bound| bound != digest)
        };
        self.state.gates.iter().filter(|(_, gate)| binds(gate)).map(|(id, _)| *id).collect()
    }
}

fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    let bad = |c: char| FORBIDDEN.contains(&c) || c.is_control();
    (1..=255).contains(&length) && !name.contains(bad) && name != "." && name != ".."
}

fn is_digest(digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths() {
        for good in ["storefront", "sbom.cdx.json", "a b", "é", "..x"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", "a\nb", "a:b", "\u{0}", &"x".repeat(256)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn digests_are_whole() {
        assert!(is_digest(&format!("sha256:{}", "a".repeat(64))));
        assert!(!is_digest(&"a".repeat(64)));
        assert!(!is_digest(&format!("sha256:{}", "A".repeat(64))));
        assert!(!is_digest("sha256:"));
    }
}
