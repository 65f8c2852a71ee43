//! The engine killed at each thing that a delivery reaches, under load: afterwards all is new or all is old, and no request has
//! failed. With `--all` only; how many were tried is printed.

use std::collections::BTreeSet;

use tagline_rows::village::{self, PRODUCTION, SERVICE};
use tagline_rows::{Ground, Load, Release, Shop, Watcher};
use tagline_tests::{gate, until};

/// What a release in production reaches, in order.
const RELEASE: [&str; 10] =
    ["begun", "created", "ready", "smoked", "measured", "switched", "verified", "watched", "scaled-down", "kept"];

/// The images of all pods that the Service selects.
#[track_caller]
fn live(shop: &Shop) -> BTreeSet<String> {
    let kubectl = shop.kubectl(PRODUCTION);
    let selector = kubectl.get(["service", SERVICE])["spec"]["selector"].clone();
    let pods = kubectl.all("pods").into_iter().filter(|pod| {
        let labels = &pod["metadata"]["labels"];
        selector.as_object().is_some_and(|all| all.iter().all(|(key, value)| labels[key] == *value))
    });
    pods.map(|pod| pod["spec"]["containers"][0]["image"].to_string()).collect()
}

/// Kills an engine with these words once the job of the newest run has reached a milestone; false where it ended before.
#[track_caller]
fn killed_at(shop: &Shop, words: &[&str], job: &str, milestone: &str, run: impl Fn() -> Option<u64>) -> bool {
    let mut engine = shop.tagline.spawn(words);
    let reached = until(&format!("`{milestone}`"), || {
        let there = run().is_some_and(|run| shop.milestones(run, job).iter().any(|name| name == milestone));
        if there { Some(true) } else { (!engine.is_running()).then_some(false) }
    });
    if reached {
        engine.kill();
    }
    reached
}

#[test]
fn vs5_an_engine_killed_anywhere_leaves_all_new_or_all_old() {
    if !gate::all() {
        return;
    }
    let Some(ground) = Ground::require() else { return };
    let shop = village::live(&ground);
    let load = Load::of(&ground, &shop.url(PRODUCTION, SERVICE), 200, "10%");
    let watcher = Watcher::start(&shop.kubectl(PRODUCTION), SERVICE);
    let mut tried = 0;
    for (number, point) in RELEASE.iter().enumerate() {
        let version = format!("1.3.{number}");
        let old = live(&shop);
        shop.tag(Release::good(&version));
        shop.run(&version).code(3);
        shop.approve();
        let run = shop.newest();
        assert!(killed_at(&shop, &["resume"], "production", point, || Some(run)), "it ended before `{point}`");
        shop.tagline.run(["resume"]).success();
        let now = live(&shop);
        assert!(now.len() == 1 && now != old, "after `{point}` all is new: {now:?}");
        assert_eq!(shop.milestones(run, "production").iter().filter(|name| *name == "switched").count(), 1);
        tried += 1;
    }
    let back: &[(&str, &str)] = &[("going-back", "1.3.8"), ("rolled-back", "1.3.9")];
    for (point, to) in back {
        let (old, before) = (live(&shop), shop.newest());
        let newer = || Some(shop.newest()).filter(|run| *run > before);
        // Its last milestone may be its end.
        if killed_at(&shop, &["rollback", "production", "--to", to], "rollback", point, newer) {
            shop.tagline.run(["resume"]).success();
        }
        let now = live(&shop);
        assert!(now.len() == 1 && now != old, "after `{point}` all is old: {now:?}");
        tried += 1;
    }
    load.end().none_failed(1_000);
    watcher.end().never_empty().one_release_at_a_time();
    gate::say(&format!("{tried} points tried"));
}
