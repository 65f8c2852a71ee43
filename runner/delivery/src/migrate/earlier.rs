//! The Jobs that worked on a schema before, and which migrations among them still count.
//!
//! Invariant: a complete migration counts for its release until something may have taken it back since, or until the schema
//! itself says that it is not there. What is in doubt is run again: a tool that finds nothing pending does nothing, while
//! a migration that is passed over by mistake is missed by everything after it.

use super::plan::SCHEMA;
use super::{MigratePlan, Version};
use crate::Object;
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::job::{JOB, OF_UNIT};
use crate::rollout::{State, status};
use crate::unit::VERSION;

/// What Jobs that bring a backup back are for. They name no database: any of them may have replaced this one.
const RESTORE: &str = "restore";

/// The migrations of a unit, and all restores of the namespace.
pub(super) async fn of_unit(cluster: &Cluster, unit: &str) -> Result<Vec<Object>, ClusterError> {
    let labelled = |purpose: &str| Labels::from([(JOB.to_owned(), purpose.to_owned())]);
    let mut all = cluster.list("batch/v1", "Job", &labelled("migrate")).await?;
    all.retain(|job| job.annotations().get(OF_UNIT).is_some_and(|of| of == unit));
    all.extend(cluster.list("batch/v1", "Job", &labelled(RESTORE)).await?);
    Ok(all)
}

/// The version that the newest of them left behind. One that failed or runs has left nobody knows what, and so has a restore.
pub(super) fn newest(jobs: &[Object]) -> Option<Version> {
    jobs.iter().max_by_key(|job| job.text("/metadata/creationTimestamp")).and_then(left)
}

/// The UIDs of the complete migrations of this version that do not count any more, with the schema at `at`, as far as that
/// is known.
pub(super) fn void(jobs: &[Object], plan: &MigratePlan, version: &str, at: Option<&Version>) -> Vec<String> {
    let done = jobs.iter().filter(|job| !is_restore(job) && is_done(job) && version_of(job) == version);
    let void = done.filter(|job| {
        let missed = at.is_some_and(|at| !plan.is_reached(at).unwrap_or_else(|| left(job).as_ref() == Some(at)));
        missed || jobs.iter().any(|other| may_take_back(other, job))
    });
    void.map(|job| job.uid().to_owned()).collect()
}

/// Something after it that went the other way, complete or not; another version that was migrated to; or a restore.
fn may_take_back(other: &Object, job: &Object) -> bool {
    let ended = |job: &Object| job.text("/status/completionTime").to_owned();
    let later = ended(other).max(other.text("/metadata/creationTimestamp").to_owned()) >= ended(job);
    let against = is_restore(other) || direction(other) != direction(job);
    let beside = is_done(other) && version_of(other) != version_of(job);
    other.uid() != job.uid() && later && (against || beside)
}

fn left(job: &Object) -> Option<Version> {
    Version::parse(&job.annotations().remove(SCHEMA)?).ok()
}

fn is_done(job: &Object) -> bool {
    status(job).is_some_and(|status| status.state == State::Done)
}

fn is_restore(job: &Object) -> bool {
    job.labels().get(JOB).is_some_and(|purpose| purpose == RESTORE)
}

fn version_of(job: &Object) -> String {
    job.annotations().remove(VERSION).unwrap_or_default()
}

/// Which way it was told to go.
fn direction(job: &Object) -> Option<&str> {
    let containers = job.list("/spec/template/spec/containers").iter();
    let mut variables = containers.filter_map(|container| container["env"].as_array()).flatten();
    variables.find(|variable| variable["name"] == "TAGLINE_DIRECTION")?["value"].as_str()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::plan::tests::planned;
    use super::*;

    /// A Job that ended, or failed, at this minute.
    fn job(uid: &str, purpose: &str, direction: &str, version: &str, ended: Option<u32>, made: u32) -> Object {
        let at = |minute: u32| format!("2026-01-02T03:{minute:02}:00Z");
        let (state, time) = match ended {
            Some(minute) => ("Complete", json!(at(minute))),
            None => ("Failed", json!(null)),
        };
        Object(json!({
            "kind": "Job",
            "metadata": {"name": uid, "uid": uid, "creationTimestamp": at(made), "labels": {JOB: purpose},
                "annotations": {VERSION: version, SCHEMA: "3"}},
            "spec": {"template": {"spec": {"containers": [
                {"name": "sidecar"}, {"name": "c", "env": [{"name": "TAGLINE_DIRECTION", "value": direction}]},
            ]}}},
            "status": {"completionTime": time, "conditions": [{"type": state, "status": "True"}]},
        }))
    }

    fn up(uid: &str, ended: u32) -> Object {
        job(uid, "migrate", "up", "1.2.3", Some(ended), ended - 1)
    }

    /// Which count no more, of a step without files or version to reach.
    fn voided(jobs: &[Object], at: Option<&str>) -> Vec<String> {
        let at = at.map(|at| Version::parse(at).unwrap());
        void(jobs, &planned(&[]), "1.2.3", at.as_ref())
    }

    #[test]
    fn what_may_have_been_taken_back_does_not_count() {
        let none: [&str; 0] = [];
        assert_eq!(voided(&[up("a", 10)], None), none);
        let failed_down = job("down", "migrate", "down", "1.2.3", None, 11);
        assert_eq!(voided(&[up("a", 10), failed_down.clone()], None), ["a"]);
        assert_eq!(voided(&[up("a", 10), failed_down, up("b", 13)], None), ["a"]);
        assert_eq!(voided(&[up("a", 10), job("down", "migrate", "down", "0.0.0-abc", Some(12), 11)], None), ["a"]);
        assert_eq!(voided(&[up("a", 10), job("back", "restore", "", "1.2.3", None, 11)], None), ["a"]);
        assert_eq!(voided(&[up("a", 10), job("other", "migrate", "up", "1.2.4", Some(12), 11)], None), ["a"]);
        // What failed upwards has taken nothing back, and what came before took back nothing of this.
        assert_eq!(voided(&[up("a", 10), job("other", "migrate", "up", "1.2.4", None, 11)], None), none);
        assert_eq!(voided(&[job("down", "migrate", "down", "1.2.3", Some(8), 7), up("a", 10)], None), ["down"]);
    }

    #[test]
    fn two_migrations_of_one_release_leave_each_other_alone() {
        let none: [&str; 0] = [];
        assert_eq!(voided(&[up("first", 10), up("second", 12)], None), none);
    }

    #[test]
    fn the_schema_knows_better() {
        let none: [&str; 0] = [];
        assert_eq!(voided(&[up("a", 10)], Some("3")), none);
        assert_eq!(voided(&[up("a", 10)], Some("2")), ["a"]);
        let to = |to: &str, at: &str| {
            let plan = planned(&[("to", to)]);
            void(&[up("a", 10)], &plan, "1.2.3", Some(&Version::parse(at).unwrap()))
        };
        assert_eq!(to("4", "3"), ["a"]);
        assert_eq!(to("4", "4"), none);
        assert_eq!(to("4", "5"), none);
    }

    #[test]
    fn a_restore_leaves_no_version_behind() {
        assert_eq!(newest(&[up("b", 12), up("a", 10)]), Version::parse("3").ok());
        let mut back = job("back", "restore", "", "1.2.3", Some(14), 13);
        back.remove("/metadata/annotations/tagline.dev~1schema");
        assert_eq!(newest(&[up("a", 10), back]), None);
    }

    proptest! {
        /// Whatever was done before, the newest way up that is complete counts, unless the schema is not there.
        #[test]
        fn the_last_of_all_counts(ends in prop::collection::vec((any::<bool>(), any::<bool>()), 0..6)) {
            let mut jobs: Vec<Object> = ends.iter().zip(1..).map(|((is_up, done), number)| {
                let direction = if *is_up { "up" } else { "down" };
                job(&format!("j{number}"), "migrate", direction, "1.2.3", done.then_some(number * 2), number * 2 - 1)
            }).collect();
            jobs.push(up("last", 40));
            prop_assert!(!voided(&jobs, Some("3")).contains(&"last".to_owned()));
            prop_assert!(voided(&jobs, Some("2")).contains(&"last".to_owned()));
        }
    }
}
