//! A server on a real socket that answers what a script says, request by request, or each request by what it asks; it keeps
//! what it was asked.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tagline_delivery::cluster::Cluster;
use tagline_delivery::{Site, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is done with one request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Status, headers (`Name: value` lines) and body.
    Answer(u16, &'static str, String),
    /// The request is read, and the connection closed.
    Drop,
    /// 200 and these lines, then the connection is closed in the middle of the stream.
    Stream(Vec<String>),
    /// 200 and these lines, then silence.
    Hold(Vec<String>),
}

/// A 200 with JSON.
pub(crate) fn ok(body: &serde_json::Value) -> Act {
    Act::Answer(200, "Content-Type: application/json\r\n", body.to_string())
}

/// A refusal as the API server words it.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> Act {
    let body = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
        "message": message, "code": code});
    Act::Answer(code, "Content-Type: application/json\r\n", body.to_string())
}

/// The server.
pub(crate) struct Server {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Listens and follows the script; a request past its end is dropped.
    pub(crate) async fn start(script: Vec<Act>) -> Self {
        Self::answering(in_turn(script)).await
    }

    /// Listens, and answers each request by its `METHOD path`: for requests whose order is not known.
    pub(crate) async fn answering(answer: impl FnMut(&str) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve_by(listener, answer, Arc::clone(&asked)));
        Self { url, asked }
    }

    /// `METHOD path` of each request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics with it").clone()
    }
}

/// Serves as a server at an address that was free until now.
pub(crate) async fn serve(listener: TcpListener, script: Vec<Act>, asked: Arc<Mutex<Vec<String>>>) {
    serve_by(listener, in_turn(script), asked).await;
}

/// A script as answers, whatever is asked.
fn in_turn(script: Vec<Act>) -> impl FnMut(&str) -> Act + Send + 'static {
    let mut script = script.into_iter();
    move |_| script.next().unwrap_or(Act::Drop)
}

async fn serve_by(
    listener: TcpListener,
    answer: impl FnMut(&str) -> Act + Send + 'static,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let answer = Arc::new(Mutex::new(answer));
    while let Ok((mut stream, _)) = listener.accept().await {
        let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Some(request) = read(&mut stream).await {
                let line = request.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
                asked.lock().expect("no test panics with it").push(line.clone());
                let act = (*answer.lock().expect("no test panics with it"))(&line);
                if !perform(&mut stream, act).await {
                    return;
                }
            }
        });
    }
}

async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.ok()?;
        text.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&text).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Whether the connection goes on.
async fn perform(stream: &mut TcpStream, act: Act) -> bool {
    match act {
        Act::Drop => false,
        Act::Answer(code, headers, body) => {
            let text = format!("HTTP/1.1 {code} X\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).await.is_ok()
        }
        Act::Stream(lines) => {
            lines_out(stream, &lines).await;
            false
        }
        Act::Hold(lines) => {
            lines_out(stream, &lines).await;
            std::future::pending().await
        }
    }
}

async fn lines_out(stream: &mut TcpStream, lines: &[String]) {
    let mut text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for line in lines {
        write!(text, "{:x}\r\n{line}\r\n", line.len()).expect("a String takes everything");
    }
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.flush().await;
}

/// A kubeconfig with one context `test` to this address, by a token.
pub(crate) fn kubeconfig(folder: &std::path::Path, url: &str, token: &str) -> std::path::PathBuf {
    let path = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{url}'}}}}]\n\
         users: [{{name: u, user: {{token: {token}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: c, user: u}}}}, {{name: production, context: {{cluster: c, user: u}}}}]\n\
         current-context: production\n"
    );
    std::fs::write(&path, text).expect("the folder is there");
    path
}

/// A step of version 1.2.3 for the namespace `shop` behind this address, and its connection. Its tree is `folder`, which holds
/// the kubeconfig too.
pub(crate) async fn step(url: &str, folder: &std::path::Path) -> (Cluster, Site) {
    let site = Site {
        environment: "production".to_owned(),
        protected: false,
        target: Target { context: "test".to_owned(), namespace: "shop".to_owned() },
        kubeconfig: vec![kubeconfig(folder, url, "plain")],
        repository: "shop".to_owned(),
        version: "1.2.3".to_owned(),
        commit: "0".repeat(40),
        run: 1,
        identity: String::new(),
        job: "deploy".to_owned(),
        attempt: 1,
        step: 0,
        tree: folder.to_owned(),
        built: Vec::new(),
    };
    let cluster = Cluster::connect(&site.target, &site.kubeconfig).await.expect("the context is known");
    (cluster, site)
}
