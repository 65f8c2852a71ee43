//! Migrations on the test cluster and a real PostgreSQL.

use std::time::Duration;

use crate::common::{Link, Space, space};
use crate::support::{Database, cron_job, demo, image, prepare, site, write_migrations};
use indexmap::IndexMap;
use serde_json::json;
use tagline_delivery::cluster::{Filter, Labels};
use tagline_delivery::inputs::{Action, MigrateInputs};
use tagline_delivery::job::Done;
use tagline_delivery::migrate::{self, MigratePlan};
use tagline_delivery::{DeliveryError, Failure, ImageRef, Object, Site, Stop};

const FIRST: [(&str, &str); 2] = [
    ("001_init.up.sql", "create table products (id bigint primary key); insert into products values (1), (2);"),
    ("001_init.down.sql", "drop table products;"),
];
const SECOND: [(&str, &str); 2] = [
    ("002_sku.up.sql", "alter table products add column sku text;"),
    ("002_sku.down.sql", "alter table products drop column sku;"),
];
const STATUS: &str = "migrate\nstatus\n--json\n--dir\n/migrations";

/// A namespace, a database, an image with migrations, and a tree with the same.
struct Stage {
    space: Space,
    database: Database,
    image: ImageRef,
    tree: tempfile::TempDir,
}

impl Stage {
    async fn new(name: &str, migrations: &[(&str, &str)]) -> Option<Self> {
        let demo = demo()?;
        let space = space(name).await?;
        let (database, image) = (Database::new(&demo), image(&demo, name, migrations));
        let tree = tempfile::tempdir().unwrap();
        write_migrations(&tree.path().join("migrations"), migrations);
        prepare(&space, &database, &image).await;
        Some(Self { space, database, image, tree })
    }

    fn site(&self) -> Site {
        site(&self.space, self.tree.path(), &[&self.image])
    }

    async fn plan(&self, with: &[(&str, &str)]) -> Result<MigratePlan, Failure> {
        let planned = migrate::plan(&self.site(), &inputs(with), &self.space.cluster).await;
        planned.map_err(|error| failure(error.into()))
    }

    async fn jobs(&self) -> Vec<Object> {
        self.space.cluster.list("batch/v1", "Job", &Labels::new()).await.unwrap()
    }

    async fn jobs_for(&self, purpose: &str) -> Vec<Object> {
        let of = |job: &Object| job.labels().get("tagline.dev/job").is_some_and(|label| label == purpose);
        self.jobs().await.into_iter().filter(of).collect()
    }
}

fn inputs(with: &[(&str, &str)]) -> MigrateInputs {
    let mut all = IndexMap::from([("job".to_owned(), "cronjob/migrations".to_owned())]);
    all.extend(with.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    match Action::read("tagline/migrate@v1", &all) {
        Ok(Action::Migrate(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

fn failure(error: DeliveryError) -> Failure {
    match error {
        DeliveryError::Failed(failure) => *failure,
        DeliveryError::Stopped(stop) => panic!("stopped: {stop}"),
    }
}

fn output<'a>(done: &'a Done, name: &str) -> &'a str {
    &done.outputs[name]
}

#[tokio::test]
async fn a_release_is_migrated_once_however_often_it_is_asked() {
    let all = [FIRST, SECOND].concat();
    let Some(stage) = Stage::new("migrate-once", &all).await else { return };
    let plan = stage.plan(&[("dir", "migrations"), ("status-args", STATUS), ("lock-timeout", "700ms")]).await.unwrap();
    assert!(plan.summary().join("\n").contains("002_sku.up.sql"), "{:?}", plan.summary());
    let link = Link::new();
    let done = migrate::apply(&plan, &stage.site(), &stage.space.cluster, &*link).await.unwrap();
    assert_eq!([output(&done, "from"), output(&done, "to"), output(&done, "applied")], ["000", "002", "2"]);
    assert_eq!(link.reached(), ["begun", "migrated"]);
    assert!(link.said().contains(&"applied 002_sku".to_owned()), "{:?}", link.said());
    assert!(
        link.files
            .lock()
            .unwrap()
            .iter()
            .any(|(name, log)| name.starts_with("job-migrations-v1-2-3-") && !log.is_empty())
    );

    let jobs = stage.jobs_for("migrate").await;
    let [job] = jobs.as_slice() else { panic!("{}", jobs.len()) };
    assert!(job.name().starts_with("migrations-v1-2-3-") && job.name().ends_with("-1"), "{}", job.name());
    assert_eq!(job.labels()["tagline.dev/attempt"], "1");
    assert_eq!(job.0.pointer("/metadata/ownerReferences"), None);
    assert_eq!(job.number("/spec/backoffLimit"), Some(0));
    assert_eq!(job.number("/spec/activeDeadlineSeconds"), Some(600));
    let container = &job.list("/spec/template/spec/containers")[0];
    assert_eq!(container["image"], stage.image.to_string());
    assert!(container["env"].as_array().unwrap().contains(&json!({"name": "TAGLINE_LOCK_TIMEOUT_MS", "value": "700"})));

    // Again: by the same step that lost its engine, and by a later attempt that remembers nothing.
    let again = migrate::apply(&plan, &stage.site(), &stage.space.cluster, &*link).await.unwrap();
    assert_eq!(again.outputs, done.outputs);
    let later = Site { run: 8, attempt: 2, ..stage.site() };
    migrate::apply(&plan, &later, &stage.space.cluster, &*Link::new()).await.unwrap();
    assert_eq!(stage.jobs_for("migrate").await.len(), 1);
    let known = stage.plan(&[("dir", "migrations"), ("status-args", STATUS)]).await.unwrap();
    assert!(known.summary().contains(&"the schema is at 002; 0 to do".to_owned()), "{:?}", known.summary());
}

#[tokio::test]
async fn without_a_status_a_complete_job_of_the_release_counts() {
    let Some(stage) = Stage::new("migrate-blind", &FIRST).await else { return };
    let plan = stage.plan(&[]).await.unwrap();
    for attempt in 1..=3 {
        let site = Site { attempt, ..stage.site() };
        let done = migrate::apply(&plan, &site, &stage.space.cluster, &*Link::new()).await.unwrap();
        assert!(output(&done, "job").ends_with("-1"));
    }
    assert_eq!(stage.jobs().await.len(), 1);
}

#[tokio::test]
async fn a_failed_migration_is_told_at_once_and_tried_again_under_the_next_number() {
    let wrong = [
        FIRST.as_slice(),
        &[("002_bad.up.sql", "alter table nothing add column x text;"), ("002_bad.down.sql", "select 1;")],
    ]
    .concat();
    let Some(stage) = Stage::new("migrate-bad", &wrong).await else { return };
    let plan = stage.plan(&[("dir", "migrations"), ("status-args", STATUS)]).await.unwrap();
    let begun = std::time::Instant::now();
    let failed = failure(migrate::apply(&plan, &stage.site(), &stage.space.cluster, &*Link::new()).await.unwrap_err());
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    let said = format!("{failed} {}", failed.evidence.join("\n"));
    assert!(said.contains("relation \"nothing\" does not exist"), "{said}");
    assert!(failed.effect.contains("the schema is at 001; nothing was deployed"), "{failed}");
    let link = Link::new();
    let second = Site { attempt: 2, ..stage.site() };
    failure(migrate::apply(&plan, &second, &stage.space.cluster, &*link).await.unwrap_err());
    assert!(link.said().iter().any(|line| line.contains("of run 7/deploy/1/0 failed")), "{:?}", link.said());
    let numbers: Vec<String> =
        stage.jobs_for("migrate").await.iter().map(|job| job.labels()["tagline.dev/attempt"].clone()).collect();
    assert_eq!(numbers, ["1", "2"]);
}

#[tokio::test]
async fn a_cancelled_migration_is_gone_before_anything_else() {
    let slow = [
        ("001_slow.up.sql", "select pg_sleep(60); create table late (id int);"),
        ("001_slow.down.sql", "drop table late;"),
    ];
    let Some(stage) = Stage::new("migrate-cancel", &slow).await else { return };
    let plan = stage.plan(&[]).await.unwrap();
    let (link, site) = (Link::new(), stage.site());
    let stop = async {
        let mut pods = stage.space.cluster.watch("v1", "Pod", Filter::default()).await.unwrap();
        while !pods.next().await.unwrap().iter().any(|pod| pod.text("/status/phase") == "Running") {}
        link.end(Stop::Cancelled("asked to".to_owned()));
    };
    let (ended, ()) = tokio::join!(migrate::apply(&plan, &site, &stage.space.cluster, &*link), stop);
    assert!(matches!(ended, Err(DeliveryError::Stopped(Stop::Cancelled(_)))), "{ended:?}");
    assert!(stage.jobs().await.is_empty());
    assert!(stage.space.cluster.pods(&Labels::new()).await.unwrap().is_empty());
    assert_eq!(stage.database.query("select to_regclass('late') as late")[0]["late"], json!(null));
}

#[tokio::test]
async fn an_engine_that_is_killed_is_followed_by_one_that_waits_for_the_same_job() {
    let slow = [
        ("001_slow.up.sql", "select pg_sleep(4); create table late (id int);"),
        ("001_slow.down.sql", "drop table late;"),
    ];
    let Some(stage) = Stage::new("migrate-kill", &slow).await else { return };
    let plan = stage.plan(&[("dir", "migrations"), ("status-args", STATUS)]).await.unwrap();
    let (link, site) = (Link::new(), stage.site());
    let mut jobs = stage.space.cluster.watch("batch/v1", "Job", Filter::default()).await.unwrap();
    // Killed each time something has changed about the Jobs.
    for _ in 0..12 {
        let apply = migrate::apply(&plan, &site, &stage.space.cluster, &*link);
        tokio::select! {
            done = apply => { done.unwrap(); break; }
            set = jobs.next() => { set.unwrap(); }
        }
    }
    migrate::apply(&plan, &site, &stage.space.cluster, &*link).await.unwrap();
    assert_eq!(stage.jobs_for("migrate").await.len(), 1);
    assert_eq!(link.reached(), ["begun", "migrated"]);
}

#[tokio::test]
async fn downwards_to_a_version_and_never_past_what_has_no_way_back() {
    let all =
        [FIRST.as_slice(), SECOND.as_slice(), &[("003_note.up.sql", "alter table products add column note text;")]]
            .concat();
    let Some(stage) = Stage::new("migrate-down", &all).await else { return };
    let up = |to: &'static str| {
        [
            ("dir", "migrations"),
            ("status-args", STATUS),
            ("args", "migrate\nup\n--to\n{to}\n--dir\n/migrations"),
            ("to", to),
        ]
    };
    let down = |to: &'static str| {
        [
            ("dir", "migrations"),
            ("status-args", STATUS),
            ("direction", "down"),
            ("to", to),
            ("down-args", "migrate\ndown\n--to\n{to}\n--dir\n/migrations"),
        ]
    };
    let apply =
        async |plan: &MigratePlan| migrate::apply(plan, &stage.site(), &stage.space.cluster, &*Link::new()).await;
    apply(&stage.plan(&up("2")).await.unwrap()).await.unwrap();
    let plan = stage.plan(&down("1")).await.unwrap();
    assert!(plan.summary().join("\n").contains("the schema is at 002; 1 to do"), "{:?}", plan.summary());
    let link = Link::new();
    let done = migrate::apply(&plan, &stage.site(), &stage.space.cluster, &*link).await.unwrap();
    assert_eq!([output(&done, "from"), output(&done, "to"), output(&done, "applied")], ["002", "001", "1"]);
    assert!(link.said().contains(&"to do: 002_sku.down.sql".to_owned()), "{:?}", link.said());
    // What was taken back is made again, though a Job of this release was complete before.
    let site = Site { attempt: 2, ..stage.site() };
    let plan = stage.plan(&up("2")).await.unwrap();
    let again = migrate::apply(&plan, &site, &stage.space.cluster, &*Link::new()).await.unwrap();
    assert_eq!([output(&again, "from"), output(&again, "to")], ["001", "002"]);
    apply(&stage.plan(&up("3")).await.unwrap()).await.unwrap();
    let refused = stage.plan(&down("1")).await.unwrap_err();
    assert_eq!(refused.why, "down to 001: 003 is irreversible (no down)");
}

#[tokio::test]
async fn a_backup_comes_first_and_must_be_whole() {
    let Some(stage) = Stage::new("migrate-backup", &FIRST).await else { return };
    let mut backup = cron_job("backup", &stage.image, true);
    let spec = &mut backup["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    spec["containers"][0]["args"] = json!(["db", "backup"]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "backup", "mountPath": "/backup"}]);
    spec["volumes"] = json!([{"name": "backup", "emptyDir": {}}]);
    stage.space.apply(backup).await;
    let with = |size: &'static str| {
        [("dir", "migrations"), ("status-args", STATUS), ("backup", "cronjob/backup"), ("backup-min-size", size)]
    };
    let plan = stage.plan(&with("1MiB")).await.unwrap();
    let link = Link::new();
    let failed = failure(migrate::apply(&plan, &stage.site(), &stage.space.cluster, &*link).await.unwrap_err());
    assert!(failed.why.contains("bytes, at least 1048576 are needed"), "{failed}");
    assert!(stage.jobs_for("migrate").await.is_empty());
    let plan = stage.plan(&with("10")).await.unwrap();
    let (link, site) = (Link::new(), Site { attempt: 2, ..stage.site() });
    let done = migrate::apply(&plan, &site, &stage.space.cluster, &*link).await.unwrap();
    assert_eq!(link.reached(), ["begun", "backed-up", "migrated"]);
    assert!(output(&done, "backup").starts_with("backup-"), "{done:?}");
}

#[tokio::test]
async fn everything_wrong_is_told_before_anything_is_made() {
    let Some(stage) = Stage::new("migrate-plan", &[("001_a.up.sql", "select 1;"), ("003_b.up.sql", "select 1;")]).await
    else {
        return;
    };
    stage.space.apply(cron_job("nightly", &stage.image, false)).await;
    let all = |failed: Failure| failed.evidence.join("\n");
    let missing = all(stage.plan(&[("job", "cronjob/migration"), ("dir", "migrations")]).await.unwrap_err());
    assert!(missing.contains("number 002 is missing between 001_a.up.sql and 003_b.up.sql"), "{missing}");
    assert!(
        missing.contains("cronjob \"migration\" does not exist") && missing.contains("did you mean migrations?"),
        "{missing}"
    );
    let nightly = all(stage.plan(&[("job", "cronjob/nightly")]).await.unwrap_err());
    assert!(nightly.contains("cronjob \"nightly\" is not suspended"), "{nightly}");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
        "spec": {"selector": {"app": "migrations"}, "ports": [{"port": 80}]}});
    stage.space.apply(service).await;
    let selected = all(stage.plan(&[("container", "demos")]).await.unwrap_err());
    assert!(
        selected.contains("container \"demos\" not in cronjob/migrations; it has: demo; did you mean demo?"),
        "{selected}"
    );
    let selected = all(stage.plan(&[]).await.unwrap_err());
    assert!(selected.contains("Service/shop selects the pods of cronjob/migrations"), "{selected}");
    let site = Site { built: Vec::new(), ..stage.site() };
    let none = failure(migrate::plan(&site, &inputs(&[]), &stage.space.cluster).await.unwrap_err().into());
    assert!(none.evidence.join("\n").contains("this run has built no image"), "{none}");
    assert!(stage.jobs().await.is_empty());
}
