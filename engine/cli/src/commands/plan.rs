//! `tagline plan`: what a run would do. Nothing is run, nothing is changed; no store and no cluster are needed, and both are
//! asked where they are there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tagline_plan::{Person, Plan, Request, Trigger, WorkflowFile, digest::digest_bytes};
use tagline_server::PlannerError;
use tagline_server::delivery::Coming;
use tagline_server::planner::{self, Ask, Planned};
use tagline_server::repository::{Repository, RepositoryError};
use tagline_syntax::diagnostic::{Diagnostic, SourceFile};
use tagline_syntax::workflow::{self, Workflow};

use super::ahead::{self, Ahead};
use crate::args::PlanArgs;
use crate::context::Context;
use crate::diagnostics;
use crate::errors;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::live;
use crate::words::plain;

/// What `push` plans stand on where nothing else is said.
const BRANCH: &str = "refs/heads/main";

/// Runs it.
pub(crate) fn run(context: &Context, args: &PlanArgs) -> Outcome {
    let payload = args.payload.as_deref().map(payload).transpose()?;
    let ask = Ask {
        workflow: args.workflow.clone(),
        tag: args.tag.clone(),
        event: args.event.clone(),
        payload,
        ..Ask::default()
    };
    let planned = make(context, ask)?;
    for one in &planned {
        for warning in &one.warnings {
            context.output.note(diagnostics::render(&one.source, warning, &context.output.err));
        }
        for note in &one.notes {
            context.output.note(format!("warning: {}", plain(note)));
        }
    }
    let ahead = look_ahead(context, &planned)?;
    show(context, &planned, &ahead, args.json);
    ahead.refused.map_or(Ok(Exit::Done), Err)
}

/// What the deliveries of the plans would do, and what is in their way, as far as their clusters can be asked.
fn look_ahead(context: &Context, planned: &[Planned]) -> Result<Ahead, Failure> {
    let mut jobs = planned.iter().flat_map(|one| one.plan.jobs.values());
    let delivers = jobs.any(|job| job.job.steps.iter().any(|step| step.delivery().is_some()));
    // A plain file outside of any repository has no rules, and so no cluster.
    let repository = Repository::open(&context.folder()).ok().filter(|_| delivers);
    let Some(repository) = repository else { return Ok(Ahead { deliveries: Vec::new(), refused: None }) };
    let store = context.read_store_if_any().ok().flatten().map(Arc::new);
    live::block_on(async {
        let asked = ahead::ask(planned).await;
        for away in ahead::away(&asked) {
            let (name, why) = (plain(&away.environment), plain(&away.failure.why));
            context.output.note(format!("warning: the cluster of {name} is not asked: {why}"));
        }
        ahead::look(context, &asked, repository.root(), store.as_ref()).await
    })
}

fn show(context: &Context, planned: &[Planned], ahead: &Ahead, json: bool) {
    let deliveries = |at: usize| ahead.deliveries.get(at).map(Vec::as_slice).unwrap_or_default();
    if json {
        let all = planned.iter().enumerate();
        let plans: Vec<Value> = all.map(|(at, one)| as_json(&one.plan, deliveries(at))).collect();
        match plans.as_slice() {
            [one] => context.output.json(one),
            many => context.output.json(&many),
        }
        return;
    }
    for (at, one) in planned.iter().enumerate() {
        if at > 0 {
            context.output.line("");
        }
        context.output.lines(super::plan_text::lines(&one.plan, &context.output.out));
        context.output.lines(ahead::lines(deliveries(at)));
    }
}

/// `github.event` from a file.
pub(super) fn payload(path: &Path) -> Result<Value, Failure> {
    let text = std::fs::read(path).map_err(|error| errors::file("read", path, &error).next("name a JSON file"))?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::unusable("bad-payload", format!("{} is not JSON", path.display())).why(error).next("name a JSON file")
    })
}

/// The plans of what is asked: in a repository, or of a plain file outside of any.
pub(super) fn make(context: &Context, mut ask: Ask) -> Result<Vec<Planned>, Failure> {
    let named = ask.workflow.clone();
    let file = named.as_deref().map(Path::new).filter(|path| ask.tag.is_none() && path.is_file());
    let repository = match (Repository::open(&context.folder()), file) {
        (Ok(repository), _) => repository,
        (Err(RepositoryError::NotARepository(_)), Some(file)) => return Ok(vec![of_file(file, &ask)?]),
        (Err(error), _) => return Err(error.into()),
    };
    if let Some(file) = file {
        ask.workflow = Some(within(&repository, file));
    }
    // Who asks decides nothing in a dry run.
    ask.actor = ask.actor.or_else(|| repository.identity()).or_else(|| Some(Person::default()));
    match planner::plan(&repository, &ask) {
        // A named workflow is planned for an event it has, when none was said.
        Err(PlannerError::NothingStarts { what, passed_over })
            if named.is_some() && ask.tag.is_none() && ask.event.is_none() =>
        {
            match passed_over.first().and_then(|(path, _)| first_event(&repository, path)) {
                Some(event) => Ok(planner::plan(&repository, &Ask { event: Some(event), ..ask })?),
                None => Err(PlannerError::NothingStarts { what, passed_over }.into()),
            }
        }
        other => Ok(other?),
    }
}

/// The path from the repository's root; an absolute one for a file elsewhere.
fn within(repository: &Repository, file: &Path) -> String {
    let full = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    full.strip_prefix(repository.root()).unwrap_or(&full).to_string_lossy().into_owned()
}

fn first_event(repository: &Repository, path: &str) -> Option<String> {
    let bytes = std::fs::read(repository.root().join(path)).ok()?;
    let workflow = workflow::read(&SourceFile::from_bytes(path, &bytes)).workflow?;
    Some(event_of(&workflow))
}

/// `push` where the workflow starts on it, else the first event it names.
fn event_of(workflow: &Workflow) -> String {
    let events = &workflow.on.events;
    let first = if events.contains_key("push") { None } else { events.keys().next() };
    first.map_or_else(|| "push".to_owned(), Clone::clone)
}

/// A file that is in no repository: no commit, no rules, nobody who asks.
fn of_file(path: &Path, ask: &Ask) -> Result<Planned, Failure> {
    let bytes = std::fs::read(path)
        .map_err(|error| errors::file("read", path, &error).effect("nothing was run").next("tagline lint"))?;
    let name = path.to_string_lossy().into_owned();
    let source = SourceFile::from_bytes(name.clone(), &bytes);
    let outcome = workflow::read(&source);
    let unusable = |diagnostics| {
        let file = Box::new(source.clone());
        Failure::from(PlannerError::Unusable { file, diagnostics, origin: "in no repository".to_owned() })
    };
    if outcome.diagnostics.iter().any(Diagnostic::is_error) {
        return Err(unusable(outcome.diagnostics));
    }
    let Some(workflow) = outcome.workflow else { return Err(unusable(outcome.diagnostics)) };
    let refusals = workflow::refusals(&workflow, &source);
    if !refusals.is_empty() {
        return Err(unusable(refusals));
    }
    let request = Request {
        repository: "repository".to_owned(),
        trigger: trigger(ask, &workflow),
        workflow: &workflow,
        file: WorkflowFile {
            name: workflow.name.clone().unwrap_or_else(|| name.clone()),
            path: name,
            digest: digest_bytes(&bytes),
        },
        environments: None,
        policy_version: "none".to_owned(),
        policy_origin: String::new(),
        inputs: Map::new(),
    };
    match tagline_plan::build(request) {
        Ok(plan) => Ok(Planned { plan, source, warnings: outcome.diagnostics, notes: Vec::new() }),
        Err(errors) => Err(PlannerError::Plan { file: Box::new(source), errors }.into()),
    }
}

fn trigger(ask: &Ask, workflow: &Workflow) -> Trigger {
    Trigger {
        event: ask.event.clone().unwrap_or_else(|| event_of(workflow)),
        commit: "0".repeat(40),
        subject: String::new(),
        reference: BRANCH.to_owned(),
        tag: None,
        version: None,
        working_tree: true,
        actor: Person::default(),
        involved: BTreeMap::new(),
        payload: ask.payload.clone().unwrap_or_else(|| json!({})),
    }
}

/// The plan, and beside each job's legs its combinations alone; `null` while they depend on outputs of jobs. With what is
/// known of its deliveries, where there are any.
fn as_json(plan: &Plan, deliveries: &[Coming]) -> Value {
    let mut value = json!(plan);
    for (id, job) in &plan.jobs {
        let matrix = job.legs.as_ref().map(|legs| legs.iter().map(|leg| &leg.matrix).collect::<Vec<_>>());
        value["jobs"][id]["matrix"] = json!(matrix);
    }
    if !deliveries.is_empty() {
        value["deliveries"] = json!(deliveries);
    }
    value
}
