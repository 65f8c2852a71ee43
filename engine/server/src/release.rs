//! Whether a release may begin and go on: the same tag and commit has one run, a moved tag is refused (A5), and so is a
//! version below the one that is live (A4).
//!
//! Invariant: what is live is looked at when a run begins, when its gate is prepared, and once more while it is about to
//! get its environment for itself; so nothing can come live between the last look and the jobs.

use std::cmp::Ordering;

use semver::Version;
use tagline_plan::Plan;
use tagline_run::{Fact, Input, RunId, RunState};
use tagline_store::{DeploymentRow, RunRow, Store, StoreError};
use tagline_syntax::tag::ReleaseTag;
use thiserror::Error;

/// Why a release is refused. Both are exit code 1: refused for what happened before.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// The tag was released from another commit.
    #[error("{tag} no longer points at what was released")]
    MovedTag {
        /// The tag.
        tag: String,
        /// The commit that was released.
        was: String,
        /// First line of its message.
        was_subject: String,
        /// The run that released it.
        run: u64,
        /// Who asked for that run.
        by: String,
        /// When that was, milliseconds since the epoch.
        at: i64,
        /// The commit the tag points at now.
        now: String,
        /// First line of its message.
        now_subject: String,
    },
    /// A higher version is live.
    #[error("{version} is lower than {live}, which is live in {environment}")]
    Downgrade {
        /// The tag that is released.
        tag: String,
        /// Its version.
        version: String,
        /// The live one.
        live: String,
        /// Where.
        environment: String,
        /// The run that brought it there.
        run: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tag a plan is of: the one that started it, or the one of whose commit it runs a single job.
pub fn tag_of(plan: &Plan) -> Option<&str> {
    let trigger = &plan.trigger;
    trigger.tag.as_deref().or_else(|| trigger.reference.strip_prefix("refs/tags/"))
}

/// The run that this plan continues, if there is one: of the same tag, commit and workflow in the same repository. A
/// single job of a tag is no release and is always run anew.
///
/// # Errors
/// [`ReleaseError::MovedTag`] when any run released the tag from another commit.
pub fn existing(plan: &Plan, runs: &[RunRow]) -> Result<Option<RunId>, ReleaseError> {
    let trigger = &plan.trigger;
    let Some(tag) = tag_of(plan) else { return Ok(None) };
    let of_tag = || runs.iter().filter(|run| run.tag.as_deref() == Some(tag));
    if let Some(moved) = of_tag().find(|run| run.sha != trigger.commit) {
        return Err(ReleaseError::MovedTag {
            tag: tag.to_owned(),
            was: moved.sha.clone(),
            was_subject: moved.subject.clone(),
            run: moved.id,
            by: moved.actor.clone(),
            at: moved.created_at,
            now: trigger.commit.clone(),
            now_subject: trigger.subject.clone(),
        });
    }
    if trigger.tag.is_none() {
        return Ok(None);
    }
    Ok(of_tag().find(|run| run.workflow == plan.workflow.path).map(|run| RunId(run.id)))
}

/// Refuses a version below the one that is live in an environment of the plan.
pub fn no_downgrade(plan: &Plan, store: &Store, root: &str) -> Result<(), ReleaseError> {
    let legs = plan.jobs.values().flat_map(|job| job.legs.iter().flatten());
    not_in_any(plan, legs.filter_map(|leg| leg.environment.as_deref()), store, root)
}

/// The same for what a rerun would do again. One that the run itself refuses is left to it.
pub fn no_downgrade_again(state: &RunState, rerun: &Input, store: &Store) -> Result<(), ReleaseError> {
    let now = crate::clock::now();
    let asked = if state.allow_downgrade { None } else { tagline_run::decide(state, rerun.clone(), now).ok() };
    let requested = asked.iter().flatten().find_map(|event| match &event.fact {
        Fact::RerunRequested { jobs, legs, allow_downgrade: false, .. } => Some((jobs, legs)),
        _ => None,
    });
    let Some((jobs, legs)) = requested else { return Ok(()) };
    let again = |id: &String| jobs.contains(id) || legs.iter().any(|key| key.job == *id);
    let planned = state.plan.jobs.iter().filter(|(id, _)| again(id)).flat_map(|(_, job)| job.legs.iter().flatten());
    let known = state.legs().filter(|(key, _)| again(&key.job)).map(|(_, leg)| &leg.ready.leg);
    let environments = planned.chain(known).filter_map(|leg| leg.environment.as_deref());
    let root = store.run(state.run)?.root;
    not_in_any(&state.plan, environments, store, &root)
}

fn not_in_any<'a>(
    plan: &Plan,
    environments: impl Iterator<Item = &'a str>,
    store: &Store,
    root: &str,
) -> Result<(), ReleaseError> {
    let mut seen = std::collections::BTreeSet::new();
    for environment in environments.filter(|name| seen.insert(name.to_lowercase())) {
        not_in(plan, environment, store, root)?;
    }
    Ok(())
}

/// Refuses a version below the one that is live in one environment.
pub(crate) fn not_in(plan: &Plan, environment: &str, store: &Store, root: &str) -> Result<(), ReleaseError> {
    let Some(tag) = tag_of(plan).and_then(|tag| ReleaseTag::parse(tag).ok()) else { return Ok(()) };
    let came = store.deployments(Some(root), Some(environment))?;
    let Some((live, run)) = live(&came, tag.name(), |run| Ok(store.run(run)?.tag))? else { return Ok(()) };
    if tag.version().cmp_precedence(&live) != Ordering::Less {
        return Ok(());
    }
    Err(ReleaseError::Downgrade {
        tag: tag.text().to_owned(),
        version: tag.version().to_string(),
        live: live.to_string(),
        environment: environment.to_owned(),
        run,
    })
}

/// The version of a name that came live last, and the run that brought it. What has no version, as a working tree, says
/// nothing about versions; and those of different names have nothing to do with each other.
fn live(
    came: &[DeploymentRow],
    name: Option<&str>,
    tag_of_run: impl Fn(RunId) -> Result<Option<String>, StoreError>,
) -> Result<Option<(Version, u64)>, StoreError> {
    let version = |row: &DeploymentRow| match &row.event.fact {
        Fact::Deployed { version: Some(version), .. } => Version::parse(version).ok(),
        _ => None,
    };
    for (at, row) in came.iter().enumerate() {
        let Some(found) = version(row) else { continue };
        // A way back has no tag: it is of the release that had brought this version before.
        let mut tags = came[at..].iter().filter(|older| version(older).as_ref() == Some(&found));
        let tag = tags.find_map(|older| tag_of_run(RunId(older.run)).transpose()).transpose()?;
        if tag.is_none_or(|tag| ReleaseTag::parse(&tag).is_ok_and(|tag| tag.name() == name)) {
            return Ok(Some((found, row.run)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deployments, the newest first: the run's tag and the version it brought.
    fn found(came: &[(Option<&str>, Option<&str>)], name: Option<&str>) -> Option<String> {
        let row = |(run, (_, version)): (u64, &(Option<&str>, Option<&str>))| DeploymentRow {
            number: 100 - run,
            repository: "shop".into(),
            run,
            event: tagline_run::Event {
                at: jiff::Timestamp::UNIX_EPOCH,
                fact: Fact::Deployed {
                    environment: "production".into(),
                    gate: tagline_run::GateId(1),
                    version: version.map(str::to_owned),
                    commit: String::new(),
                    release_digest: String::new(),
                    artifacts: std::collections::BTreeMap::new(),
                    url: String::new(),
                    approved_by: Vec::new(),
                },
            },
        };
        let rows: Vec<DeploymentRow> = (0..).zip(came).map(row).collect();
        let tag = |run: RunId| Ok(came[usize::try_from(run.0).unwrap()].0.map(str::to_owned));
        live(&rows, name, tag).unwrap().map(|(version, _)| version.to_string())
    }

    #[test]
    fn what_has_no_version_hides_none() {
        let came = [(None, None), (Some("v1.2.4"), Some("1.2.4")), (Some("v1.2.3"), Some("1.2.3"))];
        assert_eq!(found(&came, None).as_deref(), Some("1.2.4"));
        assert_eq!(found(&came[..1], None), None);
    }

    #[test]
    fn versions_of_another_name_do_not_count() {
        let came = [(Some("shop-v2.0.0"), Some("2.0.0")), (Some("api-v1.0.0"), Some("1.0.0"))];
        assert_eq!(found(&came, Some("shop")).as_deref(), Some("2.0.0"));
        assert_eq!(found(&came, Some("api")).as_deref(), Some("1.0.0"));
        assert_eq!(found(&came, None), None);
        assert_eq!(found(&[(Some("1.0.0"), Some("1.0.0"))], None).as_deref(), Some("1.0.0"));
    }

    #[test]
    fn a_way_back_is_of_the_release_it_went_back_to() {
        let came = [
            (None, Some("1.2.3")),
            (Some("api-v9.0.0"), Some("9.0.0")),
            (Some("v1.2.4"), Some("1.2.4")),
            (Some("v1.2.3"), Some("1.2.3")),
        ];
        assert_eq!(found(&came, None).as_deref(), Some("1.2.3"));
        assert_eq!(found(&came, Some("api")).as_deref(), Some("9.0.0"));
    }
}
