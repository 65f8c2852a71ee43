//! Two real versions of the storefront, released by the commands a job uses, under traffic and crashes.
//!
//! `STOREFRONT_BIN_OLD` and `STOREFRONT_BIN` name binaries of 1.2.2 and 1.2.3; without them both are built.

#![expect(clippy::unwrap_used, reason = "what a test calls fails as the test does")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use storefront_http::{Headers, Url, fetch, get};

const OLD: &str = "1.2.2";
const NEW: &str = "1.2.3";
/// Requests of one kind during a test, at most.
const LOAD_LIMIT: usize = 20_000;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The storefront of a version.
fn storefront(version: &str) -> PathBuf {
    static BUILT: OnceLock<[PathBuf; 2]> = OnceLock::new();
    let given = ["STOREFRONT_BIN_OLD", "STOREFRONT_BIN"].map(std::env::var_os);
    let built = BUILT.get_or_init(|| match given {
        [Some(old), Some(new)] => [old.into(), new.into()],
        _ => [OLD, NEW].map(build),
    });
    built[usize::from(version == NEW)].clone()
}

fn build(version: &str) -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let target = tmp.join("storefront");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--locked", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(&target);
    assert!(cargo.env("APP_VERSION", version).status().unwrap().success());
    let binary = tmp.join(format!("storefront-{version}"));
    fs::copy(target.join("release/storefront"), &binary).unwrap();
    binary
}

struct Platform {
    child: Child,
    url: Url,
}

impl Platform {
    fn start(state: &Path) -> Self {
        Self::with_token(state, "")
    }

    fn with_token(state: &Path, token: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_platform"));
        child.args(["--listen", "127.0.0.1:0", "--state"]).arg(state).env("PLATFORM_TOKEN", token);
        let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        Self { child, url: Url::parse(line["url"].as_str().unwrap()).unwrap() }
    }

    /// One call; the body is JSON.
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        self.send(method, path, &[("content-type", "application/json")], body.as_bytes())
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], mut body: &[u8]) -> (u16, Value) {
        let mut all = Headers::default();
        for (name, value) in headers {
            all.push(*name, *value);
        }
        let length = body.len() as u64;
        let answer = fetch(method, &self.url, path, &all, &mut body, length, Duration::from_secs(60));
        let (status, text) = answer.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// `storefront release ACTION`, as a job runs it; what it printed.
    fn release(&self, version: &str, action: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(storefront(version));
        command.args(["release", action]).args(arguments).env("PLATFORM_URL", format!("http://{}", self.url.host));
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        if status.success() { Ok(text(stdout)) } else { Err(text(stderr)) }
    }

    /// Push, deploy and smoke test; the preview address.
    fn deploy(&self, version: &str) -> String {
        let digest = self.release(version, "push", &[]).unwrap();
        let deploy = ["--environment", "production", "--version", version, "--digest", &digest];
        let preview = self.release(version, "deploy", &deploy).unwrap();
        self.release(version, "smoke", &["--url", &preview, "--version", &format!("v{version}")]).unwrap();
        preview
    }

    fn switch(&self, version: &str) -> String {
        self.release(version, "switch", &["--environment", "production", "--version", version]).unwrap()
    }

    fn live(&self) -> Value {
        self.ask("GET", "/environments/production", &Value::Null).1["live"]["version"].clone()
    }

    fn signal(&self, name: &str) {
        signal(name, &self.child.id().to_string());
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn signal(name: &str, id: &str) {
    assert!(Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap().success());
}

/// The version that answers at an address, over a new connection.
fn version_at(url: &str) -> Result<String, String> {
    let answer = get(&Url::parse(url)?, "/q/info", Duration::from_secs(10));
    let (status, text) = answer.map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    value["version"].as_str().filter(|_| status == 200).map(str::to_owned).ok_or(format!("{status}: {text}"))
}

/// A connection that is kept open over many requests.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn open(url: &str) -> Self {
        let stream = TcpStream::connect(Url::parse(url).unwrap().host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(BufReader::new(stream))
    }

    fn version(&mut self) -> Result<String, String> {
        let failed = |error: std::io::Error| error.to_string();
        self.0.get_mut().write_all(b"GET /q/info HTTP/1.1\r\nHost: shop\r\n\r\n").map_err(failed)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).map_err(failed)?;
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None if line.starts_with("HTTP/1.1 200") => {}
                None if line == "\r\n" => break,
                None => return Err(format!("answered {line:?}")),
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).map_err(failed)?;
        let body: Value = serde_json::from_slice(&body).unwrap();
        Ok(body["version"].as_str().unwrap().to_owned())
    }

    /// Waits until the other side closes.
    fn end(mut self) {
        // A reset is an end as well.
        drop(self.0.read_to_end(&mut Vec::new()));
    }
}

/// Asks without pause while `meanwhile` runs; every answer, in order, of each client.
fn under_load(url: &str, meanwhile: impl FnOnce(&dyn Fn())) -> [Vec<Result<String, String>>; 2] {
    let (done, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = |mut one: Box<dyn FnMut() -> Result<String, String>>| {
        let mut answers = Vec::new();
        while !done.load(Ordering::SeqCst) && answers.len() < LOAD_LIMIT {
            answers.push(one());
            count.fetch_add(1, Ordering::SeqCst);
        }
        answers
    };
    // Both clients have been answered again: something was observed between two acts.
    let observed = || {
        let from = count.load(Ordering::SeqCst);
        while count.load(Ordering::SeqCst) < from + 50 {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        let new = scope.spawn(|| ask(Box::new(|| version_at(url))));
        let kept = scope.spawn(|| {
            let mut kept = Kept::open(url);
            ask(Box::new(move || kept.version()))
        });
        observed();
        meanwhile(&observed);
        observed();
        done.store(true, Ordering::SeqCst);
        [new.join().unwrap(), kept.join().unwrap()]
    })
}

#[test]
fn no_request_is_lost_from_deployment_to_rollback() {
    let platform = Platform::start(&folder("load"));
    platform.deploy(OLD);
    let url = platform.switch(OLD);
    let answers = under_load(&url, |observed| {
        let preview = platform.deploy(NEW);
        assert_eq!((version_at(&preview).unwrap(), version_at(&url).unwrap()), (NEW.into(), OLD.into()));
        observed();
        assert_eq!(platform.switch(NEW), url);
        assert_eq!(version_at(&url).unwrap(), NEW);
        observed();
        platform.release(OLD, "rollback", &["--environment", "production"]).unwrap();
        assert_eq!(version_at(&url).unwrap(), OLD);
        observed();
        platform.switch(NEW);
    });
    for mut answers in answers {
        let failed: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        println!("{} requests, {} failed", answers.len(), failed.len());
        assert!(failed.is_empty(), "{failed:?}");
        answers.dedup();
        assert_eq!(answers, [OLD, NEW, OLD, NEW].map(|version| Ok(version.to_owned())));
    }
}

#[test]
fn every_call_can_be_made_twice() {
    let platform = Platform::start(&folder("twice"));
    let call = |action: &str, body: Value| platform.ask("POST", &format!("/environments/production/{action}"), &body);
    platform.deploy(OLD);
    platform.switch(OLD);
    assert_eq!(call("rollback", json!({})).0, 409);
    assert_eq!(call("switch", json!({"version": NEW})).0, 409);

    let preview = platform.deploy(NEW);
    assert_eq!(platform.deploy(NEW), preview);
    assert_eq!(call("rollback", json!({})).0, 409);
    for changed in [true, false] {
        let (status, answer) = call("switch", json!({"version": NEW}));
        assert_eq!((status, &answer["changed"], &answer["previous"]), (200, &json!(changed), &json!(OLD)));
    }
    let other = platform.release(OLD, "push", &[]).unwrap();
    let (status, answer) = call("deploy", json!({"version": NEW, "digest": other}));
    assert!(status == 409 && answer["error"].as_str().unwrap().contains("needs a version of its own"), "{answer}");
    for changed in [true, false, false] {
        let (status, answer) = call("rollback", json!({}));
        assert_eq!((status, &answer["changed"], &answer["live"]), (200, &json!(changed), &json!(OLD)));
    }
    let (_, all) = platform.ask("GET", "/environments", &Value::Null);
    assert_eq!(all["environments"][0]["live"]["version"], OLD);
    assert_eq!(all["environments"][0]["colours"]["green"]["state"], "running");
}

#[test]
fn what_was_live_comes_back_after_a_kill() {
    let state = folder("kill");
    let mut platform = Platform::start(&state);
    platform.deploy(OLD);
    let url = platform.switch(OLD);
    let preview = platform.deploy(NEW);
    platform.switch(NEW);

    let mut orphan = Kept::open(&preview);
    orphan.version().unwrap();
    platform.signal("KILL");
    platform.child.wait().unwrap();
    // Its end shows that no version outlives the platform.
    orphan.end();

    let mut platform = Platform::start(&state);
    assert_eq!((version_at(&url).unwrap(), platform.live()), (NEW.into(), json!(NEW)));
    let second = Command::new(env!("CARGO_BIN_EXE_platform")).arg("--state").arg(&state).output().unwrap();
    assert!(!second.status.success());

    // A version that is killed comes back, too: the request waits for it.
    for id in children(platform.child.id()) {
        signal("KILL", &id);
    }
    assert_eq!(version_at(&url).unwrap(), NEW);

    let (_, answer) = platform.ask("POST", "/environments/production/rollback", &json!({}));
    assert_eq!(answer["live"], OLD);
    let (_, status) = platform.ask("GET", "/environments/production", &Value::Null);
    platform.signal("TERM");
    assert!(platform.child.wait().unwrap().success());
    for colour in ["blue", "green"] {
        let gone = Url::parse(status["colours"][colour]["url"].as_str().unwrap()).unwrap();
        assert!(TcpStream::connect(gone.host).is_err());
    }
}

fn children(of: u32) -> Vec<String> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{of}/task")).unwrap() {
        let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        found.extend(children.split_whitespace().map(str::to_owned));
    }
    assert_eq!(found.len(), 2);
    found
}

#[test]
fn a_version_that_does_not_work_changes_nothing() {
    let platform = Platform::start(&folder("broken"));
    platform.deploy(OLD);
    let url = platform.switch(OLD);
    platform.deploy(NEW);
    platform.switch(NEW);
    let scripts = [
        ("#!/bin/sh\necho no such table; exit 1\n", "did not migrate the database: no such table; 1.2.3 stays live"),
        ("#!/bin/sh\ntest $1 = migrate\n", "does not start: did not print where it listens"),
    ];
    for (script, reason) in scripts {
        let digest = hex::encode(Sha256::digest(script));
        assert_eq!(platform.send("PUT", &format!("/artifacts/{digest}"), &[], script.as_bytes()).0, 201);
        let deploy = json!({"version": "1.2.4", "digest": digest});
        let (status, answer) = platform.ask("POST", "/environments/production/deploy", &deploy);
        assert!(status == 422 && answer["error"].as_str().unwrap().contains(reason), "{answer}");
    }
    assert_eq!(version_at(&url).unwrap(), NEW);
    platform.release(NEW, "rollback", &["--environment", "production"]).unwrap();
    assert_eq!(version_at(&url).unwrap(), OLD);
    let wrong = platform.release(OLD, "smoke", &["--url", &url, "--version", NEW]).unwrap_err();
    assert_eq!(wrong, "error: 1.2.3 must not go live");
}

#[test]
fn hostile_calls_are_refused() {
    let state = folder("hostile");
    let platform = Platform::with_token(&state, "secret");
    let json = ("content-type", "application/json");
    let token = ("authorization", "Bearer secret");
    let zeros = format!("/artifacts/{}", "0".repeat(64));
    let deploy = "/environments/production/deploy";
    let good = br#"{"version":"1.2.3","digest":"0000000000000000000000000000000000000000000000000000000000000000"}"#;
    for (method, path, headers, body, status) in [
        ("GET", "/environments", &[][..], &b""[..], 401),
        ("GET", "/environments", &[("authorization", "Bearer secre")], b"", 401),
        ("GET", "/environments", &[token], b"", 200),
        ("PUT", &zeros, &[token], b"not these bytes", 422),
        ("PUT", "/artifacts/..%2f..%2fx", &[token], b"x", 400),
        ("PUT", "/artifacts/../../x", &[token], b"x", 404),
        ("POST", deploy, &[token], good, 415),
        ("POST", deploy, &[token, json], good, 404),
        ("POST", deploy, &[token, json], br#"{"version":"1.2.3;rm","digest":"x"}"#, 400),
        ("POST", deploy, &[token, json], br#"{"version":"1.2.3","digest":"x","run":"sh"}"#, 400),
        ("POST", deploy, &[token, json], b"[", 400),
        ("POST", deploy, &[token, json], &b" ".repeat(20_000), 413),
        ("POST", "/environments/..%2fx/deploy", &[token, json], good, 400),
        ("POST", "/environments/production/delete", &[token, json], b"{}", 405),
        ("GET", "/environments/none", &[token], b"", 404),
    ] {
        assert_eq!(platform.send(method, path, headers, body).0, status, "{method} {path}");
    }
    let head = |line: &str| {
        let mut stream = TcpStream::connect(&platform.url.host).unwrap();
        stream.write_all(format!("{line}\r\nAuthorization: Bearer secret\r\n\r\n").as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8(answer[9..].to_vec()).unwrap()
    };
    assert_eq!(head("GET /environments HTTP/1.1\r\nHost: evil.example"), "403");
    assert_eq!(head(&format!("PUT {zeros} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999")), "413");
    assert!(fs::read_dir(state.join("artifacts")).unwrap().next().is_none());
    assert!(fs::read_dir(state.join("environments")).unwrap().next().is_none());

    let open = Command::new(env!("CARGO_BIN_EXE_platform")).args(["--listen", "0.0.0.0:0", "--state", "x"]).output();
    assert_eq!(open.unwrap().status.code(), Some(2));
}
