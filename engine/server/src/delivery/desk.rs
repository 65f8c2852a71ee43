//! What a delivery says and remembers, on its way to the job's log and the run's journal.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tagline_delivery::progress::Later;
use tagline_delivery::{Milestone, Progress, Stop};
use tagline_run::{Input, Sender};
use tokio::sync::{mpsc, watch};

use crate::attend::Context;
use crate::clock;
use crate::ledger::TellError;
use crate::services::blocking;

/// A line for the log of a request's step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) id: u64,
    pub(crate) line: String,
    pub(crate) warning: bool,
}

/// The link of one delivery to its run.
pub(crate) struct Desk {
    pub(crate) context: Context,
    pub(crate) from: Sender,
    pub(crate) step: u32,
    pub(crate) environment: String,
    /// The request it answers.
    pub(crate) id: u64,
    pub(crate) says: mpsc::UnboundedSender<Said>,
    /// Why it is to end, once it is.
    pub(crate) stop: watch::Receiver<Option<String>>,
    /// What was recorded so far; the engine's own milestones are not among it.
    pub(crate) milestones: Mutex<Vec<Milestone>>,
}

impl Desk {
    fn tell(&self, line: String, warning: bool) {
        // Nobody listens to a step whose job has ended.
        let _ = self.says.send(Said { id: self.id, line, warning });
    }

    /// Stores a milestone and waits until it is on disk.
    pub(crate) async fn store(&self, milestone: &Milestone) {
        let milestone = tagline_run::Milestone {
            name: milestone.name.clone(),
            text: milestone.text.clone(),
            data: milestone.data.clone(),
        };
        let input = Input::Milestone { from: self.from.clone(), step: self.step, milestone };
        if let Err(error) = self.context.tell(input).await {
            tracing::warn!(key = %self.from.key, %error, "a milestone is not recorded");
        }
    }

    /// One file of evidence as an artifact: a tar, as every artifact is.
    async fn keep_file(&self, name: &str, bytes: Vec<u8>) -> Result<(), String> {
        let (store, file) = (self.context.store.clone(), plain(name));
        let put = move || {
            let packed = pack(&file, &bytes)?;
            store.blobs().put(packed.as_slice()).map_err(io::Error::other)
        };
        let (digest, size) = blocking(put).await?;
        let Sender { key, attempt, .. } = &self.from;
        let name = plain(name.strip_prefix("evidence").unwrap_or(name));
        let (environment, step, name) = (plain(&self.environment), self.step, name.trim_start_matches('-'));
        let name = format!("evidence-{environment}-{key}-{attempt}-{step}-{name}");
        let (kind, from) = ("evidence".to_owned(), self.from.clone());
        let input = Input::ArtifactStored { from, name, digest, size, kind, overwrite: true };
        match self.context.tell(input).await {
            Ok(_) => Ok(()),
            Err(TellError::Refused(refusal)) => Err(refusal.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Progress for Desk {
    fn say(&self, line: String) {
        self.tell(line, false);
    }

    fn warn(&self, line: String) {
        self.tell(line, true);
    }

    fn milestones(&self) -> Vec<Milestone> {
        self.milestones.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record(&self, milestone: Milestone) -> Later<'_, Result<(), Stop>> {
        Box::pin(async move {
            self.store(&milestone).await;
            self.milestones.lock().unwrap_or_else(PoisonError::into_inner).push(milestone);
            Ok(())
        })
    }

    fn keep(&self, name: String, bytes: Vec<u8>) -> Later<'_, Result<(), Stop>> {
        Box::pin(async move {
            // A delivery is not ended because a copy of a log could not be kept.
            if let Err(why) = self.keep_file(&name, bytes).await {
                self.warn(format!("{name} is not kept as evidence: {why}"));
            }
            Ok(())
        })
    }

    fn stopped(&self) -> Later<'_, Stop> {
        let mut stop = self.stop.clone();
        Box::pin(async move {
            let why = stop.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
            match why {
                Some(why) => Stop::Cancelled(why),
                // Its attendant is gone: the engine ends, and this task with it.
                None => std::future::pending().await,
            }
        })
    }

    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn sleep(&self, duration: Duration) -> Later<'_, ()> {
        let span = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Box::pin(clock::until(clock::now().saturating_add(span).unwrap_or(Timestamp::MAX)))
    }
}

/// A name without what no name of an artifact or file may have.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    name.chars().map(plain).collect()
}

/// A tar with one file, the same bytes for the same file.
fn pack(name: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, name, bytes)?;
    tar.into_inner()
}
