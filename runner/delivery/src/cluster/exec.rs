//! A command in a container. Never repeated: what it did is not known after a lost answer.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::http::Answer;
use super::{Cluster, ClusterError};

/// Bounds of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecLimits {
    /// For the whole command. What still runs in the container then is not ended by this.
    pub timeout: Duration,
    /// At most so many bytes of each of standard output and error are kept; the rest is read and dropped.
    pub bytes: usize,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecAnswer {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// One of them was longer than the limit.
    pub cut: bool,
}

impl Cluster {
    /// Runs a command in a container and waits for its end.
    ///
    /// # Errors
    /// It could not be started, or its connection broke: then it is not known what it did.
    pub async fn exec(
        &self,
        pod: &str,
        container: Option<&str>,
        argv: &[String],
        stdin: Option<&[u8]>,
        limits: ExecLimits,
    ) -> Result<ExecAnswer, ClusterError> {
        let what = format!("a command in Pod/{pod}");
        let run = self.run(pod, container, argv, stdin, limits.bytes, &what);
        let late = || ClusterError::NoAnswer {
            what: what.clone(),
            why: format!("not ended within {}", super::patience::short(limits.timeout)),
        };
        tokio::time::timeout(limits.timeout, run).await.map_err(|_| late())?
    }

    async fn run(
        &self,
        pod: &str,
        container: Option<&str>,
        argv: &[String],
        stdin: Option<&[u8]>,
        limit: usize,
        what: &str,
    ) -> Result<ExecAnswer, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.shared.client.clone(), self.namespace());
        let mut params = AttachParams::default().stdin(stdin.is_some()).stdout(true).stderr(true);
        params.container = container.map(str::to_owned);
        let mut process = self.start(&api, pod, argv, &params, what).await?;
        let (input, out, err) = (process.stdin(), process.stdout(), process.stderr());
        let status = process.take_status();
        let feed = async {
            if let (Some(mut input), Some(bytes)) = (input, stdin) {
                // A command may end without reading all of it.
                let _ = input.write_all(bytes).await;
                let _ = input.shutdown().await;
            }
        };
        let ((), (stdout, out_cut), (stderr, err_cut)) = tokio::join!(feed, keep(out, limit), keep(err, limit));
        let broken = |why: &str| ClusterError::NoAnswer { what: what.to_owned(), why: why.to_owned() };
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        let status = status.ok_or_else(|| broken("the connection broke; it is not known what it did"))?;
        let code = exit_code(&serde_json::to_value(&status).unwrap_or_default());
        let code = code.ok_or_else(|| broken(status.message.as_deref().unwrap_or("it did not run")))?;
        Ok(ExecAnswer { code, stdout, stderr, cut: out_cut || err_cut })
    }

    /// Starts it; waits for a server that is away, as long as it is sure that nothing was begun.
    async fn start(
        &self,
        api: &Api<Pod>,
        pod: &str,
        argv: &[String],
        params: &AttachParams,
        what: &str,
    ) -> Result<AttachedProcess, ClusterError> {
        let (start, mut tries) = (Instant::now(), 0);
        loop {
            self.count();
            match api.exec(pod, argv, params).await {
                Ok(process) => return Ok(process),
                Err(kube::Error::Api(status)) => return Err(self.refused(what, &as_answer(&status))),
                Err(error) => self.before_again(&error, what, start, tries).await?,
            }
            tries += 1;
        }
    }
}

fn as_answer(status: &kube::core::Status) -> Answer {
    let body = serde_json::to_vec(status).unwrap_or_default();
    Answer { status: status.code, headers: http::HeaderMap::new(), body, cut: false, rest: None, lost: false }
}

/// The exit code in the closing status: 0 of a success, else the cause named `ExitCode`; None where it never ran.
fn exit_code(status: &serde_json::Value) -> Option<i32> {
    if status["status"] == "Success" {
        return Some(0);
    }
    let causes = status.pointer("/details/causes")?.as_array()?;
    let cause = causes.iter().find(|cause| cause["reason"] == "ExitCode")?;
    cause["message"].as_str()?.parse().ok()
}

/// Reads to the end and keeps the first so many bytes.
async fn keep(reader: Option<impl AsyncRead + Unpin>, limit: usize) -> (Vec<u8>, bool) {
    let (mut kept, mut cut) = (Vec::new(), false);
    let Some(mut reader) = reader else { return (kept, cut) };
    let mut chunk = vec![0; 16 << 10];
    while let Ok(count @ 1..) = reader.read(&mut chunk).await {
        let room = limit - kept.len();
        cut |= count > room;
        kept.extend_from_slice(&chunk[..count.min(room)]);
    }
    (kept, cut)
}
