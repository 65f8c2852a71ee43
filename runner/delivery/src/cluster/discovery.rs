//! What the cluster serves.

use std::sync::PoisonError;

use serde_json::Value;

use super::http::Call;
use super::kinds::{Resource, known, root};
use super::{Cluster, ClusterError};

impl Cluster {
    /// The resource of a kind. Built-in kinds cost nothing; others are asked for once.
    ///
    /// # Errors
    /// [`ClusterError::NotServed`] with the versions of its group that are served.
    pub async fn served(&self, api_version: &str, kind: &str) -> Result<Resource, ClusterError> {
        if let Some(resource) = known(api_version, kind) {
            return Ok(resource);
        }
        let key = (api_version.to_owned(), kind.to_owned());
        let seen = self.shared.discovered.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(resource) = seen {
            return Ok(resource);
        }
        let Some(resource) = self.discover(api_version, kind).await? else {
            let served = self.served_versions(api_version, kind).await?;
            return Err(ClusterError::NotServed { api_version: key.0, kind: key.1, served });
        };
        self.shared.discovered.lock().unwrap_or_else(PoisonError::into_inner).insert(key, resource.clone());
        Ok(resource)
    }

    async fn discover(&self, api_version: &str, kind: &str) -> Result<Option<Resource>, ClusterError> {
        let answer = self.call(&Call::get(root(api_version)), api_version).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        if !answer.ok() {
            return Err(self.refused(api_version, &answer));
        }
        let list = answer.json();
        let resources = list["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_kind = |each: &&Value| each["kind"] == kind && !each["name"].as_str().unwrap_or("/").contains('/');
        Ok(resources.iter().find(of_kind).map(|each| Resource {
            api_version: api_version.to_owned(),
            plural: each["name"].as_str().unwrap_or_default().to_owned(),
            namespaced: each["namespaced"].as_bool().unwrap_or(true),
        }))
    }

    /// The apiVersions of a kind's group that serve it; of the core group none but `v1` exists.
    async fn served_versions(&self, api_version: &str, kind: &str) -> Result<Vec<String>, ClusterError> {
        let Some((group, _)) = api_version.split_once('/') else { return Ok(Vec::new()) };
        let answer = self.call(&Call::get(format!("/apis/{group}")), group).await?;
        let versions = answer.json();
        let versions = versions["versions"].as_array().cloned().unwrap_or_default();
        let mut served = Vec::new();
        for version in versions.iter().filter_map(|version| version["groupVersion"].as_str()) {
            if self.discover(version, kind).await?.is_some() {
                served.push(version.to_owned());
            }
        }
        Ok(served)
    }

    /// Everything that is served, as charts ask for it: `apps/v1` and `apps/v1/Deployment`.
    ///
    /// # Errors
    /// Those of reaching the server.
    pub async fn capabilities(&self) -> Result<Vec<String>, ClusterError> {
        let mut served = Vec::new();
        for path in ["/api", "/apis"] {
            // One answer with all groups, their versions and kinds.
            let mut call = Call::get(path.to_owned());
            let whole = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
            call.headers = vec![("accept".to_owned(), whole.to_owned())];
            served.extend(listed(&self.good(&call, "what the cluster serves").await?.json()));
        }
        Ok(served)
    }

    /// The server's version: `v1.36.2`. The cheapest question there is.
    ///
    /// # Errors
    /// Those of reaching the server.
    pub async fn version(&self) -> Result<String, ClusterError> {
        let answer = self.good(&Call::get("/version".to_owned()), "the server's version").await?;
        Ok(answer.json()["gitVersion"].as_str().unwrap_or_default().to_owned())
    }
}

/// The versions of a discovery's groups, and the kinds of each.
fn listed(discovery: &Value) -> Vec<String> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut served = Vec::new();
    for group in list(discovery, "items") {
        let name = text(&group["metadata"], "name");
        for version in list(&group, "versions") {
            let version_name = text(&version, "version");
            let of = if name.is_empty() { version_name } else { format!("{name}/{version_name}") };
            let kinds = list(&version, "resources").into_iter().map(|resource| text(&resource["responseKind"], "kind"));
            let kinds: Vec<String> = kinds.filter(|kind| !kind.is_empty()).map(|kind| format!("{of}/{kind}")).collect();
            served.push(of);
            served.extend(kinds);
        }
    }
    served
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_served_is_named_as_charts_ask_for_it() {
        let resource = |kind: &str| json!({"resource": "x", "responseKind": {"kind": kind}});
        let core =
            json!({"items": [{"metadata": {}, "versions": [{"version": "v1", "resources": [resource("Pod")]}]}]});
        assert_eq!(listed(&core), ["v1", "v1/Pod"]);
        let group = json!({"items": [{"metadata": {"name": "monitoring.coreos.com"}, "versions": [
            {"version": "v1", "resources": [resource("ServiceMonitor")]}, {"version": "v1alpha1", "resources": []}]}]});
        assert_eq!(
            listed(&group),
            ["monitoring.coreos.com/v1", "monitoring.coreos.com/v1/ServiceMonitor", "monitoring.coreos.com/v1alpha1"]
        );
        assert_eq!(listed(&Value::Null), [""; 0]);
    }
}
