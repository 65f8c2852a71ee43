//! Faults of the demo's pods, set while they run.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::Kubectl;

/// The demo's admin port, which this machine reaches at each pod.
const ADMIN: u16 = 8081;

/// Sets faults of the chosen pods of a namespace, of which there must be one at least: `{"error_rate": 0.05}`.
#[track_caller]
pub(crate) fn set(kubectl: &Kubectl, chosen: impl Fn(&Value) -> bool, faults: &Value) {
    let there = |pod: &Value| chosen(pod) && pod["metadata"]["deletionTimestamp"].is_null();
    let pods: Vec<Value> = kubectl.all("pods").into_iter().filter(there).collect();
    let addresses: Vec<&str> = pods.iter().filter_map(|pod| pod["status"]["podIP"].as_str()).collect();
    assert!(!addresses.is_empty(), "no such pod in {}", kubectl.namespace());
    for address in addresses {
        post(address, &faults.to_string());
    }
}

#[track_caller]
fn post(address: &str, body: &str) {
    let mut stream = TcpStream::connect((address, ADMIN)).expect("the admin port");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    let length = body.len();
    write!(
        stream,
        "POST /fault HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.split(' ').nth(1) == Some("200"), "{answer}");
}
