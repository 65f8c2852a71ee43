//! Kinds `run` and `steps`: workflows really run, in the sandbox of this machine, from a scratch repository.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::Verdict::{self, Fail, Pass, Refused, Skip};
use super::case::Case;
use super::engine::{Engine, Folder, Said};

/// Flags of the sources' own commands that change what runs: one job, one leg, variables of the host.
const OWN_FLAGS: [&str; 3] = ["-j", "-m", "--env"];

/// `run`: the conclusion, by the exit code.
pub(super) fn conclusion(engine: &Engine, case: &Case) -> Result<Verdict> {
    if !case.tagged("plain-host") {
        return Ok(Skip("it needs more than a plain host"));
    }
    if case.client_args.split_whitespace().any(|word| OWN_FLAGS.contains(&word)) {
        return Ok(Skip("its command has settings that no event carries"));
    }
    if !case.local_files.is_empty() {
        return Ok(Skip("its local action is not among the cases"));
    }
    let folder = engine.folder()?;
    let workflows = case.input["workflows"].as_object().context("a case has workflows")?;
    for (name, text) in workflows {
        folder.write(name, text.as_str().context("a workflow is a text")?)?;
    }
    folder.commit()?;
    let event = case.input["event"].as_str().context("a case has an event")?;
    let flags = flags(case, &folder)?;
    let mut ends = Vec::new();
    for (name, _) in workflows.iter().filter(|(_, text)| text.as_str().is_some_and(|text| listens(text, event))) {
        let mut args = vec!["run", name, "--event", event, "--runner", "sandbox"];
        args.extend(flags.iter().map(String::as_str));
        ends.push(engine.run(&folder, &args)?);
    }
    if let Some(rule) = ends.iter().find_map(own_rule) {
        return Ok(Refused(rule));
    }
    let success = case.expected["conclusion"] == "success";
    let bad = ends.iter().find(|said| said.code != 0);
    Ok(match bad {
        None if success => Pass,
        // GitHub's parser and the source disagree: either verdict is one of theirs.
        Some(said) if said.code == 2 && case.officially_refused() => Pass,
        // A matrix that cannot be is refused before anything runs, where GitHub's run fails without a job.
        Some(said) if !success && (said.code == 1 || said.stderr.contains("error[unplannable]")) => Pass,
        None => Fail("a failure was expected, got success".to_owned()),
        Some(said) => Fail(format!("{} was expected, got {}", case.expected["conclusion"], said.brief())),
    })
}

/// The rule of Tagline's own that an end comes from.
fn own_rule(said: &Said) -> Option<&'static str> {
    if said.stderr.contains("error[not-carried-out]") {
        return Some("actions and workflows of the repository itself are not carried out yet");
    }
    let stopped = said.stdout.contains("which the shell would act on");
    (said.code == 1 && stopped)
        .then_some("a value from outside with characters of the shell in a script stops the step")
}

/// Whether the text of a workflow names the event before its jobs; the binary itself decides, this only leaves out
/// workflows that are called by others.
fn listens(text: &str, event: &str) -> bool {
    let name = |word: &str| word.trim_matches(|letter: char| !letter.is_alphanumeric() && letter != '_') == event;
    let called = text.contains("workflow_call") && !text.split_whitespace().any(name);
    !called
}

/// The case's event, inputs and secrets as flags: `-i K=V` and `-s K=V` of the source's own command.
fn flags(case: &Case, folder: &Folder) -> Result<Vec<String>> {
    let words: Vec<&str> = case.client_args.split_whitespace().collect();
    let pairs = |flag: &str| -> Map<String, Value> {
        let values = words.windows(2).filter(|pair| pair[0] == flag).filter_map(|pair| pair[1].split_once('='));
        values.map(|(key, value)| (key.to_owned(), json!(value))).collect()
    };
    let mut flags = Vec::new();
    let inputs = pairs("-i");
    let payload = match &case.event_payload {
        Some(payload) => Some(payload.clone()),
        None if inputs.is_empty() => None,
        None => Some(json!({ "inputs": inputs })),
    };
    if let Some(payload) = payload {
        flags.extend(["--payload".to_owned(), folder.beside("payload.json", &payload.to_string())?]);
    }
    let secrets = pairs("-s");
    if !secrets.is_empty() {
        let lines = secrets.iter().map(|(key, value)| format!("{key}={}\n", value.as_str().unwrap_or_default()));
        flags.extend(["--secrets".to_owned(), folder.beside("secrets.env", &lines.collect::<String>())?]);
    }
    Ok(flags)
}

/// `steps`: the job's result by the exit code, and which steps ran by the job's permanent log.
pub(super) fn steps(engine: &Engine, case: &Case) -> Result<Verdict> {
    let folder = engine.folder()?;
    let file = ".github/workflows/case.yml";
    folder.write(file, case.input["workflow"].as_str().context("a case has a workflow")?)?;
    folder.commit()?;
    let said = engine.run(&folder, &["run", file, "--event", "push", "--runner", "sandbox", "--json"])?;
    let result = if said.code == 0 { "success" } else { "failure" };
    if !(said.code == 0 || said.code == 1) || case.expected["job"].as_str().is_some_and(|job| job != result) {
        return Ok(Fail(format!("job {}, got {}", case.expected["job"], said.brief())));
    }
    let Some(wanted) = case.expected["ran"].as_array() else { return Ok(Pass) };
    let ran = ran(&folder.data())?;
    let found: Vec<bool> = (0..wanted.len() as u64).map(|step| ran.get(&step).copied().unwrap_or(false)).collect();
    let same = wanted.iter().map(Value::as_bool).eq(found.iter().copied().map(Some));
    Ok(if same { Pass } else { Fail(format!("steps that ran: {found:?}, not {wanted:?}")) })
}

/// By step number, whether it ran, from every spool below the store.
fn ran(store: &Path) -> Result<BTreeMap<u64, bool>> {
    let mut open = vec![store.join("runs")];
    let mut steps = BTreeMap::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.ends_with("spool.jsonl") {
                read_spool(&std::fs::read_to_string(&path)?, &mut steps);
            }
        }
    }
    Ok(steps)
}

fn read_spool(text: &str, steps: &mut BTreeMap<u64, bool>) {
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for record in records {
        let finished = &record["step_finished"];
        if let Some(step) = finished["step"].as_u64() {
            steps.insert(step, finished["conclusion"] != "skipped");
        }
    }
}
