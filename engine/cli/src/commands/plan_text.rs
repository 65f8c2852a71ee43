//! A plan as text: the jobs in their order, the approvals between them, what is skipped and why.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use tagline_plan::{Facts as RunFacts, FinishedJob, NeedResult, Plan, PlannedJob, job_condition};
use tagline_syntax::environments::Reviewers;

use crate::output::{Facts, Style};
use crate::words::{count, plain, reference, short_commit, short_digest};

/// The plan's lines.
pub(super) fn lines(plan: &Plan, facts: &Facts) -> Vec<String> {
    let mut lines = vec![head(plan, facts)];
    let standings: Vec<Standing> = plan.jobs.iter().map(|(id, job)| standing(plan, id, job)).collect();
    let width = plan.jobs.keys().map(String::len).max().unwrap_or_default().max("approval".len());
    let mut asked = BTreeSet::new();
    let mut number = 0;
    for ((id, job), standing) in plan.jobs.iter().zip(&standings) {
        if !matches!(standing, Standing::Skipped(_)) {
            for line in approvals(plan, job, &mut asked) {
                lines.push(format!("  {} {:<width$}  {line}", facts.paint(Style::Warn, "="), "approval"));
            }
        }
        let mark = if matches!(standing, Standing::Skipped(_)) {
            "-".to_owned()
        } else {
            number += 1;
            number.to_string()
        };
        let line = format!("  {mark} {:<width$}  {}", plain(id), about(plan, job, standing));
        lines.push(line.trim_end().to_owned());
    }
    let gates = if asked.is_empty() { "" } else { "; a gate digest is made when its approval opens" };
    lines.push(format!("{}. Release digest {}{gates}", count(legs(plan), "job"), short_digest(&plan.release_digest)));
    lines
}

fn head(plan: &Plan, facts: &Facts) -> String {
    let trigger = &plan.trigger;
    let tree = if trigger.working_tree { ", working tree" } else { "" };
    let commit = if trigger.commit.bytes().all(|b| b == b'0') { "no commit" } else { short_commit(&trigger.commit) };
    let what = format!("{} {}, {commit}{tree}", plain(&plan.repository), reference(&trigger.reference));
    let file = plain(&plan.workflow.path);
    format!(
        "{} {what}: {file} on {}. Nothing was run or changed",
        facts.paint(Style::Strong, "Plan for"),
        plain(&trigger.event)
    )
}

/// Legs, as far as they are known.
fn legs(plan: &Plan) -> usize {
    plan.jobs.values().map(|job| job.legs.as_ref().map_or(1, Vec::len)).sum()
}

/// Whether a job runs when all goes well.
enum Standing {
    Runs,
    /// Only then.
    RunsIf(String),
    Skipped(String),
}

fn standing(plan: &Plan, id: &str, job: &PlannedJob) -> Standing {
    let well = FinishedJob { result: NeedResult::Success, outputs: IndexMap::new() };
    let finished = job.ancestors.iter().map(|before| (before.clone(), well.clone())).collect();
    let facts = RunFacts { finished, attempt: 1, ..RunFacts::default() };
    let Ok(verdict) = job_condition(plan, &plan.jobs[id], &facts) else { return Standing::Runs };
    // What depends on how earlier jobs end is not known yet.
    let open = |text: &str| ["needs.", "failure()", "cancelled()"].iter().any(|name| text.contains(name));
    match verdict.clauses.iter().find(|clause| open(&clause.text)) {
        Some(clause) => Standing::RunsIf(plain(&clause.text)),
        None if verdict.runs => Standing::Runs,
        None => Standing::Skipped(plain(&verdict.why_not())),
    }
}

fn about(plan: &Plan, job: &PlannedJob, standing: &Standing) -> String {
    let mut parts = Vec::new();
    match standing {
        Standing::Skipped(why) => return format!("skipped: {why}"),
        Standing::RunsIf(condition) => parts.push(format!("if {condition}")),
        Standing::Runs => {}
    }
    if !job.job.needs.is_empty() {
        parts.push(format!("after {}", job.job.needs.join(", ")));
    }
    match &job.legs {
        None => parts.push("its matrix is known after its needs".to_owned()),
        Some(legs) if legs.len() != 1 => parts.push(format!("{} of its matrix", count(legs.len(), "leg"))),
        Some(_) => {}
    }
    parts.extend(environments(job).iter().map(|name| format!("environment {}", plain(name))));
    if !job.secrets.is_empty() {
        parts.push(format!("secrets {}", plain(&job.secrets.join(", "))));
    }
    let tags = environments(job).into_iter().filter_map(|name| plan.environment(&name)?.tags.clone());
    parts.extend(tags.map(|tags| format!("tags {}", plain(&tags))));
    parts.join(" · ")
}

fn environments(job: &PlannedJob) -> BTreeSet<String> {
    job.legs.iter().flatten().filter_map(|leg| leg.environment.clone()).collect()
}

/// The approvals that are asked for before this job and were not before an earlier one.
fn approvals(plan: &Plan, job: &PlannedJob, asked: &mut BTreeSet<String>) -> Vec<String> {
    let mut lines = Vec::new();
    for name in environments(job) {
        let Some(rule) = plan.environment(&name).and_then(|rules| rules.reviewers.as_ref()) else { continue };
        if !asked.insert(name.to_lowercase()) {
            continue;
        }
        let who = &plan.trigger.actor.email;
        let not =
            if rule.prevent_self_review && !who.is_empty() { format!(", not {}", plain(who)) } else { String::new() };
        lines.push(format!("{} ({}){not}", reviewers(rule), plain(&name)));
    }
    lines
}

/// `2 of ops, release-managers (1 from ops)`.
pub(super) fn reviewers(rule: &Reviewers) -> String {
    let from: Vec<String> = rule.from.iter().map(|(team, n)| format!("{n} from {}", plain(team))).collect();
    let from = if from.is_empty() { String::new() } else { format!(" ({})", from.join(", ")) };
    format!("{} of {}{from}", rule.required.max(1), plain(&rule.any_of.join(", ")))
}
