//! Votes: which gate one is about, its signature, and the check of it before it is recorded.

use tagline_evidence::ssh;
use tagline_plan::Person;
use tagline_run::{GateId, GateStatus, RunState, Signature, Statement, VOTE_FORMAT, Vote};
use thiserror::Error;

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

/// The open gate of an environment; without a name, the only one there is.
pub fn open_gate(state: &RunState, environment: Option<&str>) -> Result<GateId, VoteError> {
    let open: Vec<(GateId, &str)> = state
        .gates
        .iter()
        .filter(|(_, gate)| gate.status == GateStatus::Open)
        .map(|(id, gate)| (*id, gate.environment.as_str()))
        .filter(|(_, name)| environment.is_none_or(|wanted| name.eq_ignore_ascii_case(wanted)))
        .collect();
    match open.as_slice() {
        [(id, _)] => Ok(*id),
        [] => Err(VoteError::NoGate {
            run: state.run.0,
            environment: environment.unwrap_or("any environment").to_owned(),
        }),
        several => Err(VoteError::WhichGate {
            run: state.run.0,
            environments: several.iter().map(|(_, name)| (*name).to_owned()).collect(),
        }),
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

fn wrong(error: impl std::error::Error) -> VoteError {
    VoteError::Signature(services::chain(&error))
}
