//! Secrets that were rotated since a release was delivered: it is returned to with those that are in force.

use std::collections::BTreeMap;

use crate::Object;
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::render::config::{references, rewrite};
use crate::rotate;

/// The Secret that stands for each rotated one now, by its name in the manifests.
pub(super) struct InForce(BTreeMap<String, String>);

impl InForce {
    /// Looks, where any of the objects reads a Secret: one request.
    pub(super) async fn look(
        cluster: &Cluster,
        mut objects: impl Iterator<Item = &Object>,
    ) -> Result<Self, ClusterError> {
        if !objects.any(|object| references(object).iter().any(|(kind, _)| kind == "Secret")) {
            return Ok(Self(BTreeMap::new()));
        }
        Ok(Self(rotate::current(&cluster.list("v1", "Secret", &Labels::new()).await?)))
    }

    /// What a name stands for now: one in the manifests, or one of an earlier rotation, whose Secret may be gone.
    fn name(&self, name: &str) -> Option<&String> {
        let earlier = || {
            let (base, hash) = name.rsplit_once('-')?;
            self.0.get(base).filter(|_| hash.len() == 10 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        self.0.get(name).or_else(earlier)
    }

    /// Lets an object's pods read them.
    pub(super) fn follow(&self, object: &mut Object) {
        rewrite(object, |kind, name| self.name(name).filter(|_| kind == "Secret").cloned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_earlier_rotations_are_followed_too() {
        let current = InForce(BTreeMap::from([("db".to_owned(), "db-bbbbbbbbbb".to_owned())]));
        let mut pods = Object(json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"envFrom": [
            {"secretRef": {"name": "db"}},
            {"secretRef": {"name": "db-aaaaaaaaaa"}},
            {"secretRef": {"name": "db-prometheus"}},
            {"configMapRef": {"name": "db"}},
        ]}]}}}}));
        current.follow(&mut pods);
        let names: Vec<String> = references(&pods).into_iter().map(|(kind, name)| format!("{kind}/{name}")).collect();
        assert_eq!(names, ["Secret/db-bbbbbbbbbb", "Secret/db-bbbbbbbbbb", "Secret/db-prometheus", "ConfigMap/db"]);
    }
}
