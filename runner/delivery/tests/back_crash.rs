//! Engines that die at every transition of a delivery, and the next one that goes on: all new or all old, and no user notices.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::release::{App, BLUE_GREEN, answer, deliver, deployments, plan};
use common::users::Users;
use common::{Link, Space, space};
use jiff::Timestamp;
use tagline_delivery::progress::Later;
use tagline_delivery::{DeliveryError, Milestone, Progress, Stop};
use tokio::sync::Notify;

/// A link whose engine dies when so many things were said, recorded or kept.
struct Mortal {
    link: Arc<Link>,
    left: AtomicUsize,
    dead: Notify,
}

impl Mortal {
    fn new(link: &Arc<Link>, left: usize) -> Self {
        Self { link: link.clone(), left: AtomicUsize::new(left), dead: Notify::new() }
    }

    fn count(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.dead.notify_one();
        }
    }
}

impl Progress for Mortal {
    fn say(&self, line: String) {
        self.link.say(line);
        self.count();
    }

    fn warn(&self, line: String) {
        self.link.warn(line);
    }

    fn milestones(&self) -> Vec<Milestone> {
        self.link.milestones()
    }

    fn record(&self, milestone: Milestone) -> Later<'_, Result<(), Stop>> {
        Box::pin(async {
            self.link.record(milestone).await?;
            self.count();
            // Where the engine is dead, nothing follows.
            tokio::task::yield_now().await;
            Ok(())
        })
    }

    fn keep(&self, name: String, bytes: Vec<u8>) -> Later<'_, Result<(), Stop>> {
        self.link.keep(name, bytes)
    }

    fn stopped(&self) -> Later<'_, Stop> {
        self.link.stopped()
    }

    fn now(&self) -> Timestamp {
        self.link.now()
    }

    fn sleep(&self, duration: Duration) -> Later<'_, ()> {
        self.link.sleep(duration)
    }
}

/// Releases `versions` one after the other, each by an engine that dies one step later, then by one that lives. Gives how
/// many points there were. `check` says of each end whether it is right.
async fn die_everywhere(space: &Space, with: &[(&str, &str)], fails: bool) -> usize {
    for point in 1.. {
        let version = format!("2.0.{point}");
        let app = App::new(&version).await;
        let release = plan(space, &app, with).await.unwrap_or_else(|error| panic!("point {point}: {error:#?}"));
        let before = answer(space).await;
        let link = Link::new();
        let mortal = Mortal::new(&link, point);
        let died = tokio::select! {
            biased;
            () = mortal.dead.notified() => true,
            _ = tagline_delivery::action::apply(&release.plan, &release.site, &space.cluster, &mortal) => false,
        };
        if !died {
            return point - 1;
        }
        let reached = link.reached();
        let result = release.apply(space, &link).await;
        let now = answer(space).await;
        if fails {
            let Err(DeliveryError::Failed(failure)) = result else {
                panic!("point {point} after {reached:?}: {result:?}")
            };
            assert_eq!(now, before, "point {point} after {reached:?}: {failure}\n{:#?}", link.said());
            let counts = deployments(space).await;
            assert_eq!(counts.len(), 1, "point {point} after {reached:?}: {counts:?}");
        } else {
            result.unwrap_or_else(|error| panic!("point {point} after {reached:?}: {error:#?}\n{:#?}", link.said()));
            assert!(now.starts_with(&version), "point {point} after {reached:?}: {now}\n{:#?}", link.said());
        }
    }
    unreachable!("the loop ends when an engine lives")
}

#[tokio::test(flavor = "multi_thread")]
async fn blue_green_all_new() {
    if !tagline_tests::gate::all() {
        return;
    }
    let Some(space) = space("crash-bg").await else { return };
    let with = [&BLUE_GREEN[..], &[("drain", "3s"), ("scale-old", "0")]].concat();
    deliver(&space, &App::new("1.2.2").await, &with).await;
    let users = Users::start(&space).await;
    let points = die_everywhere(&space, &with, false).await;
    let seen = users.end().await;
    tagline_tests::gate::say(&format!("blue-green: {points} points, {} requests", seen.sent));
    assert_eq!(seen.wrong, Vec::<String>::new(), "of {} requests", seen.sent);
    assert!(points >= 12, "{points}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blue_green_all_old() {
    if !tagline_tests::gate::all() {
        return;
    }
    let Some(space) = space("crash-back").await else { return };
    let with = [&BLUE_GREEN[..], &[("drain", "3s"), ("scale-old", "0")]].concat();
    deliver(&space, &App::new("1.2.2").await, &with).await;
    let users = Users::start(&space).await;
    let port = common::release::node_port(&space).await;
    let url = format!("http://127.0.0.1:{port}");
    let with =
        [&with[..], &[("public-url", url.as_str()), ("smoke", "public / text \"never\""), ("smoke-attempts", "1")]]
            .concat();
    let points = die_everywhere(&space, &with, true).await;
    let seen = users.end().await;
    tagline_tests::gate::say(&format!("blue-green and back: {points} points, {} requests", seen.sent));
    assert_eq!(seen.wrong, Vec::<String>::new(), "of {} requests", seen.sent);
    assert!(points >= 12, "{points}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_all_new_or_all_old() {
    if !tagline_tests::gate::all() {
        return;
    }
    let Some(space) = space("crash-roll").await else { return };
    deliver(&space, &App::new("1.2.2").await, &[]).await;
    let users = Users::start(&space).await;
    let forward = die_everywhere(&space, &[], false).await;
    let url = format!("http://127.0.0.1:{}", common::release::node_port(&space).await);
    let with = [("public-url", url.as_str()), ("smoke", "public / text \"never\""), ("smoke-attempts", "1")];
    let back = die_everywhere(&space, &with, true).await;
    let seen = users.end().await;
    tagline_tests::gate::say(&format!(
        "rolling: {forward} points forward, {back} with the way back, {} requests",
        seen.sent
    ));
    assert_eq!(seen.failed(), Vec::<String>::new(), "of {} requests", seen.sent);
    assert!(forward + back >= 12);
}
