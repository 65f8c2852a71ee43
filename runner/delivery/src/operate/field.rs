//! Single places of objects, read, set, and put back.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::inputs::Quantity;
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

impl fmt::Display for Place {
    /// `spec.replicas`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(pointer) => {
                let keys = pointer.trim_start_matches('/').replace('/', ".");
                f.write_str(&keys.replace("~1", "/").replace("~0", "~"))
            }
            Self::Env { container, name } => write!(f, "variable {name} of {container}"),
            Self::Resource { container, part, name } => write!(f, "{part}.{name} of {container}"),
            Self::Reference { kind, .. } => write!(f, "{kind} that it reads"),
        }
    }
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

    /// Whether two values of it mean the same, however they are written: the server writes some in its own way.
    fn means(&self, one: Option<&Value>, other: Option<&Value>) -> bool {
        let amount = |value: &Value| Quantity::parse(value.as_str()?).ok().map(|quantity| quantity.milli());
        match (self, one, other) {
            (Self::Resource { .. }, Some(one), Some(other)) if amount(one).is_some() => amount(one) == amount(other),
            // An empty text is left out.
            (Self::Env { .. }, Some(one), Some(other)) if one.get("valueFrom").is_none() => {
                let text = |value: &Value| value.get("value").and_then(Value::as_str).unwrap_or_default().to_owned();
                other.get("valueFrom").is_none() && text(one) == text(other)
            }
            _ => one == other,
        }
    }

    /// Where an entry of `managedFields` says that somebody owns it.
    fn owned(&self, object: &Object) -> Option<Vec<String>> {
        let keys = |pointer: &str| -> Vec<String> {
            let keys = pointer.split('/').skip(1);
            keys.map(|key| format!("f:{}", key.replace("~1", "/").replace("~0", "~"))).collect()
        };
        let named = |name: &str| format!("k:{}", json!({"name": name}));
        let container = |name: &str| {
            let mut path = keys(&format!("{}/spec/containers", object.template_pointer()?));
            path.push(named(name));
            Some(path)
        };
        match self {
            Self::At(pointer) => Some(keys(pointer)),
            Self::Env { container: of, name } => {
                let mut path = container(of)?;
                path.extend(["f:env".to_owned(), named(name)]);
                Some(path)
            }
            Self::Resource { container: of, part, name } => {
                let mut path = container(of)?;
                path.extend(["f:resources".to_owned(), format!("f:{part}"), format!("f:{name}")]);
                Some(path)
            }
            Self::Reference { .. } => None,
        }
    }
}

/// The `managedFields` of an object when a manager gives up these places and keeps the rest; none where nothing changes.
pub(super) fn given_up(object: &Object, manager: &str, places: &[Place]) -> Option<Vec<Value>> {
    let before = object.list("/metadata/managedFields");
    let mut after = before.to_vec();
    for entry in after.iter_mut().filter(|entry| entry["manager"] == manager) {
        for path in places.iter().filter_map(|place| place.owned(object)) {
            forget(&mut entry["fieldsV1"], &path);
        }
    }
    let is_empty = |entry: &Value| entry["fieldsV1"].as_object().is_none_or(serde_json::Map::is_empty);
    after.retain(|entry| entry["manager"] != manager || !is_empty(entry));
    // An empty list means to the server that nothing was said.
    (after != before && !after.is_empty()).then_some(after)
}

/// Takes a path out of a tree of owned fields, and what is empty without it. Whether the tree is empty then.
fn forget(tree: &mut Value, path: &[String]) -> bool {
    let (Some(map), [first, rest @ ..]) = (tree.as_object_mut(), path) else { return false };
    let goes = map.get_mut(first).is_some_and(|child| rest.is_empty() || forget(child, rest));
    if goes {
        map.shift_remove(first);
    }
    goes && map.keys().all(|key| key == ".") && {
        map.clear();
        true
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

    /// What of it is to be put back on an object, and which places are left as they are: those that hold something else than
    /// what was there and what was `set` since. Somebody changed them.
    pub fn back(&self, set: &[Self], now: &Object) -> (Self, Vec<Place>) {
        let of_object = |change: &&Self| change.id == self.id && change.uid == self.uid;
        let values = |place: &Place| -> Vec<Option<Value>> {
            let fields = set.iter().filter(of_object).flat_map(|change| &change.fields);
            fields.filter(|field| field.place == *place).map(|field| field.value.clone()).collect()
        };
        let is_ours = |field: &&Field| {
            let (now, set) = (field.place.get(now), values(&field.place));
            let means = |value: &Option<Value>| field.place.means(now.as_ref(), value.as_ref());
            set.is_empty() || means(&field.value) || set.iter().any(means)
        };
        let (ours, theirs): (Vec<&Field>, Vec<&Field>) = self.fields.iter().partition(is_ours);
        let back = Self { fields: ours.into_iter().cloned().collect(), ..self.clone() };
        (back, theirs.into_iter().map(|field| field.place.clone()).collect())
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

    fn change(fields: &[(&str, Value)]) -> Change {
        let field = |(pointer, value): &(&str, Value)| Field {
            place: Place::At((*pointer).to_owned()),
            value: Some(value.clone()),
        };
        let id = ObjectId::new("apps/v1", "Deployment", "n", "a");
        Change { id, uid: "1".to_owned(), fields: fields.iter().map(field).collect() }
    }

    #[test]
    fn only_what_was_set_is_put_back() {
        let before = change(&[("/spec/replicas", json!(2)), ("/spec/paused", json!(false))]);
        let set = [change(&[("/spec/replicas", json!(0)), ("/spec/paused", json!(true))])];
        let mut now = deployment();
        now.set("/spec/paused", json!(true));
        let (back, left) = before.back(&set, &now);
        assert_eq!((back, left), (change(&[("/spec/paused", json!(false))]), vec![before.fields[0].place.clone()]));
        // Set once more, on top of it: that is ours too.
        let set = [set[0].clone(), change(&[("/spec/replicas", json!(3))])];
        assert_eq!(before.back(&set, &now), (before.clone(), Vec::new()));
        // Another object of that name was never set.
        let other = [Change { uid: "2".to_owned(), ..set[0].clone() }];
        assert_eq!(before.back(&other, &now), (before.clone(), Vec::new()));
        assert_eq!(before.back(&[], &now), (before.clone(), Vec::new()), "a note that says nothing about it");
    }

    #[test]
    fn a_value_is_the_same_however_the_server_writes_it() {
        let container = || "c".to_owned();
        let cpu = Place::Resource { container: container(), part: "limits".to_owned(), name: "cpu".to_owned() };
        assert!(cpu.means(Some(&json!("1000m")), Some(&json!("1"))) && !cpu.means(Some(&json!("1")), None));
        assert!(!cpu.means(Some(&json!("900m")), Some(&json!("1"))));
        let env = Place::Env { container: container(), name: "A".to_owned() };
        assert!(env.means(Some(&json!({"name": "A"})), Some(&json!({"name": "A", "value": ""}))));
        assert!(!env.means(Some(&json!({"name": "A", "value": "1"})), Some(&json!({"name": "A", "value": ""}))));
        assert!(!env.means(Some(&json!({"name": "A", "valueFrom": {}})), Some(&json!({"name": "A", "value": ""}))));
    }

    #[test]
    fn only_what_was_put_back_is_given_up() {
        let mut object = deployment();
        let ours = json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
            "f:env": {".": {}, "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}},
            "f:resources": {"f:limits": {"f:cpu": {}}}}}}}}});
        let entry = |manager: &str, fields: &Value| json!({"manager": manager, "fieldsV1": fields});
        let other = entry("kubectl", &json!({"f:spec": {"f:replicas": {}}}));
        object.set("/metadata/managedFields", json!([other, entry("us", &ours)]));
        let env = Place::Env { container: "c".to_owned(), name: "A".to_owned() };
        let replicas = Place::At("/spec/replicas".to_owned());
        let cpu = Place::Resource { container: "c".to_owned(), part: "limits".to_owned(), name: "cpu".to_owned() };
        let left = given_up(&object, "us", &[env.clone(), replicas.clone()]).unwrap();
        assert_eq!(
            left[1]["fieldsV1"],
            json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"c\"}": {"f:resources": {"f:limits": {"f:cpu": {}}}}}}}}})
        );
        assert_eq!(given_up(&object, "us", &[env, replicas.clone(), cpu]).unwrap(), [other]);
        assert_eq!(given_up(&object, "nobody", &[replicas]), None);
    }
}
