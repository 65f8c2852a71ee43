//! Whether a release may begin: the same tag and commit has one run, a moved tag is refused (A5), and so is a version
//! below the one that is live (A4).

use std::cmp::Ordering;

use semver::Version;
use tagline_plan::Plan;
use tagline_run::{Fact, RunId};
use tagline_store::{RunRow, Store, StoreError};
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
        /// The version asked for.
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

/// The run that this plan continues, if there is one: of the same tag, commit and workflow in the same repository.
///
/// # Errors
/// [`ReleaseError::MovedTag`] when any run released the tag from another commit.
pub fn existing(plan: &Plan, runs: &[RunRow]) -> Result<Option<RunId>, ReleaseError> {
    let trigger = &plan.trigger;
    let Some(tag) = &trigger.tag else { return Ok(None) };
    let of_tag = || runs.iter().filter(|run| run.tag.as_deref() == Some(tag));
    if let Some(moved) = of_tag().find(|run| run.sha != trigger.commit) {
        return Err(ReleaseError::MovedTag {
            tag: tag.clone(),
            was: moved.sha.clone(),
            was_subject: moved.subject.clone(),
            run: moved.id,
            by: moved.actor.clone(),
            at: moved.created_at,
            now: trigger.commit.clone(),
            now_subject: trigger.subject.clone(),
        });
    }
    Ok(of_tag().find(|run| run.workflow == plan.workflow.path).map(|run| RunId(run.id)))
}

/// Refuses a version below the one that is live in an environment of the plan.
pub fn no_downgrade(plan: &Plan, store: &Store, root: &str) -> Result<(), ReleaseError> {
    let Some(version) = plan.trigger.version.as_deref().and_then(|v| Version::parse(v).ok()) else { return Ok(()) };
    let environments =
        plan.jobs.values().flat_map(|job| job.legs.iter().flatten()).filter_map(|leg| leg.environment.as_ref());
    let mut seen = std::collections::BTreeSet::new();
    for environment in environments.filter(|name| seen.insert(name.to_lowercase())) {
        let Some(newest) = store.deployments(Some(root), Some(environment))?.into_iter().next() else { continue };
        let Fact::Deployed { version: Some(live), .. } = &newest.event.fact else { continue };
        let Ok(parsed) = Version::parse(live) else { continue };
        if version.cmp_precedence(&parsed) == Ordering::Less {
            return Err(ReleaseError::Downgrade {
                version: version.to_string(),
                live: live.clone(),
                environment: environment.clone(),
                run: newest.run,
            });
        }
    }
    Ok(())
}
