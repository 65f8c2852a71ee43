//! What a chart's record needs to hold.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::inputs::source::HelmSource;
use crate::render::RenderError;

/// A chart with the values it was rendered with.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Chart {
    /// The release's name.
    pub release: String,
    /// `Chart.yaml`.
    pub metadata: Value,
    /// `values.yaml` of the chart.
    pub defaults: Value,
    /// What the step's files and `set` say beyond that.
    pub values: Value,
    /// What was rendered, as text, before images were set.
    pub manifest: String,
    /// How many revisions are kept; 0 means all.
    pub history: u32,
}

impl Chart {
    /// Reads a chart's files and the values that are given.
    pub(super) fn read(tree: &Path, path: &str, release: &str, source: &HelmSource) -> Result<Self, RenderError> {
        let metadata = yaml(tree, &format!("{path}/Chart.yaml"))?;
        if metadata["name"].as_str().is_none_or(str::is_empty) {
            return Err(RenderError::File {
                path: format!("{path}/Chart.yaml").into(),
                message: "the chart has no name".to_owned(),
            });
        }
        let file = format!("{path}/values.yaml");
        let defaults = if tree.join(&file).is_file() { yaml(tree, &file)? } else { Value::Object(Map::new()) };
        let mut values = Value::Object(Map::new());
        for file in &source.values {
            merge(&mut values, values_file(tree, file)?);
        }
        merge(&mut values, set_values(&source.set)?);
        let (release, history) = (release.to_owned(), source.history);
        Ok(Self { release, metadata, defaults, values, manifest: String::new(), history })
    }

    /// `shop-0.4.1`, as Helm names a chart.
    pub fn label(&self) -> String {
        let text = |key: &str| self.metadata[key].as_str().unwrap_or_default();
        format!("{}-{}", text("name"), text("version"))
    }
}

/// A values file that the step names.
pub(crate) fn values_file(tree: &Path, path: &str) -> Result<Value, RenderError> {
    yaml(tree, path).map_err(|error| match error {
        RenderError::File { message, .. } => RenderError::Values { path: path.to_owned(), message },
        other => other,
    })
}

fn yaml(tree: &Path, path: &str) -> Result<Value, RenderError> {
    let failed = |message: String| RenderError::File { path: path.into(), message };
    let text = fs::read_to_string(tree.join(path)).map_err(|error| failed(error.to_string()))?;
    let value: serde_yaml::Value = serde_yaml::from_str(&text).map_err(|error| failed(error.to_string()))?;
    let value = crate::render::documents::json(value).map_err(failed)?;
    Ok(if value.is_null() { Value::Object(Map::new()) } else { value })
}

/// Later values win; maps are merged, lists are not.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                match into.get_mut(&key) {
                    Some(old) if old.is_object() && value.is_object() => merge(old, value),
                    _ => {
                        into.insert(key, value);
                    }
                }
            }
        }
        (into, from) => *into = from,
    }
}

/// `image.tag=1.10` as nested maps; values are always texts, and a point in a name is written `\.`.
pub(super) fn set_values(pairs: &[(String, String)]) -> Result<Value, RenderError> {
    let mut values = Value::Object(Map::new());
    for (key, value) in pairs {
        if key.contains(['[', '{']) {
            let message = format!("{key}: lists are not set one by one; write them in a values file");
            return Err(RenderError::Objects(vec![format!("set: {message}")]));
        }
        let names: Vec<String> = key.replace("\\.", "\0").split('.').map(|name| name.replace('\0', ".")).collect();
        let nested = names
            .into_iter()
            .rev()
            .fold(Value::String(value.clone()), |inner, name| Value::Object(Map::from_iter([(name, inner)])));
        merge(&mut values, nested);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn set_values_are_texts_in_nested_maps() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let set = set_values(&[pair("image.tag", "1.10"), pair("image.pull", "true"), pair("a\\.b.c", "x,y")]).unwrap();
        assert_eq!(set, json!({"image": {"tag": "1.10", "pull": "true"}, "a.b": {"c": "x,y"}}));
        assert!(set_values(&[pair("hosts[0]", "a")]).unwrap_err().to_string().contains("values file"));
    }
}
