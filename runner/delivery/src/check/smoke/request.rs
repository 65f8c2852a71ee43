//! One check at one place, tried until it is good or its attempts are used.

use std::time::Duration;

use super::judge::judge;
use super::report::{SmokeError, SmokeRow};
use crate::Progress;
use crate::check::web::Web;
use crate::cluster::{Cluster, ClusterError, HttpAnswer, HttpCall};
use crate::inputs::smoke::{SmokeCheck, SmokeInputs};

/// Whom a request goes to.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Pod { name: String, port: Option<u16> },
    Service { name: String, port: String },
    Public(String),
}

impl Place {
    fn name(&self) -> String {
        match self {
            Self::Pod { name, .. } => format!("Pod/{name}"),
            Self::Service { name, .. } => format!("Service/{name}"),
            Self::Public(url) => url.clone(),
        }
    }
}

/// How requests are made.
pub(super) struct Request<'a> {
    pub(super) inputs: &'a SmokeInputs,
    pub(super) version: &'a str,
    pub(super) cluster: &'a Cluster,
    pub(super) web: &'a Web,
    pub(super) progress: &'a dyn Progress,
}

impl Request<'_> {
    /// All checks at a place, one after the other.
    pub(super) async fn all(&self, checks: &[&SmokeCheck], place: &Place) -> Result<Vec<SmokeRow>, SmokeError> {
        let mut rows = Vec::with_capacity(checks.len());
        for check in checks {
            rows.push(self.row(check, place).await?);
        }
        Ok(rows)
    }

    async fn row(&self, check: &SmokeCheck, place: &Place) -> Result<SmokeRow, SmokeError> {
        let mut attempt = 1;
        loop {
            let row = tokio::select! {
                biased;
                stop = self.progress.stopped() => return Err(stop.into()),
                row = self.once(check, place, attempt) => row?,
            };
            if row.passed || row.attempts >= self.inputs.attempts {
                return Ok(row);
            }
            attempt = row.attempts.max(attempt - 1) + 1;
            tokio::select! {
                biased;
                stop = self.progress.stopped() => return Err(stop.into()),
                () = self.progress.sleep(*self.inputs.every) => {}
            }
        }
    }

    /// One attempt. That the cluster does not answer is not the release's fault, and no row.
    async fn once(&self, check: &SmokeCheck, place: &Place, attempt: u32) -> Result<SmokeRow, SmokeError> {
        let bad = |why: String| SmokeRow::without_answer(&place.name(), check, attempt, why);
        let answer = match self.send(check, place).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return Ok(bad(why)),
            Err(ClusterError::NoAnswer { why, .. }) => return Ok(bad(format!("no answer: {why}"))),
            Err(ClusterError::Unreachable { why, .. }) => {
                return self.whose_fault(bad(format!("no answer: {why}"))).await;
            }
            Err(ClusterError::NotFound(what)) => return Ok(bad(format!("{what} is gone"))),
            Err(error) => return Err(error.into()),
        };
        let verdict = judge(check, self.version, &answer);
        Ok(SmokeRow {
            passed: verdict.is_ok(),
            status: Some(answer.status),
            took_ms: milliseconds(answer.took),
            ..bad(verdict.err().unwrap_or_default())
        })
    }

    /// No answer through the API server: where that one is there, it is the pod's fault. Else it is waited for, and
    /// the attempt does not count.
    async fn whose_fault(&self, bad: SmokeRow) -> Result<SmokeRow, SmokeError> {
        let there = self.cluster.with_patience(Duration::ZERO).version().await.is_ok();
        if !there {
            self.cluster.version().await?;
        }
        Ok(SmokeRow { attempts: if there { bad.attempts } else { 0 }, ..bad })
    }

    /// The answer; in the inner result, why there is none.
    async fn send(&self, check: &SmokeCheck, place: &Place) -> Result<Result<HttpAnswer, String>, ClusterError> {
        let call = HttpCall {
            method: check.method.clone(),
            headers: self.inputs.headers.clone(),
            timeout: *self.inputs.timeout,
            limit: usize::try_from(self.inputs.body_limit).unwrap_or(usize::MAX),
            ..HttpCall::get(&check.path)
        };
        // A pod that is slow is to be told apart from a server that is away: see `whose_fault`.
        let brief = self.cluster.with_patience(call.timeout);
        match place {
            Place::Pod { port: None, .. } => Ok(Err("it names no port; give port".to_owned())),
            Place::Pod { name, port: Some(port) } => brief.pod_http(name, *port, &call).await.map(Ok),
            Place::Service { name, port } => brief.service_http(name, port, &call).await.map(Ok),
            Place::Public(url) => Ok(self.web.send(url, &call).await.map_err(|why| format!("no answer: {why}"))),
        }
    }
}

impl SmokeRow {
    /// A check that is not good, without an answer.
    pub(super) fn without_answer(place: &str, check: &SmokeCheck, attempts: u32, why: String) -> Self {
        let (place, check) = (place.to_owned(), check.text.clone());
        Self { place, check, passed: false, status: None, took_ms: 0, attempts, why, next: String::new() }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
