//! The deliveries of one job: begun when a step asks, told to end, and waited for.
//!
//! Invariants: a step delivers once, however often its request comes again over new links; a delivery that runs is never
//! dropped but by the end of the engine; its answer waits for a link.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use tagline_executor::{Link, LinkError};
use tagline_protocol::{Reply, Request};
use tagline_run::{RunState, Sender};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use crate::attend::Context;
use crate::delivery::{DELIVERED, Delivery, Said, carry_out};

/// So many lines are sent together at most.
const LINES: usize = 200;

/// What there is to be told to the agent.
pub(crate) enum News {
    /// Lines for the log of requests.
    Said(Vec<Said>),
    /// A delivery has ended.
    Answer(u64, Result<Reply, String>),
}

/// The request of a delivery that has ended, with its outputs.
type Ended = (u64, Result<IndexMap<String, String>, String>);

/// A delivery that a step has asked for.
struct Asked {
    stop: watch::Sender<Option<String>>,
    /// Kept for a link that breaks before it has passed on.
    answer: Option<Result<Reply, String>>,
}

/// The deliveries of a job.
pub(crate) struct Deliveries {
    context: Context,
    from: Sender,
    asked: BTreeMap<u64, Asked>,
    /// The steps they are of.
    steps: BTreeSet<u32>,
    tasks: JoinSet<Ended>,
    says: mpsc::UnboundedSender<Said>,
    said: mpsc::UnboundedReceiver<Said>,
}

impl Deliveries {
    pub(crate) fn new(context: Context, from: Sender) -> Self {
        let (says, said) = mpsc::unbounded_channel();
        Self { context, from, asked: BTreeMap::new(), steps: BTreeSet::new(), tasks: JoinSet::new(), says, said }
    }

    /// Begins what a step asks for. One that has its answer already gets it again.
    pub(crate) fn ask(&mut self, id: u64, request: Request) -> Option<Result<Reply, String>> {
        let Request::Deliver { step, uses, with } = request else { return None };
        if let Some(asked) = self.asked.get(&id) {
            return asked.answer.clone();
        }
        self.begin(id, step, Some((uses, with)), None);
        None
    }

    fn begin(&mut self, id: u64, step: u32, asked: Option<(String, IndexMap<String, String>)>, stop: Option<String>) {
        let (stop, stopped) = watch::channel(stop);
        let delivery = Delivery {
            context: self.context.clone(),
            from: self.from.clone(),
            id,
            step,
            asked,
            says: self.says.clone(),
            stop: stopped,
        };
        self.asked.insert(id, Asked { stop, answer: None });
        self.steps.insert(step);
        self.tasks.spawn(async move { (id, carry_out(delivery).await) });
    }

    /// Tells one to end in order.
    pub(crate) fn withdraw(&mut self, id: u64, why: &str) {
        if let Some(asked) = self.asked.get(&id) {
            stop(asked, why);
        }
    }

    /// Tells all of them to end in order.
    pub(crate) fn stop(&mut self, why: &str) {
        self.asked.values().for_each(|asked| stop(asked, why));
    }

    /// Whether one goes on.
    pub(crate) fn are_running(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// The next thing to be told; pends where there is none. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> News {
        let mut lines = Vec::new();
        tokio::select! {
            biased;
            count = self.said.recv_many(&mut lines, LINES) => {
                debug_assert!(count > 0, "a sender is kept");
                News::Said(lines)
            }
            Some(ended) = self.tasks.join_next() => self.ended(ended),
        }
    }

    fn ended(&mut self, ended: Result<Ended, JoinError>) -> News {
        let (id, answer) = match ended {
            Ok((id, answer)) => (id, answer.map(|outputs| Reply::Delivered { outputs })),
            Err(error) => {
                tracing::error!(key = %self.from.key, %error, "a delivery ended by a fault of the engine");
                let open = self.asked.iter().find(|(_, asked)| asked.answer.is_none()).map_or(0, |(id, _)| *id);
                (open, Err("the engine has failed in it; see its log".to_owned()))
            }
        };
        if let Some(asked) = self.asked.get_mut(&id) {
            asked.answer = Some(answer.clone());
        }
        News::Answer(id, answer)
    }

    /// Passes news on to the agent.
    pub(crate) async fn pass_on(&self, link: &Link, news: News) -> Result<(), LinkError> {
        match news {
            News::Answer(id, answer) => link.reply(id, answer).await,
            News::Said(said) => {
                let mut by_request: BTreeMap<u64, (Vec<String>, Vec<String>)> = BTreeMap::new();
                for Said { id, line, warning } in said {
                    let (lines, warnings) = by_request.entry(id).or_default();
                    if warning { warnings.push(line) } else { lines.push(line) }
                }
                for (id, (lines, warnings)) in by_request {
                    link.progress(id, lines, warnings).await?;
                }
                Ok(())
            }
        }
    }

    /// The agent is gone, or its job has ended: what goes on, and what an engine before this one had begun for it, is
    /// brought to an orderly end.
    pub(crate) async fn end(&mut self, why: &str) {
        self.stop(why);
        for step in left_open(&self.context.state, &self.from) {
            if !self.steps.contains(&step) {
                // Requests are numbered from 1 up; this is nobody's.
                self.begin(u64::MAX - u64::from(step), step, None, Some(why.to_owned()));
            }
        }
        while let Some(ended) = self.tasks.join_next().await {
            if let News::Answer(_, Err(said)) = self.ended(ended) {
                tracing::info!(key = %self.from.key, said, "a delivery without its job has ended");
            }
        }
    }
}

/// The steps of a leg that had begun to deliver and had not come to an end, as the engine found the run.
fn left_open(state: &RunState, from: &Sender) -> Vec<u32> {
    let Some(leg) = state.leg(&from.key) else { return Vec::new() };
    let open = leg.steps.iter().filter(|(_, step)| step.ended.is_none()).map(|(number, _)| *number);
    let delivers = |step: &u32| {
        let last = state.milestones(&from.key, from.attempt, *step).next_back();
        last.is_some_and(|reached| reached.milestone.name != DELIVERED)
    };
    open.filter(delivers).collect()
}

fn stop(asked: &Asked, why: &str) {
    asked.stop.send_if_modified(|stop| {
        let new = stop.is_none();
        stop.get_or_insert_with(|| why.to_owned());
        new
    });
}
