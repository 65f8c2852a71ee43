//! The actions that deliver to a cluster: names, inputs and defaults. What a value may be beyond its kind is in
//! `tagline-delivery`'s `inputs`, which reads names and defaults from here.

use super::Kind::{Boolean, Choice, Integer, Lines, Text};
use super::{Input, input};

/// An action that delivers to a cluster. The engine carries it out, not the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// `tagline/deploy`
    Deploy,
    /// `tagline/migrate`
    Migrate,
    /// `tagline/smoke-test`
    SmokeTest,
    /// `tagline/analyse`
    Analyse,
    /// `tagline/operate`
    Operate,
    /// `tagline/rotate-secret`
    RotateSecret,
    /// `tagline/rollback`
    Rollback,
}

impl Delivery {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Deploy,
        Self::Migrate,
        Self::SmokeTest,
        Self::Analyse,
        Self::Operate,
        Self::RotateSecret,
        Self::Rollback,
    ];

    /// The one that `uses` names, at `v1`.
    pub fn lookup(uses: &str) -> Option<Self> {
        let (name, version) = uses.trim().split_once('@')?;
        Self::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(name) && version == "v1")
    }

    /// `OWNER/NAME`, without a version.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deploy => "tagline/deploy",
            Self::Migrate => "tagline/migrate",
            Self::SmokeTest => "tagline/smoke-test",
            Self::Analyse => "tagline/analyse",
            Self::Operate => "tagline/operate",
            Self::RotateSecret => "tagline/rotate-secret",
            Self::Rollback => "tagline/rollback",
        }
    }

    /// The inputs it knows.
    pub const fn inputs(self) -> &'static [Input] {
        match self {
            Self::Deploy => DEPLOY,
            Self::Migrate => MIGRATE,
            Self::SmokeTest => SMOKE_TEST,
            Self::Analyse => ANALYSE,
            Self::Operate => OPERATE,
            Self::RotateSecret => ROTATE_SECRET,
            Self::Rollback => ROLLBACK,
        }
    }

    /// The outputs it sets.
    pub const fn outputs(self) -> &'static [&'static str] {
        match self {
            Self::Deploy => {
                &["release", "version", "previous-release", "previous-version", "live", "strategy", "changed"]
            }
            Self::Migrate => &["from", "to", "applied", "job", "backup"],
            Self::SmokeTest => &["passed", "failed", "report"],
            Self::Analyse => &["verdict", "report"],
            Self::Operate => &["changed", "before", "after", "backup"],
            Self::RotateSecret => &["secret", "previous-secret", "rotated", "next-due"],
            Self::Rollback => &["release", "version", "changed"],
        }
    }
}

const DEPLOY: &[Input] = &[
    // What is delivered.
    input("name", Text),
    input("manifests", Text),
    input("render", Choice(&["auto", "kustomize", "helm", "files"])).or("auto"),
    input("chart", Text),
    input("release-name", Text),
    input("values", Lines),
    input("set", Lines),
    input("history", Integer).or("10"),
    input("deployment", Text),
    input("container", Text),
    input("images", Lines),
    input("workloads", Lines),
    input("service", Lines),
    input("preview-service", Text),
    input("names", Choice(&["release", "colours"])).or("release"),
    input("config", Choice(&["release", "shared"])).or("release"),
    input("replicas", Text).or("previous"),
    // How.
    input("strategy", Choice(&["rolling", "blue-green", "canary", "workers", "gitops"])).or("rolling"),
    input("timeout", Text).or("10m"),
    input("progress-deadline", Text).or("5m"),
    input("min-ready", Text).or("10s"),
    input("on-failure", Choice(&["rollback", "pause", "stop"])).or("rollback"),
    input("reason", Text),
    input("prune", Boolean).or("false"),
    input("force-conflicts", Boolean).or("false"),
    input("adopt", Boolean).or("true"),
    input("drift", Choice(&["refuse", "overwrite", "keep"])).or("refuse"),
    input("capacity-check", Boolean).or("true"),
    input("max-surge", Text).or("1"),
    input("max-unavailable", Text).or("0"),
    input("drain", Text).or("15s"),
    input("watch", Text).or("15m"),
    input("scale-old", Integer).or("1"),
    input("keep-old", Text).or("24h"),
    input("rollback-replicas", Text).or("previous"),
    input("autoscaler", Choice(&["follow", "leave"])).or("follow"),
    input("pdb", Choice(&["follow", "leave"])).or("follow"),
    input("releases", Integer).or("3"),
    // What is checked.
    input("smoke", Lines),
    input("smoke-jobs", Lines),
    input("smoke-targets", Lines).or("all-pods, preview, public"),
    input("smoke-headers", Lines),
    input("smoke-port", Integer),
    input("smoke-timeout", Text).or("5s"),
    input("smoke-attempts", Integer).or("5"),
    input("smoke-every", Text).or("2s"),
    input("smoke-body-limit", Text).or("1MiB"),
    input("public-url", Text),
    input("rollback-when", Lines),
    input("health", Text),
    input("prometheus", Text),
    input("signals", Lines),
    input("metric-labels", Lines),
    input("metrics-path", Text).or("/metrics"),
    input("metrics-port", Integer),
    input("interval", Text).or("30s"),
    input("window", Text).or("5m"),
    input("min-requests", Integer).or("100"),
    input("no-data", Choice(&["fail", "wait", "pass"])).or("wait"),
    input("no-data-timeout", Text).or("2m"),
    input("allow-no-data", Text),
    input("log-limits", Lines),
    input("evidence", Lines),
    // Of a canary.
    input("steps", Text).refused(),
    input("traffic", Text).refused(),
    input("canary-replicas", Text).refused(),
    input("promote", Text).refused(),
    input("abort-delay", Text).refused(),
    input("compare", Text).refused(),
    input("max-difference", Text).refused(),
];

const MIGRATE: &[Input] = &[
    input("name", Text),
    input("dir", Text),
    input("style", Choice(&["auto", "tagline", "flyway", "golang-migrate", "mybatis", "job"])).or("auto"),
    input("direction", Choice(&["up", "down"])).or("up"),
    input("to", Text),
    input("job", Text),
    input("container", Text),
    input("image", Text),
    input("args", Lines),
    input("down-args", Lines),
    input("status-args", Lines),
    input("verify-args", Lines),
    input("env", Lines),
    input("irreversible", Lines),
    input("retries", Integer).or("0"),
    input("idempotent", Boolean).or("false"),
    input("timeout", Text).or("10m"),
    input("lock-timeout", Text).or("5s"),
    input("statement-timeout", Text).or("15m"),
    input("batch", Integer).or("1000"),
    input("phase", Choice(&["expand", "contract"])).or("expand"),
    input("backup", Text),
    input("backup-args", Lines),
    input("backup-max-age", Text).or("24h"),
    input("backup-check", Choice(&["restore", "checksum", "none"])).or("restore"),
    input("backup-min-size", Text).or("1KiB"),
    input("jobs", Text).or("30d"),
];

const SMOKE_TEST: &[Input] = &[
    input("name", Text),
    input("checks", Lines),
    input("jobs", Lines),
    input("targets", Lines).or("all-pods, preview, public"),
    input("workloads", Lines),
    input("service", Text),
    input("preview-service", Text),
    input("public-url", Text),
    input("port", Integer),
    input("headers", Lines),
    input("path", Text),
    input("status", Text).or("200"),
    input("json", Text),
    input("header", Text),
    input("expect-version", Text),
    input("timeout", Text).or("5s"),
    input("attempts", Integer).or("5"),
    input("every", Text).or("2s"),
    input("body-limit", Text).or("1MiB"),
    input("log-limits", Lines),
    input("images", Lines),
];

const ANALYSE: &[Input] = &[
    input("name", Text),
    input("checks", Lines),
    input("query", Text),
    input("warn", Text),
    input("fail", Text),
    input("source", Text),
    input("signals", Lines),
    input("metric-labels", Lines),
    input("metrics-path", Text).or("/metrics"),
    input("metrics-port", Integer),
    input("workloads", Lines),
    input("interval", Text).or("30s"),
    input("window", Text).or("5m"),
    input("initial-delay", Text).or("60s"),
    input("count", Integer).or("1"),
    input("failure-limit", Integer).or("0"),
    input("min-requests", Integer).or("100"),
    input("no-data", Choice(&["fail", "wait", "pass"])).or("wait"),
    input("no-data-timeout", Text).or("2m"),
    input("allow-no-data", Text),
    input("inconclusive", Choice(&["pause", "fail", "pass"])).or("pause"),
    input("baseline", Choice(&["before", "record", "stored"])).or("before"),
    input("log-limits", Lines),
];

const OPERATE: &[Input] = &[
    input(
        "do",
        Choice(&["scale", "restart", "set-env", "set-resources", "config", "flag", "backup", "restore", "sql", "exec"]),
    )
    .required(),
    input("reason", Text),
    input("undo", Boolean).or("false"),
    input("finally", Boolean).or("false"),
    input("for", Text),
    input("timeout", Text).or("10m"),
    input("workloads", Lines),
    input("container", Text),
    input("replicas", Integer),
    input("hpa", Choice(&["respect", "suspend", "set-min"])).or("respect"),
    input("env", Lines),
    input("requests", Lines),
    input("limits", Lines),
    input("config", Text),
    input("data", Lines),
    input("restart", Boolean).or("true"),
    input("store", Choice(&["sql", "configmap"])).or("sql"),
    input("key", Text),
    input("tenant", Text),
    input("value", Text),
    input("table", Text).or("feature_flags"),
    input("job", Text),
    input("image", Text),
    input("args", Lines),
    input("database", Text),
    input("backup", Text),
    input("min-size", Text).or("1KiB"),
    input("check", Choice(&["restore", "checksum", "none"])).or("restore"),
    input("stop-writers", Boolean).or("true"),
    input("writers", Lines),
    input("into", Text),
    input("in-place", Text),
    input("sql", Text),
    input("expect-rows", Text),
    input("command", Lines),
    input("pods", Choice(&["one", "all"])).or("one"),
];

const ROTATE_SECRET: &[Input] = &[
    input("secret", Text).required(),
    input("values", Lines),
    input("generate", Lines),
    // Of a database 90d, of a key that the workloads alone use 180d.
    input("every", Text),
    input("accounts", Choice(&["two", "dual-password", "none"])).or("two"),
    input("job", Text),
    input("args", Lines),
    input("container", Text),
    input("image", Text),
    input("verify", Lines).required(),
    input("verify-args", Lines),
    // As long as a release's way back is open.
    input("keep-old", Text),
    input("timeout", Text).or("10m"),
    input("force", Boolean).or("false"),
];

const ROLLBACK: &[Input] = &[
    input("name", Text),
    input("to", Text),
    input("reason", Text),
    input("drain", Text).or("15s"),
    input("timeout", Text).or("10m"),
    input("replicas", Text).or("previous"),
    input("evidence", Lines),
    input("restart", Boolean).or("false"),
];
