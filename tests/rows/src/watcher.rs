//! Looks at a Service ten times a second: whom it selects, and how many endpoints are ready.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::Kubectl;

const EVERY: Duration = Duration::from_millis(100);

/// A watch of one Service, until it is ended.
#[derive(Debug)]
pub struct Watcher {
    proxy: Child,
    end: mpsc::Sender<()>,
    looking: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// How often it looked.
    pub samples: u64,
    /// The fewest ready endpoints of any sample.
    pub fewest_ready: usize,
    /// The most images that the selected pods of one sample ran.
    pub most_images: usize,
    /// Each selector with when it was first seen, in order.
    pub selectors: Vec<(Timestamp, Value)>,
}

impl Watcher {
    /// Begins to look at a Service.
    ///
    /// # Panics
    /// When the API server cannot be asked.
    #[track_caller]
    pub fn start(kubectl: &Kubectl, service: &str) -> Self {
        let mut command = kubectl.command(["proxy", "--port", "0"]);
        let mut proxy = command.stdout(Stdio::piped()).spawn().expect("kubectl is on the PATH");
        let mut said = BufReader::new(proxy.stdout.take().expect("piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says where it listens");
        let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
        let (end, ended) = mpsc::channel();
        let (namespace, service) = (kubectl.namespace().to_owned(), service.to_owned());
        let looking = std::thread::spawn(move || {
            let mut seen = Seen { fewest_ready: usize::MAX, ..Seen::default() };
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                seen.look(&address, &namespace, &service);
            }
            seen
        });
        Self { proxy, end, looking }
    }

    /// Ends it; what it saw.
    ///
    /// # Panics
    /// When it could not look.
    #[track_caller]
    pub fn end(mut self) -> Seen {
        // The thread may have ended by a panic, which `join` says.
        let _ = self.end.send(());
        let seen = self.looking.join().expect("it looked to the end");
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
        seen
    }
}

impl Seen {
    /// One sample. While the API server is away nothing is seen.
    fn look(&mut self, address: &str, namespace: &str, service: &str) {
        let slices = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io/service-name%3D{service}"
        );
        let found = get(address, &format!("/api/v1/namespaces/{namespace}/services/{service}"));
        let (Some(found), Some(slices), Some(pods)) =
            (found, get(address, &slices), get(address, &format!("/api/v1/namespaces/{namespace}/pods")))
        else {
            return;
        };
        self.samples += 1;
        let selector = found["spec"]["selector"].clone();
        let endpoints = slices["items"].as_array().into_iter().flatten();
        let endpoints = endpoints.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true).count();
        self.fewest_ready = self.fewest_ready.min(ready);
        let pods = pods["items"].as_array().into_iter().flatten();
        let images =
            pods.filter(|pod| selects(&selector, pod)).map(|pod| pod["spec"]["containers"][0]["image"].clone());
        let images: BTreeSet<String> = images.map(|image| image.to_string()).collect();
        self.most_images = self.most_images.max(images.len());
        if self.selectors.last().is_none_or(|(_, last)| *last != selector) {
            self.selectors.push((Timestamp::now(), selector));
        }
    }

    /// Asserts that traffic always had somewhere to go.
    #[track_caller]
    pub fn never_empty(&self) -> &Self {
        assert!(self.samples > 0, "it never looked");
        assert!(self.fewest_ready > 0, "there was a moment without a ready endpoint");
        self
    }

    /// Asserts that the selector was never on two releases.
    #[track_caller]
    pub fn one_release_at_a_time(&self) -> &Self {
        assert!(self.most_images <= 1, "pods of {} images were selected at once", self.most_images);
        self
    }
}

fn selects(selector: &Value, pod: &Value) -> bool {
    let labels = &pod["metadata"]["labels"];
    let live = pod["metadata"]["deletionTimestamp"].is_null();
    live && selector.as_object().is_some_and(|pairs| pairs.iter().all(|(key, value)| labels[key] == *value))
}

/// One answer of the API server; none where there was none.
fn get(address: &str, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    // The older version of HTTP: the answer comes in one piece and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n")?;
    answer.starts_with(b"HTTP/1.").then_some(())?;
    let ok = answer.split(|byte| *byte == b' ').nth(1).is_some_and(|status| status == b"200");
    ok.then(|| serde_json::from_slice(answer.get(body + 4..)?).ok()).flatten()
}
