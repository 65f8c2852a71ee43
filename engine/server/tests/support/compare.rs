//! What a release has come to, in a form that is the same however often its engine was killed; and what must hold of
//! every store besides.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tagline_protocol::{Record, SPOOL};
use tagline_run::{Fact, RunState};
use tagline_server::ledger;
use tagline_store::{RunFilter, SecretScope, Store};

use super::files;
use super::scene::Scene;

/// Everything that is compared, by what it is.
pub(crate) type EndState = BTreeMap<String, Value>;

/// What the release has come to.
pub(crate) fn end_state(scene: &Scene) -> EndState {
    let state = scene.state();
    let store = Store::open_read_only(&scene.folder).unwrap();
    let mut end = EndState::new();
    let finished = state.finished.as_ref().unwrap();
    end.insert("run".into(), json!([finished.conclusion.word(), format!("{:?}", finished.ending), finished.why]));
    for (id, job) in &state.jobs {
        let result = job.result().map(|result| result.word());
        end.insert(format!("job {id}"), json!({"result": result, "why": job.ended.as_ref().map(|ended| &ended.why)}));
    }
    for (key, leg) in state.legs() {
        let ended = leg.ended.as_ref();
        let steps: Vec<Value> = leg
            .steps
            .iter()
            .map(|(number, step)| {
                let ended = step.ended.as_ref().map(|end| json!([end.outcome.word(), end.conclusion.word(), end.why]));
                json!([number, step.id, step.name, ended])
            })
            .collect();
        end.insert(
            format!("leg {key}"),
            json!({
                "attempt": leg.attempt.0,
                "conclusion": ended.map(|ended| ended.conclusion.word()),
                "cause": ended.map(|ended| format!("{:?}", ended.cause)),
                "why": ended.map(|ended| &ended.why),
                "outputs": ended.map(|ended| ports(&json!(ended.outputs).to_string())),
                "url": ended.map(|ended| ports(&ended.url)),
                "steps": steps,
            }),
        );
        end.insert(format!("spool {key}"), spool(scene, &key.to_string(), leg.attempt.0));
    }
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
    for (id, gate) in &state.gates {
        let votes: Vec<Value> = gate
            .opened
            .iter()
            .flat_map(|opened| &opened.votes)
            .map(|(_, vote)| {
                json!([vote.statement.environment, vote.statement.decision, vote.voter, vote.statement.comment])
            })
            .collect();
        end.insert(format!("gate {id}"), json!([gate.environment, gate.status.word(), votes]));
    }
    end.insert("live".into(), live(&scene.platform.environments()));
    end.insert("calls".into(), json!(scene.platform.calls()));
    end.insert("events".into(), json!(events(scene)));
    end
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
    let keys: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
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

/// What must hold of a store whose run has ended, whatever happened.
pub(crate) fn sound(scene: &Scene) -> Vec<String> {
    let mut wrong = Vec::new();
    let store = Store::open(&scene.folder).unwrap();
    if let Err(error) = store.verify() {
        wrong.push(format!("the journal's chain: {error}"));
    }
    let outbox = store.outbox().unwrap();
    if !outbox.is_empty() {
        wrong.push(format!("the outbox holds {outbox:?}"));
    }
    let given = SecretScope { root: format!("run:{}", scene.run), environment: None };
    if !store.secrets(&given).unwrap().is_empty() {
        wrong.push("secrets given with the run are still in the store".to_owned());
    }
    let before = projections(&store, scene);
    let fold = |events: &[tagline_run::Event]| {
        RunState::load(events).map(|state| ledger::summary(&state)).map_err(|error| error.to_string())
    };
    store.rebuild(&fold).unwrap();
    let after = projections(&store, scene);
    if before != after {
        wrong.push(format!("the projections were {before} and are rebuilt as {after}"));
    }
    wrong.extend(left_files(scene, &store));
    wrong.extend(left_processes(scene.scratch()));
    wrong
}

fn projections(store: &Store, scene: &Scene) -> Value {
    json!({
        "runs": store.runs(&RunFilter::default()).unwrap(),
        "artifacts": store.artifacts(scene.run).unwrap(),
        "deployments": store.deployments(None, None).unwrap(),
    })
}

/// Files that should be gone, or are not what they are called.
fn left_files(scene: &Scene, store: &Store) -> Vec<String> {
    let mut wrong = Vec::new();
    let runs = scene.folder.runs();
    let stray = files::list(&runs).into_iter().filter(|path| path.file_name().is_some_and(|name| name != SPOOL));
    wrong.extend(stray.map(|path| format!("{} is left of a job", path.display())));
    wrong.extend(files::empty_folders(&runs).iter().map(|path| format!("{} is left of a job", path.display())));
    for path in files::list(&scene.folder.blobs()) {
        let digest = path.strip_prefix("sha256").unwrap_or(&path).to_string_lossy().replace('/', "");
        if let Err(error) = store.blobs().verify(&format!("sha256:{digest}")) {
            wrong.push(format!("blob {}: {error}", path.display()));
        }
    }
    let cache = files::list(&scene.folder.cache());
    let partial =
        cache.iter().filter(|path| path.components().any(|part| part.as_os_str().as_encoded_bytes()[0] == b'.'));
    wrong.extend(partial.take(1).map(|path| format!("{} is left in the cache", path.display())));
    wrong
}

/// Processes that see a folder of this release in their mounts: a job's.
fn left_processes(scratch: &Path) -> Vec<String> {
    let name = scratch.file_name().unwrap().to_string_lossy().into_owned();
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let mounts = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
        if mounts.contains(&name) {
            let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            left.push(format!("process {} is left: {}", entry.file_name().display(), command.replace('\0', " ")));
        }
    }
    left
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
