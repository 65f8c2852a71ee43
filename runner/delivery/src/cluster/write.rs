//! Changes of objects: apply, create, patch, scale, delete. What is written is given back as the server has it then.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::http::{Call, Repeat, query};
use super::objects::read;
use super::{Cluster, ClusterError, Labels, Resource, TRAFFIC};
use crate::{Object, ObjectId};

/// How an object is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apply<'a> {
    /// The field manager: [`MANAGER`](super::MANAGER) or [`TRAFFIC`].
    pub manager: &'a str,
    /// The server checks and answers, and stores nothing.
    pub dry_run: bool,
    /// Takes over fields that others own. Never unasked.
    pub force: bool,
}

impl<'a> Apply<'a> {
    /// To store, taking nothing from others.
    pub fn by(manager: &'a str) -> Self {
        Self { manager, dry_run: false, force: false }
    }

    /// To ask only.
    pub fn dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// To take over what others own.
    pub fn force(self, force: bool) -> Self {
        Self { force, ..self }
    }
}

/// A change of an object. Repeated after a lost answer, so it must say the same however often it is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Patch {
    /// RFC 7386. With `metadata.resourceVersion` in it, it is refused on an object that changed.
    Merge(Value),
    /// RFC 6902. `test` operations are its preconditions.
    Json(Value),
}

/// What a delete was decided on. Refused on any other object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precondition {
    /// The object's UID.
    pub uid: String,
    /// Its resourceVersion; None where its status may move on (a Deployment that runs).
    pub resource_version: Option<String>,
}

impl Precondition {
    /// This very object, unchanged.
    pub fn unchanged(object: &Object) -> Self {
        Self { uid: object.uid().to_owned(), resource_version: Some(object.resource_version().to_owned()) }
    }

    /// This very object, whatever its state.
    pub fn same(object: &Object) -> Self {
        Self { uid: object.uid().to_owned(), resource_version: None }
    }
}

/// What becomes of the objects that the deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it, without waiting.
    Background,
    /// They are deleted first; the object is gone when they are.
    Foreground,
    /// They stay.
    Orphan,
}

/// How a delete ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone, or goes once its finalizers are through.
    Gone,
    /// It was gone or going before.
    Already,
}

impl Cluster {
    /// Server-side apply with strict validation: unknown and repeated fields are refused.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] with each manager and field, [`ClusterError::Invalid`] with the fields, a missing right.
    pub async fn apply(&self, object: &Object, how: Apply<'_>) -> Result<Object, ClusterError> {
        let id = object.id();
        let mut object = object.clone();
        object.remove("/metadata/managedFields");
        object.remove("/status");
        let pairs = [
            ("fieldManager", Some(how.manager.to_owned())),
            ("fieldValidation", Some("Strict".to_owned())),
            ("dryRun", how.dry_run.then(|| "All".to_owned())),
            ("force", how.force.then(|| "true".to_owned())),
        ];
        let path = self.write_path(&id, None).await?;
        // JSON is YAML, and the server takes nothing else for an apply.
        self.write(Method::PATCH, &id, path + &query(&pairs), "application/apply-patch+yaml", &object.0).await
    }

    /// Asks the server what applying would make of an object, as [`MANAGER`](super::MANAGER), and stores nothing.
    ///
    /// # Errors
    /// Those of [`Cluster::apply`].
    pub async fn server_dry_run(&self, object: &Object) -> Result<Object, ClusterError> {
        self.apply(object, Apply::by(super::MANAGER).dry_run()).await
    }

    /// Makes an object that must not be there yet.
    ///
    /// # Errors
    /// [`ClusterError::AlreadyExists`]: where `maybe_ours`, an answer was lost and the object may be the one made then.
    pub async fn create(&self, object: &Object, manager: &str) -> Result<Object, ClusterError> {
        let id = object.id();
        let resource = self.served(&id.api_version, &id.kind).await?;
        self.inside(&resource, &id)?;
        let pairs = [("fieldManager", Some(manager.to_owned())), ("fieldValidation", Some("Strict".to_owned()))];
        let path = resource.path(self.namespace(), None, None) + &query(&pairs);
        self.write(Method::POST, &id, path, "application/json", &object.0).await
    }

    /// Changes parts of an object.
    ///
    /// # Errors
    /// [`ClusterError::Changed`] where a precondition in it does not hold; NotFound, Invalid, a missing right.
    pub async fn patch(&self, id: &ObjectId, manager: &str, patch: &Patch) -> Result<Object, ClusterError> {
        let (kind, body) = match patch {
            Patch::Merge(body) => ("application/merge-patch+json", body),
            Patch::Json(body) => ("application/json-patch+json", body),
        };
        let pairs = [("fieldManager", Some(manager.to_owned())), ("fieldValidation", Some("Strict".to_owned()))];
        let path = self.write_path(id, None).await? + &query(&pairs);
        self.write(Method::PATCH, id, path, kind, body).await
    }

    /// Sets a Service's whole selector, as manager [`TRAFFIC`], if the Service still has this resourceVersion. Nothing of
    /// the old selector is left. Where the selector is there already (an answer was lost), that is success.
    ///
    /// # Errors
    /// [`ClusterError::Changed`] where somebody else changed the Service; an empty selector is refused.
    pub async fn replace_selector(
        &self,
        service: &str,
        selector: &Labels,
        resource_version: &str,
    ) -> Result<Object, ClusterError> {
        let id = ObjectId::new("v1", "Service", self.namespace(), service);
        if selector.is_empty() {
            let message = "an empty selector selects nothing and takes all traffic away".to_owned();
            return Err(ClusterError::Invalid { what: id.to_string(), message, fields: Vec::new() });
        }
        let patch = json!([
            // Not `test`, which would be refused as an invalid manifest: a version that is not the newest is a conflict.
            {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "add", "path": "/spec/selector", "value": selector},
        ]);
        let result = self.patch(&id, TRAFFIC, &Patch::Json(patch)).await;
        self.or_there(result, &id, |now| now.texts("/spec/selector") == *selector).await
    }

    /// Sets a workload's replicas through its `scale`, if it still is the object the number was worked out for. Where the
    /// number is there already (an answer was lost), that is success.
    ///
    /// # Errors
    /// [`ClusterError::Changed`] where it is another object or was changed meanwhile.
    pub async fn scale(
        &self,
        id: &ObjectId,
        replicas: u32,
        precondition: &Precondition,
        manager: &str,
    ) -> Result<(), ClusterError> {
        let mut patch = json!({"metadata": {"uid": precondition.uid}, "spec": {"replicas": replicas}});
        if let Some(version) = &precondition.resource_version {
            patch["metadata"]["resourceVersion"] = json!(version);
        }
        let path = self.write_path(id, Some("scale")).await? + &query(&[("fieldManager", Some(manager.to_owned()))]);
        let result = self.write(Method::PATCH, id, path, "application/merge-patch+json", &patch).await;
        let there =
            |now: &Object| now.uid() == precondition.uid && now.number("/spec/replicas") == Some(i64::from(replicas));
        self.or_there(result, id, there).await?;
        Ok(())
    }

    /// A write that was refused because of its own first sending has reached what it wanted.
    async fn or_there(
        &self,
        result: Result<Object, ClusterError>,
        id: &ObjectId,
        reached: impl Fn(&Object) -> bool,
    ) -> Result<Object, ClusterError> {
        let Err(error @ ClusterError::Changed { .. }) = result else { return result };
        match self.get(id).await? {
            Some(now) if reached(&now) => Ok(now),
            _ => Err(error),
        }
    }

    /// Deletes exactly the object that the decision was made on.
    ///
    /// # Errors
    /// [`ClusterError::Changed`] where another object bears its name now, or it has another resourceVersion.
    pub async fn delete(
        &self,
        id: &ObjectId,
        precondition: &Precondition,
        propagation: Propagation,
    ) -> Result<Deleted, ClusterError> {
        let propagation = match propagation {
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
            Propagation::Orphan => "Orphan",
        };
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation,
            "preconditions": {"uid": precondition.uid}});
        if let Some(version) = &precondition.resource_version {
            options["preconditions"]["resourceVersion"] = json!(version);
        }
        let path = self.write_path(id, None).await?;
        let call = Call::send(Method::DELETE, path, "application/json", &options, Repeat::Harmless);
        let answer = self.call(&call, &id.to_string()).await?;
        match answer.status {
            404 => Ok(if answer.lost { Deleted::Gone } else { Deleted::Already }),
            _ if answer.ok() => Ok(Deleted::Gone),
            409 => self.gone_already(id, precondition, self.refused(&id.to_string(), &answer)).await,
            _ => Err(self.refused(&id.to_string(), &answer)),
        }
    }

    /// A refused precondition is no refusal where the object is being deleted already.
    async fn gone_already(
        &self,
        id: &ObjectId,
        precondition: &Precondition,
        refused: ClusterError,
    ) -> Result<Deleted, ClusterError> {
        match self.get(id).await? {
            None => Ok(Deleted::Already),
            Some(now) if now.uid() == precondition.uid && now.is_terminating() => Ok(Deleted::Already),
            Some(_) => Err(refused),
        }
    }

    async fn write(
        &self,
        method: Method,
        id: &ObjectId,
        path: String,
        kind: &str,
        body: &Value,
    ) -> Result<Object, ClusterError> {
        let what = id.to_string();
        let answer = self.good(&Call::send(method, path, kind, body, Repeat::Harmless), &what).await?;
        read(&what, &answer.body)
    }

    async fn write_path(&self, id: &ObjectId, part: Option<&str>) -> Result<String, ClusterError> {
        let resource = self.served(&id.api_version, &id.kind).await?;
        self.inside(&resource, id)?;
        Ok(resource.path(self.namespace(), Some(&id.name), part))
    }

    /// Writes stay in the target's namespace.
    fn inside(&self, resource: &Resource, id: &ObjectId) -> Result<(), ClusterError> {
        match &id.namespace {
            Some(namespace) if resource.namespaced && namespace != self.namespace() => {
                Err(ClusterError::OutsideTarget {
                    what: format!("{id} of namespace {namespace}"),
                    namespace: self.namespace().to_owned(),
                })
            }
            _ => Ok(()),
        }
    }
}
