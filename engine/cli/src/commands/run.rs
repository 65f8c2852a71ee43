//! `tagline run`: from a repository and a tag, or a working tree, to a run, to its end or its gate.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;
use tagline_plan::Plan;
use tagline_run::RunId;
use tagline_server::delivery::OutOfReach;
use tagline_server::planner::{self, Ask, Planned};
use tagline_server::repository::Repository;
use tagline_server::{BeginOptions, begin, may_begin, secrets};
use tagline_store::Store;

use super::ahead;
use crate::args::RunArgs;
use crate::context::Context;
use crate::diagnostics;
use crate::errors;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::live::{self, Manner};
use crate::output::Mark;
use crate::words::plain;

/// Runs.
pub(crate) fn run(context: &Context, args: &RunArgs) -> Outcome {
    let repository = context.repository()?;
    let ask = Ask {
        workflow: args.workflow.as_deref().map(|name| in_repository(&repository, name)),
        tag: args.tag.clone(),
        event: args.event.clone(),
        payload: args.payload.as_deref().map(payload).transpose()?,
        actor: None,
    };
    let mut planned = planner::plan(&repository, &ask)?;
    if let Some(job) = &args.job {
        planned = planned.into_iter().map(|one| only(one, job)).collect::<Result<_, _>>()?;
    }
    let options = BeginOptions {
        runner: args.runner.word().to_owned(),
        secrets: args.drive.secrets.as_deref().map(given).transpose()?.unwrap_or_default(),
        allow_downgrade: args.allow_downgrade,
        ..BeginOptions::default()
    };
    warn(context, &planned);
    let manner = Manner { holder: "tagline run", json: args.drive.json, ask: true };
    live::block_on(async {
        live::runner::require(&options.runner).await?;
        let asked = ahead::ask(&planned).await;
        reach_clusters(&ahead::away(&asked))?;
        let store = context.open_store()?;
        look_ahead(context, &store, &repository, &options, &asked).await?;
        let runs = begin_all(context, &store, &repository, &planned, &options)?;
        drop(store);
        live::drive(context, &runs, &manner).await
    })
}

/// Refuses a release whose clusters are out of reach now, before anything of it runs.
fn reach_clusters(away: &[&OutOfReach]) -> Result<(), Failure> {
    let Some(first) = away.first() else { return Ok(()) };
    let unusable = away.iter().any(|one| one.unusable);
    let (exit, code) = if unusable { (Exit::Unusable, "no-cluster") } else { (Exit::OutOfReach, "cluster-away") };
    let why: Vec<String> = away.iter().map(|one| format!("{}: {}", one.environment, one.failure.why)).collect();
    Err(Failure::new(exit, code, "the release cannot be delivered")
        .why(why.join("; "))
        .effect("nothing was run")
        .next(first.failure.next.clone()))
}

/// Refuses a release of which a delivery cannot be made, before anything of it runs. One that has begun already goes on from
/// where it is: what it is half-way through is no reason against it.
async fn look_ahead(
    context: &Context,
    store: &Arc<Store>,
    repository: &Repository,
    options: &BeginOptions,
    asked: &[ahead::Asked<'_>],
) -> Result<(), Failure> {
    for one in asked {
        if may_begin(store, repository, one.planned, options)?.is_some() {
            return Ok(());
        }
    }
    let ahead = ahead::look(context, asked, repository.root(), Some(store)).await?;
    ahead.refused.map_or(Ok(()), Err)
}

fn begin_all(
    context: &Context,
    store: &Store,
    repository: &Repository,
    planned: &[Planned],
    options: &BeginOptions,
) -> Result<Vec<RunId>, Failure> {
    let mut runs: Vec<RunId> = Vec::new();
    for one in planned {
        match begin(store, repository, one, options) {
            Ok(begun) => runs.push(begun.run),
            Err(error) => {
                let failure = Failure::from(error);
                let Some(first) = runs.first() else { return Err(failure) };
                let message = format!("{}: {}", one.plan.workflow.path, failure.message);
                let effect = format!("run {first} of another workflow was begun before");
                return Err(Failure { message: message.into(), ..failure }
                    .effect(effect)
                    .next(context.command(format!("resume {first}"))));
            }
        }
    }
    Ok(runs)
}

/// What was noticed while planning, on standard error.
pub(crate) fn warn(context: &Context, planned: &[Planned]) {
    let facts = &context.output.err;
    let mut said: Vec<&String> = Vec::new();
    for one in planned {
        for note in one.notes.iter().filter(|note| !said.contains(note)).collect::<Vec<_>>() {
            context.output.note(facts.state(Mark::Warning, &format!("warning: {}", plain(note))));
            said.push(note);
        }
        for warning in &one.warnings {
            context.output.note(diagnostics::render(&one.source, warning, facts));
        }
    }
}

/// The plan of one job and what it needs. It is no release: it has no version, so a rule that wants one refuses it, and
/// the release of the tag stays to be run.
fn only(planned: Planned, job: &str) -> Result<Planned, Failure> {
    let Planned { mut plan, .. } = planned;
    let Some(wanted) = plan.jobs.get(job) else {
        let known: Vec<&str> = plan.jobs.keys().map(String::as_str).collect();
        return Err(Failure::unusable("unknown-job", format!("there is no job `{job}` in {}", plan.workflow.path))
            .why(format!("jobs are: {}", known.join(", ")))
            .effect("nothing was run")
            .next("name one of them with --job"));
    };
    let mut kept = wanted.ancestors.clone();
    kept.push(job.to_owned());
    plan.jobs.retain(|id, _| kept.contains(id));
    kept.sort();
    plan.release_digest = tagline_plan::digest::digest_of(&(&plan.release_digest, &kept));
    keep_environments(&mut plan);
    (plan.trigger.tag, plan.trigger.version) = (None, None);
    Ok(Planned { plan, ..planned })
}

/// Leaves out the rules of environments that no job left names.
fn keep_environments(plan: &mut Plan) {
    let legs = || plan.jobs.values().map(|job| job.legs.as_deref());
    let known = legs().all(|legs| legs.is_some_and(|legs| legs.iter().all(|leg| !leg.environment_later)));
    if !known {
        return;
    }
    let named: Vec<String> = legs().flatten().flatten().filter_map(|leg| leg.environment.clone()).collect();
    plan.policy.environments.retain(|name, _| named.iter().any(|one| one.eq_ignore_ascii_case(name)));
}

/// A workflow that is named by a path from the current folder, as a path in the repository.
fn in_repository(repository: &Repository, name: &str) -> String {
    let path = Path::new(name);
    let inside = path.canonicalize().ok().filter(|path| path.is_file());
    let inside = inside.and_then(|path| path.strip_prefix(repository.root()).ok().map(Path::to_owned));
    inside.map_or_else(|| name.to_owned(), |path| path.display().to_string())
}

/// The JSON of `--payload`.
fn payload(path: &Path) -> Result<Value, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| errors::file("read", path, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::unusable("bad-payload", format!("{} is not JSON", path.display()))
            .why(error)
            .effect("nothing was run")
            .next("write one JSON object: what `github.event` is to be")
    })
}

/// The secrets of `--secrets`.
pub(crate) fn given(path: &Path) -> Result<IndexMap<String, String>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| errors::file("read", path, &error))?;
    Ok(secrets::read_file(&text)?)
}

/// Seals secrets given to a run that is there already. One that has ended would keep them for nothing.
pub(crate) fn give(context: &Context, run: RunId, path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let given = given(path)?;
    let store = context.open_store()?;
    if store.run(run)?.status == "completed" {
        context.output.note(format!("Run {run} has ended: it takes no more secrets"));
        return Ok(());
    }
    Ok(secrets::give(&store, run, &given)?)
}
