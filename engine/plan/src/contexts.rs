//! The contexts of GitHub's language as a plan and a run's facts give them.
//!
//! Source of the shapes: GitHub's "Contexts reference". What only a runner knows (`runner`, `job`, `steps`, `env`, paths
//! in `github`) is the agent's.

use serde_json::{Map, Value, json};

use crate::facts::Facts;
use crate::model::{Leg, Plan, PlannedJob};

/// `github` for a job of a run.
pub fn github(plan: &Plan, facts: &Facts) -> Map<String, Value> {
    let trigger = &plan.trigger;
    let ref_name = trigger.reference.splitn(3, '/').nth(2).unwrap_or(&trigger.reference);
    let ref_type = if trigger.reference.starts_with("refs/tags/") { "tag" } else { "branch" };
    let owner = owner(&plan.repository);
    let entries = json!({
        "event_name": trigger.event,
        "event": trigger.payload,
        "sha": trigger.commit,
        "ref": trigger.reference,
        "ref_name": ref_name,
        "ref_type": ref_type,
        "ref_protected": false,
        "head_ref": "",
        "base_ref": "",
        "repository": format!("{owner}/{}", base(&plan.repository)),
        "repository_owner": owner,
        "workflow": plan.workflow.name,
        "workflow_ref": format!("{owner}/{}/{}@{}", base(&plan.repository), plan.workflow.path, trigger.reference),
        "workflow_sha": trigger.commit,
        "run_id": facts.run.to_string(),
        "run_number": facts.run.to_string(),
        "run_attempt": facts.attempt.to_string(),
        "actor": trigger.actor.name,
        "triggering_actor": trigger.actor.name,
        "server_url": "https://github.com",
        "api_url": "https://api.github.com",
        "graphql_url": "https://api.github.com/graphql",
        "retention_days": "90",
        "secret_source": "Actions",
        "token": "",
    });
    match entries {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// `vars`: the repository's variables, over them the environment's.
pub fn vars(plan: &Plan, environment: Option<&str>) -> Map<String, Value> {
    let text = |(k, v): (&String, &String)| (k.clone(), Value::String(v.clone()));
    let mut vars: Map<String, Value> = plan.policy.variables.iter().map(text).collect();
    if let Some(rules) = environment.and_then(|name| plan.environment(name)) {
        vars.extend(rules.variables.iter().map(text));
    }
    vars
}

/// `needs`: the direct needs only, with their result and outputs.
pub fn needs(job: &PlannedJob, facts: &Facts) -> Map<String, Value> {
    let entry = |id: &String| {
        let finished = facts.finished.get(id)?;
        let outputs: Map<String, Value> =
            finished.outputs.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect();
        Some((id.clone(), json!({"result": finished.result.word(), "outputs": outputs})))
    };
    job.job.needs.iter().filter_map(entry).collect()
}

/// `strategy` of a leg.
pub fn strategy(leg: &Leg, legs: usize, fail_fast: bool, max_parallel: Option<u32>) -> Map<String, Value> {
    let entries = json!({
        "fail-fast": fail_fast,
        "job-index": leg.index,
        "job-total": legs,
        "max-parallel": max_parallel.map_or(legs, |n| n as usize),
    });
    match entries {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn owner(repository: &str) -> &str {
    repository.rsplit_once('/').map_or("local", |(owner, _)| owner)
}

fn base(repository: &str) -> &str {
    repository.rsplit_once('/').map_or(repository, |(_, name)| name)
}
