//! What a release has come to, in a form that is the same however often its engine was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};
use tagline_plan::NeedResult;
use tagline_protocol::{Record, SPOOL};
use tagline_run::{Fact, RunState};
use tagline_store::Store;

use super::scene::Scene;

/// Everything that is compared, by what it is.
pub(crate) type EndState = BTreeMap<String, Value>;

/// What the release has come to.
pub(crate) fn end_state(scene: &Scene) -> EndState {
    let state = scene.state();
    let mut end = EndState::new();
    let finished = state.finished.as_ref().unwrap();
    end.insert("run".into(), json!([finished.conclusion.word(), format!("{:?}", finished.ending), finished.why]));
    jobs(&state, scene, &mut end);
    stored(&state, scene, &mut end);
    for (id, gate) in &state.gates {
        let cast = gate.opened.iter().flat_map(|opened| &opened.votes).map(|(_, vote)| &vote.statement);
        let votes: Vec<Value> =
            cast.map(|vote| json!([vote.environment, vote.decision, vote.voter, vote.comment])).collect();
        end.insert(format!("gate {id}"), json!([gate.environment, gate.status.word(), votes]));
    }
    end.insert("live".into(), live(&scene.platform.environments()));
    end.insert("calls".into(), json!(scene.platform.calls()));
    end.insert("events".into(), json!(events(scene)));
    end
}

/// Jobs, legs and steps, and what they said.
fn jobs(state: &RunState, scene: &Scene, end: &mut EndState) {
    for (id, job) in &state.jobs {
        let result = job.result().map(NeedResult::word);
        end.insert(format!("job {id}"), json!({"result": result, "why": job.ended.as_ref().map(|ended| &ended.why)}));
    }
    for (key, leg) in state.legs() {
        let ended = leg.ended.as_ref();
        let steps = leg.steps.iter().map(|(number, step)| {
            let ended = step.ended.as_ref().map(|end| json!([end.outcome.word(), end.conclusion.word(), end.why]));
            json!([number, step.id, step.name, ended])
        });
        let leg_end = json!({
            "attempt": leg.attempt.0,
            "conclusion": ended.map(|ended| ended.conclusion.word()),
            "cause": ended.map(|ended| format!("{:?}", ended.cause)),
            "why": ended.map(|ended| &ended.why),
            "outputs": ended.map(|ended| ports(&json!(ended.outputs).to_string())),
            "url": ended.map(|ended| ports(&ended.url)),
            "steps": steps.collect::<Vec<Value>>(),
        });
        end.insert(format!("leg {key}"), leg_end);
        end.insert(format!("spool {key}"), spool(scene, &key.to_string(), leg.attempt.0));
    }
}

/// Artifacts and deployments, as the store lists them.
fn stored(state: &RunState, scene: &Scene, end: &mut EndState) {
    let store = Store::open_read_only(&scene.folder).unwrap();
    for row in store.artifacts(state.run).unwrap() {
        end.insert(format!("artifact {}", row.name), json!([row.digest, row.size, row.kind, row.job, row.attempt]));
    }
    for row in store.deployments(None, None).unwrap() {
        let Fact::Deployed { environment, version, commit, artifacts, url, approved_by, .. } = row.event.fact else {
            panic!("a deployment that is none");
        };
        let all = end.entry(format!("deployments of {environment}")).or_insert_with(|| json!([]));
        all.as_array_mut().unwrap().push(json!([version, commit, artifacts, ports(&url), approved_by]));
    }
}

/// What is live where; addresses and times aside.
fn live(environments: &Value) -> Value {
    let all = environments["environments"].as_array().unwrap().iter();
    let one = |environment: &Value| {
        let text = ports(&environment.to_string());
        let mut value: Value = serde_json::from_str(&text).unwrap();
        if let Some(live) = value["live"].as_object_mut() {
            live.remove("since");
        }
        value
    };
    all.map(one).collect()
}

/// Every line a job said, and every step that began, ended: what was written once must be there once.
fn spool(scene: &Scene, key: &str, attempt: u32) -> Value {
    let path = scene.folder.job(scene.run.0, key, attempt).join(SPOOL);
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match serde_json::from_str(line).unwrap() {
            Record::Log { step, stream, lines: said, .. } => {
                lines.extend(said.iter().map(|said| format!("{step:?} {stream:?} {}", digits(said))));
            }
            Record::StepStarted { step, .. } => lines.push(format!("step {step} began")),
            Record::StepFinished { step, outcome, .. } => lines.push(format!("step {step} ended: {}", outcome.word())),
            Record::Annotation(annotation) => lines.push(format!("{:?} {}", annotation.step, annotation.message)),
            Record::Summary { step, text } => lines.push(format!("{step} summary {text}")),
            Record::JobFinished { result, .. } => lines.push(format!("job ended: {}", result.conclusion.word())),
            // Once for each agent that got the job; an agent that was killed before the first step is not the only one.
            Record::JobStarted { .. } => {}
        }
    }
    json!(lines)
}

/// The journal's facts, without their order: what runs side by side is stored as it comes.
fn events(scene: &Scene) -> Vec<String> {
    let mut all: Vec<String> = scene.events().iter().map(|event| about(&event.fact)).collect();
    all.sort();
    all
}

/// A fact by its name and what it is about.
pub(crate) fn about(fact: &Fact) -> String {
    let what = match fact {
        Fact::JobStarted { key, attempt, .. }
        | Fact::JobFinished { key, attempt, .. }
        | Fact::LaunchFailed { key, attempt, .. }
        | Fact::JobLost { key, attempt, .. } => format!("{key}/{attempt}"),
        Fact::StepStarted { key, attempt, step, .. } | Fact::StepFinished { key, attempt, step, .. } => {
            format!("{key}/{attempt} step {step}")
        }
        Fact::JobReady { job, .. } | Fact::JobSkipped { job, .. } => job.clone(),
        Fact::ArtifactStored { key, name, .. } => format!("{key} {name}"),
        Fact::LockAsked { lock, holder, .. }
        | Fact::LockGranted { lock, holder }
        | Fact::LockReleased { lock, holder } => format!("{lock} {holder:?}"),
        Fact::GateRequested { environment, .. } | Fact::Deployed { environment, .. } => environment.clone(),
        Fact::GateOpened { gate, .. } | Fact::GateApproved { gate, .. } | Fact::VoteRecorded { gate, .. } => {
            gate.to_string()
        }
        _ => String::new(),
    };
    format!("{} {what}", fact.name()).trim_end().to_owned()
}

/// Where two ends differ; empty where they are the same. `without` are entries that may.
pub(crate) fn differences(expected: &EndState, found: &EndState, without: &[&str]) -> Vec<String> {
    let keys: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let mut differences = Vec::new();
    for key in keys.into_iter().filter(|key| !without.contains(&key.as_str())) {
        let (left, right) = (expected.get(key), found.get(key));
        if left != right {
            differences.push(match (left, right) {
                (Some(Value::Array(left)), Some(Value::Array(right))) => lists(key, left, right),
                _ => format!("{key}: {} became {}", text(left), text(right)),
            });
        }
    }
    differences
}

fn text(value: Option<&Value>) -> String {
    value.map_or("nothing".to_owned(), Value::to_string)
}

/// The entries that only one of two lists has.
fn lists(key: &str, left: &[Value], right: &[Value]) -> String {
    let only = |these: &[Value], those: &[Value]| {
        let mut rest = those.to_vec();
        let mut only = Vec::new();
        for value in these {
            match rest.iter().position(|other| other == value) {
                Some(at) => drop(rest.remove(at)),
                None => only.push(value.to_string()),
            }
        }
        only.join(", ")
    };
    format!(
        "{key}: lost [{}], gained [{}], {} became {}",
        only(left, right),
        only(right, left),
        left.len(),
        right.len()
    )
}

/// Without the number of a port on this machine.
fn ports(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str("127.0.0.1:#");
        clean.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    clean
}

/// With `#` for each number: times and ports differ from run to run.
fn digits(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' if clean.ends_with('#') => {}
            '0'..='9' => clean.push('#'),
            other => clean.push(other),
        }
    }
    clean
}
