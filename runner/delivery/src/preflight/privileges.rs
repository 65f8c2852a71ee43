//! What pods may do to their cluster beyond running: read from the final rendered objects, field by field, so that no way
//! of writing a manifest gets past it.

use std::fmt;

use serde_json::Value;

use crate::Object;

/// A power over the node or the cluster that a workload asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Privilege {
    /// `Deployment/workers`.
    pub object: String,
    /// `hostNetwork`, `hostPath /var/run`, `serviceAccountName admin`, `privileged`, `ClusterRoleBinding`.
    pub what: String,
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} asks for {}", self.object, self.what)
    }
}

/// Every such power in the objects. A service account named `default` or none is no power, nor is one that is among the
/// objects (its rights are: Roles and bindings are listed).
pub fn privileges(objects: &[Object]) -> Vec<Privilege> {
    let mut found = Vec::new();
    for object in objects {
        let id = object.id().to_string();
        let mut add = |what: String| found.push(Privilege { object: id.clone(), what });
        if matches!(
            object.kind(),
            "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" | "CustomResourceDefinition"
        ) || object.kind().ends_with("WebhookConfiguration")
        {
            add(object.kind().to_owned());
        }
        let Some(template) = object.template_pointer() else { continue };
        let spec = object.0.pointer(&format!("{template}/spec")).unwrap_or(&Value::Null);
        pod(spec, objects, &mut add);
    }
    found.sort();
    found.dedup();
    found
}

fn pod(spec: &Value, objects: &[Object], add: &mut impl FnMut(String)) {
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[key] == true {
            add(key.to_owned());
        }
    }
    for key in ["serviceAccountName", "serviceAccount"] {
        let account = spec[key].as_str().unwrap_or_default();
        let own = objects.iter().any(|object| object.kind() == "ServiceAccount" && object.name() == account);
        if !matches!(account, "" | "default") && !own {
            add(format!("serviceAccountName {account}"));
        }
    }
    for volume in list(&spec["volumes"]) {
        if let Some(path) = volume.pointer("/hostPath/path").and_then(Value::as_str) {
            add(format!("hostPath {path}"));
        }
    }
    for key in ["initContainers", "containers", "ephemeralContainers"] {
        for each in list(&spec[key]) {
            container(each, add);
        }
    }
}

fn container(container: &Value, add: &mut impl FnMut(String)) {
    let security = &container["securityContext"];
    for key in ["privileged", "allowPrivilegeEscalation"] {
        if security[key] == true {
            add(key.to_owned());
        }
    }
    for capability in list(&security["capabilities"]["add"]).iter().filter_map(Value::as_str) {
        if capability != "NET_BIND_SERVICE" {
            add(format!("capability {capability}"));
        }
    }
    for port in list(&container["ports"]).iter().filter_map(|port| port["hostPort"].as_i64()) {
        if port != 0 {
            add(format!("hostPort {port}"));
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_power_is_found_wherever_it_is_written() {
        let cron = Object(
            json!({"kind": "CronJob", "metadata": {"name": "c"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": {
            "hostNetwork": true, "serviceAccount": "cluster-admin-sa",
            "volumes": [{"hostPath": {"path": "/"}}],
            "initContainers": [{"securityContext": {"privileged": true, "capabilities": {"add": ["SYS_ADMIN", "NET_BIND_SERVICE"]}}}],
            "containers": [{"ports": [{"hostPort": 80}, {"containerPort": 8080}]}]}}}}}}),
        );
        let said: Vec<_> = privileges(&[cron]).into_iter().map(|each| each.what).collect();
        let all = [
            "capability SYS_ADMIN",
            "hostNetwork",
            "hostPath /",
            "hostPort 80",
            "privileged",
            "serviceAccountName cluster-admin-sa",
        ];
        assert_eq!(said, all);
    }

    #[test]
    fn an_ordinary_workload_has_none() {
        let account = Object(json!({"kind": "ServiceAccount", "metadata": {"name": "own"}}));
        let pod = Object(
            json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"serviceAccountName": "own", "hostNetwork": false,
            "volumes": [{"emptyDir": {}}], "containers": [{"securityContext": {"allowPrivilegeEscalation": false}}]}}),
        );
        assert_eq!(privileges(&[account, pod]), []);
    }
}
