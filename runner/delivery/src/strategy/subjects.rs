//! Whose pods are checked: those of the release, and those of what was live before it.

use super::blue_green::original;
use super::survey::HASH;
use super::{Delivery, Snapshot};
use crate::action::Shape;
use crate::check::Subject;
use crate::cluster::Labels;
use crate::object::selects;
use crate::{DeliveryError, Object};

/// The release's own pods.
pub(super) fn new(delivery: &Delivery<'_>) -> Result<Subject, DeliveryError> {
    let shape = delivery.plan.shape()?;
    let (workloads, services): (Vec<&Object>, Vec<&Object>) = match &shape {
        Shape::BlueGreen(shape) => {
            (shape.swaps.iter().map(|swap| &swap.object).collect(), shape.services.iter().collect())
        }
        Shape::Rolling(shape) => {
            let of = |kinds: &[&str]| shape.objects.iter().filter(|each| kinds.contains(&each.kind())).collect();
            (of(&["Deployment", "StatefulSet", "DaemonSet"]), of(&["Service"]))
        }
    };
    Ok(Subject {
        unit: delivery.plan.unit.clone(),
        version: delivery.plan.version.clone(),
        release: delivery.plan.release.0.clone(),
        pods: workloads.iter().map(|each| each.pod_labels()).collect(),
        workloads: workloads.iter().map(|each| each.name().to_owned()).collect(),
        port: port(&services, &workloads),
    })
}

/// The pods of what was live before; None where nothing was.
pub(super) fn old(delivery: &Delivery<'_>, before: &Snapshot) -> Result<Option<Subject>, DeliveryError> {
    let Some(live) = &before.live else { return Ok(None) };
    let new = new(delivery)?;
    let labels = |workload: &Object| -> Labels {
        let mut labels = workload.pod_labels();
        // An adopted pod lacks what tells it from new ones; its Service has been narrowed to it.
        for (service, narrowed) in &before.narrowed {
            if selects(&original(before, service), &labels) {
                labels.extend(narrowed.clone());
            }
        }
        // Nor does a template have the hash that a Service had been narrowed by before.
        let services = before.objects.iter().filter(|kept| kept.object.kind() == "Service");
        for selector in services.map(|kept| kept.object.texts("/spec/selector")) {
            let fits = selector.iter().all(|(key, value)| key == HASH || labels.get(key) == Some(value));
            if selector.contains_key(HASH) && fits {
                labels.extend(selector);
            }
        }
        labels
    };
    let workloads = before.workloads.values().map(|kept| &kept.object);
    Ok(Some(Subject {
        unit: new.unit,
        version: live.version.clone(),
        release: live.release.clone(),
        pods: workloads.clone().map(labels).collect(),
        workloads: workloads.map(|each| each.name().to_owned()).collect(),
        port: new.port,
    }))
}

/// The pods' port that the first Service sends to, by number or by the name that a container gives it.
fn port(services: &[&Object], workloads: &[&Object]) -> Option<u16> {
    let entry = services.iter().find_map(|service| service.list("/spec/ports").first())?;
    let target = if entry["targetPort"].is_null() { &entry["port"] } else { &entry["targetPort"] };
    let number = target.as_u64().or_else(|| {
        let ports = workloads.iter().flat_map(|each| each.list("/spec/template/spec/containers"));
        let mut ports = ports.flat_map(|container| container["ports"].as_array().into_iter().flatten());
        ports.find(|port| port["name"] == *target)?["containerPort"].as_u64()
    });
    number.and_then(|number| u16::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_named_port_is_the_container_s() {
        let service = |target| Object(json!({"spec": {"ports": [{"port": 80, "targetPort": target}]}}));
        let workload = Object(json!({"spec": {"template": {"spec": {"containers": [
            {"ports": [{"name": "admin", "containerPort": 8081}, {"name": "http", "containerPort": 8080}]}]}}}}));
        assert_eq!(port(&[&service(json!("http"))], &[&workload]), Some(8080));
        assert_eq!(port(&[&service(json!(9000))], &[&workload]), Some(9000));
        assert_eq!(port(&[&service(json!(null))], &[&workload]), Some(80));
        assert_eq!(port(&[&service(json!("none"))], &[&workload]), None);
        assert_eq!(port(&[], &[&workload]), None);
    }
}
