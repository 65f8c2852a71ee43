//! Requests without a pause: `demo load`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::Ground;

/// Requests that go on until they are told to end.
#[derive(Debug)]
pub struct Load {
    child: Child,
}

/// What they saw.
#[derive(Debug, Clone, Deserialize)]
pub struct LoadReport {
    /// Requests sent.
    pub sent: u64,
    /// Those without a good answer.
    pub failed: u64,
    /// Good answers by the version that gave them.
    pub by_version: BTreeMap<String, u64>,
    /// When each version answered first.
    pub first_seen: BTreeMap<String, Timestamp>,
    /// When each version answered last.
    #[serde(default)]
    pub last_seen: BTreeMap<String, Timestamp>,
    /// The first failures, as text.
    #[serde(default)]
    pub failures: Vec<serde_json::Value>,
    /// Milliseconds within which 95 of 100 were answered.
    #[serde(default)]
    pub p95_ms: f64,
}

impl Load {
    /// 500 requests a second, a tenth of them slow, half of the connections kept alive; begun when this returns.
    ///
    /// # Panics
    /// When it does not begin.
    #[track_caller]
    pub fn start(ground: &Ground, url: &str) -> Self {
        Self::of(ground, url, 500, "10%")
    }

    /// The same at another pace, with another share of slow requests.
    #[track_caller]
    pub fn of(ground: &Ground, url: &str, rps: u32, slow: &str) -> Self {
        wait_for(url);
        let mut command = Command::new(&ground.demo);
        command.args(["load", "--url", url, "--rps", &rps.to_string(), "--seconds", "900"]);
        command.args(["--slow", slow, "--keepalive", "half", "--json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the demo application is built");
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says that it has begun");
        assert!(line.contains("started"), "the load did not begin: {line}");
        // What else it says must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { child }
    }

    /// Ends it; what it saw.
    ///
    /// # Panics
    /// When it prints no report.
    #[track_caller]
    pub fn end(mut self) -> LoadReport {
        let id = Pid::from_child(&self.child);
        kill_process(id, Signal::TERM).expect("the load has not ended before its time");
        let mut text = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut text).expect("its report");
        self.child.wait().expect("our own child");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("no report of the load: {error}: {text}"))
    }
}

impl LoadReport {
    /// Asserts that every request was answered, and that there were enough of them to say so.
    #[track_caller]
    pub fn none_failed(&self, at_least: u64) -> &Self {
        assert_eq!(self.failed, 0, "{} of {} failed: {:?}", self.failed, self.sent, self.failures);
        assert!(self.sent >= at_least, "only {} requests", self.sent);
        self
    }
}

/// Until a node port answers: the proxy follows the endpoints within a second.
#[track_caller]
fn wait_for(url: &str) {
    let address = url.trim_start_matches("http://").split('/').next().expect("split gives one part at least");
    tagline_tests::until(&format!("an answer of {url}"), || TcpStream::connect(address).ok());
}

impl Drop for Load {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) && self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}
