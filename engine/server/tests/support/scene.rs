//! One release in a place of its own: repository, store, platform; driven over as many lives of the engine as it takes.

use std::path::PathBuf;

use tagline_plan::Person;
use tagline_run::{Decision, Event, Input, RunId, RunState, Vote};
use tagline_server::{TellError, beside, ledger, vote};
use tagline_store::{Store, StoreFolder};

use super::beginning::Beginning;
use super::built::{self, Built};
use super::child::Role;
use super::files;
use super::platform::Platform;
use super::process::{End, Engine, Word};

/// People who may approve production.
pub(crate) const REVIEWERS: usize = 100;
/// No point needs more lives of the engine.
const LIVES: usize = 12;
/// A vote is cast again so often when the engine could not answer.
const TRIES: usize = 5;

/// A release that is being made.
pub(crate) struct Scene {
    pub(crate) built: Built,
    pub(crate) platform: Platform,
    pub(crate) folder: StoreFolder,
    pub(crate) run: RunId,
    /// The program engines launch; the agent unless a point puts another in its place.
    pub(crate) agent: PathBuf,
    scratch: tempfile::TempDir,
}

impl Scene {
    /// A repository with its tag, a platform, and a run that has begun. The platform's token comes with the run, or
    /// stays in the store when `keep_token`.
    pub(crate) fn new(built: &Built, keep_token: bool) -> Self {
        Self::begun(built, keep_token, Beginning::begin)
    }

    /// A scene whose run was begun by a process that was killed, and then once more as its user would.
    pub(crate) fn begun_twice(built: &Built) -> Self {
        Self::begun(built, false, |beginning| {
            beginning.begin_and_die();
            beginning.begin()
        })
    }

    fn begun(built: &Built, keep_token: bool, begin: impl FnOnce(&Beginning) -> RunId) -> Self {
        let scratch = tempfile::Builder::new().prefix("crash-point-").tempdir().unwrap();
        let platform = Platform::start(&built.platform, &scratch.path().join("platform"));
        let repository = scratch.path().join("storefront");
        files::copy(&built.repository, &repository, &[]);
        let rules = repository.join(".tagline/environments.yml");
        let text = std::fs::read_to_string(&rules).unwrap();
        let people: Vec<String> = (0..REVIEWERS).map(|number| reviewer(number).email).collect();
        let text = text.replace("http://127.0.0.1:7420", &platform.url());
        let text = text.replace("you@example.com", &people.join(", "));
        std::fs::write(&rules, text).unwrap();
        built::git(&repository, &["commit", "-q", "-a", "-m", "Say where the platform is and who approves"]);

        let folder = StoreFolder::at(scratch.path().join("store"));
        folder.create().unwrap();
        let run = begin(&Beginning { store: folder.root().to_owned(), repository, keep_token, killed: false });
        Self { agent: built.agent.clone(), built: built.clone(), platform, folder, run, scratch }
    }

    /// The engine's messages of all its lives.
    pub(crate) fn log(&self) -> PathBuf {
        self.scratch.path().join("engine.log")
    }

    /// Folder of everything of this release.
    pub(crate) fn scratch(&self) -> &std::path::Path {
        self.scratch.path()
    }

    /// Starts an engine that has this go wrong.
    pub(crate) fn engine(&self, fault: &str) -> Engine {
        let role = Role {
            store: self.folder.root().to_owned(),
            run: self.run.0,
            agent: self.agent.clone(),
            tools: self.built.tools.clone(),
            fault: fault.to_owned(),
        };
        Engine::start(&role, &self.log())
    }

    /// Drives the release to its end: one life of the engine after the other, each with the next fault, then without.
    /// Gates are approved as soon as an engine says that they wait. Returns how often an engine was killed.
    pub(crate) fn drive(&self, faults: &[String]) -> Result<usize, String> {
        for life in 0..LIVES {
            if self.one_life(faults.get(life).map_or("", String::as_str))? == End::Done {
                return Ok(life);
            }
        }
        Err(format!("the release has not ended after {LIVES} lives of the engine"))
    }

    /// Drives the release as far as one life of the engine goes.
    pub(crate) fn one_life(&self, fault: &str) -> Result<End, String> {
        let mut engine = self.engine(fault);
        self.accompany(&mut engine)
    }

    /// Approves gates as long as the engine lives.
    pub(crate) fn accompany(&self, engine: &mut Engine) -> Result<End, String> {
        while let Some(word) = engine.word()? {
            if word == Word::Gate {
                self.approve(engine)?;
            }
        }
        engine.end()
    }

    /// Approves the gate that waits. An engine that is killed meanwhile may have stored the vote or not; the next one
    /// says whether its gate still waits.
    fn approve(&self, engine: &mut Engine) -> Result<(), String> {
        for _ in 0..TRIES {
            let Some(input) = self.vote(Decision::Approve, 0) else { return Ok(()) };
            match self.tell(input) {
                Ok(_) => return Ok(()),
                Err(TellError::Refused(_)) if self.vote(Decision::Approve, 0).is_none() => return Ok(()),
                Err(TellError::Refused(refusal)) => return Err(format!("the vote was refused: {refusal}")),
                Err(_) if engine.gone() => return Ok(()),
                Err(_) => {}
            }
        }
        Err(format!("the vote could not be cast in {TRIES} tries"))
    }

    /// Tells the run something as a command does.
    pub(crate) fn tell(&self, input: Input) -> Result<Vec<Event>, TellError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(beside::tell(&self.folder, self.run, input)).map(|told| told.events)
    }

    /// A vote on the gate that waits; none when none waits.
    pub(crate) fn vote(&self, decision: Decision, number: usize) -> Option<Input> {
        ballot(&self.state(), decision, number).map(|vote| Input::Vote(Box::new(vote)))
    }

    /// The run as its journal has it.
    pub(crate) fn state(&self) -> RunState {
        ledger::state(&Store::open_read_only(&self.folder).unwrap(), self.run).unwrap()
    }

    /// The run's journal.
    pub(crate) fn events(&self) -> Vec<Event> {
        let store = Store::open_read_only(&self.folder).unwrap();
        store.events(self.run, 0).unwrap().into_iter().map(|(_, event)| event).collect()
    }
}

/// A vote on the gate that waits in a state.
pub(crate) fn ballot(state: &RunState, decision: Decision, number: usize) -> Option<Vote> {
    let gate = vote::open_gate(state, None).ok()?;
    let person = reviewer(number);
    let statement = state.statement(gate, decision, &person.email, "fine", state.latest)?;
    Some(vote::sign(statement, person, None, "cli").unwrap())
}

/// One of those who may approve.
pub(crate) fn reviewer(number: usize) -> Person {
    Person { name: format!("Reviewer {number}"), email: format!("reviewer-{number}@example.com") }
}
