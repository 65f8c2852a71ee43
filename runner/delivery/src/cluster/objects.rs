//! Objects as the server has them: one, or all of a kind.

use serde_json::{Value, json};

use super::http::{Call, query};
use super::{Cluster, ClusterError, Labels, Resource, label_text};
use crate::{Object, ObjectId};

impl Cluster {
    /// Reads an object; None where there is none (a kind that is not served is an error).
    ///
    /// # Errors
    /// Those of reaching the server, and a missing right.
    pub async fn get(&self, id: &ObjectId) -> Result<Option<Object>, ClusterError> {
        let path = self.path(id).await?;
        let answer = self.call(&Call::get(path), &id.to_string()).await?;
        match answer.status {
            404 => Ok(None),
            _ if answer.ok() => read(&id.to_string(), &answer.body).map(Some),
            _ => Err(self.refused(&id.to_string(), &answer)),
        }
    }

    /// Reads all objects of a kind that have all these labels, in the target's namespace (of kinds that have none: all).
    ///
    /// # Errors
    /// Those of reaching the server, and a missing right.
    pub async fn list(&self, api_version: &str, kind: &str, labels: &Labels) -> Result<Vec<Object>, ClusterError> {
        let resource = self.served(api_version, kind).await?;
        let base = resource.path(self.namespace(), None, None);
        Ok(self.list_at(&resource, kind, &base, &[("labelSelector", label_text(labels))]).await?.0)
    }

    /// Reads all objects of a kind in all namespaces.
    ///
    /// # Errors
    /// Those of reaching the server, and a missing right.
    pub async fn list_everywhere(&self, api_version: &str, kind: &str) -> Result<Vec<Object>, ClusterError> {
        let resource = self.served(api_version, kind).await?;
        let base = Resource { namespaced: false, ..resource.clone() }.path("", None, None);
        Ok(self.list_at(&resource, kind, &base, &[]).await?.0)
    }

    /// All pages of a list and its resourceVersion. Kind and apiVersion, which lists leave out, are put in.
    pub(crate) async fn list_at(
        &self,
        resource: &Resource,
        kind: &str,
        base: &str,
        filter: &[(&str, Option<String>)],
    ) -> Result<(Vec<Object>, String), ClusterError> {
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let mut pairs = filter.to_vec();
            pairs.push(("limit", Some("500".to_owned())));
            pairs.push(("continue", next.take()));
            let answer = self.call(&Call::get(format!("{base}{}", query(&pairs))), kind).await?;
            if answer.status == 410 {
                // The list is too old to be continued: from the start.
                all.clear();
                continue;
            }
            if !answer.ok() {
                return Err(self.refused(kind, &answer));
            }
            let mut list = read(kind, &answer.body)?;
            if let Some(items) = list.0.get_mut("items").and_then(Value::as_array_mut) {
                all.extend(items.drain(..).map(|item| named(item, &resource.api_version, kind)));
            }
            match list.text("/metadata/continue") {
                "" => return Ok((all, list.resource_version().to_owned())),
                more => next = Some(more.to_owned()),
            }
        }
    }

    async fn path(&self, id: &ObjectId) -> Result<String, ClusterError> {
        let resource = self.served(&id.api_version, &id.kind).await?;
        let namespace = id.namespace.as_deref().unwrap_or(self.namespace());
        Ok(resource.path(namespace, Some(&id.name), None))
    }

    /// The id of an object of the target's namespace.
    pub fn id(&self, api_version: &str, kind: &str, name: &str) -> ObjectId {
        ObjectId::new(api_version, kind, self.namespace(), name)
    }
}

/// Reads an object out of an answer.
pub(crate) fn read(what: &str, body: &[u8]) -> Result<Object, ClusterError> {
    serde_json::from_slice(body).map(Object).map_err(|error| ClusterError::Refused {
        what: what.to_owned(),
        status: 0,
        message: format!("its answer cannot be read: {error}"),
    })
}

/// An item of a list with its kind.
pub(crate) fn named(item: Value, api_version: &str, kind: &str) -> Object {
    let mut object = Object(item);
    object.set("/apiVersion", json!(api_version));
    object.set("/kind", json!(kind));
    object
}
