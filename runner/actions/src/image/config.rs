//! The configuration document of an image: the base's, with what the inputs change.

use super::{ImageError, ImageSpec};
use crate::oci::{OciError, to_json};
use serde_json::{Map, Value, json};

const VERSION_LABEL: &str = "org.opencontainers.image.version";
/// Images say when they were made; these are the same whenever they are made.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The document's bytes. `diff_id` is the digest of the layer that is added, uncompressed.
pub(super) fn document(spec: &ImageSpec, base: Option<&[u8]>, diff_id: Option<String>) -> Result<Vec<u8>, ImageError> {
    let mut document = match base {
        Some(bytes) => object(serde_json::from_slice(bytes).map_err(|error| malformed(&error.to_string()))?)?,
        None => Map::new(),
    };
    if base.is_none() {
        document.insert("architecture".into(), json!(spec.platform.architecture));
        document.insert("os".into(), json!(spec.platform.os));
        if let Some(variant) = &spec.platform.variant {
            document.insert("variant".into(), json!(variant));
        }
    }
    document.insert("created".into(), json!(CREATED));
    let mut config = taken(&mut document, "config")?;
    configure(spec, &mut config);
    document.insert("config".into(), Value::Object(config));
    let mut rootfs = taken(&mut document, "rootfs")?;
    let mut diff_ids = list(rootfs.remove("diff_ids"));
    let added = diff_id.is_some();
    diff_ids.extend(diff_id.map(Value::String));
    rootfs.insert("type".into(), json!("layers"));
    rootfs.insert("diff_ids".into(), Value::Array(diff_ids));
    document.insert("rootfs".into(), Value::Object(rootfs));
    let mut history = list(document.remove("history"));
    if added {
        history.push(json!({"created": CREATED, "created_by": "tagline/image"}));
    }
    document.insert("history".into(), Value::Array(history));
    Ok(to_json(&document))
}

fn configure(spec: &ImageSpec, config: &mut Map<String, Value>) {
    if !spec.entrypoint.is_empty() {
        config.insert("Entrypoint".into(), json!(spec.entrypoint));
        config.remove("Cmd");
    }
    if !spec.cmd.is_empty() {
        config.insert("Cmd".into(), json!(spec.cmd));
    }
    if !spec.env.is_empty() {
        let mut env = list(config.remove("Env"));
        for (key, value) in &spec.env {
            let prefix = format!("{key}=");
            env.retain(|old| !old.as_str().is_some_and(|old| old.starts_with(&prefix)));
            env.push(json!(format!("{prefix}{value}")));
        }
        config.insert("Env".into(), Value::Array(env));
    }
    if let Some(workdir) = &spec.workdir {
        config.insert("WorkingDir".into(), json!(workdir));
    }
    if let Some(user) = &spec.user {
        config.insert("User".into(), json!(user));
    }
    let version = spec.version.iter().map(|version| (VERSION_LABEL.to_owned(), version.clone()));
    merge(config, "Labels", version.chain(spec.labels.iter().cloned()).map(|(key, value)| (key, json!(value))));
    merge(config, "ExposedPorts", spec.expose.iter().map(|port| (port.clone(), json!({}))));
}

/// Adds entries to an object of the configuration, which is made when there is something to add.
fn merge(config: &mut Map<String, Value>, key: &str, entries: impl Iterator<Item = (String, Value)>) {
    let mut object = match config.remove(key) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    object.extend(entries);
    if !object.is_empty() {
        config.insert(key.to_owned(), Value::Object(object));
    }
}

fn taken(document: &mut Map<String, Value>, key: &str) -> Result<Map<String, Value>, ImageError> {
    match document.remove(key) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(value) => object(value),
    }
}

fn object(value: Value) -> Result<Map<String, Value>, ImageError> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(malformed("it holds something else where an object belongs")),
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn malformed(why: &str) -> ImageError {
    ImageError::Oci(OciError::Malformed { what: "the base image's configuration".to_owned(), why: why.to_owned() })
}
