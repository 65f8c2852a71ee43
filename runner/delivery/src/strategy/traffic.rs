//! Moving traffic: a Service's whole selector at once, never to pods that are not ready, and looked at afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::hands::HAND;
use super::survey::id_in;
use crate::cluster::{Cluster, ClusterError, Endpoints, Filter, Labels, Patch, TRAFFIC, Tries, slices_of};
use crate::rollout::{WaitError, wait_for};
use crate::{DeliveryError, Failure, Object, ObjectId, Progress};

/// How long endpoints may take to follow a selector.
pub(super) const FOLLOWING: Duration = Duration::from_mins(1);

/// Where one Service's traffic goes.
#[derive(Debug, Clone)]
pub(crate) struct Move {
    /// The Service.
    pub(crate) service: String,
    /// Selectors that it may have now; a new Service has none.
    pub(crate) from: Vec<Labels>,
    /// The selector that it gets, as a whole.
    pub(crate) to: Labels,
}

/// Sets the selectors of all Services in one go. Those that are there already are passed over; a selector that is neither
/// where it comes from nor where it goes is somebody else's, and nothing is moved. Gives whether anything was written.
pub(crate) async fn move_all(cluster: &Cluster, moves: &[Move]) -> Result<bool, DeliveryError> {
    let services = try_join_all(moves.iter().map(|each| service(cluster, &each.service))).await?;
    for (each, service) in moves.iter().zip(&services) {
        expected(each, service)?;
    }
    let written = moves.iter().zip(services).map(|(each, service)| move_one(cluster, each, service));
    Ok(try_join_all(written).await?.contains(&true))
}

/// A move that somebody else's change stands against.
#[derive(Debug, Clone)]
pub(crate) struct Foreign {
    /// What stands against it, with the Service.
    pub(crate) why: String,
    /// The selector that somebody else gave it; empty where it is gone.
    pub(crate) selector: Labels,
    /// The move.
    pub(crate) stopped: Move,
}

/// The moves that nobody else's change stands against, and the others.
pub(crate) async fn ours(cluster: &Cluster, moves: Vec<Move>) -> Result<(Vec<Move>, Vec<Foreign>), DeliveryError> {
    let (mut ours, mut foreign) = (Vec::new(), Vec::new());
    for each in moves {
        let mut selector = Labels::new();
        let found = service(cluster, &each.service).await.and_then(|service| {
            selector = service_selector(&service);
            expected(&each, &service)
        });
        match found {
            Ok(()) => ours.push(each),
            Err(DeliveryError::Failed(failure)) if failure.what == HAND => {
                foreign.push(Foreign { why: failure.why, selector, stopped: each });
            }
            Err(error) => return Err(error),
        }
    }
    Ok((ours, foreign))
}

async fn move_one(cluster: &Cluster, to: &Move, mut service: Object) -> Result<bool, DeliveryError> {
    let mut tries = Tries::default();
    loop {
        if service_selector(&service) == to.to {
            return Ok(false);
        }
        match cluster.replace_selector(&to.service, &to.to, service.resource_version()).await {
            Ok(_) => return Ok(true),
            Err(error) if tries.again(&error) => {
                service = self::service(cluster, &to.service).await?;
                expected(to, &service)?;
            }
            Err(ClusterError::Changed { .. }) => {
                let why = format!("Service/{} changes all the time", to.service);
                return Err(Failure::new("the traffic could not be moved", why).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn service(cluster: &Cluster, name: &str) -> Result<Object, DeliveryError> {
    let id = ObjectId::new("v1", "Service", cluster.namespace(), name);
    match cluster.get(&id).await? {
        Some(service) => Ok(service),
        None => Err(Failure::new(HAND, format!("{id} is gone")).next("run the release again: it makes it anew").into()),
    }
}

pub(crate) fn service_selector(service: &Object) -> Labels {
    service.texts("/spec/selector")
}

fn expected(to: &Move, service: &Object) -> Result<(), DeliveryError> {
    let now = service_selector(service);
    if now.is_empty() || now == to.to || to.from.contains(&now) {
        return Ok(());
    }
    let owner = service
        .list("/metadata/managedFields")
        .iter()
        .find(|entry| !entry["fieldsV1"]["f:spec"]["f:selector"].is_null());
    let owner = owner.and_then(|entry| entry["manager"].as_str()).unwrap_or("somebody");
    let shown = |labels: &Labels| serde_json::to_string(labels).unwrap_or_default();
    let was = to.from.first().map(shown).unwrap_or_default();
    let why = format!("Service/{}: spec.selector was changed by {owner} from {was} to {}", to.service, shown(&now));
    Err(Failure::new(HAND, why).next(format!("ask who ran {owner}; then run the release again")).into())
}

/// Waits until a Service sends its traffic to at least so many pods and to none of `not`.
pub(crate) async fn arrived(
    cluster: &Cluster,
    service: &str,
    at_least: usize,
    not: &BTreeSet<String>,
    progress: &dyn Progress,
) -> Result<Endpoints, DeliveryError> {
    let mut last = Endpoints::default();
    let filter = Filter::labels(&slices_of(service));
    let found = wait_for(cluster, ("discovery.k8s.io/v1", "EndpointSlice"), filter, FOLLOWING, progress, |slices| {
        last = Endpoints::from_slices(slices);
        let right = last.ready.len() >= at_least && !last.ready.iter().any(|each| not.contains(&each.uid));
        right.then(|| last.clone())
    })
    .await;
    match found {
        Ok(Some(endpoints)) => Ok(endpoints),
        Ok(None) => {
            let old = last.ready.iter().filter(|each| not.contains(&each.uid)).count();
            let why = format!("{} of {at_least} ready endpoints, {old} of them not of the release", last.ready.len());
            Err(Failure::new(format!("Service/{service} does not reach the release"), why)
                .next("look whether its selector fits the pods' labels, and its targetPort a container's port")
                .into())
        }
        Err(WaitError::Stopped(stop)) => Err(stop.into()),
        Err(WaitError::Cluster(error)) => Err(error.into()),
        Err(error) => Err(Failure::new("endpoints cannot be watched", error.to_string()).into()),
    }
}

/// Moves one field of an object to a value, as manager [`TRAFFIC`]; passed over where it is there. Gives whether it was
/// written; an object that is gone is passed over too.
pub(crate) async fn move_field(
    cluster: &Cluster,
    object: &Object,
    pointer: &str,
    to: &Value,
) -> Result<bool, DeliveryError> {
    let id = id_in(object, cluster);
    let mut tries = Tries::default();
    loop {
        let Some(now) = cluster.get(&id).await? else { return Ok(false) };
        if now.0.pointer(pointer) == Some(to) {
            return Ok(false);
        }
        let patch = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": now.resource_version()},
            {"op": "add", "path": pointer, "value": to},
        ]);
        match cluster.patch(&id, TRAFFIC, &Patch::Json(patch)).await {
            Ok(_) => return Ok(true),
            Err(error) if tries.again(&error) => {}
            Err(ClusterError::Changed { .. }) => {
                return Err(Failure::new(format!("{id} could not be moved"), "it changes all the time").into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The pods that a selector selects, by UID.
pub(crate) async fn uids(cluster: &Cluster, selectors: &[Labels]) -> Result<BTreeSet<String>, ClusterError> {
    let mut uids = BTreeSet::new();
    for selector in selectors.iter().filter(|selector| !selector.is_empty()) {
        uids.extend(cluster.pods(selector).await?.iter().map(|pod| pod.uid().to_owned()));
    }
    Ok(uids)
}
