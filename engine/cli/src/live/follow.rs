//! Following one run: its journal read beside whoever drives it, woken by the engine's socket, until it ends or waits for
//! people.

use std::time::{Duration, Instant};

use tagline_run::{Event, Input, RunId, RunState};
use tagline_server::TellError;
use tagline_server::beside::{self, Following};
use tagline_store::Store;
use tokio::time::sleep;

use super::controls::{Control, Controls};
use super::face::Face;
use super::tail::Tails;
use super::tree;
use crate::context::Context;
use crate::failure::Failure;

/// A second Ctrl-C within this kills.
const TWICE: Duration = Duration::from_secs(5);

/// A run that is followed: its state is the fold of the events read so far.
pub(crate) struct Followed {
    /// Read-only.
    pub(crate) store: Store,
    /// The run's state.
    pub(crate) state: RunState,
    seen: u64,
    line: Option<Following>,
}

/// Why following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The run has ended.
    Ended,
    /// It waits for people and for nothing else.
    Waiting,
    /// The engine that drove it is gone.
    EngineGone,
    /// This command was told to end.
    Told,
}

impl Followed {
    /// The run as it stands, and its events.
    pub(crate) fn open(context: &Context, run: RunId) -> Result<(Self, Vec<Event>), Failure> {
        let store = context.read_store()?;
        store.run(run)?;
        let events = store.events(run, 0)?;
        let seen = events.last().map_or(0, |(number, _)| *number);
        let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
        let state = RunState::load(&events).map_err(TellError::from)?;
        Ok((Self { store, state, seen, line: None }, events))
    }

    /// Waits for news of the run; none when the engine is gone.
    pub(crate) async fn news(&mut self) -> Result<Option<Vec<Event>>, Failure> {
        loop {
            let line = match &mut self.line {
                Some(line) => line,
                None => match beside::follow(self.store.folder(), self.state.run).await? {
                    Some(line) => self.line.insert(line),
                    None => return Ok(None),
                },
            };
            if !line.changed().await? {
                self.line = None;
                return Ok(None);
            }
            let events = self.catch_up()?;
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
    }

    /// Reads what is new in the journal.
    pub(crate) fn catch_up(&mut self) -> Result<Vec<Event>, Failure> {
        let new = self.store.events(self.state.run, self.seen)?;
        let mut events = Vec::with_capacity(new.len());
        for (number, event) in new {
            self.state.apply(&event).map_err(TellError::from)?;
            self.seen = number;
            events.push(event);
        }
        Ok(events)
    }

    /// How the run stands; none while it goes on.
    pub(crate) fn stop(&self) -> Option<Stop> {
        if self.state.finished.is_some() {
            return Some(Stop::Ended);
        }
        tree::holds(&self.state, tagline_server::clock::now()).then_some(Stop::Waiting)
    }

    /// Shows the run until it ends or waits for people.
    pub(crate) async fn watch(
        &mut self,
        context: &Context,
        face: &mut Face<'_>,
        controls: &mut Controls,
        tails: &mut Option<Tails>,
    ) -> Result<Stop, Failure> {
        let mut interrupted: Option<Instant> = None;
        loop {
            if let Some(stop) = self.stop() {
                return Ok(stop);
            }
            if let Some(tails) = tails.as_mut() {
                tails.follow(&self.state);
            }
            face.frame(&self.state, &self.store);
            let pace = face.pace();
            tokio::select! {
                biased;
                control = controls.any() => match control {
                    Control::Interrupt => {
                        let force = interrupted.is_some_and(|at| at.elapsed() < TWICE);
                        interrupted = Some(Instant::now());
                        self.cancel(context, face, force).await?;
                    }
                    Control::Enter => face.peek(&self.state, &self.store),
                    Control::Leave => return Ok(Stop::Told),
                    Control::Nothing => {}
                },
                news = self.news() => match news? {
                    Some(events) => {
                        if let Some(tails) = tails.as_mut() {
                            tails.rest(&self.state, |line| face.log(line)).await;
                        }
                        face.happened(&self.state, &events, &self.store);
                    }
                    None => return Ok(Stop::EngineGone),
                },
                line = next(tails) => face.log(&line),
                () = sleep(pace) => {}
            }
        }
    }

    async fn cancel(&self, context: &Context, face: &mut Face<'_>, force: bool) -> Result<(), Failure> {
        let by = crate::gate::person_of(&self.store, &self.state).unwrap_or_default();
        let input = Input::Cancel { by, reason: "Ctrl-C".to_owned(), force };
        match beside::tell(&context.store, self.state.run, input).await {
            Ok(_) if force => face.say("Killing what runs"),
            Ok(_) => face.say("Ending what runs; Ctrl-C again within 5s kills it"),
            // It ended, or was cancelled, while the key was pressed.
            Err(TellError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

async fn next(tails: &mut Option<Tails>) -> super::tail::LogLine {
    match tails {
        Some(tails) => tails.next().await,
        None => std::future::pending().await,
    }
}
