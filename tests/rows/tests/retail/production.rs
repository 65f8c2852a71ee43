//! Production by blue-green between the pair that was found, and by rolling; and the ways back.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use tagline_rows::retail::{BACKEND, PRODUCTION, Retail, finish};
use tagline_rows::village::in_order;
use tagline_rows::{Ground, Row, Watcher};

#[test]
fn ra1_ra4_releases_take_the_two_colours_in_turn_and_come_back_from_none() {
    let Some(ground) = Ground::require() else { return };
    let mut rows = [
        Row::new("RA1", "release.yml: build: strategy.matrix, outputs by component"),
        Row::new("RA4", "release.yml: production: strategy: blue-green, names: colours, scale-old: 0"),
    ];
    let retail = Retail::found(&ground);
    let kubectl = retail.kubectl(PRODUCTION);
    let uid = |name: &str| kubectl.get(["deployment", name])["metadata"]["uid"].clone();
    let found = [uid("retail-backend-blue"), uid("retail-backend-green")];
    assert_eq!(retail.live().0, "retail-backend-blue");

    let load = retail.load("/");
    let watcher = Watcher::start(&kubectl, BACKEND);
    let first = retail.deliver("1.0.1");
    assert_eq!(retail.live().0, "retail-backend-green");
    let second = retail.deliver("1.0.2");
    assert_eq!(retail.live().0, "retail-backend-blue", "the second release takes the other colour, never the live one");
    for run in [first, second] {
        let reached = retail.milestones(run, "production");
        in_order(&reached, &["begun", "created", "ready", "smoked", "switched", "verified", "watched", "scaled-down"]);
    }
    assert_eq!(found, [uid("retail-backend-blue"), uid("retail-backend-green")], "adopted, not made anew");
    let replicas = || kubectl.get(["deployment", "retail-backend-green"])["spec"]["replicas"].clone();
    assert_eq!(replicas(), 0, "the old colour after the period");

    // From nothing: its pods start, and only then it gets the traffic.
    retail.tagline.run(["rollback", "production"]).success();
    assert_eq!(retail.live(), ("retail-backend-green".to_owned(), 3));
    let report = load.end();
    report.none_failed(20_000);
    watcher.end().never_empty().one_release_at_a_time();
    for (run, version) in [(first, "1.0.1"), (second, "1.0.2")] {
        let switched = retail.reached(run, "switched");
        let early = switched.duration_since(report.first_seen[version]);
        assert!(early < SignedDuration::from_secs(2), "{version} answered {early} before the switch");
    }
    side_by_side(&retail, second);
    for row in &mut rows {
        row.load(&report).holds();
    }
}

/// The three builds wait for no other, as far as the machine has places (two at least), and hand on three digests.
#[track_caller]
fn side_by_side(retail: &Retail, run: u64) {
    let shown = retail.tagline.show(run);
    let jobs = shown["jobs"].as_array().cloned().unwrap_or_default();
    let builds: Vec<_> =
        jobs.iter().filter(|job| job["name"].as_str().is_some_and(|name| name.starts_with("build "))).collect();
    let times = |key: &str| -> Vec<Timestamp> {
        let mut times: Vec<Timestamp> = builds.iter().filter_map(|build| build[key].as_str()?.parse().ok()).collect();
        times.sort();
        times
    };
    let (began, ended) = (times("started_at"), times("ended_at"));
    assert!(began.len() == 3 && ended.len() == 3, "{builds:#?}");
    assert!(began[1] < ended[0], "the builds were not side by side: {builds:#?}");
    let kubectl = retail.kubectl(PRODUCTION);
    let image = |name: &str| {
        kubectl.get(["deployment", name])["spec"]["template"]["spec"]["containers"][0]["image"].to_string()
    };
    let images = BTreeSet::from([image(&retail.live().0), image("retail-consumer-web"), image("retail-admin-web")]);
    assert!(images.len() == 3 && images.iter().all(|image| image.contains("@sha256:")), "{images:?}");
}

#[test]
fn ra5_rolling_loses_no_request_and_goes_back_to_the_version_that_is_named() {
    let Some(ground) = Ground::require() else { return };
    let mut row =
        Row::new("RA5", "release.yml: production: strategy: rolling; tagline rollback production --to VERSION");
    let retail = Retail::empty(&ground);
    retail.without_staging().set(&[("PRODUCTION_BY", "rolling"), ("WATCH", "12s")]);
    // Requests as soon as there is somewhere to send them: rules judge nothing without traffic.
    let (_, engine) = retail.start("1.0.1");
    let load = retail.load("/");
    finish(engine).success();
    let kubectl = retail.kubectl(PRODUCTION);
    let watcher = Watcher::start(&kubectl, BACKEND);
    retail.deliver("1.0.2");
    retail.deliver("1.0.3");
    let image = || kubectl.get(["deployment", BACKEND])["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let live = || {
        kubectl.get(["deployment", BACKEND])["spec"]["template"]["metadata"]["annotations"]["tagline.dev/version"]
            .clone()
    };
    let third = image();
    // Undone; a second time it is there already, and nothing is written.
    retail.tagline.run(["rollback", "production"]).success();
    assert_eq!(live(), "1.0.2");
    let generation = || kubectl.get(["deployment", BACKEND])["metadata"]["generation"].clone();
    let written = generation();
    retail.tagline.run(["rollback", "production"]).success().stdout_has("already live");
    assert_eq!(generation(), written);
    // To a version by its name, twice.
    retail.tagline.run(["rollback", "production", "--to", "1.0.1"]).success();
    assert_eq!(live(), "1.0.1");
    let written = generation();
    retail.tagline.run(["rollback", "production", "--to", "1.0.1"]).success().stdout_has("already live");
    assert_eq!(generation(), written);
    // Forward again, to the very image it was.
    retail.tagline.run(["rollback", "production", "--to", "1.0.3"]).success();
    assert_eq!(image(), third);
    // A revision's number says nothing.
    retail.tagline.run(["rollback", "production", "--to", "5"]).code(2);
    let report = load.end();
    report.none_failed(10_000);
    watcher.end().never_empty();
    row.load(&report).holds();
}
