//! Users of the application, who count what fails, and somebody who looks at its endpoints.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Space;
use super::release::{ask, node_port};

/// Users at the NodePort of `shop`, and somebody who looks at its endpoints ten times a second.
pub(crate) struct Users {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    work: Vec<tokio::task::JoinHandle<Vec<String>>>,
    looks: tokio::task::JoinHandle<Vec<String>>,
}

/// What users and the watcher saw.
pub(crate) struct Seen {
    pub(crate) sent: u64,
    /// Requests without a good answer, and moments without endpoints or with two releases behind the selector.
    pub(crate) wrong: Vec<String>,
}

impl Users {
    /// Starts them; the Service must be there.
    pub(crate) async fn start(space: &Space) -> Self {
        let port = node_port(space).await;
        // A NodePort is there a moment after its Service.
        while ask(port).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let work = (0..8).map(|_| tokio::spawn(user(port, stop.clone(), sent.clone()))).collect();
        let looks = tokio::spawn(look(space.cluster.clone(), stop.clone()));
        Self { stop, sent, work, looks }
    }

    /// Ends them.
    pub(crate) async fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut wrong = Vec::new();
        for each in self.work {
            wrong.extend(each.await.expect("no user panics"));
        }
        wrong.extend(self.looks.await.expect("it does not panic"));
        Seen { sent: self.sent.load(Ordering::Relaxed), wrong }
    }
}

impl Seen {
    /// What was wrong where pods of two releases may serve side by side.
    pub(crate) fn failed(&self) -> Vec<String> {
        self.wrong.iter().filter(|each| !each.starts_with("selector")).cloned().collect()
    }
}

async fn user(port: u64, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        sent.fetch_add(1, Ordering::Relaxed);
        let answer = tokio::time::timeout(Duration::from_secs(5), ask(port)).await;
        match answer {
            Ok(Ok(text)) if text.starts_with("HTTP/1.0 200") || text.starts_with("HTTP/1.1 200") => {}
            Ok(Ok(text)) => wrong.push(format!("answer {:?}", text.lines().next())),
            Ok(Err(error)) => wrong.push(format!("{error} at {}", jiff::Timestamp::now())),
            Err(_) => wrong.push(format!("no answer at {}", jiff::Timestamp::now())),
        }
    }
    wrong
}

async fn look(cluster: tagline_delivery::cluster::Cluster, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let id = tagline_delivery::ObjectId::new("v1", "Service", cluster.namespace(), "shop");
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        let (Ok(endpoints), Ok(Some(service))) = (cluster.endpoints("shop").await, cluster.get(&id).await) else {
            continue;
        };
        if endpoints.ready.is_empty() {
            wrong.push(format!("no ready endpoint at {}", jiff::Timestamp::now()));
        }
        let selector = service.texts("/spec/selector");
        let pods = cluster.pods(&selector).await.unwrap_or_default();
        let releases: BTreeSet<Option<String>> = pods
            .iter()
            .filter(|pod| !pod.is_terminating())
            .map(|pod| pod.labels().remove("tagline.dev/release"))
            .collect();
        if releases.len() > 1 {
            wrong.push(format!("selector {selector:?} on {releases:?} at {}", jiff::Timestamp::now()));
        }
    }
    wrong
}
