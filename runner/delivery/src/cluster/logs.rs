//! What pods leave behind: their logs and their events.

use jiff::Timestamp;

use super::http::{Call, query};
use super::{Cluster, ClusterError, Labels};
use crate::Object;

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// All there is.
    Start,
    /// The last so many seconds.
    Seconds(u32),
    /// From this time on.
    Time(Timestamp),
}

/// Which log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogCall {
    /// None: the pod's only container.
    pub container: Option<String>,
    /// From when on.
    pub since: Since,
    /// The last so many lines; None: all.
    pub lines: Option<u32>,
    /// At most so many bytes, counted by the server from the first line on.
    pub bytes: u32,
    /// Of the container that ran before the last restart.
    pub previous: bool,
    /// Each line begins with its time, RFC 3339, and a space.
    pub timestamps: bool,
}

impl Default for LogCall {
    /// The last 200 lines, 1 MiB.
    fn default() -> Self {
        Self {
            container: None,
            since: Since::Start,
            lines: Some(200),
            bytes: 1 << 20,
            previous: false,
            timestamps: false,
        }
    }
}

/// A container's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs {
    /// The lines, as they were written; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// There was more than the limit.
    pub cut: bool,
    /// Why there is no log yet or none any more: `waiting to start: ContainerCreating`.
    pub none: Option<String>,
}

impl Cluster {
    /// A container's log.
    ///
    /// # Errors
    /// There is no such pod or container; those of reaching the server. That a container has no log yet is no error.
    pub async fn logs(&self, pod: &str, which: &LogCall) -> Result<Logs, ClusterError> {
        let resource = self.served("v1", "Pod").await?;
        let (seconds, time) = match which.since {
            Since::Start => (None, None),
            Since::Seconds(seconds) => (Some(seconds.max(1).to_string()), None),
            Since::Time(time) => (None, Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())),
        };
        let pairs = [
            ("container", which.container.clone()),
            ("sinceSeconds", seconds),
            ("sinceTime", time),
            ("tailLines", which.lines.map(|lines| lines.to_string())),
            ("limitBytes", Some(which.bytes.max(1).to_string())),
            ("previous", which.previous.then(|| "true".to_owned())),
            ("timestamps", which.timestamps.then(|| "true".to_owned())),
        ];
        let path = resource.path(self.namespace(), Some(pod), Some("log")) + &query(&pairs);
        let limit = usize::try_from(which.bytes).unwrap_or(usize::MAX);
        let call = Call { limit, headers: Vec::new(), ..Call::get(path) };
        let what = format!("the log of Pod/{pod}");
        let answer = self.call(&call, &what).await?;
        if answer.ok() {
            let cut = answer.cut || answer.body.len() >= limit;
            return Ok(Logs { text: String::from_utf8_lossy(&answer.body).into_owned(), cut, none: None });
        }
        let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
        let not_now = ["is waiting to start", "previous terminated container", "is not available"];
        if answer.status == 400 && not_now.iter().any(|text| message.contains(text)) {
            return Ok(Logs { none: Some(message), ..Logs::default() });
        }
        Err(self.refused(&what, &answer))
    }

    /// Events about these objects (by UID), oldest first. One request for one object or for many.
    ///
    /// # Errors
    /// Those of reaching the server, and a missing right.
    pub async fn events(&self, uids: &[&str]) -> Result<Vec<Object>, ClusterError> {
        let resource = self.served("v1", "Event").await?;
        let base = resource.path(self.namespace(), None, None);
        let field = match uids {
            [] => return Ok(Vec::new()),
            [one] => Some(format!("involvedObject.uid={one}")),
            _ => None,
        };
        let (mut events, _) = self.list_at(&resource, "Event", &base, &[("fieldSelector", field)]).await?;
        events.retain(|event| uids.contains(&event.text("/involvedObject/uid")));
        events.sort_by_key(event_time);
        Ok(events)
    }

    /// All pods with these labels.
    ///
    /// # Errors
    /// Those of reaching the server, and a missing right.
    pub async fn pods(&self, labels: &Labels) -> Result<Vec<Object>, ClusterError> {
        self.list("v1", "Pod", labels).await
    }
}

/// When an event was last seen, RFC 3339; newer API versions put it elsewhere.
fn event_time(event: &Object) -> String {
    let places = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    places.iter().map(|place| event.text(place)).find(|text| !text.is_empty()).unwrap_or_default().to_owned()
}
