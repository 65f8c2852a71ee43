//! CycloneDX 1.6.

use super::{Subject, uuid};
use crate::catalog::{Catalog, Component};
use serde_json::{Map, Value, json};

/// How the root component is referred to within the document.
const ROOT: &str = "subject";

pub(super) fn document(catalog: &Catalog, subject: &Subject) -> Value {
    let components: Vec<Value> = catalog.components.iter().map(component).collect();
    let mut metadata = Map::new();
    metadata.insert(
        "tools".into(),
        json!({"components": [{"type": "application", "name": "tagline", "version": env!("CARGO_PKG_VERSION")}]}),
    );
    if let Some(name) = &subject.name {
        let mut root = json!({"type": "application", "bom-ref": ROOT, "name": name});
        if let Some(version) = &subject.version {
            root["version"] = json!(version);
        }
        metadata.insert("component".into(), root);
    }
    let aggregate = if catalog.problems.is_empty() { "complete" } else { "incomplete" };
    let references: Vec<&str> = catalog.components.iter().map(|one| one.purl.as_str()).collect();
    let serial = uuid(&json!([components, metadata]));
    if let Some(timestamp) = &subject.timestamp {
        metadata.shift_insert(0, "timestamp".into(), json!(timestamp));
    }
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{serial}"),
        "version": 1,
        "metadata": metadata,
        "components": components,
        "compositions": [{"aggregate": aggregate, "assemblies": references}],
    })
}

fn component(component: &Component) -> Value {
    let mut value = Map::new();
    value.insert("type".into(), json!("library"));
    value.insert("bom-ref".into(), json!(component.purl));
    if !component.group.is_empty() {
        value.insert("group".into(), json!(component.group));
    }
    value.insert("name".into(), json!(component.name));
    if !component.version.is_empty() {
        value.insert("version".into(), json!(component.version));
    }
    if !component.hashes.is_empty() {
        let hash = |(algorithm, hex): &(&str, String)| json!({"alg": algorithm, "content": hex});
        value.insert("hashes".into(), component.hashes.iter().map(hash).collect());
    }
    value.insert("purl".into(), json!(component.purl));
    let occurrences: Value = component.found_in.iter().map(|path| json!({"location": path})).collect();
    value.insert("evidence".into(), json!({"occurrences": occurrences}));
    Value::Object(value)
}
