//! What would stop a delivery half-way, found before anything starts: missing rights, no room, a namespace that ends, kinds
//! that are not served, selectors that select nothing.
//!
//! Invariants: nothing is written; all problems are told at once; what cannot be known (no right to look at nodes) is no
//! problem, what is known to fail is one.

mod capacity;
mod manifests;
mod nodes;
mod privileges;
mod quantity;
mod references;
mod role;

use std::collections::BTreeSet;

use crate::cluster::{Cluster, ClusterError, Verb};
use crate::{Object, ObjectId};

pub use capacity::{Extra, Limits, quota_problems};
pub use manifests::{images, selectors};
pub use nodes::node_problems;
pub use privileges::{Privilege, privileges};
pub use quantity::Quantity;
pub use references::{Needed, needed};
pub(crate) use role::unplanned;
pub use role::{role, who};

/// Something that would stop the delivery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// One line: `needs 6 pods, quota small leaves 4 (namespace prod)`.
    pub message: String,
    /// What to do.
    pub next: String,
    /// It may still work out (new nodes may come): to be told, not to refuse for.
    pub advice: bool,
    /// What the step gives is not right, or lacks what it refers to; else the cluster is in the way.
    pub of_input: bool,
}

impl Problem {
    fn new(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { message: message.into(), next: next.into(), advice: false, of_input: false }
    }

    /// As one line, with what to do.
    pub fn line(self) -> String {
        if self.next.is_empty() { self.message } else { format!("{} ({})", self.message, self.next) }
    }
}

/// What a plan needs of the cluster.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs<'a> {
    /// Every right that its steps will use, those of the way back too.
    pub verbs: &'a [Verb],
    /// Everything it will apply.
    pub objects: &'a [Object],
    /// The pods that run at its peak beyond those that run now.
    pub extra: &'a [Extra],
}

/// All problems at once.
///
/// # Errors
/// Those of reaching the server.
pub async fn check(cluster: &Cluster, needs: &Needs<'_>) -> Result<Vec<Problem>, ClusterError> {
    let mut problems = selectors(needs.objects);
    let exists = namespace(cluster, needs.objects, &mut problems).await?;
    served(cluster, needs.objects, &mut problems).await?;
    problems.extend(rights(cluster, needs.verbs).await?);
    if exists {
        problems.extend(references::problems(cluster, needs.objects).await?);
    }
    if exists && !needs.extra.is_empty() {
        capacity(cluster, needs.extra, &mut problems).await?;
    }
    Ok(problems)
}

/// The rights that are missing.
pub(crate) async fn rights(cluster: &Cluster, verbs: &[Verb]) -> Result<Vec<Problem>, ClusterError> {
    let missing = cluster.may(&servable(cluster, verbs).await?).await?;
    let grant = "grant it: tagline doctor --role | kubectl apply -f -";
    Ok(missing.iter().map(|missing| Problem::new(missing.to_string(), grant)).collect())
}

/// Rights on kinds that are not served are no question: that they are not served is said already.
async fn servable(cluster: &Cluster, verbs: &[Verb]) -> Result<Vec<Verb>, ClusterError> {
    let mut servable = Vec::new();
    for verb in verbs {
        match cluster.served(&verb.api_version, &verb.kind).await {
            Ok(_) => servable.push(verb.clone()),
            Err(ClusterError::NotServed { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(servable)
}

/// Whether the namespace is there. One that the delivery makes itself may be missing.
async fn namespace(cluster: &Cluster, objects: &[Object], problems: &mut Vec<Problem>) -> Result<bool, ClusterError> {
    let name = cluster.namespace();
    let id =
        ObjectId { api_version: "v1".to_owned(), kind: "Namespace".to_owned(), namespace: None, name: name.to_owned() };
    let found = match cluster.get(&id).await {
        // Not allowed to look: the first write will tell.
        Err(ClusterError::Forbidden { .. }) => return Ok(true),
        found => found?,
    };
    let Some(found) = found else {
        if !objects.iter().any(|object| object.kind() == "Namespace" && object.name() == name) {
            let next = format!("kubectl --context {} create namespace {name}", cluster.target().context);
            problems.push(Problem::new(format!("namespace {name} does not exist"), next));
        }
        return Ok(false);
    };
    if found.is_terminating() || found.text("/status/phase") == "Terminating" {
        let error = ClusterError::Terminating(name.to_owned());
        problems.push(Problem::new(error.to_string(), error.next()));
    }
    Ok(true)
}

/// Whether every kind is served; those of definitions among the objects will be.
async fn served(cluster: &Cluster, objects: &[Object], problems: &mut Vec<Problem>) -> Result<(), ClusterError> {
    let own: BTreeSet<(&str, &str)> = objects
        .iter()
        .filter(|object| object.kind() == "CustomResourceDefinition")
        .map(|object| (object.text("/spec/group"), object.text("/spec/names/kind")))
        .collect();
    let kinds: BTreeSet<_> = objects.iter().map(|object| (object.api_version(), object.kind())).collect();
    for (api_version, kind) in kinds {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        if own.contains(&(group, kind)) {
            continue;
        }
        match cluster.served(api_version, kind).await {
            Ok(_) => {}
            Err(error @ ClusterError::NotServed { .. }) => {
                problems.push(Problem::new(error.to_string(), error.next()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Room by quota, limit ranges and nodes. What may not be looked at is passed over.
async fn capacity(cluster: &Cluster, extra: &[Extra], problems: &mut Vec<Problem>) -> Result<(), ClusterError> {
    let none = std::collections::BTreeMap::new();
    let quotas = allowed(cluster.list("v1", "ResourceQuota", &none).await)?;
    let ranges = allowed(cluster.list("v1", "LimitRange", &none).await)?;
    let limits = Limits::read(&ranges);
    problems.extend(quota_problems(extra, &quotas, &limits, cluster.namespace()));
    let nodes = allowed(cluster.list("v1", "Node", &none).await)?;
    if !nodes.is_empty() {
        let pods = allowed(cluster.list_everywhere("v1", "Pod").await)?;
        problems.extend(node_problems(extra, &nodes, &pods, &limits));
    }
    Ok(())
}

fn allowed(list: Result<Vec<Object>, ClusterError>) -> Result<Vec<Object>, ClusterError> {
    match list {
        Err(ClusterError::Forbidden { .. }) => Ok(Vec::new()),
        list => list,
    }
}
