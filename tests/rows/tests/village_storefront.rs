//! The village storefront's rows: its guide's procedures as releases, on a real cluster, under load.

use tagline_rows::village::{self, PRODUCTION, SERVICE, STAGING, at, in_order};
use tagline_rows::{Ground, Load, Release, Row, Shop, Watcher};

#[test]
fn vs1_only_a_semver_tag_starts_the_release() {
    let Some(ground) = Ground::require() else { return };
    let row = Row::new("VS1", "release.yml: on: push: tags: v[0-9]+.[0-9]+.[0-9]+");
    let shop = village::empty(&ground);
    for (tag, reason) in [("1.2", "1.2"), ("v1.2", "v1.2"), ("version-one", "version-one"), ("v01.2.3", "v01.2.3")] {
        shop.repo.light_tag(tag);
        let refused = shop.tagline.run(["run", "--tag", tag]);
        refused.code(2).stderr_has(reason);
    }
    shop.tagline.nothing_began();
    for tag in ["v1.2.3", "v2.0.0"] {
        shop.repo.tag(tag);
        shop.tagline.run(["plan", "release", "--tag", tag]).success();
    }
    row.holds();
}

#[test]
fn vs2_vs3_vs5_vs6_vs8_a_release_goes_to_production_under_load() {
    let Some(ground) = Ground::require() else { return };
    let mut rows = [
        Row::new("VS2", "release.yml: build: tagline/image@v1, images: …=${{ needs.build.outputs.image }}"),
        Row::new("VS3", "release.yml: staging: tagline/migrate@v1, tagline/deploy@v1 strategy: blue-green"),
        Row::new("VS5", "release.yml: production: strategy: blue-green, watch, scale-old: 1, keep-old: 24h"),
        Row::new("VS6", "release.yml: production: one unit of two pools"),
        Row::new("VS8", "release.yml: smoke: &smoke"),
    ];
    let shop = village::live_with_staging(&ground);
    let kubectl = shop.kubectl(PRODUCTION);
    let load = Load::start(&ground, &shop.url(PRODUCTION, SERVICE));
    let watcher = Watcher::start(&kubectl, SERVICE);
    shop.tag(Release::good("1.2.3"));
    shop.release("1.2.3").success();
    let run = shop.newest();
    let reached = shop.milestones(run, "production");
    in_order(
        &reached,
        &["begun", "created", "ready", "smoked", "switched", "verified", "watched", "scaled-down", "kept"],
    );
    assert_eq!(reached.iter().filter(|name| *name == "switched").count(), 1, "one event switches both: {reached:?}");
    in_order(&shop.milestones(run, "staging"), &["migrated", "created", "ready", "smoked", "switched"]);

    // Two releases, the old one at one pod for each pool, and the new one has the traffic.
    let deployments = kubectl.all("deployments");
    assert_eq!(deployments.len(), 4, "{:?}", kubectl.names("deployments"));
    let small = deployments.iter().filter(|one| one["spec"]["replicas"] == 1).count();
    assert_eq!(small, 2, "both pools of the old release are kept at 1");
    let images: Vec<&str> = deployments
        .iter()
        .filter_map(|one| one["spec"]["template"]["spec"]["containers"][0]["image"].as_str())
        .collect();
    assert!(images.iter().all(|image| image.contains("@sha256:")), "{images:?}");
    let job = shop.kubectl(STAGING).all("jobs");
    assert!(!job.is_empty(), "the migration ran as a Job of its own");
    let cron = shop.kubectl(STAGING).get(["cronjob", "migrations"]);
    assert_eq!(cron["spec"]["suspend"], true, "and never by itself");

    // Back by hand, under the same load, and twice more without a write.
    shop.tagline.run(["rollback", "production"]).success();
    let back = shop.newest();
    in_order(&shop.milestones(back, "rollback"), &["going-back", "rolled-back"]);
    for _ in 0..2 {
        shop.tagline.run(["rollback", "production"]).success().stdout_has("already live");
    }
    let report = load.end();
    report.none_failed(10_000);
    let seen = watcher.end();
    seen.never_empty().one_release_at_a_time();
    let switched = at(&shop, run, "production", "switched");
    let first = report.first_seen["1.2.3"];
    assert!(first.duration_since(switched) > jiff::SignedDuration::from_secs(-2), "{first} is before {switched}");
    for row in &mut rows {
        row.load(&report).holds();
    }
}

#[test]
fn vs5_what_is_kept_is_deleted_by_a_timer_that_survives_the_engine() {
    let Some(ground) = Ground::require() else { return };
    let shop = village::live(&ground);
    let load = Load::of(&ground, &shop.url(PRODUCTION, SERVICE), 100, "10%");
    shop.tag(Release::good("1.2.3"));
    shop.release("1.2.3").success();
    load.end();
    let kubectl = shop.kubectl(PRODUCTION);
    assert_eq!(kubectl.names("deployments").len(), 4);
    shop.tagline.run(["store", "clock", "--forward", "25h"]).success();
    let engine = shop.tagline.spawn(["serve", "--headless"]);
    tagline_tests::until("the old release's end", || (kubectl.names("deployments").len() == 2).then_some(()));
    assert_eq!(engine.terminate(), 0);
    in_order(&shop.milestones(shop.newest(), "production"), &["kept", "deleted"]);
}

#[test]
fn vs17_one_view_shows_all_of_an_environment() {
    let Some(ground) = Ground::require() else { return };
    let row = Row::new("VS17", "tagline environments production");
    let shop = village::live(&ground);
    let view = shop.tagline.run(["environments", "production"]);
    view.success();
    let pod = shop.kubectl(PRODUCTION).names("pods").into_iter().find(|name| name.contains("workers-v1-2-2"));
    let pod = pod.expect("a pod of the release");
    for shown in [
        "1.2.2",
        "ona@example.com",
        "healthy",
        SERVICE,
        "4 ready",
        pod.as_str(),
        "village-storefront-workers-hpa",
        "village-storefront-workers-critical",
        "may be evicted",
    ] {
        view.stdout_has(shown);
    }
    row.holds();
}

#[test]
fn the_guides_own_commands_still_fail_as_they_did() {
    let Some(ground) = Ground::require() else { return };
    let shop = Shop::new(&ground, "village-storefront");
    let images = village::built_images(&shop, &["1.2.2", "1.2.3"]);
    let script = tagline_tests::workspace().join("examples/village-storefront/as-printed.sh");
    let mut command = std::process::Command::new("bash");
    command.arg(script).arg(shop.namespace("village-storefront-printed")).args(&images);
    let out = command.env("KUBECONFIG", &ground.kubeconfig).env("DEMO", &ground.demo).output().expect("bash");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() >= 14, "{said}");
}
