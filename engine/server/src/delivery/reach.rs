//! Whether the clusters that a plan delivers to can be used, before anything of it is begun.

use std::collections::BTreeMap;
use std::time::Duration;

use tagline_delivery::cluster::Cluster;
use tagline_delivery::{Failure, Target};
use tagline_plan::Plan;

use super::site::kubeconfig;

/// Somebody waits: a server that is away for longer is told as such.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an environment cannot be delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfReach {
    /// The environment.
    pub environment: String,
    /// The kubeconfig does not tell the way, so that it must be corrected; else the cluster does not answer or lets nobody in.
    pub unusable: bool,
    /// Why, and what to do.
    pub failure: Failure,
}

/// The clusters that a plan delivers to.
#[derive(Debug, Default)]
pub struct Reached {
    /// Those that answer, by environment.
    pub(super) clusters: BTreeMap<String, Cluster>,
    /// Those that cannot be used now.
    pub away: Vec<OutOfReach>,
}

/// Asks the cluster of each environment that a plan's delivery steps name, with one request.
pub async fn reach(plan: &Plan) -> Reached {
    let delivers = plan.jobs.values().filter(|job| job.job.steps.iter().any(|step| step.delivery().is_some()));
    let mut names: Vec<&String> =
        delivers.flat_map(|job| job.legs.iter().flatten()).filter_map(|leg| leg.environment.as_ref()).collect();
    names.sort_unstable();
    names.dedup();
    let mut reached = Reached::default();
    for name in names {
        let Some(cluster) = plan.environment(name).and_then(|rules| rules.cluster.as_ref()) else { continue };
        let target = Target { context: cluster.context.clone(), namespace: cluster.namespace.clone() };
        let what = format!("environment {name} cannot be delivered to");
        let of = |unusable, failure| OutOfReach { environment: name.clone(), unusable, failure };
        match Cluster::connect(&target, &kubeconfig()).await {
            Err(error) => reached.away.push(of(true, error.failure(&what))),
            Ok(cluster) => {
                let cluster = cluster.with_patience(PATIENCE);
                match cluster.version().await {
                    Ok(_) => drop(reached.clusters.insert(name.clone(), cluster)),
                    Err(error) => reached.away.push(of(false, error.failure(&what))),
                }
            }
        }
    }
    reached
}
