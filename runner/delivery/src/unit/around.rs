//! What stands around two releases side by side: Services that must not be pulled apart, and those for tests only.

use serde_json::json;

use super::members::{mark, selected_by};
use super::{PREVIEW, Role, UNIT, Unit, slug};
use crate::Object;

/// What cannot stand there twice, or would be pulled apart by a switch.
pub(super) fn unsuitable(unit: &Unit, delivered: &[&Object], services: &[&Object]) -> Vec<String> {
    let mut wrong = Vec::new();
    for workload in delivered.iter().filter(|each| each.kind() != "Deployment") {
        wrong.push(format!(
            "{} cannot be there twice: blue-green is for Deployments; name the others in workloads, or rolling",
            workload.id()
        ));
    }
    if delivered.is_empty() {
        wrong.push("the manifests have no Deployment to deliver".to_owned());
    }
    let all: Vec<&Object> = unit.of(Role::Workload).collect();
    for service in services {
        for other in selected_by(service, &all).filter(|each| !delivered.iter().any(|own| own.id() == each.id())) {
            wrong.push(format!(
                "Service \"{}\" selects {} too, which is not switched; name it in workloads, or give the Service a narrower selector",
                service.name(),
                other.id()
            ));
        }
    }
    wrong
}

/// Rendered Services that select pods that are swapped, and are not switched: their users would reach new pods before they are
/// tested, and old ones after the switch. The preview is for tests.
pub(super) fn left_behind(
    unit: &Unit,
    delivered: &[&Object],
    services: &[&Object],
    preview: Option<&str>,
) -> Vec<String> {
    let switched = |each: &Object| services.iter().any(|service| service.name() == each.name());
    let others = unit.of(Role::Service).filter(|each| !switched(each) && Some(each.name()) != preview);
    let wrong = others.filter_map(|service| {
        let workload = selected_by(service, delivered).next()?;
        Some(format!(
            "Service \"{}\" selects pods of {} and is not switched: its users would reach both releases; name it in service, \
             which may list several, or leave service out",
            service.name(),
            workload.id()
        ))
    });
    wrong.collect()
}

/// A Service of the same ports that only the release's own tests know.
pub(super) fn preview(unit: &Unit, service: &Object, name: Option<&str>) -> Object {
    let name = name.map_or_else(|| format!("{}-preview", slug(service.name(), 55)), str::to_owned);
    let ports = service.list("/spec/ports").iter().cloned().map(|mut port| {
        if let Some(port) = port.as_object_mut() {
            port.shift_remove("nodePort");
        }
        port
    });
    let mut preview = Object(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"type": "ClusterIP", "selector": service.texts("/spec/selector"), "ports": ports.collect::<Vec<_>>()}}));
    if let Some(namespace) = service.namespace() {
        preview.set("/metadata/namespace", json!(namespace));
    }
    mark(&mut preview, "/metadata/labels", UNIT, &unit.name);
    mark(&mut preview, "/metadata/labels", PREVIEW, "true");
    preview
}
