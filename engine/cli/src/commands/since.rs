//! `tagline show --plan --since`: what changed between the plan that was read and the present one.

use serde_json::{Value, json};
use tagline_plan::GatePlan;
use tagline_run::{GateId, RunState};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::words::{plain, short_digest};

/// Fewer digits could mean another plan.
const FEWEST_DIGITS: usize = 12;

/// Compares the plan with that digest to the chosen gate of the same environment.
pub(super) fn run(context: &Context, state: &RunState, chosen: &[GateId], since: &str, json: bool) -> Outcome {
    let (environment, old) = find(state, since)?;
    let now = chosen.iter().filter_map(|id| state.gates.get(id)).find(|gate| gate.environment == environment);
    let opened = now.and_then(|gate| gate.opened.as_ref()).ok_or_else(|| {
        Failure::unusable("no-gate", format!("{environment} has no plan now"))
            .next(format!("tagline show {}", state.run))
    })?;
    let changes = differences(&flat(&old), &flat(&opened.plan));
    if json {
        let changes = changes.iter().map(|(what, from, to)| json!({"what": what, "from": from, "to": to}));
        let changes: Vec<Value> = changes.collect();
        context
            .output
            .json(&json!({"environment": environment, "from": old.digest(), "to": opened.digest, "changes": changes}));
        return Ok(Exit::Done);
    }
    let (from, to) = (old.digest(), &opened.digest);
    context.output.line(format!("{}: {} → {}", plain(&environment), short_digest(&from), short_digest(to)));
    if changes.is_empty() {
        context.output.line("nothing changed");
    }
    for (what, from, to) in &changes {
        let shown = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), plain);
        context.output.line(format!("~ {}  {} → {}", plain(what), shown(from), shown(to)));
    }
    Ok(Exit::Done)
}

fn find(state: &RunState, since: &str) -> Result<(String, GatePlan), Failure> {
    let wanted = since.strip_prefix("sha256:").unwrap_or(since);
    let opened = state.gates.values().filter_map(|gate| Some((&gate.environment, gate.opened.as_ref()?)));
    let found = opened
        .filter(|_| wanted.len() >= FEWEST_DIGITS)
        .find(|(_, opened)| opened.digest.strip_prefix("sha256:").unwrap_or(&opened.digest).starts_with(wanted));
    found.map(|(environment, opened)| (environment.clone(), (*opened.plan).clone())).ok_or_else(|| {
        Failure::unusable("no-such-plan", format!("run {} never had a plan {}", state.run, plain(since)))
            .why(format!("a plan is named by {FEWEST_DIGITS} or more digits of its digest"))
            .next(format!("tagline show {} --plan", state.run))
    })
}

/// Every value of the plan with the way to it, in order.
fn flat(plan: &GatePlan) -> Vec<(String, String)> {
    let mut out = Vec::new();
    // A plan has no map keys but strings, so it is always JSON.
    if let Ok(value) = serde_json::to_value(plan) {
        walk(&value, String::new(), &mut out);
    }
    out
}

fn walk(value: &Value, way: String, out: &mut Vec<(String, String)>) {
    let below = |key: &str| if way.is_empty() { key.to_owned() } else { format!("{way}.{key}") };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                walk(value, below(key), out);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                walk(item, below(&at.to_string()), out);
            }
        }
        Value::String(text) => out.push((way, text.clone())),
        other => out.push((way, other.to_string())),
    }
}

type Change = (String, Option<String>, Option<String>);

fn differences(old: &[(String, String)], new: &[(String, String)]) -> Vec<Change> {
    let get =
        |list: &[(String, String)], way: &str| list.iter().find(|(at, _)| at == way).map(|(_, value)| value.clone());
    let kept = old.iter().filter_map(|(way, value)| {
        let now = get(new, way);
        (now.as_ref() != Some(value)).then(|| (way.clone(), Some(value.clone()), now))
    });
    let added = new.iter().filter(|(way, _)| get(old, way).is_none());
    kept.chain(added.map(|(way, value)| (way.clone(), None, Some(value.clone())))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_came_and_went_is_named() {
        let list =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
        let changes =
            differences(&list(&[("a", "1"), ("b", "2"), ("c", "3")]), &list(&[("a", "1"), ("b", "5"), ("d", "4")]));
        let text = |t: &str| Some(t.to_owned());
        let expected = [
            ("b".to_owned(), text("2"), text("5")),
            ("c".to_owned(), text("3"), None),
            ("d".to_owned(), None, text("4")),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn values_are_reached_by_their_way() {
        let mut out = Vec::new();
        walk(&json!({"jobs": [{"job": "a", "leg": 0}], "x": null}), String::new(), &mut out);
        let ways: Vec<String> = out.iter().map(|(way, value)| format!("{way}={value}")).collect();
        assert_eq!(ways, ["jobs.0.job=a", "jobs.0.leg=0", "x=null"]);
    }
}
