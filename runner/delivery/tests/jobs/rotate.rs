//! Rotation on the test cluster: two accounts of a real PostgreSQL in turn, under requests.

use crate::common::{Link, Space, space};
use crate::support::{Database, cron_job, demo, image, site};
use indexmap::IndexMap;
use serde_json::{Value, json};
use tagline_delivery::action::{self, Fate, Retirement};
use tagline_delivery::cluster::{Filter, HttpCall, Labels};
use tagline_delivery::inputs::{Action, RotateInputs};
use tagline_delivery::job::Done;
use tagline_delivery::rollout::Wait;
use tagline_delivery::rotate::{self, RotatePlan};
use tagline_delivery::{DeliveryError, Failure, ImageRef, Object, Site, Stop};

const TABLES: [(&str, &str); 2] =
    [("001_init.up.sql", "create table t (id int);"), ("001_init.down.sql", "drop table t;")];

fn inputs(with: &[(&str, &str)]) -> RotateInputs {
    let mut all: IndexMap<String, String> = IndexMap::new();
    let base = [
        ("secret", "db"),
        ("generate", "password 24"),
        ("job", "cronjob/migrations"),
        ("args", "db\nrotate"),
        ("verify", "/api/v1/whoami"),
        ("force", "true"),
    ];
    all.extend(base.iter().chain(with).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    all.retain(|_, value| !value.is_empty());
    match Action::read("tagline/rotate-secret@v1", &all) {
        Ok(Action::RotateSecret(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

fn failure(error: DeliveryError) -> Failure {
    match error {
        DeliveryError::Failed(failure) => *failure,
        DeliveryError::Stopped(stop) => panic!("stopped: {stop}"),
    }
}

/// Two Deployments and a CronJob that log in with the Secret `db`.
struct Stage {
    space: Space,
    database: Database,
    account: String,
    tree: tempfile::TempDir,
}

impl Stage {
    async fn new(name: &str) -> Option<Self> {
        let demo = demo()?;
        let space = space(name).await?;
        let (database, image) = (Database::new(&demo), image(&demo, name, &TABLES));
        let account = format!("{}_app", database.name());
        database.admin(&format!("create role {account} login createrole password 'first-password'"));
        database.admin(&format!("alter database {} owner to {account}", database.name()));
        let address = database.in_pods();
        let (_, server) = address.rsplit_once('@').unwrap();
        let data = json!({"username": account, "password": "first-password", "jwt-secret": "j",
            "url": format!("postgres://{account}:first-password@{server}")});
        space
            .apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": data}))
            .await;
        space.apply(cron_job("migrations", &image, true)).await;
        for name in ["workers", "critical"] {
            space.apply(server_of(name, &image)).await;
        }
        Some(Self { space, database, account, tree: tempfile::tempdir().unwrap() })
    }

    fn site(&self, run: u64) -> Site {
        Site { run, ..site(&self.space, self.tree.path(), &[]) }
    }

    async fn plan(&self, with: &[(&str, &str)]) -> Result<RotatePlan, Failure> {
        rotate::plan(&self.site(1), &inputs(with), None, &self.space.cluster)
            .await
            .map_err(|error| failure(error.into()))
    }

    async fn secrets(&self) -> Vec<String> {
        let all = self.space.cluster.list("v1", "Secret", &Labels::new()).await.unwrap();
        all.iter().map(|secret| secret.name().to_owned()).filter(|name| name.starts_with("db")).collect()
    }

    /// Waits until every pod of both Deployments says who it is.
    async fn users(&self) -> Vec<String> {
        let mut users = Vec::new();
        let ready: Vec<Object> = self.pods().await.into_iter().filter(tagline_delivery::rollout::is_ready).collect();
        for pod in ready {
            let answer = self.space.cluster.pod_http(pod.name(), 8080, &HttpCall::get("/q/health/db")).await.unwrap();
            assert_eq!(answer.status, 200, "{}", pod.name());
            users.push(secret_of(&pod));
        }
        users.sort();
        users.dedup();
        users
    }

    async fn pods(&self) -> Vec<Object> {
        let all = self.space.cluster.pods(&Labels::new()).await.unwrap();
        all.into_iter().filter(|pod| pod.labels().contains_key("pod-template-hash")).collect()
    }

    async fn rolled_out(&self) {
        let mut all = Vec::new();
        for name in ["workers", "critical"] {
            let id = self.space.cluster.id("apps/v1", "Deployment", name);
            all.push(self.space.cluster.get(&id).await.unwrap().unwrap());
        }
        for one in all {
            let link = Link::new();
            tagline_delivery::rollout::wait_ready(&self.space.cluster, &[one], &Wait::default(), &*link).await.unwrap();
        }
    }

    fn retirement(&self, done: &Done) -> Retirement {
        let [later] = done.later.as_slice() else { panic!("{done:?}") };
        Retirement {
            environment: "production".to_owned(),
            target: self.space.cluster.target().clone(),
            unit: "shop".to_owned(),
            release: String::new(),
            version: "1.2.3".to_owned(),
            services: Vec::new(),
            objects: vec![(later.note.clone(), later.uid.clone())],
            fate: Fate::Recorded,
            due: later.due,
        }
    }

    fn may_log_in(&self, account: &str) -> bool {
        let said = self.database.query(&format!("select rolcanlogin as may from pg_roles where rolname = '{account}'"));
        said[0]["may"] == "t"
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.database.admin(&format!("alter database {} owner to postgres", self.database.name()));
        for account in [format!("{}_2", self.account), self.account.clone()] {
            let there = self.database.query(&format!("select 1 as one from pg_roles where rolname = '{account}'"));
            if there.as_array().is_some_and(|rows| !rows.is_empty()) {
                self.database.query(&format!("drop owned by {account}"));
                self.database.admin(&format!("drop role {account}"));
            }
        }
    }
}

/// The Secret that a pod was started with.
fn secret_of(pod: &Object) -> String {
    let env = pod.list("/spec/containers")[0]["env"].as_array().cloned().unwrap_or_default();
    env[0].pointer("/valueFrom/secretKeyRef/name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn server_of(name: &str, image: &ImageRef) -> Value {
    let variable =
        |name: &str, key: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "db", "key": key}}});
    crate::common::deployment(
        name,
        "v1",
        1,
        &json!({
            "name": "demo", "image": image.to_string(), "args": ["serve", "--drain", "0s"], "ports": [{"containerPort": 8080}],
            "env": [variable("DATABASE_URL", "url"), variable("JWT", "jwt-secret")],
            "readinessProbe": {"httpGet": {"path": "/q/health/db", "port": 8080}, "periodSeconds": 1},
        }),
    )
}

#[tokio::test]
async fn everybody_logs_in_anew_and_the_old_values_go_when_their_time_is_over() {
    let Some(stage) = Stage::new("rotate").await else { return };
    stage.rolled_out().await;
    let plan = stage.plan(&[("keep-old", "1ms")]).await.unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert!(!text.contains("first-password"));
    let (link, site) = (Link::new(), stage.site(1));
    // Nobody is ever without a Secret.
    let watch = async {
        let mut pods = stage.space.cluster.watch("v1", "Pod", Filter::default()).await.unwrap();
        loop {
            for pod in pods.next().await.unwrap() {
                let waits =
                    pod.list("/status/containerStatuses").iter().filter_map(|one| one.pointer("/state/waiting/reason"));
                assert!(!waits.into_iter().any(|reason| reason == "CreateContainerConfigError"), "{}", pod.name());
            }
        }
    };
    let done = tokio::select! {
        done = rotate::apply(&plan, &site, &stage.space.cluster, &*link) => done.unwrap(),
        () = watch => unreachable!("it watches for ever"),
    };
    assert_eq!(link.reached(), ["begun", "created", "switched", "verified", "rotated"]);
    assert!(!link.milestones.lock().unwrap().iter().any(|one| one.data.to_string().contains("first-password")));
    let new = done.outputs["secret"].clone();
    assert_eq!(stage.users().await, std::slice::from_ref(&new));
    assert_eq!(stage.secrets().await.len(), 2);
    assert!(stage.may_log_in(&stage.account) && stage.may_log_in(&format!("{}_2", stage.account)));
    // Twice is as good as once.
    let again = rotate::apply(&plan, &site, &stage.space.cluster, &*link).await.unwrap();
    assert_eq!((again.outputs.clone(), stage.secrets().await.len()), (done.outputs.clone(), 2));
    action::retire(&stage.retirement(&done), &stage.space.cluster, &*Link::new()).await.unwrap();
    assert_eq!(stage.secrets().await, std::slice::from_ref(&new));
    assert!(!stage.may_log_in(&stage.account));
    // And back to the first account; not due unless forced.
    let early = stage.plan(&[("force", "false")]).await.unwrap();
    let early = rotate::apply(&early, &stage.site(3), &stage.space.cluster, &*Link::new()).await.unwrap();
    assert_eq!((early.outputs["rotated"].as_str(), early.outputs["secret"].as_str()), ("false", new.as_str()));
    let second = stage.plan(&[]).await.unwrap();
    let second = rotate::apply(&second, &stage.site(4), &stage.space.cluster, &*Link::new()).await.unwrap();
    assert_eq!(stage.users().await, [second.outputs["secret"].clone()]);
    assert!(stage.may_log_in(&stage.account));
    // A third set of values while the old ones are kept is refused.
    let third = stage.plan(&[]).await.unwrap();
    let refused =
        failure(rotate::apply(&third, &stage.site(5), &stage.space.cluster, &*Link::new()).await.unwrap_err());
    assert!(refused.why.contains("a third set would be in use"), "{refused}");
}

#[tokio::test]
async fn an_engine_that_is_killed_anywhere_is_followed_to_the_same_end() {
    let Some(stage) = Stage::new("rotate-kill").await else { return };
    stage.rolled_out().await;
    let plan = stage.plan(&[]).await.unwrap();
    let (link, site) = (Link::new(), stage.site(1));
    let mut done = None;
    // Killed after each milestone, and whenever a Job or a Deployment changes.
    let mut jobs = stage.space.cluster.watch("batch/v1", "Job", Filter::default()).await.unwrap();
    let mut kills = 0;
    while done.is_none() {
        let seen = link.reached().len();
        let reached = link.until_holds(|link| link.reached().len() > seen);
        tokio::select! {
            biased;
            ended = rotate::apply(&plan, &site, &stage.space.cluster, &*link) => done = Some(ended.unwrap()),
            () = reached => kills += 1,
            set = jobs.next(), if kills < 8 => { set.unwrap(); kills += 1; }
        }
    }
    assert!(kills >= 6, "{kills}");
    assert_eq!(stage.users().await, [done.unwrap().outputs["secret"].clone()]);
    assert_eq!(stage.secrets().await.len(), 2);
}

#[tokio::test]
async fn what_does_not_work_goes_back_to_the_old_values() {
    let Some(stage) = Stage::new("rotate-back").await else { return };
    stage.rolled_out().await;
    let plan = stage.plan(&[("verify", "/nothing")]).await.unwrap();
    let link = Link::new();
    let failed = failure(rotate::apply(&plan, &stage.site(1), &stage.space.cluster, &*link).await.unwrap_err());
    assert!(failed.effect.contains("everything reads db as before"), "{failed}");
    assert_eq!(link.reached().last().map(String::as_str), Some("rolled-back"));
    stage.rolled_out().await;
    assert_eq!((stage.users().await, stage.secrets().await), (vec!["db".to_owned()], vec!["db".to_owned()]));

    let plan = stage.plan(&[]).await.unwrap();
    let (link, site) = (Link::new(), stage.site(2));
    let stop = async {
        link.until_reached("created").await;
        link.end(Stop::Cancelled("asked to".to_owned()));
    };
    let (ended, ()) = tokio::join!(rotate::apply(&plan, &site, &stage.space.cluster, &*link), stop);
    assert!(matches!(ended, Err(DeliveryError::Stopped(Stop::Cancelled(_)))), "{ended:?}");
    stage.rolled_out().await;
    assert_eq!((stage.users().await, stage.secrets().await), (vec!["db".to_owned()], vec!["db".to_owned()]));
    // Nothing counts as rotated: it is planned from the old values, and done.
    let plan = stage.plan(&[]).await.unwrap();
    let done = rotate::apply(&plan, &stage.site(3), &stage.space.cluster, &*Link::new()).await.unwrap();
    assert_eq!((done.outputs["rotated"].as_str(), done.outputs["previous-secret"].as_str()), ("true", "db"));
}

/// A rotation that was given up halfway leaves a Secret that nobody takes for the one in force.
#[tokio::test]
async fn what_was_not_verified_is_not_in_force_and_late_readers_are_sent() {
    let Some(stage) = Stage::new("rotate-late").await else { return };
    stage.rolled_out().await;
    let left = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db-0123456789",
        "labels": {"tagline.dev/rotates": "db", "tagline.dev/rotation": "0000"}}, "stringData": {"password": "unknown"}});
    stage.space.apply(left).await;
    let plan = stage.plan(&[("keep-old", "1ms")]).await.unwrap();
    assert_eq!(plan.live.0.name, "db");
    let done = rotate::apply(&plan, &stage.site(1), &stage.space.cluster, &*Link::new()).await.unwrap();
    // Somebody applies what still says the first name.
    let mut late = stage.space.cluster.get(&stage.space.cluster.id("apps/v1", "Deployment", "workers")).await.unwrap();
    let patch = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/env/0/valueFrom/secretKeyRef/name", "value": "db"}]);
    let late = late.take().unwrap();
    stage.space.cluster.patch(&late.id(), "kubectl", &tagline_delivery::cluster::Patch::Json(patch)).await.unwrap();
    stage.rolled_out().await;
    let ended = action::retire(&stage.retirement(&done), &stage.space.cluster, &*Link::new()).await.unwrap();
    assert_eq!(ended.removed, ["rotate-secret db"]);
    stage.rolled_out().await;
    assert_eq!(
        (stage.users().await, stage.secrets().await),
        (vec![done.outputs["secret"].clone()], vec![done.outputs["secret"].clone()])
    );
}

#[tokio::test]
async fn what_stands_against_it_is_told_before_anything_is_made() {
    let Some(stage) = Stage::new("rotate-plan").await else { return };
    let lines = |failed: Failure| failed.evidence.join("\n");
    let sealed = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sealed",
        "labels": {"reconcile.external-secrets.io/managed": "true"}}, "stringData": {"password": "x"}});
    stage.space.apply(sealed).await;
    let said = lines(stage.plan(&[("secret", "sealed")]).await.unwrap_err());
    assert!(said.contains("sealed is managed by ExternalSecret: rotate at the source"), "{said}");
    assert!(said.contains("nothing reads sealed") && said.contains("accounts: two needs the account's name"), "{said}");
    let said = lines(stage.plan(&[("secret", "dbs")]).await.unwrap_err());
    assert!(said.contains("there is no Secret dbs; did you mean db?"), "{said}");
    let said = lines(stage.plan(&[("generate", ""), ("values", "password=hunter2hunter2")]).await.unwrap_err());
    assert!(said.contains("values: password is given as it is") && !said.contains("hunter2"), "{said}");
    let with = [("generate", ""), ("values", "password=secret/db/pass")];
    let said = lines(stage.plan(&with).await.unwrap_err());
    assert!(said.contains("values: Secret db lacks key pass"), "{said}");
    let reads = json!({"name": "X", "valueFrom": {"secretKeyRef": {"name": "db", "key": "api-key"}}});
    let id = stage.space.cluster.id("apps/v1", "Deployment", "workers");
    let patch = tagline_delivery::cluster::Patch::Json(
        json!([{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": reads}]),
    );
    stage.space.cluster.patch(&id, "tagline-tests", &patch).await.unwrap();
    let said = lines(stage.plan(&[]).await.unwrap_err());
    assert_eq!(said, "new Secret lacks key api-key that workload workers reads");
    assert_eq!(stage.secrets().await, ["db"]);
}
