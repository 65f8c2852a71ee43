//! A call with patience: repeated, where that is harmless, until it is answered or its time is over.

use std::time::Duration;

use tokio::time::Instant;

use super::Cluster;
use super::credentials;
use super::error::ClusterError;
use super::http::{Answer, Call, Repeat, Trouble, once, trouble};
use super::patience::{FRESH, pause};
use super::refusal::refusal;

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
                    Some(answer) if !repeatable || matches!(answer.status, 401 | 403 | 500) => {
                        Ok(Answer { lost, ..answer })
                    }
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
                    // It answers, though not yet with what it will know.
                    Err(Again { answer: Some(Answer { status: 401 | 403, .. }), .. }) => None,
                    Err(again) => self.shared.reach.missed(&context, &again.why, Instant::now()),
                    Ok(_) => self.shared.reach.answered(&context, Instant::now()),
                };
                self.tell(notice);
                Ok(again)
            }
            // Of a pod that is too slow nothing is known about the server before it.
            Err(Trouble::Late(why)) if call.proxied => Err(ClusterError::NoAnswer { what: what.to_owned(), why }),
            Err(trouble) => self.absent(trouble, what).map(Err),
        }
    }

    /// What no answer means: to be tried again, or an error for good.
    fn absent(&self, trouble: Trouble, what: &str) -> Result<Again, ClusterError> {
        let context = self.target().context.clone();
        let (sent, why) = match trouble {
            Trouble::Away { sent, why } => (sent, why),
            Trouble::Late(why) => (true, why),
            Trouble::Credentials(why) => return Err(ClusterError::Unauthorized { context, why }),
            Trouble::Untrusted(why) => return Err(ClusterError::Untrusted { context, why }),
            Trouble::Malformed(message) => {
                return Err(ClusterError::Refused { what: what.to_owned(), status: 0, message });
            }
        };
        self.tell(self.shared.reach.missed(&context, &why, Instant::now()));
        Ok(Again { why, harmless: !sent, asked: None, within: self.patience(), answer: None })
    }

    /// After something that may not be done twice did not get through: waits, where it surely was not begun and there is
    /// patience left.
    pub(crate) async fn before_again(
        &self,
        error: &kube::Error,
        what: &str,
        start: Instant,
        tries: u32,
    ) -> Result<(), ClusterError> {
        let again = self.absent(trouble(error), what)?;
        let (waited, pause) = (start.elapsed(), pause(tries, false, None));
        if !again.harmless {
            let why = format!("{}; it is not known what it did", again.why);
            return Err(ClusterError::NoAnswer { what: what.to_owned(), why });
        }
        if waited + pause > again.within {
            return Err(self.unreachable(waited, again.why));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn unreachable(&self, waited: Duration, why: String) -> ClusterError {
        ClusterError::Unreachable { context: self.target().context.clone(), waited, why }
    }

    /// Tells an answer from "not now". 429 is given before anything is done; the others may come after.
    fn again(&self, call: &Call, answer: Answer) -> Result<Answer, Again> {
        if matches!(answer.status, 401 | 403) && !call.proxied && self.shared.reach.is_fresh(Instant::now()) {
            // A server that has just started knows neither tokens nor roles for a moment.
            let (why, within) = ("it does not know its users yet".to_owned(), self.patience().min(FRESH));
            return Err(Again { why, harmless: true, asked: None, within, answer: Some(answer) });
        }
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
