//! How long an action may go on once it was told to end.
//!
//! Invariant: the time of a way back is the sum of its waits, and only time counts in which the cluster answers: a way back
//! is never given up because nobody could see how far it was.

use std::time::Duration;

use super::{ActionPlan, Kind};
use crate::cluster::Cluster;
use crate::{Failure, Progress, Site, Stop};

/// What it gets beyond its own waits to come to an orderly end.
const GRACE: Duration = Duration::from_mins(5);
/// How long an action that has no way back of its own may take to end.
const OTHERS: Duration = Duration::from_mins(15);

impl ActionPlan {
    fn way_back(&self) -> Duration {
        match &self.kind {
            Kind::Deploy(plan) => plan.way_back(),
            Kind::Rollback(plan) => plan.way_back(),
            Kind::Migrate(plan) => *plan.inputs.timeout,
            Kind::SmokeTest(_) | Kind::Analyse(_) | Kind::Operate(_) | Kind::RotateSecret(_) => OTHERS,
        }
    }
}

/// Done when an action that was told to end has not done so in its time.
pub(super) async fn overdue(plan: &ActionPlan, site: &Site, cluster: &Cluster, progress: &dyn Progress) -> Failure {
    if progress.stopped().await == Stop::EngineEnds {
        return std::future::pending().await;
    }
    let limit = plan.way_back().saturating_add(GRACE);
    cluster.answering(limit, progress).await;
    let why = format!("it was told to end and had not gone back after {} minutes", limit.as_secs().div_ceil(60));
    Failure::new("the delivery is given up", why)
        .effect(format!("{} may be between two releases", site.environment))
        .next(format!("tagline environments {}", site.environment))
}
