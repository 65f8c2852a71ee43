//! `tagline/deploy`.

use tagline_delivery::inputs::deploy::{Names, OnFailure};
use tagline_delivery::inputs::rule::Condition;
use tagline_delivery::inputs::smoke::SmokeTarget;
use tagline_delivery::inputs::{Action, DeployInputs, Period, Source, Strategy};

use super::{problems, problems_of, with};

const DEPLOY: &str = "tagline/deploy@v1";
const RIGHT: &[(&str, &str)] = &[("manifests", "k8s/overlays/prod"), ("strategy", "blue-green")];

fn read(pairs: &[(&str, &str)]) -> DeployInputs {
    match Action::read(DEPLOY, &with(pairs)) {
        Ok(Action::Deploy(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_release_engineers_step_is_read() {
    let digest = "a".repeat(64);
    let inputs = read(&[
        ("manifests", "./k8s/overlays/prod/"),
        ("images", &format!("ghcr.io/acme/storefront=r:5000/acme/storefront@sha256:{digest}")),
        ("strategy", "blue-green"),
        ("smoke", "/q/health/ready 200\n\n# the version\n/q/info json version = v1.2.3\n"),
        ("rollback-when", "error-rate > 5% for 5m\np99 > 2x baseline within 30m\n"),
        ("watch", "15m"),
        ("keep-old", "24h"),
    ]);
    assert!(matches!(&inputs.source, Source::Manifests { path, .. } if path == "k8s/overlays/prod"));
    let Strategy::BlueGreen(knobs) = &inputs.strategy else { panic!("{:?}", inputs.strategy) };
    assert_eq!((knobs.keep_old, knobs.scale_old), (Period::from_secs(86_400), 1));
    assert_eq!((inputs.smoke.checks.len(), inputs.rollback_when.len()), (2, 2));
    assert!(matches!(&inputs.rollback_when[0].condition, Condition::Signal(_)));
    assert_eq!((inputs.names, inputs.on_failure), (Names::Release, OnFailure::Rollback));
    assert_eq!(inputs.notes, Vec::<String>::new());
    let stored = serde_json::to_string(&inputs).unwrap();
    assert_eq!(serde_json::from_str::<DeployInputs>(&stored).unwrap(), inputs);
}

#[test]
fn defaults_are_those_of_the_table() {
    let inputs = read(&[("manifests", "k8s")]);
    let Strategy::Rolling(knobs) = &inputs.strategy else { panic!("{:?}", inputs.strategy) };
    assert_eq!((knobs.max_surge.to_string(), knobs.max_unavailable.is_zero()), ("1".to_owned(), true));
    let told = [inputs.timeout, inputs.progress_deadline, inputs.min_ready, inputs.watch].map(|one| one.to_string());
    assert_eq!(told, ["10m", "5m", "10s", "0s"]);
    assert!(inputs.adopt && inputs.capacity_check && !inputs.prune && !inputs.force_conflicts);
    assert_eq!(inputs.smoke.body_limit, 1 << 20);
    assert_eq!(read(RIGHT).watch, Period::from_secs(900));
    assert_eq!(inputs.smoke.targets, [SmokeTarget::AllPods]);
    assert_eq!(read(RIGHT).smoke.targets, [SmokeTarget::AllPods, SmokeTarget::Preview]);
    let public = read(&[("manifests", "k8s"), ("public-url", "https://shop.example")]);
    assert_eq!(public.smoke.targets, [SmokeTarget::AllPods, SmokeTarget::Public]);
}

#[test]
fn limits_on_logs_are_watched_without_rules_too() {
    let watch = |pairs: &[(&str, &str)]| read(&[&[("manifests", "k8s")], pairs].concat()).watch;
    assert_eq!(watch(&[("log-limits", "ERROR")]), Period::from_secs(900));
    assert_eq!(watch(&[]), Period::default());
}

#[test]
fn a_short_timeout_shortens_the_defaults_below_it() {
    let inputs = read(&[("manifests", "k8s"), ("timeout", "1m")]);
    assert_eq!((inputs.progress_deadline, inputs.min_ready), (Period::from_secs(30), Period::from_secs(10)));
    let inputs = read(&[("manifests", "k8s"), ("timeout", "20s"), ("progress-deadline", "8s")]);
    assert_eq!(inputs.min_ready, Period::from_secs(4));
}

/// Each with the words it must say, whole.
const WRONG: &[(&[(&str, &str)], &str)] = &[
    (
        &[("strategy", "bluegreen")],
        "strategy: \"bluegreen\" is not a strategy; rolling, blue-green, canary, workers, gitops; did you mean blue-green?",
    ),
    (&[("strategy", "canary")], "strategy: canary is not carried out yet; rolling, blue-green"),
    (&[("strategy", "workers")], "strategy: workers is not carried out yet; rolling, blue-green"),
    (&[("strategy", "gitops")], "strategy: gitops is not carried out yet; rolling, blue-green"),
    (&[("steps", "10%@5m")], "steps: steps is not carried out yet; remove it"),
    (&[("max-surg", "1")], "max-surg: unknown input \"max-surg\"; did you mean max-surge?"),
    (&[("wobble", "1")], "wobble: unknown input \"wobble\" of tagline/deploy"),
    (&[("watch", "10")], "watch: \"10\" has no unit; write 10s or 10m"),
    (&[("drain", "1.5m")], "drain: \"1.5m\" is not a duration; write 500ms, 30s, 10m, 24h or 7d"),
    (
        &[("render", "helmm")],
        "render: \"helmm\" is not a way to render; auto, kustomize, helm, files; did you mean helm?",
    ),
    (
        &[("manifests", "../k8s")],
        "manifests: \"../k8s\" is not a path inside the repository; write it from the repository's root, without ..",
    ),
    (&[("manifests", "")], "manifests: nothing to deliver; give manifests, chart or deployment"),
    (&[("chart", "helm/shop")], "manifests: given together with chart; one of manifests, chart, deployment"),
    (&[("set", "image.tag")], "set: \"image.tag\" is not NAME=VALUE"),
    (
        &[("images", "shop=acme/shop:v1.2.3")],
        "images: acme/shop:v1.2.3 is a tag; give the digest: shop=acme/shop@sha256:…",
    ),
    (&[("images", "shop=acme/shop:")], "images: acme/shop: has an empty tag; give the digest: shop=acme/shop@sha256:…"),
    (&[("images", "shop=")], "images: image \"shop\" is empty; give shop=REPOSITORY@sha256:…"),
    (&[("images", "shop=acme/shop@sha256:")], "images: acme/shop@sha256:: the digest is empty"),
    (
        &[("images", "shop=acme/shop@sha256:12")],
        "images: acme/shop@sha256:12: the digest is not sha256: and 64 hex digits",
    ),
    (
        &[("name", "Orders_Svc")],
        "name: name \"Orders_Svc\" is not a DNS label; a-z, 0-9 and -, at most 63; orders-svc?",
    ),
    (&[("min-ready", "6m")], "min-ready: min-ready 6m is longer than progress-deadline 5m: it can never succeed"),
    (
        &[("progress-deadline", "15m")],
        "progress-deadline: progress-deadline 15m is not shorter than timeout 10m; the timeout would always come first",
    ),
    (&[("max-surge", "0")], "max-surge: max-surge 0 with max-unavailable 0 can never progress; one of them at least 1"),
    (&[("max-surge", "many")], "max-surge: \"many\" is neither a count nor a percentage; write 1 or 25%"),
    (&[("max-surge", "120%")], "max-surge: 120%: 0 to 100"),
    (&[("keep-old", "10m")], "keep-old: keep-old 10m ends before watch 15m; at least 15m"),
    (
        &[("watch", "5m"), ("rollback-when", "p95 > 500ms for 10m")],
        "watch: watch 5m is shorter than \"p95 > 500ms for 10m\": that rule can never fire",
    ),
    (&[("watch", "0s"), ("rollback-when", "restarts > 3")], "watch: watch 0s never looks at \"restarts > 3\""),
    (&[("watch", "0s"), ("log-limits", "ERROR at most 3")], "watch: watch 0s never looks at the logs for \"ERROR\""),
    (
        &[("strategy", "rolling"), ("watch", "0s"), ("log-limits", "ERROR")],
        "watch: watch 0s never looks at the logs for \"ERROR\"",
    ),
    (
        &[("rollback-when", "error rate > 5")],
        "rollback-when: \"error rate > 5\": no unit; 5%? and the signal is spelled error-rate",
    ),
    (&[("rollback-when", "error-rate > 5 for 5m")], "rollback-when: \"error-rate > 5 for 5m\": no unit; 5%?"),
    (
        &[("rollback-when", "p95 > 500 for 5m")],
        "rollback-when: \"p95 > 500 for 5m\": \"500\" has no unit; write 500s or 500m",
    ),
    (
        &[("rollback-when", "eror-rate > 5%")],
        "rollback-when: \"eror-rate > 5%\": unknown signal \"eror-rate\"; known: error-rate, p50, p95, p99, throughput, \
         restarts, memory-slope, queue-depth, dlq-growth, lag, health; others are defined by signals:; did you mean error-rate?",
    ),
    (&[("rollback-when", "p99 > 2x for 5m")], "rollback-when: \"p99 > 2x for 5m\": 2x of what? 2x baseline"),
    (
        &[("rollback-when", "error-rate 5%")],
        "rollback-when: \"error-rate 5%\": \"5%\" is not a comparison; >, >=, <, <=",
    ),
    (
        &[("rollback-when", "error-rate > 5% fr 5m")],
        "rollback-when: \"error-rate > 5% fr 5m\": \"fr\" is not understood; for, within, then; did you mean for?",
    ),
    (
        &[("rollback-when", "p99 > 1s for 5m within 1m")],
        "rollback-when: \"p99 > 1s for 5m within 1m\": for 5m is longer than within 1m: it can never fire",
    ),
    (&[("rollback-when", "health fails")], "rollback-when: \"health fails\": for how long? health fails 3m"),
    (
        &[("rollback-when", "cve critical")],
        "rollback-when: \"cve critical\": vulnerabilities found later are not carried out yet; remove the rule",
    ),
    (&[("smoke", "q/info")], "smoke: \"q/info\": a check begins with a path; /q/info?"),
    (&[("smoke", "POST /orders")], "smoke: \"POST /orders\": POST changes things; GET, HEAD"),
    (
        &[("smoke", "/q/info jsn version")],
        "smoke: \"/q/info jsn version\": \"jsn\" is not understood; json, text, header, version, within; did you mean json?",
    ),
    (&[("smoke", "/q 99")], "smoke: \"/q 99\": \"99\" is not a status; write 200, 2xx or 200,204"),
    (&[("smoke", "public /")], "smoke: \"public /\" is made on the public address; give public-url"),
    (
        &[("strategy", "rolling"), ("smoke", "preview /")],
        "smoke: \"preview /\" is made on the preview; strategy: blue-green has one",
    ),
    (
        &[("strategy", "rolling"), ("smoke-targets", "preview")],
        "smoke-targets: there is no place for checks on the preview; strategy: blue-green has one",
    ),
    (
        &[("smoke-targets", "all-pods, public")],
        "smoke-targets: there is no place for checks on the public address; give public-url",
    ),
    (&[("smoke-attempts", "0")], "smoke-attempts: smoke-attempts 0: at least 1"),
    (&[("smoke-targets", "pods")], "smoke-targets: \"pods\" is not a target; all-pods, preview, public"),
    (&[("smoke-body-limit", "lots")], "smoke-body-limit: \"lots\" is not a quantity; write 500m, 2, 256Mi or 1Gi"),
    (
        &[("public-url", "shop.example")],
        "public-url: \"shop.example\" is not an address; write https://shop.example or http://10.0.0.7:8080",
    ),
    (
        &[("autoscaler", "leave")],
        "autoscaler: autoscaler: leave with blue-green: the new release would have no autoscaler; follow",
    ),
    (&[("drift", "ignore")], "drift: \"ignore\" is not an answer to drift; refuse, overwrite, keep"),
    (&[("prune", "yes")], "prune: \"yes\" is not a boolean; true, false"),
    (&[("scale-old", "-1")], "scale-old: \"-1\" is not a whole number; 0 or more"),
    (
        &[("rollback-replicas", "0")],
        "rollback-replicas: 0: a release needs at least 1 pod; previous, manifest or a count",
    ),
    (&[("releases", "1")], "releases: releases 1 leaves nothing to roll back to; at least 2"),
    (&[("window", "10s")], "window: window 10s holds no two scrapes of 30s"),
    (&[("prometheus", "prom:9090")], "prometheus: \"prom:9090\" is not an address; write http://prometheus:9090"),
    (
        &[("signals", "payments-failed = sum(rate(payments_failed_total[5m]))")],
        "signals: \"payments-failed\" is PromQL and needs a server; give prometheus, or a metric's bare name",
    ),
    (&[("signals", "p95 = x")], "signals: \"p95\" is built in; give yours another name"),
    (&[("evidence", "dump")], "evidence: \"dump\" is not [:PORT]/PATH; :8081/dump"),
    (&[("log-limits", "\"ERROR (\"")], "log-limits: \"ERROR (\" is not a pattern: "),
    (&[("container", "web")], "container: belongs to deployment; images are set by name in manifests"),
];

#[test]
fn each_wrong_input_says_the_words_of_the_table() {
    for (wrong, expected) in WRONG {
        let said = problems_of(DEPLOY, RIGHT, wrong);
        // Patterns' own errors are the library's words.
        let as_expected =
            said.len() == 1 && (said[0] == *expected || expected.ends_with(": ") && said[0].starts_with(expected));
        assert!(as_expected, "{wrong:?}\nsaid     {said:#?}\nexpected {expected}");
    }
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_table() {
    let said = problems(DEPLOY, &[("watch", "5"), ("stratgy", "x"), ("images", "a=b:1\nc=\n"), ("timeout", "1")]);
    assert_eq!(
        said,
        [
            "stratgy: unknown input \"stratgy\"; did you mean strategy?",
            "manifests: nothing to deliver; give manifests, chart or deployment",
            "images: b:1 is a tag; give the digest: a=b@sha256:…",
            "images: image \"c\" is empty; give c=REPOSITORY@sha256:…",
            "timeout: \"1\" has no unit; write 1s or 1m",
            "watch: \"5\" has no unit; write 5s or 5m",
        ]
    );
}

#[test]
fn a_line_of_a_list_is_named_by_its_number() {
    let inputs = with(&[("manifests", "k8s"), ("smoke", "/ok\n\nbad\n")]);
    let problems = Action::read(DEPLOY, &inputs).unwrap_err();
    assert_eq!((problems[0].key.as_str(), problems[0].line), ("smoke", Some(2)));
}

#[test]
fn production_asks_for_more() {
    let asked = |pairs: &[(&str, &str)]| {
        let mut all = RIGHT.to_vec();
        all.extend(pairs);
        let action = Action::read(DEPLOY, &with(&all)).unwrap();
        assert!(action.require("production", false).is_empty());
        action.require("production", true).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(asked(&[]), ["smoke: production has reviewers: smoke is required; /health 200"]);
    assert_eq!(
        asked(&[("smoke", "/"), ("on-failure", "stop"), ("no-data", "pass")]),
        [
            "on-failure: on-failure: stop leaves production as it failed; give reason, or rollback",
            "no-data: no-data: pass is refused for production; give allow-no-data: reason",
        ]
    );
    let fine = [("smoke", "/"), ("on-failure", "stop"), ("reason", "x"), ("no-data", "pass"), ("allow-no-data", "y")];
    assert!(asked(&fine).is_empty());
}

#[test]
fn what_is_known_is_checked_and_expressions_are_left() {
    let check = |pairs: &[(&str, &str)]| -> Vec<String> {
        Action::check(DEPLOY, &with(pairs)).iter().map(ToString::to_string).collect()
    };
    let open = [
        ("manifests", "k8s/overlays/${{ inputs.overlay }}"),
        ("images", "shop=${{ needs.build.outputs.image }}"),
        ("strategy", "${{ inputs.strategy }}"),
        ("max-surge", "0"),
        ("max-unavailable", "${{ vars.down }}"),
        ("smoke", "/q/info json version = ${{ github.ref_name }}\n/ok"),
        ("watch", "${{ vars.watch }}"),
        ("keep-old", "10m"),
        ("rollback-when", "mine > 3 for 20m\nerror-rate > ${{ vars.rate }}"),
        ("signals", "${{ vars.signals }}"),
        ("autoscaler", "leave"),
    ];
    assert_eq!(check(&open), Vec::<String>::new());
    let mut wrong = open.to_vec();
    wrong.extend([("drain", "10"), ("on-failure", "pray")]);
    wrong[5].1 = "/q/info json version = ${{ github.ref_name }}\nbad";
    assert_eq!(
        check(&wrong),
        [
            "on-failure: \"pray\" is not an answer to failure; rollback, pause, stop",
            "drain: \"10\" has no unit; write 10s or 10m",
            "smoke: \"bad\": a check begins with a path; /bad?",
        ]
    );
    let asked =
        Action::check_for(DEPLOY, &with(&[("manifests", "k8s"), ("smoke", "${{ vars.smoke }}")]), "production", true);
    assert_eq!(asked, []);
}

#[test]
fn knobs_of_the_other_strategy_are_named() {
    let inputs = read(&[("manifests", "k8s"), ("strategy", "rolling"), ("keep-old", "24h"), ("max-surge", "2")]);
    assert_eq!(inputs.notes, ["keep-old has an effect with strategy: blue-green only"]);
    let inputs = read(&[("manifests", "k8s"), ("smoke", "/"), ("smoke-targets", "all-pods, preview")]);
    assert_eq!(inputs.notes, ["smoke-targets: preview has an effect with strategy: blue-green only"]);
    assert_eq!(inputs.smoke.targets, [SmokeTarget::AllPods]);
}

#[test]
fn an_image_is_set_without_manifests() {
    let image = format!("backend=r/backend@sha256:{}", "b".repeat(64));
    let inputs = read(&[("deployment", "retail-backend"), ("container", "retail-backend"), ("images", &image)]);
    assert!(matches!(inputs.source, Source::SetImage { .. }));
    assert_eq!(
        problems(DEPLOY, &[("deployment", "retail-backend")]),
        ["images: deployment sets one image, 0 are given"]
    );
    assert_eq!(
        problems(DEPLOY, &[("deployment", "a"), ("images", &image), ("strategy", "blue-green")]),
        ["strategy: blue-green with deployment sets the image of the idle colour; names: colours"]
    );
}
