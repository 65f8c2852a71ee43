//! Gates: what an approver is shown, what they are asked, how their vote is cast.
//!
//! - [`review`]: one value for the prompt and for `show --plan`, as text and as JSON.
//! - [`prompt()`]: the questions on a terminal. The end of input and Ctrl-C leave the release waiting; they never vote.
//! - [`cast()`]: statement, signature, and telling the run.

mod bill;
mod cast;
mod detail;
mod prompt;
mod review;

use std::io::IsTerminal as _;
use std::path::Path;

use tagline_plan::Person;
use tagline_run::view::Live;
use tagline_run::{Fact, GateId, GateStatus, RunId, RunState};
use tagline_server::repository::Repository;
use tagline_store::Store;

use crate::context::Context;

pub(crate) use cast::{Ballot, cast, decided, recorded, signing_key};
pub(crate) use prompt::{Answered, Asking, prompt};
pub(crate) use review::{can, review};

/// Somebody can be asked: standard input and standard error are terminals.
pub(crate) fn can_ask(context: &Context) -> bool {
    context.output.err.terminal && std::io::stdin().is_terminal()
}

/// Who the person here is: whom the Git configuration of the run's repository names.
pub(crate) fn person_of(store: &Store, state: &RunState) -> Option<Person> {
    repository_of(store, state)?.identity()
}

/// The repository of a run.
pub(crate) fn repository_of(store: &Store, state: &RunState) -> Option<Repository> {
    let row = store.run(state.run).ok()?;
    Repository::open(Path::new(&row.root)).ok()
}

/// What is recorded as live in an environment of a run's repository.
pub(crate) fn live(store: &Store, run: RunId, environment: &str) -> Option<Live> {
    let root = store.run(run).ok()?.root;
    let newest = store.deployments(Some(&root), Some(environment)).ok()?.into_iter().next()?;
    let Fact::Deployed { version, commit, .. } = newest.event.fact else { return None };
    Some(Live { version, commit, run: RunId(newest.run), since: newest.event.at })
}

/// The gates that wait for votes.
pub(crate) fn open_gates(state: &RunState) -> impl Iterator<Item = GateId> + '_ {
    state.gates.iter().filter(|(_, gate)| gate.status == GateStatus::Open).map(|(id, _)| *id)
}
