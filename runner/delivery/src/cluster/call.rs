//! A call with patience: repeated, where that is harmless, until it is answered or its time is over.

use std::time::Duration;

use tokio::time::Instant;

use super::Cluster;
use super::credentials;
use super::error::{ClusterError, refusal};
use super::http::{Answer, Call, Repeat, Trouble, once};
use super::patience::pause;

/// How long a server that answers with an inner error is asked again: it may be a webhook that is broken for good.
const INNER: Duration = Duration::from_secs(20);

/// Why a try is to be repeated.
struct Again {
    why: String,
    /// It was surely not carried out.
    harmless: bool,
    asked: Option<Duration>,
    within: Duration,
    /// The server's error, which is the answer where nothing is repeated.
    answer: Option<Answer>,
}

impl Cluster {
    /// The answer to a call, whatever its status.
    pub(crate) async fn call(&self, call: &Call, what: &str) -> Result<Answer, ClusterError> {
        let (start, mut tries, mut lost) = (Instant::now(), 0, false);
        loop {
            let again = match self.try_once(call, what).await? {
                Ok(mut answer) => {
                    answer.lost = lost;
                    return Ok(answer);
                }
                Err(again) => again,
            };
            lost |= !again.harmless;
            let pause = pause(tries, again.answer.is_some(), again.asked);
            let waited = start.elapsed();
            let repeatable = again.harmless || call.repeat == Repeat::Harmless;
            if !repeatable || waited + pause > again.within {
                return match again.answer {
                    Some(answer) if !repeatable || answer.status == 500 => Ok(Answer { lost, ..answer }),
                    _ => Err(self.unreachable(waited, again.why)),
                };
            }
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    /// The answer, where it is a success; otherwise what its refusal means.
    pub(crate) async fn good(&self, call: &Call, what: &str) -> Result<Answer, ClusterError> {
        let answer = self.call(call, what).await?;
        if answer.ok() { Ok(answer) } else { Err(self.refused(what, &answer)) }
    }

    /// What a refusal means.
    pub(crate) fn refused(&self, what: &str, answer: &Answer) -> ClusterError {
        let context = &self.target().context;
        if answer.status == 401 {
            let why = credentials::why(&self.shared.credentials, answer.header("date"));
            return ClusterError::Unauthorized { context: context.clone(), why };
        }
        refusal(context, what, answer)
    }

    async fn try_once(&self, call: &Call, what: &str) -> Result<Result<Answer, Again>, ClusterError> {
        self.count();
        let context = self.target().context.clone();
        match once(&self.shared.client, call).await {
            Ok(answer) => {
                let again = self.again(call, answer);
                let notice = match &again {
                    Err(again) => self.shared.reach.missed(&context, &again.why, Instant::now()),
                    Ok(_) => self.shared.reach.answered(&context, Instant::now()),
                };
                self.tell(notice);
                Ok(again)
            }
            Err(Trouble::Away { sent, why }) => {
                self.tell(self.shared.reach.missed(&context, &why, Instant::now()));
                Ok(Err(Again { why, harmless: !sent, asked: None, within: self.patience(), answer: None }))
            }
            Err(Trouble::Credentials(why)) => Err(ClusterError::Unauthorized { context, why }),
            Err(Trouble::Untrusted(why)) => Err(ClusterError::Untrusted { context, why }),
            Err(Trouble::Malformed(message)) => {
                Err(ClusterError::Refused { what: what.to_owned(), status: 0, message })
            }
        }
    }

    fn unreachable(&self, waited: Duration, why: String) -> ClusterError {
        ClusterError::Unreachable { context: self.target().context.clone(), waited, why }
    }

    /// Tells an answer from "not now". 429 is given before anything is done; the others may come after.
    fn again(&self, call: &Call, answer: Answer) -> Result<Answer, Again> {
        if !matches!(answer.status, 429 | 500 | 502 | 503 | 504) {
            return Ok(answer);
        }
        let status = answer.json();
        let message = status["message"].as_str().unwrap_or_default().to_owned();
        // What a pod says through the proxy is an answer, and so is that the pod cannot be reached.
        let pods = call.proxied && (status["kind"] != "Status" || message.contains("error trying to reach service"));
        if pods || message.contains("failed to create typed") {
            return Ok(answer);
        }
        let asked = answer.header("retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
        let inner = answer.status == 500 && !message.contains("etcdserver");
        let within = if inner { self.patience().min(INNER) } else { self.patience() };
        let why = if message.is_empty() { format!("status {}", answer.status) } else { message };
        Err(Again { why, harmless: answer.status == 429, asked, within, answer: Some(answer) })
    }
}
