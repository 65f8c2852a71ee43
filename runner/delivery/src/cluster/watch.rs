//! Watching by level: the whole current set after each change, never single events. What happened between two looks does
//! not matter, so a watch that breaks, is refused as too old (410) or sleeps through an outage loses nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{FutureExt, Stream};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;
use tokio::time::Instant;

use super::http::{Call, query};
use super::objects::named;
use super::{Cluster, ClusterError, Labels, Resource, label_text};
use crate::Object;

/// A watch without a sign of life for so long is broken: the server sends a bookmark about every minute.
const SILENCE: Duration = Duration::from_secs(90);
/// A watch that ends sooner than this is not opened again at once.
const TOO_SHORT: Duration = Duration::from_secs(1);

/// Which objects of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// All of these labels; none: any.
    pub labels: Labels,
    /// This name only.
    pub name: Option<String>,
}

impl Filter {
    /// By labels.
    pub fn labels(labels: &Labels) -> Self {
        Self { labels: labels.clone(), name: None }
    }

    /// One object.
    pub fn name(name: &str) -> Self {
        Self { labels: Labels::new(), name: Some(name.to_owned()) }
    }
}

/// A standing look at objects of one kind in the target's namespace.
pub struct Watch {
    cluster: Cluster,
    kind: String,
    resource: Resource,
    base: String,
    filter: Filter,
    set: BTreeMap<(String, String), Object>,
    /// Where to go on from; None: list first.
    version: Option<String>,
    lines: Option<Lines>,
    opened: Instant,
    /// The set was given out at least once.
    given: bool,
}

impl Cluster {
    /// Watches objects of a kind. Nothing is sent before the first [`Watch::next`].
    ///
    /// # Errors
    /// Where the kind is not served.
    pub async fn watch(&self, api_version: &str, kind: &str, filter: Filter) -> Result<Watch, ClusterError> {
        let resource = self.served(api_version, kind).await?;
        let base = resource.path(self.namespace(), None, None);
        Ok(Watch {
            cluster: self.clone(),
            kind: kind.to_owned(),
            resource,
            base,
            filter,
            set: BTreeMap::new(),
            version: None,
            lines: None,
            opened: Instant::now(),
            given: false,
        })
    }
}

impl Watch {
    /// The current set: at once the first time, then after each change (several changes at once count as one). May be
    /// dropped and called again. Waits through absences of the server as long as its cluster's patience is.
    ///
    /// # Errors
    /// The server is away for longer, or a right is missing.
    pub async fn next(&mut self) -> Result<Vec<Object>, ClusterError> {
        loop {
            let changed = match (&self.version, &mut self.lines) {
                (None, _) => self.relist().await?,
                (Some(_), None) => self.open().await?,
                (Some(_), Some(lines)) => match tokio::time::timeout(SILENCE, lines.next()).await {
                    Ok(Some(line)) => self.take(&line),
                    Ok(None) | Err(_) => self.close().await,
                },
            };
            if changed {
                self.given = true;
                return Ok(self.set.values().cloned().collect());
            }
        }
    }

    /// The same as a stream.
    pub fn stream(self) -> impl Stream<Item = Result<Vec<Object>, ClusterError>> + Send {
        futures_util::stream::unfold(self, async |mut watch| {
            let next = watch.next().await;
            Some((next, watch))
        })
    }

    fn pairs(&self) -> Vec<(&'static str, Option<String>)> {
        let name = self.filter.name.as_ref().map(|name| format!("metadata.name={name}"));
        vec![("labelSelector", label_text(&self.filter.labels)), ("fieldSelector", name)]
    }

    async fn relist(&mut self) -> Result<bool, ClusterError> {
        let (objects, version) = self.cluster.list_at(&self.resource, &self.kind, &self.base, &self.pairs()).await?;
        let set: BTreeMap<_, _> = objects.into_iter().map(|object| (key(&object), object)).collect();
        let changed = !self.given || set != self.set;
        (self.set, self.version, self.lines) = (set, Some(version), None);
        Ok(changed)
    }

    async fn open(&mut self) -> Result<bool, ClusterError> {
        let mut pairs = self.pairs();
        pairs.extend([
            ("watch", Some("true".to_owned())),
            ("allowWatchBookmarks", Some("true".to_owned())),
            ("resourceVersion", self.version.clone()),
        ]);
        let call = Call { stream: true, ..Call::get(format!("{}{}", self.base, query(&pairs))) };
        let answer = self.cluster.call(&call, &self.kind).await?;
        match answer.rest {
            _ if answer.status == 410 => self.version = None,
            Some(body) => {
                self.lines = Some(Lines::new(body));
                self.opened = Instant::now();
            }
            None => return Err(self.cluster.refused(&self.kind, &answer)),
        }
        Ok(false)
    }

    /// The connection ended: it is opened again from where it was, not faster than once a second.
    async fn close(&mut self) -> bool {
        if self.opened.elapsed() < TOO_SHORT {
            tokio::time::sleep_until(self.opened + TOO_SHORT).await;
        }
        self.lines = None;
        false
    }

    /// Takes in a line and all that are there already.
    fn take(&mut self, line: &[u8]) -> bool {
        let mut changed = self.event(line);
        while let Some(lines) = &mut self.lines {
            match lines.next().now_or_never() {
                Some(Some(line)) => changed |= self.event(&line),
                Some(None) | None => break,
            }
        }
        changed
    }

    fn event(&mut self, line: &[u8]) -> bool {
        let Ok(mut event) = serde_json::from_slice::<Value>(line) else {
            // Half a line: the connection broke off within it.
            self.lines = None;
            return false;
        };
        let object = named(event["object"].take(), &self.resource.api_version, &self.kind);
        let kind = event["type"].as_str().unwrap_or_default();
        if !matches!(kind, "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK") {
            // An error, nearly always 410: the version is too old to go on from.
            (self.lines, self.version) = (None, None);
            return false;
        }
        self.version = Some(object.resource_version().to_owned());
        match kind {
            "BOOKMARK" => false,
            "DELETED" => self.set.remove(&key(&object)).is_some(),
            _ => self.set.insert(key(&object), object.clone()).is_none_or(|before| before != object),
        }
    }
}

fn key(object: &Object) -> (String, String) {
    (object.namespace().unwrap_or_default().to_owned(), object.name().to_owned())
}

/// A body by lines. What was read is kept when a wait for more is dropped.
struct Lines {
    body: Body,
    buffer: Vec<u8>,
    searched: usize,
}

impl Lines {
    fn new(body: Body) -> Self {
        Self { body, buffer: Vec::new(), searched: 0 }
    }

    /// The next whole line; None at the end or where the connection breaks.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + end + 1);
                self.searched = 0;
                return Some(std::mem::replace(&mut self.buffer, rest));
            }
            self.searched = self.buffer.len();
            if let Ok(data) = self.body.frame().await?.ok()?.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }
}
