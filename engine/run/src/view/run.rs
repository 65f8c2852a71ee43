//! The run and its jobs as people see them.

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Serialize;
use tagline_plan::Person;

use super::approval::{outcome, waits_for};
use super::stamp;
use crate::event::{Cause, Conclusion, Ending};
use crate::ids::{Attempt, GateId, JobKey, RunId};
use crate::query::Place;
use crate::rules;
use crate::state::{Ended, GateStatus, JobState, LegState, RunState};
use crate::statement::{Decision, Signature};

/// Where a run or job stands. `waiting` is on people or time, `queued` on other jobs, capacity or a lock: never mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// On other jobs, room or a lock.
    Queued,
    /// On people or time.
    Waiting,
    /// Under way.
    InProgress,
    /// Ended well.
    Success,
    /// Failed.
    Failure,
    /// Cancelled.
    Cancelled,
    /// Not run.
    Skipped,
    /// Ended by its time limit.
    TimedOut,
    /// Its agent went away; not known what it did.
    Lost,
}

impl Status {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::InProgress => "in progress",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::TimedOut => "timed out",
            Self::Lost => "lost",
        }
    }

    /// Nothing more happens to it.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Waiting | Self::InProgress)
    }
}

impl From<Conclusion> for Status {
    fn from(conclusion: Conclusion) -> Self {
        match conclusion {
            Conclusion::Success => Self::Success,
            Conclusion::Failure => Self::Failure,
            Conclusion::Cancelled => Self::Cancelled,
            Conclusion::Skipped => Self::Skipped,
        }
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunView {
    /// Its number.
    pub id: RunId,
    /// The repository's name.
    pub repository: String,
    /// The version, when a tag started it.
    pub version: Option<String>,
    /// The ref.
    pub reference: String,
    /// The commit.
    pub commit: String,
    /// First line of its message.
    pub subject: String,
    /// The workflow's name.
    pub workflow: String,
    /// Its file.
    pub workflow_path: String,
    /// What started it.
    pub event: String,
    /// Who asked.
    pub requested_by: Person,
    /// The release digest.
    pub release_digest: String,
    /// The runner asked for.
    pub runner: String,
    /// Where it stands.
    pub status: Status,
    /// Why it ended so; none before the end.
    pub ending: Option<Ending>,
    /// What it waits for, or why it did not succeed; one sentence or empty.
    pub why: String,
    /// The attempt.
    pub attempt: Attempt,
    /// When it was created.
    #[serde(serialize_with = "stamp::at")]
    pub created_at: Timestamp,
    /// When the attempt ended.
    #[serde(serialize_with = "stamp::maybe")]
    pub finished_at: Option<Timestamp>,
    /// Its jobs, leg by leg.
    pub jobs: Vec<JobView>,
    /// Its gates.
    pub gates: Vec<GateLine>,
    /// The yes votes.
    pub approvals: Vec<ApprovalLine>,
}

/// A gate in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateLine {
    /// The gate.
    pub gate: GateId,
    /// The environment.
    pub environment: String,
    /// The attempt.
    pub attempt: Attempt,
    /// Its status in a word.
    pub status: &'static str,
    /// How it came out or what it waits for.
    pub outcome: String,
    /// The gate digest.
    pub plan: Option<String>,
    /// When silence becomes a no.
    #[serde(serialize_with = "stamp::maybe")]
    pub expires: Option<Timestamp>,
}

/// A yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApprovalLine {
    /// The environment.
    pub environment: String,
    /// Whose address.
    pub by: String,
    /// When.
    #[serde(serialize_with = "stamp::at")]
    pub at: Timestamp,
    /// The gate digest.
    pub plan: String,
    /// The gate.
    pub gate: GateId,
    /// It still counts; not so when the gate was voided.
    pub counts: bool,
    /// The fingerprint of the key that signed it; none of an unsigned one.
    pub signed: Option<String>,
    /// The bytes that were signed, or stated unsigned: `docs/approvals.md` says how to check them.
    pub statement: String,
    /// The armored SSH signature over them.
    pub signature: Option<String>,
}

/// A leg of a job, or a job whose legs are not known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobView {
    /// Its key.
    pub id: JobKey,
    /// Its display name.
    pub name: String,
    /// The ids of the jobs it needs.
    pub needs: Vec<String>,
    /// Its environment.
    pub environment: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// What it waits for, or why it did not succeed; one sentence or empty.
    pub why: String,
    /// A failure that the workflow tolerates.
    pub tolerated: bool,
    /// The attempt it is of.
    pub attempt: Attempt,
    /// What launched it.
    pub executor: Option<String>,
    /// When it was started.
    #[serde(serialize_with = "stamp::maybe")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(serialize_with = "stamp::maybe")]
    pub ended_at: Option<Timestamp>,
    /// The address of its environment.
    pub url: String,
    /// Its outputs.
    pub outputs: IndexMap<String, String>,
    /// Its steps so far.
    pub steps: Vec<StepView>,
    /// What its steps have reached in the world, in all attempts, in order.
    pub milestones: Vec<MilestoneView>,
}

/// A milestone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MilestoneView {
    /// The attempt of the job.
    pub attempt: Attempt,
    /// The step, from 1.
    pub step: u32,
    /// A word.
    pub name: String,
    /// One sentence.
    pub text: String,
    /// When.
    #[serde(serialize_with = "stamp::at")]
    pub at: Timestamp,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// From 1.
    pub number: u32,
    /// Its id.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// Where it stands, after `continue-on-error`.
    pub status: Status,
    /// Why it failed or was skipped, or empty.
    pub why: String,
    /// When it began.
    #[serde(serialize_with = "stamp::at")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "stamp::maybe")]
    pub ended_at: Option<Timestamp>,
}

/// The view of a run.
pub fn run(state: &RunState) -> RunView {
    let trigger = &state.plan.trigger;
    let jobs = jobs(state);
    let finished = state.finished.as_ref();
    RunView {
        id: state.run,
        repository: state.plan.repository.clone(),
        version: trigger.version.clone(),
        reference: trigger.reference.clone(),
        commit: trigger.commit.clone(),
        subject: trigger.subject.clone(),
        workflow: state.plan.workflow.name.clone(),
        workflow_path: state.plan.workflow.path.clone(),
        event: trigger.event.clone(),
        requested_by: trigger.actor.clone(),
        release_digest: state.plan.release_digest.clone(),
        runner: state.runner.clone(),
        status: status(state),
        ending: finished.map(|finished| finished.ending),
        why: finished.map_or_else(|| waits(state), |finished| finished.why.clone()),
        attempt: state.attempt,
        created_at: state.created_at,
        finished_at: finished.map(|finished| finished.at),
        jobs,
        gates: gates(state),
        approvals: approvals(state),
    }
}

/// Where a run stands.
pub fn status(state: &RunState) -> Status {
    if let Some(finished) = &state.finished {
        return finished.conclusion.into();
    }
    let places: Vec<Place> = state.jobs.keys().flat_map(|id| state.places(id)).collect();
    let open = |gate: &crate::Gate| gate.status == GateStatus::Open;
    if places.contains(&Place::Running) {
        Status::InProgress
    } else if state.gates.values().any(open) {
        Status::Waiting
    } else {
        Status::Queued
    }
}

fn waits(state: &RunState) -> String {
    if !state.may_go() {
        let group = state.plan.concurrency.as_ref().map(|group| group.name.as_str());
        return format!("another run has the concurrency group {}", group.unwrap_or_default());
    }
    let gates = state.gates.iter().filter(|(_, gate)| gate.status == GateStatus::Open);
    let waits = gates.map(|(id, gate)| format!("{} {}", gate.environment, outcome(state, *id)));
    waits.collect::<Vec<_>>().join("; ")
}

fn gates(state: &RunState) -> Vec<GateLine> {
    let line = |(id, gate): (&GateId, &crate::Gate)| GateLine {
        gate: *id,
        environment: gate.environment.clone(),
        attempt: gate.attempt,
        status: gate.status.word(),
        outcome: outcome(state, *id),
        plan: gate.opened.as_ref().map(|opened| opened.digest.clone()),
        expires: gate.opened.as_ref().and_then(|opened| opened.expires),
    };
    state.gates.iter().map(line).collect()
}

fn approvals(state: &RunState) -> Vec<ApprovalLine> {
    let mut lines = Vec::new();
    for (id, gate) in &state.gates {
        let Some(opened) = &gate.opened else { continue };
        let yes = opened.votes.iter().filter(|(_, v)| v.statement.decision == Decision::Approve);
        lines.extend(yes.map(|(at, vote)| {
            let signature = match &vote.signature {
                Signature::Ssh { armored, fingerprint } => Some((armored.clone(), fingerprint.clone())),
                Signature::Unsigned => None,
            };
            let (signature, signed) = signature.unzip();
            ApprovalLine {
                environment: gate.environment.clone(),
                by: vote.voter.email.clone(),
                at: *at,
                plan: opened.digest.clone(),
                gate: *id,
                counts: !matches!(gate.status, GateStatus::Voided { .. }),
                signed,
                statement: String::from_utf8_lossy(&vote.statement.bytes()).into_owned(),
                signature,
            }
        }));
    }
    lines
}

/// The view of every job, leg by leg, in the plan's order.
pub fn jobs(state: &RunState) -> Vec<JobView> {
    state.jobs.iter().flat_map(|(id, job)| legs_of(state, id, job)).collect()
}

/// The view of one leg.
pub fn job(state: &RunState, key: &JobKey) -> Option<JobView> {
    let views = legs_of(state, &key.job, state.jobs.get(&key.job)?);
    views.into_iter().find(|view| view.id == *key)
}

fn legs_of(state: &RunState, id: &str, job: &JobState) -> Vec<JobView> {
    if let Some(ready) = &job.ready {
        let legs = (0u32..).zip(ready.legs.iter().zip(state.places(id)));
        let view = |(n, (leg, place))| leg_view(state, JobKey::new(id, n), leg, place);
        return legs.map(view).collect();
    }
    let planned = state.plan.jobs.get(id).and_then(|job| job.legs.as_ref());
    let several = planned.filter(|legs| !legs.is_empty() && job.ended.is_none());
    match several {
        Some(legs) => legs
            .iter()
            .map(|leg| JobView {
                name: leg.name.clone(),
                environment: leg.environment.clone(),
                ..without_legs(state, JobKey::new(id, leg.index), job)
            })
            .collect(),
        None => vec![without_legs(state, JobKey::new(id, 0), job)],
    }
}

fn leg_view(state: &RunState, key: JobKey, leg: &LegState, place: Place) -> JobView {
    let (status, why) = match (&leg.ended, place) {
        (Some(ended), _) => (status_of(ended), ended.why.clone()),
        (None, place) => progress(state, &key, leg, place),
    };
    let step = |(number, step): (&u32, &crate::Step)| StepView {
        number: number + 1,
        id: step.id.clone(),
        name: step.name.clone(),
        status: step.ended.as_ref().map_or(Status::InProgress, |end| end.conclusion.into()),
        why: step.ended.as_ref().map(|end| end.why.clone()).unwrap_or_default(),
        started_at: step.started_at,
        ended_at: step.ended.as_ref().map(|end| end.at),
    };
    let ended = leg.ended.as_ref();
    JobView {
        name: leg.ready.leg.name.clone(),
        needs: needs(state, &key.job),
        environment: leg.ready.leg.environment.clone(),
        status,
        why,
        tolerated: leg.ready.tolerated,
        attempt: leg.attempt,
        executor: leg.started.as_ref().map(|started| started.executor.clone()),
        started_at: leg.started.as_ref().map(|started| started.at),
        ended_at: ended.map(|ended| ended.at),
        url: ended.map(|ended| ended.url.clone()).unwrap_or_default(),
        outputs: ended.map(|ended| ended.outputs.clone()).unwrap_or_default(),
        steps: leg.steps.iter().map(step).collect(),
        milestones: milestones(state, &key),
        id: key,
    }
}

fn without_legs(state: &RunState, key: JobKey, job: &JobState) -> JobView {
    let (status, why) = match &job.ended {
        Some(ended) => (status_of(ended), ended.why.clone()),
        None => (Status::Queued, comes_after(state, &key.job)),
    };
    JobView {
        name: key.job.clone(),
        needs: needs(state, &key.job),
        environment: None,
        status,
        why,
        tolerated: false,
        attempt: state.attempt,
        executor: None,
        started_at: None,
        ended_at: job.ended.as_ref().map(|ended| ended.at),
        url: String::new(),
        outputs: IndexMap::new(),
        steps: Vec::new(),
        milestones: milestones(state, &key),
        id: key,
    }
}

fn milestones(state: &RunState, key: &JobKey) -> Vec<MilestoneView> {
    let of_leg = state.reached.iter().filter(|reached| reached.key == *key);
    let view = |reached: &std::sync::Arc<crate::Reached>| MilestoneView {
        attempt: reached.attempt,
        step: reached.step + 1,
        name: reached.milestone.name.clone(),
        text: reached.milestone.text.clone(),
        at: reached.at,
    };
    of_leg.map(view).collect()
}

fn needs(state: &RunState, id: &str) -> Vec<String> {
    state.plan.jobs.get(id).map(|job| job.job.needs.clone()).unwrap_or_default()
}

fn status_of(ended: &Ended) -> Status {
    match ended.cause {
        Cause::Lost => Status::Lost,
        Cause::TimedOut => Status::TimedOut,
        _ => ended.conclusion.into(),
    }
}

/// `after deploy-staging, then 2 approvals`.
pub(crate) fn comes_after(state: &RunState, id: &str) -> String {
    let open = |need: &String| state.jobs.get(need).is_some_and(|job| !job.is_over());
    let needs: Vec<String> = needs(state, id).into_iter().filter(open).collect();
    let Some(job) = state.plan.jobs.get(id) else { return String::new() };
    let legs = job.legs.iter().flatten();
    let rules = legs.filter_map(|leg| state.rules(leg.environment.as_ref()?)).map(|(_, rules)| rules);
    let people = rules.filter_map(|rules| rules.reviewers.as_ref()).map(|r| r.required.max(1)).max();
    match (needs.is_empty(), people) {
        (true, _) => waits(state),
        (false, None) => format!("after {}", needs.join(", ")),
        (false, Some(n)) => format!("after {}, then {}", needs.join(", "), super::count(n, "approval")),
    }
}

/// Where a leg that has not ended stands, and what it waits for.
pub(crate) fn progress(state: &RunState, key: &JobKey, leg: &LegState, place: Place) -> (Status, String) {
    match place {
        Place::Running => {
            let cancel = leg.started.as_ref().and_then(|started| started.cancel.as_ref());
            let why = cancel.map(|cancel| format!("being cancelled: {}", cancel.why));
            (Status::InProgress, why.unwrap_or_default())
        }
        Place::Gate(_) => {
            let gate = state.gate_of(key).map(|(_, gate)| gate);
            let opened = gate.and_then(|gate| gate.opened.as_ref());
            match (gate, opened) {
                (Some(gate), Some(opened)) => {
                    let missing = rules::missing(&state.plan, opened);
                    (Status::Waiting, format!("{} ({})", waits_for(&missing), gate.environment))
                }
                _ => (Status::Queued, "its approval is being prepared".to_owned()),
            }
        }
        Place::MaxParallel => (Status::Queued, "max-parallel legs of its job are under way".to_owned()),
        Place::Retry(_) => (Status::Waiting, "waits for another try, because its launch failed".to_owned()),
        Place::Lock(lock, _) => (Status::Queued, format!("in line for the {lock}")),
        Place::Free => (Status::Queued, "ready, as soon as there is room".to_owned()),
        Place::Ended => (Status::Success, String::new()),
    }
}
