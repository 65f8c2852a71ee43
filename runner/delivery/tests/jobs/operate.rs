//! Operations on the test cluster and a real PostgreSQL: done, done twice, undone.

use crate::common::{Link, Space, space, web};
use crate::support::{Database, cron_job, demo, image, prepare, site};
use indexmap::IndexMap;
use serde_json::{Value, json};
use tagline_delivery::action::{self, Fate, Retirement};
use tagline_delivery::cluster::Labels;
use tagline_delivery::inputs::{Action, OperateInputs};
use tagline_delivery::job::Done;
use tagline_delivery::operate::{self, OperatePlan};
use tagline_delivery::{DeliveryError, Failure, Object, Site};

fn inputs(with: &[(&str, &str)]) -> OperateInputs {
    let all: IndexMap<String, String> =
        with.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    match Action::read("tagline/operate@v1", &all) {
        Ok(Action::Operate(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

fn failure(error: DeliveryError) -> Failure {
    match error {
        DeliveryError::Failed(failure) => *failure,
        DeliveryError::Stopped(stop) => panic!("stopped: {stop}"),
    }
}

/// A namespace, and runs with numbers of their own.
struct Stage {
    space: Space,
    tree: tempfile::TempDir,
    run: std::cell::Cell<u64>,
}

impl Stage {
    async fn new(name: &str) -> Option<Self> {
        let space = space(name).await?;
        Some(Self { space, tree: tempfile::tempdir().unwrap(), run: std::cell::Cell::new(1) })
    }

    fn site(&self) -> Site {
        self.run.set(self.run.get() + 1);
        Site { run: self.run.get(), ..site(&self.space, self.tree.path(), &[]) }
    }

    async fn plan(&self, with: &[(&str, &str)]) -> Result<OperatePlan, Failure> {
        operate::plan(&self.site(), &inputs(with), &self.space.cluster).await.map_err(|error| failure(error.into()))
    }

    /// Planned and carried out, then carried out once more by an engine that remembers all milestones.
    async fn operate(&self, with: &[(&str, &str)]) -> Result<Done, Failure> {
        let plan = self.plan(with).await?;
        let (site, link) = (self.site(), Link::new());
        let done = operate::apply(&plan, &site, &self.space.cluster, &*link).await.map_err(failure)?;
        let again = operate::apply(&plan, &site, &self.space.cluster, &*link).await.map_err(failure)?;
        assert_eq!(done.outputs, again.outputs);
        Ok(done)
    }

    async fn deployment(&self, name: &str) -> Object {
        self.get("apps/v1", "Deployment", name).await
    }

    async fn get(&self, api_version: &str, kind: &str, name: &str) -> Object {
        let id = self.space.cluster.id(api_version, kind, name);
        self.space.cluster.get(&id).await.unwrap().unwrap()
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
            fate: later.after_run.map_or(Fate::Recorded, |run| Fate::RunEnded { run }),
            due: later.due,
        }
    }

    async fn notes(&self) -> usize {
        let maps = self.space.cluster.list("v1", "ConfigMap", &Labels::new()).await.unwrap();
        maps.iter().filter(|map| map.labels().contains_key("tagline.dev/operation")).count()
    }
}

fn scaler(name: &str, least: u32, most: u32) -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "minReplicas": least, "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}})
}

/// What may not be put back now is not forgotten: only an object that is gone has nothing to put back.
#[tokio::test]
async fn an_undo_that_is_refused_stays_to_be_done() {
    let Some(stage) = Stage::new("operate-refused").await else { return };
    let Some(reader) = stage.space.restricted().await else { return };
    let api = "rbac.authorization.k8s.io";
    let all = |verbs: &[&str]| json!({"apiGroups": ["*"], "resources": ["*"], "verbs": verbs});
    stage
        .space
        .apply(json!({"apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": {"name": "reader"},
        "rules": [all(&["get", "list", "watch"]), {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]}))
        .await;
    stage
        .space
        .apply(json!({"apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": api, "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "name": "tagline-restricted", "apiGroup": api}]}))
        .await;
    stage.space.apply(web("shop", "v1", "one", 1)).await;
    stage.operate(&[("do", "scale"), ("workloads", "shop"), ("replicas", "0")]).await.unwrap();
    let undo = [("do", "scale"), ("workloads", "shop"), ("undo", "true")];
    let plan = stage.plan(&undo).await.unwrap();
    let refused = operate::apply(&plan, &stage.site(), &reader, &*Link::new()).await.map(|_| ()).map_err(failure);
    let refused = refused.unwrap_err();
    assert!(refused.what.contains("cannot patch"), "the right is named: {refused:?}");
    assert_eq!(stage.notes().await, 1, "it is remembered");
    stage.operate(&undo).await.unwrap();
    assert_eq!((stage.notes().await, stage.deployment("shop").await.number("/spec/replicas")), (0, Some(1)));
}

#[tokio::test]
async fn replicas_are_set_remembered_and_put_back() {
    let Some(stage) = Stage::new("operate-scale").await else { return };
    stage.space.apply(web("shop", "v1", "one", 2)).await;
    stage.space.apply(web("scaled", "v1", "one", 1)).await;
    stage.space.apply(scaler("scaled", 1, 4)).await;
    let refused = stage.plan(&[("do", "scale"), ("workloads", "scaled"), ("replicas", "15")]).await.unwrap_err();
    assert_eq!(refused.why, "15 is above maxReplicas 4; change the HPA or use hpa: set-min");
    let unknown = stage.plan(&[("do", "scale"), ("workloads", "shops, scaled"), ("replicas", "0")]).await.unwrap_err();
    assert!(
        unknown.evidence[0].contains("there is no workload shops; there are: scaled, shop; did you mean shop?"),
        "{unknown}"
    );
    assert!(unknown.evidence[1].contains("0 is below minReplicas 1"), "{unknown}");

    let done =
        stage.operate(&[("do", "scale"), ("workloads", "shop"), ("replicas", "0"), ("reason", "pause")]).await.unwrap();
    assert_eq!([&*done.outputs["before"], &*done.outputs["after"], &*done.outputs["changed"]], ["2", "0", "true"]);
    // On top of it: what is remembered stays what was there first.
    stage.operate(&[("do", "scale"), ("workloads", "shop"), ("replicas", "1")]).await.unwrap();
    assert_eq!(stage.notes().await, 1);
    let undo = [("do", "scale"), ("workloads", "shop"), ("undo", "true")];
    assert_eq!(stage.operate(&undo).await.unwrap().outputs["changed"], "true");
    assert_eq!(stage.deployment("shop").await.number("/spec/replicas"), Some(2));
    let managers = stage.deployment("shop").await;
    assert!(!managers.list("/metadata/managedFields").iter().any(|entry| entry["manager"] == "tagline-operate"));
    assert_eq!((stage.notes().await, &*stage.operate(&undo).await.unwrap().outputs["changed"]), (0, "false"));

    let suspend = [("do", "scale"), ("workloads", "scaled"), ("replicas", "2"), ("hpa", "suspend"), ("for", "1h")];
    let done = stage.operate(&suspend).await.unwrap();
    let bounds = async || {
        let scaler = stage.get("autoscaling/v2", "HorizontalPodAutoscaler", "scaled").await;
        (scaler.number("/spec/minReplicas"), scaler.number("/spec/maxReplicas"))
    };
    assert_eq!(bounds().await, (Some(2), Some(2)));
    // Its hour is not over.
    let retirement = stage.retirement(&done);
    let retire = async || action::retire(&retirement, &stage.space.cluster, &*Link::new()).await;
    let early = retire().await.unwrap_err();
    assert!(early.to_string().contains("is not due"), "{early}");
    stage.operate(&[("do", "scale"), ("workloads", "scaled"), ("undo", "true")]).await.unwrap();
    assert_eq!(bounds().await, (Some(1), Some(4)));
    assert!(retire().await.unwrap().removed.is_empty());
    let shortly = [("do", "scale"), ("workloads", "shop"), ("replicas", "1"), ("for", "1ms")];
    let retirement = stage.retirement(&stage.operate(&shortly).await.unwrap());
    let ended = action::retire(&retirement, &stage.space.cluster, &*Link::new()).await.unwrap();
    assert_eq!(ended.removed, ["scale Deployment/shop"]);
    assert_eq!(stage.deployment("shop").await.number("/spec/replicas"), Some(2));
}

#[tokio::test]
async fn variables_and_resources_are_one_rollout_each_and_what_does_not_come_up_is_put_back() {
    let Some(stage) = Stage::new("operate-env").await else { return };
    stage.space.apply(web("shop", "v1", "one", 1)).await;
    let generation = async || stage.deployment("shop").await.number("/status/observedGeneration").unwrap_or(0);
    let container = async || stage.deployment("shop").await.list("/spec/template/spec/containers")[0].clone();
    stage.operate(&[("do", "restart"), ("workloads", "shop")]).await.unwrap();
    let first = generation().await;
    stage
        .operate(&[
            ("do", "set-resources"),
            ("workloads", "shop"),
            ("requests", "cpu=10m\nmemory=16Mi"),
            ("limits", "memory=64Mi"),
        ])
        .await
        .unwrap();
    assert_eq!(generation().await, first + 1);
    assert_eq!(
        container().await["resources"],
        json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}})
    );
    stage.operate(&[("do", "set-env"), ("workloads", "shop"), ("env", "A=1\nB=2")]).await.unwrap();
    stage.operate(&[("do", "set-env"), ("workloads", "shop"), ("env", "A-\nC=3")]).await.unwrap();
    let names: Vec<String> = container().await["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["B", "C"]);
    stage.operate(&[("do", "set-env"), ("workloads", "shop"), ("undo", "true")]).await.unwrap();
    assert_eq!(container().await["env"].as_array().map_or(0, Vec::len), 0);

    let before = container().await;
    let broken = stage
        .operate(&[("do", "set-resources"), ("workloads", "shop"), ("requests", "cpu=900"), ("timeout", "6s")])
        .await
        .unwrap_err();
    assert!(broken.effect.contains("what was there before is put back"), "{broken}");
    assert_eq!(container().await, before);
    // The operation before it is still remembered.
    assert_eq!(stage.notes().await, 1);
    let done = stage.operate(&[("do", "exec"), ("workloads", "shop"), ("command", "echo\nhello")]).await.unwrap();
    assert_eq!(done.summary, "echo hello was carried out in 1 pods");
    let failed = stage.operate(&[("do", "exec"), ("workloads", "shop"), ("command", "false")]).await.unwrap_err();
    assert!(failed.why.contains("exit code 1 in shop-"), "{failed}");
}

#[tokio::test]
async fn configuration_reaches_every_pod_and_comes_back() {
    let Some(stage) = Stage::new("operate-config").await else { return };
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"mode": "old", "maintenance": "false"}});
    stage.space.apply(map).await;
    let mut shop = web("shop", "v1", "one", 1);
    shop["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "conf"}}]);
    stage.space.apply(shop).await;
    let mode = async || {
        let done =
            stage.operate(&[("do", "exec"), ("workloads", "shop"), ("command", "sh\n-c\ntest \"$mode\" = new")]).await;
        done.is_ok()
    };
    stage.operate(&[("do", "config"), ("config", "conf"), ("data", "mode=new\nextra=1")]).await.unwrap();
    assert!(mode().await);
    stage
        .operate(&[
            ("do", "flag"),
            ("store", "configmap"),
            ("config", "conf"),
            ("key", "maintenance"),
            ("value", "true"),
        ])
        .await
        .unwrap();
    let data = async || stage.get("v1", "ConfigMap", "conf").await.0["data"].clone();
    assert_eq!(data().await, json!({"mode": "new", "maintenance": "true", "extra": "1"}));
    stage
        .operate(&[
            ("do", "flag"),
            ("store", "configmap"),
            ("config", "conf"),
            ("key", "maintenance"),
            ("undo", "true"),
        ])
        .await
        .unwrap();
    stage.operate(&[("do", "config"), ("config", "conf"), ("undo", "true")]).await.unwrap();
    assert_eq!(data().await, json!({"mode": "old", "maintenance": "false"}));
    assert!(!mode().await);
    let wrong = stage
        .plan(&[("do", "flag"), ("store", "configmap"), ("config", "conf"), ("key", "maintenanc"), ("value", "x")])
        .await
        .unwrap_err();
    assert!(wrong.why.contains("matches 0 keys of ConfigMap/conf; did you mean maintenance?"), "{wrong}");
}

#[tokio::test]
async fn what_ends_with_its_run_is_undone_and_what_others_changed_is_left() {
    let Some(stage) = Stage::new("operate-finally").await else { return };
    stage.space.apply(web("shop", "v1", "one", 1)).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"mode": "old"}});
    stage.space.apply(map).await;
    let data = async || stage.get("v1", "ConfigMap", "conf").await.0["data"].clone();
    let set = [("do", "config"), ("config", "conf"), ("data", "mode=new\nextra=1"), ("finally", "true")];
    let retirement = stage.retirement(&stage.operate(&set).await.unwrap());
    assert!(matches!(retirement.fate, Fate::RunEnded { .. }), "{retirement:?}");
    // Another run's end is not this one's.
    let other = Retirement { fate: Fate::RunEnded { run: 999 }, ..retirement.clone() };
    assert!(action::retire(&other, &stage.space.cluster, &*Link::new()).await.unwrap().removed.is_empty());
    // Somebody has set one of the two since.
    let patch = tagline_delivery::cluster::Patch::Merge(json!({"data": {"extra": "2"}}));
    let id = stage.space.cluster.id("v1", "ConfigMap", "conf");
    stage.space.cluster.patch(&id, "kubectl", &patch).await.unwrap();
    // A release that came since reads it too.
    let mut later = web("later", "v2", "one", 1);
    later["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "conf"}}]);
    stage.space.apply(later).await;
    let link = Link::new();
    let ended = action::retire(&retirement, &stage.space.cluster, &*link).await.unwrap();
    assert_eq!(ended.removed, ["config conf"]);
    assert_eq!(data().await, json!({"mode": "old", "extra": "2"}));
    assert!(
        link.said().iter().any(|line| line.contains("data.extra is not what config conf set")),
        "{:?}",
        link.said()
    );
    let later = stage.deployment("later").await;
    assert!(!later.text("/spec/template/metadata/annotations/tagline.dev~1config-read").is_empty(), "it started again");
    assert_eq!(stage.notes().await, 0);
}

const TABLES: [(&str, &str); 2] = [
    (
        "001_init.up.sql",
        "create table feature_flags (flag_key text not null, tenant_id text, enabled boolean not null); \
         insert into feature_flags values ('ui', null, true), ('ui', 'a', true), ('ui', 'b', false), ('api', null, true); \
         create table orders (id bigint primary key, note text); insert into orders values (1, 'one'), (2, E'two\\tand\\nmore');",
    ),
    ("001_init.down.sql", "drop table orders; drop table feature_flags;"),
];

#[tokio::test]
async fn flags_and_statements_touch_exactly_the_rows_that_are_meant() {
    let Some(demo) = demo() else { return };
    let Some(stage) = Stage::new("operate-flag").await else { return };
    let (database, image) = (Database::new(&demo), image(&demo, "operate-flag", &TABLES));
    prepare(&stage.space, &database, &image).await;
    database.query(TABLES[0].1);
    let flags = || database.query("select flag_key, tenant_id, enabled from feature_flags order by 1, 2 nulls first");
    let before = flags();
    let sql = |with: &[(&'static str, &'static str)]| {
        let base = [("database", "secret/db/url"), ("job", "cronjob/migrations"), ("args", "db\nquery\n{sql}")];
        base.iter().chain(with).copied().collect::<Vec<_>>()
    };
    let nowhere = stage
        .plan(&[
            ("do", "flag"),
            ("key", "ui"),
            ("value", "false"),
            ("database", "secret/db/urls"),
            ("job", "cronjob/migrations"),
        ])
        .await
        .unwrap_err();
    assert!(nowhere.evidence[0].contains("write {sql} as one of them"), "{nowhere}");
    assert_eq!(nowhere.evidence[1], "database: Secret db lacks key urls");

    let tenant =
        stage.operate(&sql(&[("do", "flag"), ("key", "ui"), ("tenant", "a"), ("value", "false")])).await.unwrap();
    assert!(tenant.summary.ends_with("1 rows"), "{}", tenant.summary);
    assert_eq!(flags()[2]["enabled"], "f");
    assert_eq!(flags()[3], before[3]);
    stage.operate(&sql(&[("do", "flag"), ("key", "ui"), ("value", "false")])).await.unwrap();
    stage.operate(&sql(&[("do", "flag"), ("key", "ui"), ("undo", "true")])).await.unwrap();
    assert_eq!((flags()[1]["enabled"].clone(), flags()[2]["enabled"].clone()), (json!("t"), json!("f")));
    stage.operate(&sql(&[("do", "flag"), ("key", "ui"), ("tenant", "a"), ("undo", "true")])).await.unwrap();
    assert_eq!(flags(), before);
    // The other way round, and over rows that came in between: each row ends where it began.
    stage.operate(&sql(&[("do", "flag"), ("key", "ui"), ("tenant", "a"), ("value", "false")])).await.unwrap();
    stage.operate(&sql(&[("do", "flag"), ("key", "ui"), ("value", "false")])).await.unwrap();
    database.query("insert into feature_flags values ('ui', 'c', true)");
    stage.operate(&sql(&[("do", "flag"), ("key", "ui"), ("value", "off")])).await.unwrap();
    stage.operate(&sql(&[("do", "flag"), ("key", "ui"), ("tenant", "a"), ("undo", "true")])).await.unwrap();
    stage.operate(&sql(&[("do", "flag"), ("key", "ui"), ("undo", "true")])).await.unwrap();
    assert_eq!(flags()[4]["enabled"], "t", "the row that came later");
    database.query("delete from feature_flags where tenant_id = 'c'");
    assert_eq!(flags(), before);
    // A statement that fails leaves nothing that an undo would put back.
    let failed = stage.operate(&sql(&[("do", "flag"), ("key", "ui"), ("value", "perhaps")])).await;
    assert!(failed.is_err() && stage.notes().await == 0, "{failed:?}");
    let none = stage.operate(&sql(&[("do", "flag"), ("key", "FEATURE_NAME"), ("value", "false")])).await.unwrap_err();
    assert_eq!(none.why, "flag \"FEATURE_NAME\" matches 0 rows of feature_flags");

    let done = stage
        .operate(&sql(&[
            ("do", "sql"),
            ("sql", "update orders set note = '$$x'; delete from orders where id = 2"),
            ("expect-rows", "3"),
        ]))
        .await
        .unwrap();
    assert_eq!(done.outputs["after"], "3");
    assert_eq!(database.query("select note from orders"), json!([{"note": "$$x"}]));
    let wrong =
        stage.operate(&sql(&[("do", "sql"), ("sql", "delete from orders"), ("expect-rows", "2")])).await.unwrap_err();
    assert!(
        wrong.evidence.join("\n").contains("1 rows, expected 2; nothing was changed"),
        "{wrong} {:?}",
        wrong.evidence
    );
    assert_eq!(database.query("select count(*) as count from orders")[0]["count"], "1");
}

#[tokio::test]
async fn a_backup_comes_back_while_nobody_writes() {
    let Some(demo) = demo() else { return };
    let Some(stage) = Stage::new("operate-restore").await else { return };
    let (database, image) = (Database::new(&demo), image(&demo, "operate-restore", &TABLES));
    prepare(&stage.space, &database, &image).await;
    let mut job = cron_job("backup", &image, true);
    let spec = &mut job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    spec["containers"][0]["volumeMounts"] = json!([{"name": "backup", "mountPath": "/backup"}]);
    spec["volumes"] = json!([{"name": "backup", "hostPath": {"path": format!("/tmp/tagline-{}", database.name()), "type": "DirectoryOrCreate"}}]);
    stage.space.apply(job).await;
    let url =
        format!("{}/{}", std::env::var("TAGLINE_TEST_POSTGRES").unwrap().rsplit_once('/').unwrap().0, database.name());
    let folder = tempfile::tempdir().unwrap();
    crate::support::write_migrations(folder.path(), &TABLES);
    let up = std::process::Command::new(&demo)
        .args(["migrate", "up", "--dir"])
        .arg(folder.path())
        .env("DATABASE_URL", &url)
        .output()
        .unwrap();
    assert!(up.status.success(), "{up:?}");
    stage.space.apply(web("writer", "v1", "one", 2)).await;

    let small = stage
        .operate(&[("do", "backup"), ("job", "cronjob/backup"), ("args", "db\nbackup\nsmall"), ("min-size", "1GiB")])
        .await
        .unwrap_err();
    assert!(small.why.contains("at least 1073741824 are needed"), "{small}");
    let taken = stage
        .operate(&[("do", "backup"), ("job", "cronjob/backup"), ("args", "db\nbackup\nfirst"), ("min-size", "100")])
        .await
        .unwrap();
    assert_eq!(taken.outputs["backup"], "first");
    database.query("delete from orders");
    let restore = |with: &[(&'static str, &'static str)]| {
        let base = [
            ("do", "restore"),
            ("job", "cronjob/backup"),
            ("args", "db\nrestore"),
            ("backup", "first"),
            ("writers", "writer"),
        ];
        base.iter().chain(with).copied().collect::<Vec<_>>()
    };
    let running = stage.operate(&restore(&[("stop-writers", "false")])).await.unwrap_err();
    assert_eq!(running.why, "writers still running: writer (2 pods)");
    assert_eq!(database.query("select count(*) as count from orders")[0]["count"], "0");
    let missing = stage.operate(&restore(&[("backup", "second")])).await.unwrap_err();
    assert!(missing.effect.contains("the live database is as it was; Deployment/writer is started again"), "{missing}");
    // Half restored, the writers stay stopped; the next attempt knows how many there were.
    let half = stage.operate(&restore(&[("backup", "second"), ("in-place", "rows are lost")])).await.unwrap_err();
    assert!(half.effect.ends_with("its writers stay stopped (Deployment/writer, it had 2)"), "{half}");
    assert_eq!(stage.deployment("writer").await.number("/spec/replicas"), Some(0));
    let live = [("into", database.name())];
    let refused = stage.plan(&restore(&live.map(|(key, name)| (key, &*name.to_owned().leak())))).await.unwrap_err();
    assert!(refused.why.contains("restore into the live database needs in-place: reason"), "{refused}");
    let done = stage.operate(&restore(&[])).await.unwrap();
    assert!(done.outputs["after"].contains("\"swapped\":true"), "{done:?}");
    assert_eq!(database.query("select note from orders order by id")[1]["note"], "two\tand\nmore");
    assert_eq!((stage.deployment("writer").await.number("/spec/replicas"), stage.notes().await), (Some(2), 0));
    let result: Value = serde_json::from_str(&done.outputs["after"]).unwrap();
    database.admin(&format!("drop database {}", result["before"].as_str().unwrap()));
    std::fs::remove_dir_all(format!("/tmp/tagline-{}", database.name())).unwrap();
}
