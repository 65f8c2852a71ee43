//! The other actions.

use tagline_delivery::inputs::operate::{Hpa, Rows, Verb};
use tagline_delivery::inputs::smoke::{Expect, SmokeTarget};
use tagline_delivery::inputs::{Action, Period, is_delivery};

use super::{problems, problems_of, with};

/// An action's right step, and each wrong one with the words it must say.
fn each(uses: &str, right: &[(&str, &str)], wrong: &[(&[(&str, &str)], &str)]) {
    assert_eq!(problems(uses, right), Vec::<String>::new());
    for (inputs, expected) in wrong {
        assert_eq!(problems_of(uses, right, inputs), [*expected], "{inputs:?}");
    }
}

#[test]
fn an_action_is_named_with_its_version() {
    assert_eq!(
        problems("tagline/deploy@v2", &[]),
        ["uses: tagline/deploy has no version \"v2\"; write tagline/deploy@v1"]
    );
    let said = problems("tagline/deplo@v1", &[]).join("");
    assert!(said.ends_with("did you mean tagline/deploy?"), "{said}");
    assert!(is_delivery("tagline/operate@v9") && !is_delivery("tagline/image@v1"));
}

#[test]
fn migrate() {
    let right = [("job", "cronjob/migrations"), ("dir", "db"), ("to", "003")];
    each(
        "tagline/migrate@v1",
        &right,
        &[
            (&[("job", "")], "job: nothing runs the migrations; cronjob/NAME or a manifest's path"),
            (
                &[("job", "migrations")],
                "job: \"migrations\" is neither cronjob/NAME nor a manifest; cronjob/migrations? migrations.yaml?",
            ),
            (&[("direction", "down"), ("to", "")], "to: down needs the version to go to"),
            (&[("direction", "sideways")], "direction: \"sideways\" is not a direction; up, down"),
            (&[("retries", "6")], "retries: retries 6: a migration is not retried unless idempotent: true"),
            (
                &[("lock-timeout", "20m")],
                "lock-timeout: lock-timeout 20m is longer than statement-timeout 15m: it never comes first",
            ),
            (&[("batch", "0")], "batch: batch 0: at least 1"),
            (&[("phase", "expnd")], "phase: \"expnd\" is not a phase; expand, contract; did you mean expand?"),
            (
                &[("style", "liquibase")],
                "style: \"liquibase\" is not a style of migrations; auto, tagline, flyway, golang-migrate, mybatis, job",
            ),
            (
                &[("backup-check", "restore")],
                "backup-check: belongs to backup, which is not given; cronjob/NAME or a manifest's path",
            ),
            (&[("image", "db:1")], "image: db:1 is a tag; give the digest: db@sha256:…"),
            (&[("env", "1X=2")], "env: \"1X\" is not the name of an environment variable"),
        ],
    );
    let action = Action::read("tagline/migrate@v1", &with(&right)).unwrap();
    let asked = action.require("production", true);
    assert_eq!(
        asked[0].to_string(),
        "backup: production has reviewers: backup is required; cronjob/NAME or a manifest's path"
    );
}

#[test]
fn smoke_test() {
    each(
        "tagline/smoke-test@v1",
        &[("checks", "/ready\npods/shop /info version within 1s")],
        &[
            (&[("checks", "")], "checks: nothing is tested; give checks, path, jobs or log-limits"),
            (&[("json", "status")], "json: belongs to path, which is not given; write it in checks or give path"),
            (&[("path", "ready")], "path: \"ready\": a path begins with /; /ready?"),
            (&[("attempts", "0")], "attempts: attempts 0: at least 1"),
            (&[("timeout", "0s")], "timeout: 0s: longer than 0s"),
            (&[("headers", "no colon")], "headers: \"no colon\" is not a header; write Name: value"),
            (&[("port", "99999")], "port: \"99999\" is not a port; 1 to 65535"),
            (
                &[("checks", "preview /info version")],
                "checks: \"preview /info version\" is made on the preview; give preview-service",
            ),
            (&[("targets", "preview")], "targets: there is no place for checks on the preview; give preview-service"),
            (&[("targets", "public")], "targets: there is no place for checks on the public address; give public-url"),
            (&[("targets", "# none"), ("checks", "/ready")], "targets: no place is left for the checks; all-pods"),
            (
                &[("checks", "/ready"), ("expect-version", "1.2.3")],
                "expect-version: no check compares a version; \"/ready version\"?",
            ),
        ],
    );
    let pairs = [
        ("path", "/info"),
        ("json", "version = 1.2.3"),
        ("status", "2xx"),
        ("targets", "preview, public"),
        ("preview-service", "shop-preview"),
        ("public-url", "https://shop.example"),
    ];
    let Ok(Action::SmokeTest(inputs)) = Action::read("tagline/smoke-test@v1", &with(&pairs)) else {
        panic!("not read")
    };
    assert_eq!(inputs.smoke.targets, [SmokeTarget::Preview, SmokeTarget::Public]);
    assert!(matches!(&inputs.smoke.checks[0].expect[..], [Expect::Json { path, .. }] if path.as_str() == "version"));
    assert!(inputs.smoke.checks[0].status.accepts(204) && !inputs.smoke.checks[0].status.accepts(302));
}

#[test]
fn smoke_test_is_made_where_there_is_a_place() {
    let targets = |more: &[(&str, &str)]| {
        let pairs = [&[("checks", "/ready")], more].concat();
        match Action::read("tagline/smoke-test@v1", &with(&pairs)) {
            Ok(Action::SmokeTest(inputs)) => inputs.smoke.targets,
            other => panic!("{other:?}"),
        }
    };
    let (preview, public) = (("preview-service", "shop-preview"), ("public-url", "https://shop.example"));
    assert_eq!(targets(&[]), [SmokeTarget::AllPods]);
    assert_eq!(targets(&[public]), [SmokeTarget::AllPods, SmokeTarget::Public]);
    assert_eq!(targets(&[preview, public]), [SmokeTarget::AllPods, SmokeTarget::Preview, SmokeTarget::Public]);
    let open =
        with(&[("checks", "preview /ready"), ("targets", "preview"), ("preview-service", "${{ vars.preview }}")]);
    assert_eq!(Action::check("tagline/smoke-test@v1", &open), [], "it may be there when the step runs");
}

#[test]
fn the_version_that_is_expected_is_compared_beside_all_else() {
    let expects = |more: &[(&str, &str)]| {
        let pairs = [&[("path", "/info"), ("expect-version", "1.2.3")], more].concat();
        match Action::read("tagline/smoke-test@v1", &with(&pairs)) {
            Ok(Action::SmokeTest(inputs)) => inputs.smoke.checks.into_iter().flat_map(|check| check.expect).collect(),
            other => panic!("{other:?}"),
        }
    };
    for more in [&[][..], &[("json", "status = UP")], &[("header", "x-shop")], &[("checks", "/ready")]] {
        let expects: Vec<Expect> = expects(more);
        assert!(expects.contains(&Expect::Version(None)), "{more:?} {expects:?}");
    }
    // Without a check of its own it says whose logs are meant.
    assert_eq!(problems("tagline/smoke-test@v1", &[("log-limits", "ERROR"), ("expect-version", "1.2.3")]), [""; 0]);
}

#[test]
fn analyse() {
    let right = [("checks", "error-rate < 5% warn 1%\np99 < 2s\nthroughput change <= 10%")];
    each(
        "tagline/analyse@v1",
        &right,
        &[
            (&[("checks", "")], "checks: nothing is measured; give checks, query or log-limits"),
            (
                &[("checks", "error-rate < 5% warn 10%")],
                "checks: \"error-rate < 5% warn 10%\": warn 10% is above fail 5%",
            ),
            (&[("query", "error-rate"), ("fail", "5%"), ("warn", "10%")], "warn: warn 10% is above fail 5%"),
            (&[("query", "error-rate")], "fail: query needs it: the value above which it fails"),
            (&[("warn", "1%")], "warn: belongs to query, which is not given; in checks write error-rate < 5% warn 1%"),
            (&[("window", "10s")], "window: window 10s holds no two scrapes of 30s"),
            (&[("count", "0")], "count: count 0: at least 1"),
            (
                &[("count", "2"), ("failure-limit", "2")],
                "failure-limit: failure-limit 2 with count 2: it can never fail; below 2",
            ),
            (&[("inconclusive", "hope")], "inconclusive: \"hope\" is not an answer to doubt; pause, fail, pass"),
        ],
    );
    let action = Action::read("tagline/analyse@v1", &with(&[right[0], ("no-data", "pass")])).unwrap();
    let asked = action.require("production", true);
    assert_eq!(asked[0].to_string(), "no-data: no-data: pass is refused for production; give allow-no-data: reason");
    let passes = [right[0], ("inconclusive", "pass")];
    let asked = Action::read("tagline/analyse@v1", &with(&passes)).unwrap().require("production", true);
    let refused = "inconclusive: inconclusive: pass is refused for production; give allow-no-data: reason";
    assert_eq!(asked.iter().map(ToString::to_string).collect::<Vec<_>>(), [refused]);
    let reason = [passes[0], passes[1], ("allow-no-data", "an idle service")];
    assert!(Action::read("tagline/analyse@v1", &with(&reason)).unwrap().require("production", true).is_empty());
    let pairs = with(&[("query", "sum(rate(x[5m]))"), ("fail", "3"), ("source", "http://p:9090")]);
    let Ok(Action::Analyse(inputs)) = Action::read("tagline/analyse@v1", &pairs) else { panic!("not read") };
    assert_eq!((inputs.checks[0].text.as_str(), inputs.measure.signals[0].name.as_str()), ("query <= 3", "query"));
}

#[test]
fn operate() {
    let uses = "tagline/operate@v1";
    let verbs = "scale, restart, set-env, set-resources, config, flag, backup, restore, sql, exec";
    assert_eq!(problems(uses, &[]), ["do: tagline/operate needs it"]);
    assert_eq!(
        problems(uses, &[("do", "scal")]),
        [format!("do: \"scal\" is not an operation; {verbs}; did you mean scale?")]
    );
    each(
        uses,
        &[("do", "scale"), ("workloads", "web"), ("replicas", "5")],
        &[
            (&[("workloads", "")], "workloads: scale what?"),
            (&[("replicas", "")], "replicas: scale to how many pods?"),
            (&[("hpa", "suspend")], "for: hpa: suspend needs it: until when nothing scales by itself; 1h"),
            (&[("hpa", "ignore")], "hpa: \"ignore\" is not what an autoscaler does; respect, suspend, set-min"),
            (&[("command", "ls")], "command: scale has no use for it; workloads, replicas, hpa"),
        ],
    );
    each(
        uses,
        &[("do", "restart"), ("workloads", "web worker")],
        &[(&[("undo", "true")], "undo: restart cannot be undone; remove undo")],
    );
    each(
        uses,
        &[("do", "set-env"), ("workloads", "web"), ("env", "A=1\nB-")],
        &[
            (&[("env", "A")], "env: \"A\" is neither NAME=VALUE nor NAME-"),
            (&[("env", "A=1\nA=2")], "env: \"A\" is given twice"),
        ],
    );
    each(
        uses,
        &[("do", "set-resources"), ("workloads", "web"), ("requests", "cpu=100m"), ("limits", "cpu=1")],
        &[
            (&[("requests", "cpu=2")], "requests: cpu 2 is above the limit 1"),
            (
                &[("requests", "memry=1Gi")],
                "requests: \"memry\" is not a resource; cpu, memory, ephemeral-storage; did you mean memory?",
            ),
            (&[("requests", ""), ("limits", "")], "requests: neither requests nor limits are given; cpu=500m"),
        ],
    );
    each(
        uses,
        &[("do", "flag"), ("key", "beta"), ("value", "off"), ("database", "secret/db/url")],
        &[
            (&[("key", "")], "key: which flag?"),
            (&[("database", "")], "database: store: sql needs it"),
            (&[("database", "db")], "database: \"db\" is not secret/NAME/KEY, the key that holds the database's URL"),
            (
                &[("table", "flags; drop table x")],
                "table: \"flags; drop table x\" is not a table's name; a-z, 0-9 and _",
            ),
            (&[("store", "configmap"), ("database", "")], "config: store: configmap needs it"),
        ],
    );
    each(
        uses,
        &[("do", "restore"), ("job", "cronjob/restore"), ("backup", "b1"), ("writers", "web")],
        &[
            (&[("writers", "")], "writers: stop-writers needs to know who writes; workloads, or stop-writers: false"),
            (
                &[("into", "new"), ("in-place", "why")],
                "into: given together with in-place; either a new database or the live one",
            ),
            (&[("in-place", "true")], "in-place: restore into the live database needs in-place: reason"),
        ],
    );
    each(
        uses,
        &[("do", "sql"), ("sql", "update a set b = 1"), ("database", "secret/db")],
        &[(&[("expect-rows", "some")], "expect-rows: \"some\" is not a number of rows; 3, or 1+ for at least one")],
    );
    each(uses, &[("do", "backup"), ("job", "k8s/backup.yaml")], &[]);
    each(uses, &[("do", "config"), ("config", "flags"), ("data", "maintenance_mode=true"), ("finally", "true")], &[]);
    each(uses, &[("do", "exec"), ("workloads", "web"), ("command", "ls\n-l")], &[]);
}

#[test]
fn operations_are_read_with_their_knobs() {
    let read = |pairs: &[(&str, &str)]| match Action::read("tagline/operate@v1", &with(pairs)) {
        Ok(Action::Operate(inputs)) => *inputs,
        other => panic!("{other:?}"),
    };
    let pairs = [("do", "scale"), ("workloads", "web, sts/db"), ("replicas", "0"), ("hpa", "suspend"), ("for", "2h")];
    let inputs = read(&pairs);
    assert_eq!(inputs.lasting, Some(Period::from_secs(7200)));
    assert!(matches!(&inputs.verb, Verb::Scale { workloads, replicas: 0, hpa: Hpa::Suspend } if workloads.len() == 2));
    assert!(read(&[("do", "scale"), ("workloads", "web"), ("undo", "true")]).undo);
    let inputs = read(&[("do", "sql"), ("sql", "select 1"), ("database", "secret/db"), ("expect-rows", "2+")]);
    assert!(matches!(&inputs.verb, Verb::Sql { expect_rows: Rows::AtLeast(2), database, .. } if database.key == "url"));
}

#[test]
fn rotate_secret() {
    let right = [("secret", "db"), ("generate", "password 40"), ("job", "k8s/rotate.yaml"), ("verify", "/ready")];
    each(
        "tagline/rotate-secret@v1",
        &right,
        &[
            (&[("secret", "")], "secret: tagline/rotate-secret needs it"),
            (&[("verify", "")], "verify: tagline/rotate-secret needs it"),
            (&[("generate", "")], "values: nothing is rotated; KEY=VALUE lines, or generate: KEY for random ones"),
            (&[("values", "password=x")], "generate: \"password\" has a value already, in values"),
            (&[("values", "hunter2")], "values: a line is not KEY=VALUE"),
            (&[("values", "user=")], "values: \"user\" is empty"),
            (&[("generate", "password 4")], "generate: \"password 4\" is not KEY or KEY LENGTH, 16 to 256 characters"),
            (
                &[("job", "")],
                "job: nothing makes the new value known to its source; cronjob/NAME, a manifest's path, or accounts: none",
            ),
            (
                &[("keep-old", "100d")],
                "keep-old: keep-old 100d is not shorter than every 90d: three values would be in use",
            ),
            (&[("workloads", "web")], "workloads: unknown input \"workloads\" of tagline/rotate-secret"),
        ],
    );
    let every = |accounts: &str, every: &str| {
        let pairs = [right[0], right[1], right[2], right[3], ("accounts", accounts), ("every", every)];
        match Action::read("tagline/rotate-secret@v1", &with(&pairs)) {
            Ok(Action::RotateSecret(inputs)) => (inputs.every.to_string(), inputs.keep_old),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(every("two", ""), ("90d".to_owned(), None));
    assert_eq!(every("none", ""), ("180d".to_owned(), None), "a key that the workloads alone use");
    assert_eq!(every("none", "30d"), ("30d".to_owned(), None));
    let pairs = with(&[("secret", "db"), ("values", "password=hunter2"), ("accounts", "none"), ("verify", "/")]);
    let action = Action::read("tagline/rotate-secret@v1", &pairs).unwrap();
    assert!(!format!("{action:?}{}", serde_json::to_string(&action).unwrap()).contains("hunter2"));
}

#[test]
fn rollback() {
    each(
        "tagline/rollback@v1",
        &[("to", "1.2.2")],
        &[
            (&[("to", "3")], "to: \"3\" is a revision's number, which changes; give a version, 1.2.2"),
            (&[("too", "1.2.2")], "too: unknown input \"too\"; did you mean to?"),
            (&[("drain", "fast")], "drain: \"fast\" is not a duration; write 500ms, 30s, 10m, 24h or 7d"),
        ],
    );
}
