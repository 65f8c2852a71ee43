//! The health of a release: a path that every pod answers well, or the pods' readiness.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::look::Reading;
use super::subject::port_of;
use crate::Object;
use crate::cluster::{Cluster, ClusterError, HttpCall};
use crate::rollout::is_ready;

/// A pod that never was ready and is younger than this only starts.
const START: Duration = Duration::from_mins(1);
/// Of one request.
const TIMEOUT: Duration = Duration::from_secs(3);
const AT_ONCE: usize = 8;

/// 1 where every pod is well, 0 where one is not or there is none; else why nobody knows.
pub(super) async fn health(
    pods: &Result<Vec<Object>, String>,
    path: Option<&str>,
    port: Option<u16>,
    cluster: &Cluster,
    now: Timestamp,
) -> Reading {
    let pods = match pods {
        Ok(pods) => pods,
        Err(why) => return Reading::Missing(why.clone()),
    };
    let grown: Vec<&Object> = pods.iter().filter(|pod| is_ready(pod) || !starts(pod, now)).collect();
    let Some(path) = path.filter(|_| !grown.is_empty()) else {
        return Reading::Value(f64::from(u8::from(!grown.is_empty() && grown.iter().all(|pod| is_ready(pod)))));
    };
    let brief = cluster.with_patience(TIMEOUT);
    let asked = grown.iter().map(|pod| {
        let (name, port, brief) = (pod.name().to_owned(), port_of(pod, port), brief.clone());
        async move {
            let Some(port) = port else { return Err(format!("Pod/{name} names no port")) };
            let call = HttpCall { timeout: TIMEOUT, limit: 64 << 10, ..HttpCall::get(path) };
            match brief.pod_http(&name, port, &call).await {
                Ok(answer) => Ok((200..300).contains(&answer.status)),
                Err(ClusterError::NoAnswer { .. } | ClusterError::NotFound(_)) => Ok(false),
                // A pod that is too slow, or a server that is away: the server says which.
                Err(ClusterError::Unreachable { .. }) => match brief.version().await {
                    Ok(_) => Ok(false),
                    Err(error) => Err(error.to_string()),
                },
                Err(error) => Err(error.to_string()),
            }
        }
    });
    let answers: Vec<Result<bool, String>> = stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
    if answers.contains(&Ok(false)) {
        return Reading::Value(0.0);
    }
    match answers.into_iter().find_map(Result::err) {
        Some(why) => Reading::Missing(why),
        None => Reading::Value(1.0),
    }
}

fn starts(pod: &Object, now: Timestamp) -> bool {
    let made: Option<Timestamp> = pod.text("/metadata/creationTimestamp").parse().ok();
    let young = made.is_some_and(|made| now.duration_since(made).unsigned_abs() < START);
    let restarted = pod.list("/status/containerStatuses").iter().any(|each| each["restartCount"].as_i64() > Some(0));
    let ready = pod.list("/status/conditions").iter().find(|each| each["type"] == "Ready");
    // A pod that was ready once has a later transition than its making.
    let was_ready = ready.and_then(|each| each["lastTransitionTime"].as_str()?.parse::<Timestamp>().ok());
    let later = |time: Timestamp| made.is_some_and(|made| time.duration_since(made).as_secs() > 1);
    young && !restarted && !was_ready.is_some_and(later)
}
