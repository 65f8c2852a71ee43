//! The protection rules of environments: versions, what must have passed before, who may vote and when it is enough.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use semver::{Version, VersionReq};
use tagline_plan::digest::short;
use tagline_plan::{Person, Plan};
use tagline_syntax::environments::{Environment, Reviewers};

use crate::ids::JobKey;
use crate::query::is_in;
use crate::state::{Artifact, Gate, Opened, RunState};

/// Members by team.
type Teams = IndexMap<String, Vec<String>>;

/// A rule that forbids a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forbidden {
    /// Machine word.
    pub(crate) code: &'static str,
    /// One sentence.
    pub(crate) why: String,
}

/// Checks `tags` and `after` of a gate's environment.
pub(crate) fn check(state: &RunState, gate: &Gate, passed: &BTreeSet<String>) -> Result<(), Forbidden> {
    let Some((name, rules)) = state.rules(&gate.environment) else { return Ok(()) };
    check_version(&state.plan, name, rules)?;
    match &rules.after {
        Some(after) => check_after(state, gate, after, passed),
        None => Ok(()),
    }
}

fn check_version(plan: &Plan, name: &str, rules: &Environment) -> Result<(), Forbidden> {
    let Some(range) = &rules.tags else { return Ok(()) };
    let forbid = |why| Err(Forbidden { code: "version-not-allowed", why });
    let Ok(wanted) = VersionReq::parse(range) else {
        return forbid(format!("the rule `tags: {range}` of {name} is not a SemVer range"));
    };
    let Some(version) = &plan.trigger.version else {
        return forbid(format!("{name} takes versions {range} only, and no version tag started this run"));
    };
    match Version::parse(version) {
        Ok(version) if wanted.matches(&version) => Ok(()),
        Ok(version) => forbid(format!("{name} takes versions {range} only, not {version}")),
        Err(_) => forbid(format!("{name} takes versions {range} only, and `{version}` is no SemVer version")),
    }
}

/// Whether an artifact is asked whether it has passed the environment before: an SBOM describes and is not deployed, and
/// what the environment's own jobs made in an earlier attempt comes after it, so these need not have passed anything.
pub(crate) fn must_have_passed(state: &RunState, environment: &str, artifact: &Artifact) -> bool {
    let own = || state.known_leg(&artifact.by).is_some_and(|leg| is_in(leg, environment));
    artifact.kind != "sbom" && !own()
}

/// Everything bound by the gate that [`must_have_passed`] must have passed `after`: in this run before the gate's jobs, or
/// in an earlier run with the same digests.
fn check_after(state: &RunState, gate: &Gate, after: &str, passed: &BTreeSet<String>) -> Result<(), Forbidden> {
    let forbid = |why| Err(Forbidden { code: "not-passed", why });
    let environment = &gate.environment;
    let here = passed_here(state, gate, after);
    let release = &state.plan.release_digest;
    let counts = |artifact: &Artifact| must_have_passed(state, environment, artifact);
    let deployed = || state.artifacts.iter().filter(|(_, artifact)| counts(artifact));
    if here.is_none() && deployed().next().is_none() && !passed.contains(release) {
        return forbid(format!("{environment} comes after {after}, which this release has not passed"));
    }
    for (name, artifact) in deployed() {
        let in_this_run = here.is_some_and(|order| artifact.order < order);
        if !in_this_run && !passed.contains(&artifact.digest) {
            let digest = short(&artifact.digest);
            return forbid(format!(
                "{environment} comes after {after}, which artifact {name} ({digest}) has not passed"
            ));
        }
    }
    Ok(())
}

/// The number of the event with which the jobs of `after` that come before the gate's had all succeeded; none when there
/// are none or one of them did not.
fn passed_here(state: &RunState, gate: &Gate, after: &str) -> Option<u64> {
    let before: BTreeSet<&String> = gate
        .jobs
        .iter()
        .filter(|key| state.leg(key).is_some())
        .filter_map(|key| state.plan.jobs.get(&key.job))
        .flat_map(|job| &job.ancestors)
        .collect();
    let mut last = None;
    for (key, leg) in state.legs() {
        if !is_in(&leg.ready.leg, after) || !before.contains(&key.job) {
            continue;
        }
        let ended = leg.ended.as_ref()?;
        if ended.conclusion != crate::Conclusion::Success {
            return None;
        }
        last = last.max(Some(ended.order));
    }
    last
}

/// Why somebody may not vote on this release although they are a reviewer, where the environment forbids it.
pub(crate) fn involvement(state: &RunState, email: &str) -> Option<String> {
    let is = |person: &Person| person.email.eq_ignore_ascii_case(email);
    let trigger = &state.plan.trigger;
    if is(&trigger.actor) {
        return Some("you started this run".to_owned());
    }
    if is(&state.attempt_by) {
        return Some(format!("you started this attempt ({})", state.attempt));
    }
    let (role, _) = trigger.involved.iter().find(|(_, person)| is(person))?;
    Some(match role.as_str() {
        "tagger" => "you made the tag".to_owned(),
        "author" => "you are the author of the tagged commit".to_owned(),
        "workflow-editor" => "you edited the workflow last".to_owned(),
        other => format!("you took part in this release ({other})"),
    })
}

/// The teams among `any-of` that a person is in; empty and `true` for one who is named themselves.
pub(crate) fn standing(teams: &Teams, requires: &Reviewers, email: &str) -> (Vec<String>, bool) {
    let is = |member: &String| member.eq_ignore_ascii_case(email);
    let in_team = |team: &&String| teams.get(*team).is_some_and(|all| all.iter().any(is));
    let named = requires.any_of.iter().any(|one| !teams.contains_key(one) && is(one));
    (requires.any_of.iter().filter(in_team).cloned().collect(), named)
}

/// Whether rules name a person as a reviewer, by themselves or in a team. Said of the rules as they are now; a run's own
/// say it with [`crate::view::eligibility`].
pub fn is_reviewer(teams: &Teams, requires: &Reviewers, email: &str) -> bool {
    let (teams, named) = standing(teams, requires, email);
    named || !teams.is_empty()
}

/// Everybody whom `any-of` names, by address, with their teams.
pub(crate) fn reviewers(plan: &Plan, requires: &Reviewers) -> BTreeMap<String, Vec<String>> {
    let mut people: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in &requires.any_of {
        match plan.policy.teams.get(one) {
            Some(members) => {
                for member in members {
                    people.entry(member.to_lowercase()).or_default().push(one.clone());
                }
            }
            None => {
                people.entry(one.to_lowercase()).or_default();
            }
        }
    }
    people
}

/// How many more must say yes, and of them how many from which team.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// People in all.
    pub people: u32,
    /// People from teams that must be among the approvers.
    pub from: BTreeMap<String, u32>,
}

impl Missing {
    /// Nobody is missing.
    pub fn is_none(&self) -> bool {
        self.people == 0 && self.from.is_empty()
    }
}

/// Who is still missing from a gate's approval.
pub(crate) fn missing(plan: &Plan, opened: &Opened) -> Missing {
    let Some(requires) = &opened.requires else {
        return Missing { people: 0, from: BTreeMap::new() };
    };
    let approvers: BTreeSet<String> = opened.approvers().map(|p| p.email.to_lowercase()).collect();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let have = count(approvers.len());
    let mut from = BTreeMap::new();
    for (team, wanted) in &requires.from {
        let members = plan.policy.teams.get(team).map(Vec::as_slice).unwrap_or_default();
        let is_member = |who: &&String| members.iter().any(|m| m.eq_ignore_ascii_case(who));
        let short = wanted.saturating_sub(count(approvers.iter().filter(is_member).count()));
        if short > 0 {
            from.insert(team.clone(), short);
        }
    }
    // One person may stand for several teams, so the teams' needs are not added up.
    let for_teams = from.values().copied().max().unwrap_or(0);
    let people = requires.required.max(1).saturating_sub(have).max(for_teams);
    Missing { people, from }
}

/// The legs of a gate as its plan shows them.
pub(crate) fn stage<'a>(state: &'a RunState, jobs: &'a [JobKey]) -> Vec<(&'a str, &'a tagline_plan::Leg)> {
    let leg = |key: &'a JobKey| Some((key.job.as_str(), state.known_leg(key)?));
    jobs.iter().filter_map(leg).collect()
}
