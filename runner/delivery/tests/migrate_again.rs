//! Migrations that were made before, or half made: what is run again, what is verified again, and what is refused.
//! A scripted server is asked, and no cluster.

mod common;

use std::sync::{Arc, Mutex};

use common::Link;
use common::script::{Act, Server, ok, step};
use indexmap::IndexMap;
use serde_json::{Value, json};
use tagline_delivery::inputs::migrate::BackupCheck;
use tagline_delivery::inputs::{Action, Period};
use tagline_delivery::job::{Done, JobPlan};
use tagline_delivery::migrate::{self, Backup, MigratePlan, Migration, Version};
use tagline_delivery::{DeliveryError, Failure, Object};

/// What one Job prints, and whether it is complete then.
type Script = Vec<(&'static str, bool)>;

/// A cluster in which each Job that is made does the next of a script.
struct World {
    script: Script,
    made: usize,
    /// How often it was asked for the Jobs of one key, and which time it knows the earlier migration there; 0: never.
    asked: usize,
    finds: usize,
}

/// A Job with its end, by its number.
fn job(number: usize, complete: bool) -> Value {
    let state = if complete { "Complete" } else { "Failed" };
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": format!("job-{number}"), "namespace": "shop", "uid": format!("uid-{number}"),
            "creationTimestamp": "2026-01-02T04:00:00Z", "resourceVersion": "5"},
        "spec": {"completions": 1},
        "status": {"completionTime": "2026-01-02T04:01:00Z", "conditions": [
            {"type": state, "status": "True", "reason": "BackoffLimitExceeded", "message": "over"}]},
    })
}

/// The migration of this release that was complete before, and left the schema at 3.
fn earlier() -> Value {
    let mut job = job(0, true);
    job["metadata"]["creationTimestamp"] = json!("2026-01-02T03:00:00Z");
    job["status"]["completionTime"] = json!("2026-01-02T03:01:00Z");
    job["metadata"]["labels"] = json!({"tagline.dev/job": "migrate", "tagline.dev/attempt": "1"});
    job["metadata"]["annotations"] =
        json!({"tagline.dev/unit": "shop", "tagline.dev/version": "1.2.3", "tagline.dev/schema": "3"});
    job["spec"]["template"] =
        json!({"spec": {"containers": [{"name": "c", "env": [{"name": "TAGLINE_DIRECTION", "value": "up"}]}]}});
    job
}

fn pod(number: usize, complete: bool) -> Value {
    let (phase, code) = if complete { ("Succeeded", 0) } else { ("Failed", 1) };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{number}"), "namespace": "shop", "uid": format!("p{number}"),
            "resourceVersion": "6"},
        "status": {"phase": phase, "containerStatuses": [
            {"name": "c", "state": {"terminated": {"exitCode": code}}}]},
    })
}

fn list(items: &[Value]) -> Act {
    ok(&json!({"metadata": {"resourceVersion": "5"}, "items": items}))
}

impl World {
    /// The end of the Job of this number; the one before all has printed nothing.
    fn end(&self, number: usize) -> (&'static str, bool) {
        number.checked_sub(1).map_or(("", true), |at| self.script[at])
    }

    fn answer(&mut self, line: &str) -> Act {
        let line = line.replace("%2F", "/").replace("%3D", "=");
        // A Job or pod by its number.
        let number = |before: &str| -> Option<usize> {
            let rest = line.split_once(before)?.1;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        if line.starts_with("POST") {
            self.made += 1;
            assert!(self.made <= self.script.len(), "one Job more than the script has");
            return ok(&job(self.made, self.end(self.made).1));
        }
        if line.contains("/log?") {
            let printed = number("/pods/pod-").map_or("", |number| self.end(number).0);
            return Act::Answer(200, "Content-Type: text/plain\r\n", printed.to_owned());
        }
        if line.contains("watch=true") {
            return Act::Hold(Vec::new());
        }
        match (number("job-name=job-"), number("metadata.name=job-")) {
            (Some(number), _) => list(&[pod(number, self.end(number).1)]),
            (_, Some(number)) => list(&[job(number, self.end(number).1)]),
            _ if line.starts_with("PATCH") => ok(&job(0, true)),
            _ if line.contains("tagline.dev/job=migrate") => list(&[earlier()]),
            _ if line.contains("tagline.dev/key=") => {
                self.asked += 1;
                if self.asked == self.finds { list(&[earlier()]) } else { list(&[]) }
            }
            _ => list(&[]),
        }
    }
}

/// The plan of a step with these inputs, and with the files of so many migrations.
fn planned(with: &[(&str, &str)], files: u32) -> MigratePlan {
    let mut all = IndexMap::from([("job".to_owned(), "cronjob/m".to_owned())]);
    all.extend(with.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let Ok(Action::Migrate(inputs)) = Action::read("tagline/migrate@v1", &all) else { panic!("{all:?}") };
    let template = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "m", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let one = |number: u32| Migration {
        version: version(&number.to_string()),
        file: format!("{number:03}_x.up.sql"),
        back: None,
        reversible: true,
        contract: false,
        losses: Vec::new(),
    };
    let files: Vec<Migration> = (1..=files).map(one).collect();
    MigratePlan {
        unit: "shop".to_owned(),
        inputs: *inputs,
        job: JobPlan { source: "cronjob/m".to_owned(), container: "c".to_owned(), object: Object(template) },
        backup: None,
        from: None,
        to: files.last().map(|newest| newest.version.clone()),
        files,
        warnings: Vec::new(),
    }
}

fn version(text: &str) -> Version {
    Version::parse(text).expect("a version")
}

/// Carries the plan out after the earlier migration; gives back too what was said, and how many Jobs were made.
async fn apply(plan: &MigratePlan, script: Script) -> (Result<Done, Failure>, Vec<String>, usize) {
    // First the schema is asked, then the migration is looked for; where nothing is pending, its verification.
    let finds = if plan.inputs.verify_args.is_empty() { 2 } else { 0 };
    let world = Arc::new(Mutex::new(World { script, made: 0, asked: 0, finds }));
    let shared = Arc::clone(&world);
    let server = Server::answering(move |line| shared.lock().expect("no test panics with it").answer(line)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, site) = step(&server.url, folder.path()).await;
    let link = Link::new();
    let done = migrate::apply(plan, &site, &cluster, &*link).await.map_err(|error| match error {
        DeliveryError::Failed(failure) => *failure,
        DeliveryError::Stopped(stop) => panic!("stopped: {stop}"),
    });
    let made = world.lock().expect("no test panics with it").made;
    (done, link.said(), made)
}

const STATUS: (&str, &str) = ("status-args", "status");
const VERIFY: (&str, &str) = ("verify-args", "verify");

/// The database was restored, or taken back by hand: the schema is not where the complete Job has left it.
#[tokio::test]
async fn an_old_job_does_not_outweigh_the_schema() {
    for files in [3, 0] {
        let script = vec![("version 2", true), ("", true), ("version 3", true)];
        let (done, said, made) = apply(&planned(&[STATUS], files), script).await;
        let done = done.expect("it is migrated again");
        assert_eq!((done.outputs["from"].as_str(), done.outputs["to"].as_str(), made), ("002", "003", 3), "{said:?}");
        assert_eq!(done.outputs["job"], "job-2");
    }
}

#[tokio::test]
async fn a_complete_job_counts_where_the_schema_is_as_it_left_it() {
    let script = vec![("version 3", true), ("version 3", true)];
    let (done, said, made) = apply(&planned(&[STATUS], 0), script).await;
    assert_eq!((done.expect("it was migrated").outputs["job"].as_str(), made), ("job-0", 2), "{said:?}");
    assert!(said.contains(&"Job/job-0 is complete already; it is not run again".to_owned()), "{said:?}");
}

#[tokio::test]
async fn what_is_there_already_is_verified_all_the_same() {
    let plan = planned(&[STATUS, VERIFY], 3);
    let (done, ..) = apply(&plan, vec![("version 3", true), ("2 rows without a sku", false)]).await;
    let failure = done.expect_err("the verification failed before, and fails again");
    assert!(failure.evidence.contains(&"2 rows without a sku".to_owned()), "{failure:?}");
    assert!(failure.effect.contains("is migrated and not as it should be"), "{failure}");
    let (done, _, made) = apply(&plan, vec![("version 3", true), ("ok", true)]).await;
    assert_eq!((done.expect("nothing is to do").summary.as_str(), made), ("the schema is at 003: nothing to do", 2));
}

#[tokio::test]
async fn a_dirty_schema_is_not_migrated() {
    for status in ["3 (dirty)", "{\"version\": 3, \"dirty\": true}", "{\"version\": 3, \"dirty\": [3]}"] {
        let (done, _, made) = apply(&planned(&[STATUS], 3), vec![(status, true)]).await;
        let failure = done.expect_err("nobody knows what is there");
        assert_eq!((failure.what.as_str(), made), ("the schema is dirty at 003", 1));
        assert_eq!(failure.effect, "nothing was changed");
        assert!(failure.next.contains("mend it by hand"), "{failure}");
    }
}

#[tokio::test]
async fn a_migration_that_fails_half_way_says_that_it_left_the_schema_dirty() {
    let script = vec![("version 2", true), ("ERROR: no such table", false), ("3 (dirty)", true)];
    let (done, ..) = apply(&planned(&[STATUS], 3), script).await;
    let failure = done.expect_err("it failed");
    assert_eq!(failure.effect, "the schema is dirty at 003; nothing was deployed");
    assert!(failure.next.contains("mend it by hand"), "{failure}");
}

#[tokio::test]
async fn a_version_that_was_asked_for_and_is_not_reached_is_a_failure_without_files_too() {
    let mut plan = planned(&[STATUS, ("to", "4")], 0);
    plan.to = Some(version("4"));
    let script = vec![("version 3", true), ("", true), ("version 3", true)];
    let (done, ..) = apply(&plan, script).await;
    assert_eq!(done.expect_err("it is at 3").why, "its Job was complete, and the schema is at 003, not at 004");
}

/// The engine that waited for it ended before it had judged what it took.
#[tokio::test]
async fn a_backup_that_was_too_old_when_its_job_ended_is_so_for_the_next_engine() {
    let taken = |at: &str| {
        let mut job = job(1, true);
        let result = json!({"name": "b", "size": 2048, "at": at});
        job["metadata"]["annotations"] = json!({"tagline.dev/result": result.to_string()});
        job
    };
    let take = async |at: &str| {
        let known = taken(at);
        let answer =
            move |line: &str| if line.contains("jobs?") { list(std::slice::from_ref(&known)) } else { list(&[]) };
        let server = Server::answering(answer).await;
        let folder = tempfile::tempdir().expect("a folder");
        let (cluster, site) = step(&server.url, folder.path()).await;
        let (job, check, day) = (planned(&[], 0).job, BackupCheck::None, Period::from_secs(24 * 3600));
        let backup = Backup { job, min_size: 1024, check, max_age: Some(day) };
        migrate::take_backup(&backup, "shop", &site, &cluster, *day, &*Link::new()).await
    };
    let error = take("2026-01-01T00:01:00Z").await.expect_err("it was 28 hours old");
    assert!(error.to_string().contains("last backup 28h old, limit 24h"), "{error}");
    assert_eq!(take("2026-01-02T04:00:00Z").await.expect("it was fresh, whenever that was").name, "b");
}
