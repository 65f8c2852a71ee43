//! Votes: which gate one is about, its signature, and the checks of it before it is recorded.
//!
//! Every vote, from a command or over the socket, is recorded by the ledger, which asks [`verify`] and [`still_reviewer`].

use std::path::Path;

use tagline_evidence::ssh;
use tagline_plan::Person;
use tagline_run::{
    Decision, GateId, GateStatus, Refusal, RunState, Signature, Statement, VOTE_FORMAT, Vote, is_reviewer,
};
use thiserror::Error;

use crate::PlannerError;
use crate::planner::Rules;
use crate::repository::{ENVIRONMENTS_FILE, Repository};
use crate::services;

/// The namespace of our SSH signatures, so that one made for another purpose never counts.
pub const NAMESPACE: &str = VOTE_FORMAT;

/// Why a vote cannot be made.
#[derive(Debug, Error)]
pub enum VoteError {
    /// No gate of that environment is open.
    #[error("nothing waits for an approval of `{environment}` in run {run}")]
    NoGate {
        /// The run.
        run: u64,
        /// The environment.
        environment: String,
    },
    /// Several environments wait and none was named.
    #[error("run {run} waits for several environments: {}", environments.join(", "))]
    WhichGate {
        /// The run.
        run: u64,
        /// Those that wait.
        environments: Vec<String>,
    },
    /// The signature cannot be made or does not fit.
    #[error("the vote cannot be signed: {0}")]
    Signature(String),
}

/// The open gate of an environment; without a name, of the only one that waits. Of several gates of one environment it is
/// the first: jobs that come later may ask while earlier ones still wait.
pub fn open_gate(state: &RunState, environment: Option<&str>) -> Result<GateId, VoteError> {
    let open: Vec<(GateId, &str)> = state
        .gates
        .iter()
        .filter(|(_, gate)| gate.status == GateStatus::Open)
        .map(|(id, gate)| (*id, gate.environment.as_str()))
        .filter(|(_, name)| environment.is_none_or(|wanted| name.eq_ignore_ascii_case(wanted)))
        .collect();
    let mut environments: Vec<String> = open.iter().map(|(_, name)| (*name).to_owned()).collect();
    environments.sort();
    environments.dedup();
    match open.as_slice() {
        [(id, _), ..] if environments.len() == 1 => Ok(*id),
        [] => Err(VoteError::NoGate {
            run: state.run.0,
            environment: environment.unwrap_or("any environment").to_owned(),
        }),
        _ => Err(VoteError::WhichGate { run: state.run.0, environments }),
    }
}

/// Signs a statement with an SSH key, or leaves it unsigned where there is none, saying so. `via` is how it came:
/// `cli`, `prompt`.
pub fn sign(statement: Statement, voter: Person, key: Option<&ssh::SigningKey>, via: &str) -> Result<Vote, VoteError> {
    let signature = match key {
        None => Signature::Unsigned,
        Some(key) => {
            let armored = ssh::sign(key, NAMESPACE, &statement.bytes()).map_err(wrong)?;
            let fingerprint = ssh::claimed_key(&armored).and_then(|key| ssh::fingerprint(&key)).map_err(wrong)?;
            Signature::Ssh { armored, fingerprint }
        }
    };
    Ok(Vote { statement, signature, voter, via: via.to_owned() })
}

/// Checks a vote's signature over its statement, before it is recorded and whenever it is shown to others.
///
/// # Errors
/// When there is one and it does not fit, or is by another key than the vote says; an unsigned vote is what it says.
pub fn verify(vote: &Vote) -> Result<(), VoteError> {
    let Signature::Ssh { armored, fingerprint } = &vote.signature else { return Ok(()) };
    let key = ssh::claimed_key(armored).map_err(wrong)?;
    if ssh::fingerprint(&key).map_err(wrong)? != *fingerprint {
        return Err(VoteError::Signature(format!("it is not by the key {fingerprint}")));
    }
    ssh::verify(&key, NAMESPACE, &vote.statement.bytes(), armored).map_err(wrong)
}

/// Whether somebody who says yes is a reviewer by the rules as they are now, in the repository of the run. The run's own
/// rules are frozen, and who has been removed since then has no say. A no needs nothing but the run's own rules.
///
/// # Errors
/// When the rules of the default branch do not name them any more, or cannot be read.
pub(crate) fn still_reviewer(vote: &Vote, root: &str) -> Result<(), Refusal> {
    if vote.statement.decision == Decision::Reject {
        return Ok(());
    }
    let rules = rules_now(root).map_err(Refusal::RulesOutOfReach)?;
    let (who, environment) = (&vote.voter.email, &vote.statement.environment);
    let no = |why: String| Err(Refusal::NoLongerReviewer { who: who.clone(), environment: environment.clone(), why });
    let Some(file) = rules.file else {
        return no(format!("the default branch has no {ENVIRONMENTS_FILE} any more"));
    };
    let place = format!("{ENVIRONMENTS_FILE} ({})", rules.origin);
    let found = file.environments.iter().find(|(name, _)| name.eq_ignore_ascii_case(environment));
    let Some((name, found)) = found else {
        return no(format!("`{environment}` is not in {place} any more"));
    };
    let Some(requires) = &found.reviewers else {
        return no(format!("{place} names no reviewers of `{name}` any more"));
    };
    if is_reviewer(&file.teams, requires, who) {
        return Ok(());
    }
    no(format!("reviewers of `{name}` are now {}, by {place}", requires.any_of.join(", ")))
}

/// The rules of a repository's default branch, or why they cannot be read.
fn rules_now(root: &str) -> Result<Rules, String> {
    let repository = Repository::open(Path::new(root)).map_err(|error| services::chain(&error))?;
    // Where the folder is gone, Git would take the next repository above it.
    if repository.root().to_string_lossy() != root {
        return Err(format!("{root} is not a Git repository any more"));
    }
    Rules::read(&repository).map_err(|error| match &error {
        PlannerError::Unusable { file, origin, .. } => format!("{} ({origin}) has errors", file.name()),
        other => services::chain(other),
    })
}

fn wrong(error: impl std::error::Error) -> VoteError {
    VoteError::Signature(services::chain(&error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn vote(decision: Decision) -> Vote {
        let statement = Statement {
            format: VOTE_FORMAT.into(),
            run: tagline_run::RunId(1),
            repository: "shop".into(),
            environment: "production".into(),
            gate: GateId(1),
            decision,
            gate_digest: String::new(),
            artifacts: BTreeMap::new(),
            workflow_digest: String::new(),
            policy_version: String::new(),
            nonce: String::new(),
            voter: "ona@example.com".into(),
            comment: String::new(),
            checklist: BTreeMap::new(),
            time: jiff::Timestamp::UNIX_EPOCH,
        };
        let voter = Person { name: "Ona".into(), email: "ona@example.com".into() };
        Vote { statement, signature: Signature::Unsigned, voter, via: "cli".into() }
    }

    #[test]
    fn without_the_repository_nobody_can_approve_and_anybody_can_say_no() {
        let scratch = tempfile::tempdir().unwrap();
        let above = scratch.path().canonicalize().unwrap();
        let folder = above.join("shop");
        std::fs::create_dir(&folder).unwrap();
        let root = folder.to_string_lossy();
        let refused = || still_reviewer(&vote(Decision::Approve), &root).unwrap_err();
        assert_eq!(refused().code(), "rules-out-of-reach");
        // A repository around the folder is another one.
        git2::Repository::init(&above).unwrap();
        assert!(refused().to_string().ends_with("shop is not a Git repository any more"), "{}", refused());
        still_reviewer(&vote(Decision::Reject), &root).unwrap();
        // One without a default branch names nobody.
        git2::Repository::init(&folder).unwrap();
        let why =
            "ona@example.com cannot approve any more: the default branch has no .tagline/environments.yml any more";
        assert_eq!(refused().to_string(), why);
    }
}
