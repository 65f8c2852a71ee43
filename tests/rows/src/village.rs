//! The village storefront: what its rows have in common.

use jiff::Timestamp;
use serde_json::{Value, json};
use tagline_tests::{Background, Outcome, until};

use crate::{Ground, Load, LoadReport, Release, Shop};

/// The Service of both pools.
pub const SERVICE: &str = "village-storefront-workers";
/// Staging's namespace, as the example has it.
pub const STAGING: &str = "village-storefront-staging";
/// Production's.
pub const PRODUCTION: &str = "village-storefront";
/// That of dev.
pub const DEV: &str = "village-storefront-dev";

/// A shop with the namespaces of staging and production, where nothing runs yet.
#[track_caller]
pub fn empty(ground: &Ground) -> Shop {
    let shop = Shop::new(ground, "village-storefront");
    shop.repo.user("ona@example.com");
    shop.namespace_with_secrets(STAGING).namespace_with_secrets(PRODUCTION);
    shop
}

/// A shop with version 1.2.2 live in production, whose releases go there from the build: for rows that ask nothing of staging.
#[track_caller]
pub fn live(ground: &Ground) -> Shop {
    let shop = empty(ground);
    without_staging(&shop);
    begin_with_1_2_2(&shop);
    shop
}

/// The same by the whole workflow.
#[track_caller]
pub fn live_with_staging(ground: &Ground) -> Shop {
    let shop = empty(ground);
    begin_with_1_2_2(&shop);
    shop
}

/// Releases 1.2.2 into empty namespaces, with requests as soon as there is somewhere to send them: rules judge nothing
/// without traffic.
#[track_caller]
pub fn begin_with_1_2_2(shop: &Shop) {
    shop.tag(Release::good("1.2.2"));
    let (_, mut engine) = start(shop, "1.2.2");
    let services = || shop.kubectl(PRODUCTION).names("services");
    let there = until("production's Service", || {
        if services().iter().any(|name| name == SERVICE) {
            return Some(true);
        }
        (!engine.is_running()).then_some(false)
    });
    if !there {
        finish(engine).success();
        return;
    }
    let load = Load::of(&shop.ground, &shop.url(PRODUCTION, SERVICE), 100, "10%");
    finish(engine).success();
    load.end();
}

/// Runs a tagged version to production's gate, approves it, and begins to carry it out: the run and its engine.
#[track_caller]
pub fn start(shop: &Shop, version: &str) -> (u64, Background) {
    shop.run(version).code(3);
    shop.approve();
    (shop.newest(), shop.tagline.spawn(["resume"]))
}

/// `tagline run WORKFLOW` with these inputs, as somebody does by hand.
#[track_caller]
pub fn by_hand(shop: &Shop, workflow: &str, inputs: &Value) -> Outcome {
    let file = shop.scratch.write("inputs.json", json!({ "inputs": inputs }).to_string());
    let words = ["run", workflow, "--event", "workflow_dispatch", "--payload", &file.to_string_lossy()];
    shop.tagline.run(words)
}

/// The end of an engine, with all that it said.
#[track_caller]
pub fn finish(engine: Background) -> Outcome {
    engine.outcome()
}

/// Waits for a milestone of a job; when it was reached.
#[track_caller]
pub fn reached(shop: &Shop, run: u64, job: &str, name: &str) -> Timestamp {
    until(&format!("`{name}` in {job} of run {run}"), || {
        shop.milestones(run, job).iter().any(|one| one == name).then_some(())
    });
    at(shop, run, job, name)
}

/// The time of a job's milestone.
#[track_caller]
pub fn at(shop: &Shop, run: u64, job: &str, name: &str) -> Timestamp {
    let found = shop.milestone(run, job, name);
    found["at"].as_str().expect("a milestone has a time").parse().expect("RFC 3339")
}

/// Asserts that these milestones were reached in this order.
#[track_caller]
pub fn in_order(reached: &[String], wanted: &[&str]) {
    let mut rest = reached.iter();
    for name in wanted {
        assert!(rest.any(|one| one == name), "`{name}` is missing or too early in {reached:?}");
    }
}

/// A release whose pods break once it has all traffic, until it has come back by itself: its run, what users saw, and what the
/// engine said.
#[track_caller]
pub fn comes_back(shop: &Shop, version: &str, faults: &Value) -> (u64, LoadReport, Outcome) {
    let load = Load::start(&shop.ground, &shop.url(PRODUCTION, SERVICE));
    shop.tag(Release::good(version));
    let (run, engine) = start(shop, version);
    reached(shop, run, "production", "switched");
    shop.inject(PRODUCTION, version, faults);
    let said = finish(engine);
    said.code(1);
    in_order(&shop.milestones(run, "production"), &["switched", "going-back", "rolled-back"]);
    (run, load.end(), said)
}

/// Without staging and its gate's condition.
#[track_caller]
fn without_staging(shop: &Shop) {
    shop.edit(".github/workflows/release.yml", |text| {
        let (before, staging) = text.split_once("  staging:\n").expect("a job of that name");
        let (_, production) = staging.split_once("  production:\n").expect("a job of that name");
        let production = production.replace("needs: [ build, staging ]", "needs: build");
        // Its anchor goes with staging.
        let (_, checks) = staging.split_once("smoke: &smoke |\n").expect("the checks");
        let (checks, _) = checks.split_once("          smoke-targets").expect("what follows them");
        let production = production.replace("smoke: *smoke\n", &format!("smoke: |\n{checks}"));
        format!("{before}  production:\n{production}")
    });
    shop.edit(".tagline/environments.yml", |text| {
        let after = |line: &&str| !line.trim_start().starts_with("after: ");
        text.split_inclusive('\n').filter(after).collect()
    });
}

/// Builds and pushes versions, and nothing else: their images, by tag.
#[track_caller]
pub fn built_images(shop: &Shop, versions: &[&str]) -> Vec<String> {
    let image = |version: &&str| {
        shop.tag(Release::good(version));
        shop.tagline.run(["run", "--tag", &format!("v{version}"), "--job", "build"]).success();
        format!("{}/village-storefront:v{version}", shop.ground.registry)
    };
    versions.iter().map(image).collect()
}
