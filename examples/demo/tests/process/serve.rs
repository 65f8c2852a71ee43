//! The server as a cluster uses it: asked, broken by its faults, ended.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::common::{Answer, Demo, Server, ask, connect};
use serde_json::{Value, json};

#[test]
fn every_answer_names_the_version_and_health_is_bare() {
    let server = Demo::new("").serve(&[]);
    for path in ["/q/health/live", "/q/health/ready", "/q/health/started", "/actuator/health", "/api/v1/health"] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.json()), (200, json!({"status": "UP"})), "{path}");
        assert!(answer.head.contains("\r\nx-version: 1.2.3\r\n"), "{answer:?}");
    }
    assert_eq!(server.get("/q/info").json(), json!({"name": "shop", "version": "1.2.3"}));
    assert!(server.get("/").body.contains("version 1.2.3"));
    for (path, status) in [("/nope", 404), ("/q/health/db", 404), ("/api/v1/flags/x", 404), ("/admin/login", 200)] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.head.contains("x-version"), "{answer:?}");
    }
    assert!(ask(&server.url, "nonsense\r\n\r\n").head.contains("x-version"));
}

#[test]
fn a_tenant_is_named_and_cannot_write_the_page() {
    let server = Demo::new("").serve(&[]);
    let page = ask(&server.url, "GET / HTTP/1.1\r\nX-Tenant: a<b>\r\nconnection: close\r\n\r\n");
    assert!(page.body.contains("tenant a&lt;b>"), "{page:?}");
}

#[test]
fn an_end_answers_what_is_running_and_closes_what_is_kept() {
    let mut server = Demo::new("").serve(&["--drain", "700ms", "--connection-age", "1h"]);
    let url = server.url.clone();
    let slow = thread::spawn(move || ask(&url, "GET /?ms=1500 HTTP/1.1\r\n\r\n"));
    server.until_connections(1);
    let mut kept = connect(&server.url);
    let mut idle = connect(&server.url);
    assert!(exchange(&mut kept).head.contains("connection: keep-alive"));
    assert!(exchange(&mut idle).head.contains("connection: keep-alive"));
    server.terminate();
    let reason = server.until("/q/health/ready", |answer| answer.status == 503).json();
    assert_eq!(reason["reason"], "ending");
    // In the drain a kept connection gets its answer, and hears that it was the last.
    let last = exchange(&mut kept);
    assert!(last.status == 200 && last.head.contains("connection: close"), "{last:?}");
    assert_eq!(server.get("/api/v1/health").status, 200, "new connections are still answered");
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "one that nobody uses is closed in order");
    assert_eq!(slow.join().unwrap().status, 200);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn an_old_connection_ends_with_its_next_answer() {
    for (age, said) in [("1h", "connection: keep-alive"), ("0ms", "connection: close")] {
        let server = Demo::new("").serve(&["--connection-age", age]);
        let answer = exchange(&mut connect(&server.url));
        assert!(answer.head.contains(said), "{age}: {answer:?}");
    }
}

fn exchange(stream: &mut std::net::TcpStream) -> Answer {
    stream.write_all(b"GET /q/info HTTP/1.1\r\n\r\n").unwrap();
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with("}\n") && stream.read(&mut byte).unwrap() > 0 {
        text.push(char::from(byte[0]));
    }
    Answer::parse(&text)
}

#[test]
fn faults_of_the_image_act() {
    let server = Demo::new("never_ready = true\nno_metrics = true\nwrong_version = '1.2.2'").serve(&[]);
    assert_eq!(server.get("/q/health/ready").status, 503);
    assert_eq!(server.get("/actuator/health").status, 503);
    assert_eq!(server.get("/q/health/live").status, 200);
    assert_eq!(server.get("/q/metrics").status, 404);
    let info = server.get("/q/info");
    assert_eq!(info.json()["version"], "1.2.2");
    assert!(info.head.contains("x-version: 1.2.3"), "the header stays true");
    assert_eq!(Demo::new("exit_code = 3").serve(&[]).end(), Some(3));
}

#[test]
fn faults_can_be_changed_by_the_admin_port() {
    let server = Demo::new("").serve(&[]);
    assert_eq!(server.get("/fault").status, 404, "not on the public port");
    let changed = server.fault(r#"{"error_rate": 1, "only_path": "/api/v1/orders"}"#).json();
    assert_eq!((&changed["error_rate"], &changed["only_path"]), (&json!(1.0), &json!("/api/v1/orders")));
    assert_eq!((server.get("/api/v1/orders").status, server.get("/").status), (500, 200));
    let wrong = server.fault(r#"{"error": 1}"#);
    assert_eq!((wrong.status, wrong.json()["error"].as_str()), (400, Some("unknown fault `error`")));
    server.fault(r#"{"error_rate": null, "only_path": null, "latency_ms": 300}"#);
    let began = Instant::now();
    assert_eq!(server.get("/api/v1/orders").status, 200);
    assert!(began.elapsed().as_millis() >= 300);
    let page = server.get("/q/metrics").body;
    assert_eq!(value(&page, "payment_failures_total"), "1");
    assert_eq!(value(&page, "orders_completed_ratio"), "0.5");
}

#[test]
fn a_leak_shows_and_too_much_memory_ends_it() {
    let server = Demo::new("leak_mb_s = 200").serve(&[]);
    let used = |answer: &Answer| value(&answer.body, "jvm_memory_used_bytes{area=\"heap\"}").parse::<u64>().unwrap();
    server.until("/q/metrics", |answer| used(answer) > 60_000_000);
    let demo = Demo::new("oom = true");
    let mut limited = Command::new("sh");
    let serve = demo.command(&["serve"]);
    limited
        .args(["-c", "ulimit -v 600000 && ulimit -c 0 && exec \"$@\"", "sh"])
        .arg(serve.get_program())
        .args(serve.get_args());
    for (name, value) in serve.get_envs() {
        value.map(|value| limited.env(name, value));
    }
    assert_ne!(Server::start(limited).end(), Some(0));
}

#[test]
fn ignore_term_goes_on() {
    let mut server = Demo::new("ignore_term = true").serve(&["--drain", "0ms"]);
    server.terminate();
    // Handled when it is logged.
    let mut line = String::new();
    std::io::BufRead::read_line(&mut server.log, &mut line).unwrap();
    assert!(line.contains("ignored"), "{line}");
    assert_eq!(server.get("/q/health/ready").status, 200);
    server.fault(r#"{"ignore_term": null}"#);
    server.terminate();
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_dependency_is_tried_where_it_is_named() {
    let demo = Demo::new("");
    let there = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = demo.command(&["serve"]);
    command.env("DEP_REDIS", there.local_addr().unwrap().to_string());
    command.env("DEP_MONGO", away.to_string()).env("DEP_ELASTICSEARCH", "down");
    let server = Server::start(command);
    assert_eq!(server.get("/actuator/health/redis").json(), json!({"status": "UP"}));
    assert_eq!(server.get("/actuator/health/mongo").status, 503);
    assert_eq!(server.get("/actuator/health/elasticsearch").json()["status"], "DOWN");
    assert_eq!(server.get("/actuator/health/kafka").status, 404);
}

#[test]
fn a_flag_comes_from_the_mounted_file() {
    let demo = Demo::new("");
    demo.file("flags.json", r#"{"checkout": {"a": false, "*": true}, "search": true}"#);
    let server = demo.serve(&[]);
    let enabled = |path: &str| server.get(&format!("/api/v1/flags/{path}")).json()["enabled"].clone();
    assert_eq!((enabled("checkout?tenant=a"), enabled("checkout?tenant=b")), (json!(false), json!(true)));
    assert_eq!(enabled("search"), json!(true));
    demo.file("flags.json", r#"{"search": false}"#);
    assert_eq!(enabled("search"), json!(false), "a changed file is seen without a restart");
    demo.file("flags.json", "{");
    assert_eq!(server.get("/api/v1/flags/search").status, 503);
}

#[test]
fn metrics_are_in_the_text_format() {
    let server = Demo::new("").serve(&[]);
    for path in ["/", "/?ms=20", "/nope", "/random/1", "/random/2", "/api/v1/orders"] {
        server.get(path);
    }
    let page = server.get("/q/metrics").body;
    let mut typed = BTreeMap::new();
    let mut buckets: BTreeMap<String, f64> = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(typed.insert(name, kind), None, "{name} is typed once");
            continue;
        }
        let (series, number) = line.rsplit_once(' ').unwrap();
        let number: f64 = number.parse().unwrap();
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(typed.contains_key(family) || typed.contains_key(name), "{line} has no type before it");
        if let Some((labels, _)) = series.split_once("le=") {
            let before = buckets.insert(labels.to_owned(), number).unwrap_or(0.0);
            assert!(number >= before, "{line} is below the bucket before");
        }
    }
    assert_eq!(value(&page, "http_server_requests_seconds_count{status=\"404\",uri=\"UNKNOWN\"}"), "3");
    assert_eq!(value(&page, "http_server_requests_seconds_count{status=\"200\",uri=\"/\"}"), "2");
    let sum: f64 = value(&page, "http_server_requests_seconds_sum{status=\"200\",uri=\"/\"}").parse().unwrap();
    assert!(sum >= 0.02, "{sum}");
}

/// The value of one series.
fn value<'a>(page: &'a str, series: &str) -> &'a str {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}"))
}

#[test]
fn a_dump_shows_threads_and_faults() {
    let server = Demo::new("latency_ms = 7").serve(&[]);
    let dump = ask(&server.admin, "GET /dump HTTP/1.1\r\nconnection: close\r\n\r\n").body;
    for expected in ["shop 1.2.3", "\nthreads\n", "VmRSS", "\"latency_ms\":7"] {
        assert!(dump.contains(expected), "{expected}\n{dump}");
    }
}

#[test]
fn a_release_file_is_needed_and_checked() {
    let demo = Demo::new("");
    let path = demo.file("release.toml", "version = '1'\n[faults]\nerror_rat = 1\n");
    let output = demo.run(&["serve"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said), (Some(2), format!("error: {path}: unknown fault `error_rat`\n")));
}

#[test]
fn one_assertion_is_one_line_of_tap() {
    let server = Demo::new("").serve(&[]);
    let check = |words: &[&str]| {
        let output = Demo::new("").run(&[&["check"], words].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(check(&["eq", "same", "a", "a"]), (Some(0), "ok - same\n".to_owned()));
    let (code, text) = check(&["eq", "same", "a", "b"]);
    assert!(code == Some(1) && text.starts_with("not ok - same\n  ---\n  got: \"a\"\n"), "{text}");
    assert_eq!(check(&["get", "page", &server.url, "version 1.2.3"]).0, Some(0));
    assert_eq!(check(&["get", "page", &server.url, "version 1.2.4"]).0, Some(1));
    assert_eq!(check(&["equal", "a", "b", "c"]).0, Some(2));
}

#[test]
fn the_json_of_faults_is_the_shape_of_a_change() {
    let server = Demo::new("error_rate = 0.5\nexit_code = 3\nafter_s = 3600").serve(&[]);
    let read: Value = ask(&server.admin, "GET /fault HTTP/1.1\r\nconnection: close\r\n\r\n").json();
    assert_eq!(server.fault(&read.to_string()).json(), read);
}
