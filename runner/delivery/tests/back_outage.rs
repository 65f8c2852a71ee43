//! The API server is away for half a minute in the middle of a delivery: it waits, writes nothing twice, and goes on.

mod common;

use common::proxy::Proxy;
use common::release::{App, BLUE_GREEN, answer, deliver, plan};
use common::users::Users;
use common::{Link, space};
use tagline_delivery::action;

/// Away from this milestone on.
async fn away_after(name: &str, milestone: &str, with: &[(&str, &str)]) {
    let Some(space) = space(name).await else { return };
    deliver(&space, &App::new("1.2.2").await, with).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (mut proxy, kubeconfig) = Proxy::start(&space.kubeconfig, folder.path()).await;
    let cluster = space.connect(kubeconfig, &space.cluster.target().context).await;
    let app = App::new("1.2.3").await;
    let release = plan(&space, &app, with).await.expect("it can be planned");
    let users = Users::start(&space).await;
    let link = Link::new();
    let cluster = cluster.telling(link.clone());
    let outage = async {
        link.until_reached(milestone).await;
        proxy.cut().await;
        let reached = link.reached();
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
        assert_eq!(link.reached(), reached, "nothing is decided while nothing is known");
        proxy.mend().await;
    };
    let (result, ()) = tokio::join!(action::apply(&release.plan, &release.site, &cluster, &*link), outage);
    let seen = users.end().await;
    result.unwrap_or_else(|error| panic!("{error:#?}\n{:#?}", link.said()));
    assert_eq!(seen.failed(), Vec::<String>::new(), "of {} requests", seen.sent);
    assert!(answer(&space).await.starts_with("1.2.3"));
    let said = link.said().into_iter().filter(|line| line.contains("out of reach")).count();
    assert!((1..=3).contains(&said), "{:#?}", link.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn blue_green_before_the_pods_are_ready() {
    away_after("away-bg", "created", &[&BLUE_GREEN[..], &[("drain", "4s")]].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_in_the_middle() {
    away_after("away-roll", "created", &[]).await;
}
