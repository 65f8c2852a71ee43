//! Single places of objects, read and set.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::render::config::{references, rewrite};
use crate::{Object, ObjectId};

/// A place in an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A JSON pointer of keys.
    At(String),
    /// A variable of a container of the pod template.
    Env {
        /// The container.
        container: String,
        /// Its name.
        name: String,
    },
    /// A resource of a container of the pod template.
    Resource {
        /// The container.
        container: String,
        /// `requests` or `limits`.
        part: String,
        /// `cpu`
        name: String,
    },
    /// All references of the pod template to one object or another: its value is which of the two names they bear.
    Reference {
        /// `ConfigMap` or `Secret`.
        kind: String,
        /// The names that stand for each other.
        names: [String; 2],
    },
}

/// A place and what is there; None: nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Option<Value>,
}

/// Places of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The object.
    pub id: ObjectId,
    /// Its UID: another object of that name is left alone.
    pub uid: String,
    /// What they are set to.
    pub fields: Vec<Field>,
}

impl Place {
    /// What is there.
    pub fn get(&self, object: &Object) -> Option<Value> {
        match self {
            Self::At(pointer) => object.0.pointer(pointer).filter(|value| !value.is_null()).cloned(),
            Self::Env { container, name } => {
                let all = container_of(object, container)?["env"].as_array()?;
                all.iter().find(|each| each["name"] == name.as_str()).cloned()
            }
            Self::Resource { container, part, name } => {
                let value = &container_of(object, container)?["resources"][part][name];
                (!value.is_null()).then(|| value.clone())
            }
            Self::Reference { kind, names } => {
                let found = references(object);
                let bears = |name: &&String| found.iter().any(|(of, to)| of == kind && to == *name);
                names.iter().find(bears).map(|name| json!(name))
            }
        }
    }

    /// Sets or removes it.
    pub fn set(&self, object: &mut Object, value: Option<&Value>) {
        match (self, value) {
            (Self::At(pointer), Some(value)) => object.set(pointer, value.clone()),
            (Self::At(pointer), None) => object.remove(pointer),
            (Self::Env { container, name }, value) => {
                let Some(container) = container_mut(object, container) else { return };
                let mut all = container["env"].as_array().cloned().unwrap_or_default();
                let at = all.iter().position(|each| each["name"] == name.as_str());
                match (at, value) {
                    (Some(at), Some(value)) => all[at] = value.clone(),
                    (None, Some(value)) => all.push(value.clone()),
                    (Some(at), None) => drop(all.remove(at)),
                    (None, None) => {}
                }
                container["env"] = all.into();
            }
            (Self::Resource { container, part, name }, value) => {
                let Some(container) = container_mut(object, container) else { return };
                let mut resources = Object(container["resources"].take());
                let pointer = format!("/{part}/{}", name.replace('~', "~0").replace('/', "~1"));
                match value {
                    Some(value) => resources.set(&pointer, value.clone()),
                    None => resources.remove(&pointer),
                }
                container["resources"] = if resources.0.is_null() { json!({}) } else { resources.0 };
            }
            (Self::Reference { kind, names }, Some(value)) => {
                let Some(wanted) = value.as_str() else { return };
                rewrite(object, |of, name| {
                    (of == kind && names.iter().any(|each| each == name)).then(|| wanted.to_owned())
                });
            }
            (Self::Reference { .. }, None) => {}
        }
    }
}

fn container_of<'o>(object: &'o Object, name: &str) -> Option<&'o Value> {
    let at = object.template_pointer()?;
    object.list(&format!("{at}/spec/containers")).iter().find(|each| each["name"] == name)
}

fn container_mut<'o>(object: &'o mut Object, name: &str) -> Option<&'o mut Value> {
    let at = object.template_pointer()?;
    let all = object.0.pointer_mut(&format!("{at}/spec/containers"))?.as_array_mut()?;
    all.iter_mut().find(|each| each["name"] == name)
}

impl Change {
    /// The same places with what is there now.
    pub fn now(&self, object: &Object) -> Self {
        let now = |field: &Field| Field { place: field.place.clone(), value: field.place.get(object) };
        Self { fields: self.fields.iter().map(now).collect(), ..self.clone() }
    }

    /// The object as it is to be.
    pub fn on(&self, object: &Object) -> Object {
        let mut changed = object.clone();
        for field in &self.fields {
            field.place.set(&mut changed, field.value.as_ref());
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Object {
        Object(json!({"kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": 3, "template": {"spec": {
            "containers": [{"name": "c", "env": [{"name": "A", "value": "1"},
                {"name": "P", "valueFrom": {"secretKeyRef": {"name": "old", "key": "k"}}}], "resources": {"limits": {"cpu": "1"}}}]}}}}))
    }

    #[test]
    fn what_is_set_is_read_and_what_was_there_comes_back() {
        let container = || "c".to_owned();
        let places = [
            (Place::At("/spec/replicas".to_owned()), Some(json!(0))),
            (Place::At("/metadata/annotations/tagline.dev~1x".to_owned()), Some(json!("y"))),
            (Place::Env { container: container(), name: "A".to_owned() }, None),
            (Place::Env { container: container(), name: "B".to_owned() }, Some(json!({"name": "B", "value": "2"}))),
            (
                Place::Resource { container: container(), part: "requests".to_owned(), name: "cpu".to_owned() },
                Some(json!("5m")),
            ),
            (Place::Resource { container: container(), part: "limits".to_owned(), name: "cpu".to_owned() }, None),
            (
                Place::Reference { kind: "Secret".to_owned(), names: ["old".to_owned(), "new".to_owned()] },
                Some(json!("new")),
            ),
        ];
        let id = ObjectId::new("apps/v1", "Deployment", "n", "a");
        let fields = places.map(|(place, value)| Field { place, value }).to_vec();
        let change = Change { id, uid: String::new(), fields };
        let before = change.now(&deployment());
        let changed = change.on(&deployment());
        assert_eq!(change.now(&changed), change);
        let back = before.on(&changed);
        assert_eq!(before.now(&back), before);
    }
}
