//! SPDX 2.3.

use super::{Subject, uuid};
use crate::catalog::{Catalog, Component};
use serde_json::{Value, json};

/// SPDX demands a time of creation; this one stands for none, so that equal input gives equal bytes.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

pub(super) fn document(catalog: &Catalog, subject: &Subject) -> Value {
    let name = subject.name.as_deref().unwrap_or("unnamed");
    let mut root = json!({
        "SPDXID": "SPDXRef-Subject",
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
    });
    if let Some(version) = &subject.version {
        root["versionInfo"] = json!(version);
    }
    let mut packages = vec![root];
    let mut relationships = vec![relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Subject")];
    for (index, component) in catalog.components.iter().enumerate() {
        let id = format!("SPDXRef-Package-{}", index + 1);
        relationships.push(relationship("SPDXRef-Subject", "CONTAINS", &id));
        packages.push(package(component, &id));
    }
    let namespace = uuid(&json!([packages, relationships]));
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("urn:uuid:{namespace}"),
        "creationInfo": {
            "created": subject.timestamp.as_deref().unwrap_or(NO_TIME),
            "creators": [concat!("Tool: tagline-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    })
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

fn package(component: &Component, id: &str) -> Value {
    let name = if component.group.is_empty() {
        component.name.clone()
    } else {
        format!("{}/{}", component.group, component.name)
    };
    let places: Vec<&str> = component.found_in.iter().map(String::as_str).collect();
    let mut package = json!({
        "SPDXID": id,
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "sourceInfo": format!("found in {}", places.join(", ")),
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": component.purl,
        }],
    });
    if !component.version.is_empty() {
        package["versionInfo"] = json!(component.version);
    }
    if !component.hashes.is_empty() {
        let sum =
            |(algorithm, hex): &(&str, String)| json!({"algorithm": algorithm.replace('-', ""), "checksumValue": hex});
        package["checksums"] = component.hashes.iter().map(sum).collect();
    }
    package
}
