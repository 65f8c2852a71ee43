//! The binary as a release uses it: migrated, served, stopped.

#![expect(clippy::unwrap_used, reason = "what a test calls fails as the test does")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use storefront::{migrations::EXPECTED, smoke};
use storefront_http::{Headers, Url, fetch};

const BINARY: &str = env!("CARGO_BIN_EXE_storefront");

fn database(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join("shop.db")
}

fn migrate(action: &[&str], database: &Path) -> String {
    let output = Command::new(BINARY).arg("migrate").args(action).arg("--database").arg(database).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

struct Service {
    child: Child,
    lifeline: Option<ChildStdin>,
    url: Url,
}

impl Service {
    fn start(database: &Path) -> Self {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--lifeline", "--database"];
        let mut child = Command::new(BINARY);
        child.args(serve).arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = Url::parse(line["url"].as_str().unwrap()).unwrap();
        let lifeline = child.stdin.take();
        Self { child, lifeline, url }
    }

    fn ask(&self, method: &str, path: &str, mut body: &[u8]) -> (u16, String) {
        let length = body.len() as u64;
        let silence = std::time::Duration::from_secs(10);
        fetch(method, &self.url, path, &Headers::default(), &mut body, length, silence).unwrap()
    }

    fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn it_is_ready_once_its_schema_is_there() {
    let database = database("ready");
    let service = Service::start(&database);
    assert_eq!(service.ask("GET", "/q/health/live", b"").0, 200);
    assert_eq!(service.ask("GET", "/q/health/started", b"").0, 503);
    let (status, body) = service.ask("GET", "/q/health/ready", b"");
    assert!(status == 503 && body.contains("migrate up"), "{body}");

    assert!(migrate(&["up"], &database).contains(&format!("schema at {EXPECTED:04}")));
    let outcomes = smoke::run(&service.url, storefront::version());
    for outcome in &outcomes {
        assert!(outcome.verdict.is_ok(), "{}: {:?}", outcome.name, outcome.verdict);
    }
    let wrong = smoke::run(&service.url, "9.9.9");
    let failed: Vec<_> = wrong.iter().filter(|outcome| outcome.verdict.is_err()).map(|outcome| outcome.name).collect();
    assert_eq!(failed, ["version", "metrics", "front page"]);

    assert!(migrate(&["down", "--to", "1"], &database).contains("0002 add stock: taken back"));
    assert_eq!(service.ask("GET", "/q/health/ready", b"").0, 503);
    assert!(migrate(&["status"], &database).contains("0002 add stock: pending"));
    assert!(migrate(&["up", "--to", "7"], &database).contains("there is no migration 0007"));
}

#[test]
fn products_are_added_and_found_over_http() {
    let database = database("products");
    migrate(&["up"], &database);
    let service = Service::start(&database);
    let tea = br#"{"sku":"TEA-100","name":"<b>Tea & more</b>","price_cents":450,"stock":3}"#;
    assert_eq!(service.ask("POST", "/api/products", tea).0, 201);
    assert_eq!(service.ask("POST", "/api/products", tea).0, 409);
    let (status, body) = service.ask("GET", "/api/products/TEA-100", b"");
    assert_eq!((status, serde_json::from_str::<serde_json::Value>(&body).unwrap()["stock"].clone()), (200, 3.into()));
    assert!(service.ask("GET", "/", b"").1.contains("&lt;b>Tea &amp; more&lt;/b>"));
    for (method, path, body, status) in [
        ("GET", "/api/products/../../etc/passwd", &b""[..], 404),
        ("GET", "/api/products/TEA'--", b"", 404),
        ("GET", "/api/products?after=%27", b"", 400),
        ("POST", "/api/products", b"{", 422),
        ("POST", "/api/products", &b" ".repeat(70_000), 413),
        ("DELETE", "/api/products/TEA-100", b"", 405),
        ("GET", "/admin", b"", 404),
    ] {
        assert_eq!(service.ask(method, path, body).0, status, "{method} {path}");
    }
}

#[test]
fn a_stop_lets_a_running_request_end() {
    let database = database("stop");
    migrate(&["up"], &database);
    let mut service = Service::start(&database);
    let body = br#"{"sku":"LATE-1","name":"Late","price_cents":1}"#;
    let mut running = TcpStream::connect(&service.url.host).unwrap();
    let head = format!("POST /api/products HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len());
    running.write_all(head.as_bytes()).unwrap();
    // The server asks for the body: the request is running.
    let mut go_on = [0; 25];
    running.read_exact(&mut go_on).unwrap();
    let mut idle = TcpStream::connect(&service.url.host).unwrap();
    idle.write_all(b"GET /q/health/live HTTP/1.1\r\n\r\n").unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    service.terminate();
    // The end of the idle connection is the sign that the stop was heard.
    idle.read_to_end(&mut Vec::new()).unwrap();
    running.write_all(body).unwrap();
    let mut answer = String::new();
    running.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created") && answer.contains("connection: close"), "{answer}");
    assert!(service.end().success());
}

#[test]
fn it_does_not_outlive_who_started_it() {
    let mut service = Service::start(&database("lifeline"));
    drop(service.lifeline.take());
    assert!(service.end().success());
}

#[test]
fn wrong_use_is_told_and_exits_2() {
    for arguments in [&["serve"][..], &["migrate", "sideways", "--database", ":memory:"], &["release", "undo"], &[]] {
        let output = Command::new(BINARY).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stderr.starts_with(b"error: "), "{arguments:?}");
    }
}
