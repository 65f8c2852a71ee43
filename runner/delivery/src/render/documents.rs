//! YAML documents to objects.
//!
//! Traps that are taken care of: a key given twice is an error, not a silent choice; keys that are numbers or booleans become texts, as
//! the API's own tools make them; `0644` of a file mode is octal, as the API's tools read it; texts in quotes stay texts.

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_yaml::Value as Yaml;

use super::RenderError;
use crate::Object;

/// An object and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    pub(super) object: Object,
    /// `k8s/app.yaml: document 2 (line 31)`
    pub(super) place: String,
}

/// Every object of a text with one or more documents. Empty documents are passed over, lists taken apart.
pub(super) fn read(file: &str, text: &str) -> Result<Vec<Document>, RenderError> {
    let mut documents = Vec::new();
    for (number, (line, part)) in split(text).into_iter().enumerate() {
        let wrong = |line: usize, message: String| RenderError::Document {
            file: file.to_owned(),
            document: number + 1,
            line,
            message,
        };
        let yaml = Yaml::deserialize(serde_yaml::Deserializer::from_str(part)).map_err(|error| {
            let at = error.location().map_or(line, |place| line + place.line() - 1);
            let said = error.to_string();
            wrong(at, said.split(" at line ").next().unwrap_or(&said).to_owned())
        })?;
        if yaml.is_null() {
            continue;
        }
        let value = json(yaml).map_err(|message| wrong(line, message))?;
        let place = format!("{file}: document {} (line {line})", number + 1);
        let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) && value["items"].is_array();
        let objects = match value {
            Value::Object(mut list) if is_list => match list.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            },
            value => vec![value],
        };
        for value in objects {
            let object = Object(value);
            check(&object).map_err(|message| wrong(line, message))?;
            documents.push(Document { object, place: place.clone() });
        }
    }
    Ok(documents)
}

/// Each document with the line it begins at, from 1. A separator is a line of `---` alone or before a space.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut begin, mut first, mut offset) = (0, 1, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") {
            parts.push((first, &text[begin..offset]));
            // What follows on the separator's own line is the document's (`--- # comment`, mostly).
            begin = offset + 3;
            first = number + 1;
        }
        offset += line.len();
    }
    parts.push((first, &text[begin..]));
    let has_text = |part: &str| part.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    let mut kept: Vec<(usize, &str)> = parts.into_iter().filter(|(_, part)| has_text(part)).collect();
    // A document's line is its first with text.
    for (line, part) in &mut kept {
        let blank = part.lines().take_while(|line| line.trim().is_empty() || line.trim().starts_with('#')).count();
        if blank > 0 && part.lines().nth(blank).is_some() {
            let skipped: usize = part.split_inclusive('\n').take(blank).map(str::len).sum();
            *part = &part[skipped..];
            *line += blank;
        }
    }
    kept
}

pub(super) fn json(yaml: Yaml) -> Result<Value, String> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => value.into(),
        Yaml::String(text) => text.into(),
        Yaml::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => number.into(),
            (_, Some(number), _) => number.into(),
            (.., Some(number)) if number.is_finite() => number.into(),
            _ => return Err(format!("{number} is not a number of JSON")),
        },
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(json).collect::<Result<_, _>>()?),
        Yaml::Mapping(pairs) => {
            let mut map = Map::new();
            for (key, value) in pairs {
                let key = key_text(key)?;
                let value = mode(&key, json(value)?);
                if map.insert(key.clone(), value).is_some() {
                    return Err(format!("key \"{key}\" is given twice"));
                }
            }
            Value::Object(map)
        }
        Yaml::Tagged(tagged) => return Err(format!("tag {} is not read", tagged.tag)),
    })
}

fn key_text(key: Yaml) -> Result<String, String> {
    match key {
        Yaml::String(text) => Ok(text),
        Yaml::Number(number) => Ok(number.to_string()),
        Yaml::Bool(value) => Ok(value.to_string()),
        _ => Err("a key that is neither a text nor a number".to_owned()),
    }
}

/// File modes are numbers in the API; YAML 1.2 reads `0644` as a text.
fn mode(key: &str, value: Value) -> Value {
    if !matches!(key, "defaultMode" | "mode") {
        return value;
    }
    let octal = value.as_str().filter(|text| text.starts_with('0') && text.len() <= 5);
    octal.and_then(|text| u32::from_str_radix(text, 8).ok()).map_or_else(|| value.clone(), Value::from)
}

/// What every object must have.
fn check(object: &Object) -> Result<(), String> {
    if !object.0.is_object() {
        return Err("not an object of the API: no map".to_owned());
    }
    for (what, text) in
        [("apiVersion", object.api_version()), ("kind", object.kind()), ("metadata.name", object.name())]
    {
        if text.is_empty() {
            let pointer = format!("/{}", what.replace('.', "/"));
            let name = if object.kind().is_empty() { "the object".to_owned() } else { object.kind().to_owned() };
            return Err(match object.0.pointer(&pointer) {
                None | Some(Value::Null)
                    if what == "metadata.name" && !object.text("/metadata/generateName").is_empty() =>
                {
                    format!("{name} has generateName; an object that is delivered needs a name")
                }
                None | Some(Value::Null | Value::String(_)) => format!("{name} has no {what}"),
                Some(value) => format!("{what} of {name} is {value}, not a text; quote it"),
            });
        }
    }
    for field in ["labels", "annotations"] {
        let map = object.0.pointer(&format!("/metadata/{field}")).and_then(Value::as_object);
        if let Some((key, value)) = map.into_iter().flatten().find(|(_, value)| !value.is_string()) {
            return Err(format!("{field} of {}: {key} is {value}, not a text; quote it", object.id()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn error(text: &str) -> String {
        read("a.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn documents_and_lists_become_objects() {
        let text = "# head\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {1: one, tag: '1.10', yes: \"2\"}\n\
                    --- # next\n\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n";
        let found = read("a.yaml", text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].object.0["data"], json!({"1": "one", "tag": "1.10", "yes": "2"}));
        assert_eq!(found[0].place, "a.yaml: document 1 (line 3)");
        assert_eq!(found[1].object.id().to_string(), "Secret/b");
    }

    #[test]
    fn errors_name_file_document_and_line() {
        assert_eq!(
            error(
                "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nkind: Pod\nmetadata: {name: b}\n"
            ),
            "a.yaml: document 2 (line 5): duplicate entry with key \"kind\""
        );
        assert_eq!(error("kind: Pod\nmetadata: {name: a}"), "a.yaml: document 1 (line 1): Pod has no apiVersion");
        assert_eq!(
            error("apiVersion: v1\nkind: Pod\nmetadata:\n  name: 12"),
            "a.yaml: document 1 (line 1): metadata.name of Pod is 12, not a text; quote it"
        );
        assert_eq!(
            error("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {version: 1.10}"),
            "a.yaml: document 1 (line 1): labels of Pod/a: version is 1.1, not a text; quote it"
        );
        assert_eq!(error("\n\n- 1\n"), "a.yaml: document 1 (line 3): not an object of the API: no map");
        assert!(error("a: [").starts_with("a.yaml: document 1 (line "));
    }

    #[test]
    fn file_modes_are_octal() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {defaultMode: 0644, mode: 420}\n";
        let found = read("a.yaml", text).unwrap();
        assert_eq!(found[0].object.0["spec"], json!({"defaultMode": 420, "mode": 420}));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9:{}\\[\\]\\-\n '\"#&*!|>]{0,200}") {
            let _ = read("a.yaml", &text);
        }

        #[test]
        fn texts_that_look_like_numbers_stay_texts(tag in "[0-9]{1,9}(\\.[0-9]{1,3})?") {
            let text = format!("apiVersion: v1\nkind: A\nmetadata: {{name: a}}\ntag: \"{tag}\"\n");
            prop_assert_eq!(&read("a.yaml", &text).unwrap()[0].object.0["tag"], &json!(tag));
        }
    }
}
