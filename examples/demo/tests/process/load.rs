//! The load as an examiner uses it: it counts what happened, and nothing else.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::thread;

use crate::common::{Demo, result, signal};
use serde_json::json;

fn start(demo: &Demo, words: &[&str]) -> Child {
    let mut command = demo.command(&[&["load", "--json"], words].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    child
}

#[test]
fn slow_and_kept_requests_are_all_answered() {
    let demo = Demo::new("");
    let server = demo.serve(&[]);
    let words = ["--rps", "500", "--requests", "600", "--slow", "10%", "--keepalive", "half", "--json", "--url"];
    let output = demo.run(&[&["load"], &words[..], &[&server.url]].concat());
    let report = result(&output);
    assert_eq!((&report["sent"], &report["failed"], output.status.code()), (&json!(600), &json!(0), Some(0)));
    assert_eq!(report["by_version"], json!({"1.2.3": 600}));
    let seconds = report["seconds"].as_f64().unwrap();
    assert!((2.0..10.0).contains(&seconds), "{seconds}: the last slow request takes a second after 1.2 s of pace");
    assert!(report["p99_ms"].as_f64().unwrap() < 1000.0, "slow requests are not in the percentiles: {report}");
}

#[test]
fn injected_errors_are_counted_exactly() {
    let demo = Demo::new("error_rate = 0.08");
    let server = demo.serve(&[]);
    let output = demo.run(&["load", "--url", &server.url, "--rps", "500", "--requests", "200", "--json"]);
    let report = result(&output);
    assert_eq!((&report["failed"], output.status.code()), (&json!(16), Some(1)));
    assert_eq!(report["by_status"], json!({"200": 184, "500": 16}));
    assert_eq!(report["failed_by_version"], json!({"1.2.3": 16}));
    assert!(report["failures"][0]["cause"].as_str().unwrap().starts_with("status 500"), "{report}");
}

#[test]
fn a_killed_server_fails_every_later_request() {
    let demo = Demo::new("");
    let mut server = demo.serve(&[]);
    let mut load = start(&demo, &["--url", &server.url, "--rps", "200", "--requests", "600"]);
    let _kept = load.stdin.take(); // its end would be the load's
    let answered = "http_server_requests_seconds_count{status=\"200\",uri=\"/\"} ";
    let enough = |line: &str| line.strip_prefix(answered).is_some_and(|count| count.parse::<u32>().unwrap() >= 100);
    server.until("/q/metrics", |answer| answer.body.lines().any(enough));
    server.child.kill().unwrap();
    server.end();
    let output = load.wait_with_output().unwrap();
    let report = result(&output);
    let count = |key: &str| report[key].as_u64().unwrap();
    assert_eq!((count("sent"), output.status.code()), (600, Some(1)), "the pace goes on");
    assert_eq!(count("failed") + report["by_version"]["1.2.3"].as_u64().unwrap(), 600);
    assert!(count("failed") >= 100, "{report}");
    assert!(report["last_failure"].as_str() > report["last_seen"]["1.2.3"].as_str(), "{report}");
}

/// A server that answers once on each connection as if it were kept, reads so many heads more, and ends it.
fn answers_once(more: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            skip_head(&mut reader);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-version: 9\r\n\r\nhi").unwrap();
            (0..more).for_each(|_| skip_head(&mut reader));
        }
    });
    url
}

#[test]
fn a_kept_connection_that_ends_under_its_request_is_a_failure() {
    let words = ["load", "--rps", "20", "--requests", "4", "--keepalive", "all", "--json", "--url"];
    let report = result(&Demo::new("").run(&[&words[..], &[&answers_once(1)]].concat()));
    assert_eq!((&report["sent"], &report["failed"], &report["by_version"]), (&json!(4), &json!(2), &json!({"9": 2})));
    assert!(report["failures"][0]["cause"].as_str().unwrap().contains("closed before the first byte"), "{report}");
}

#[test]
fn a_kept_connection_that_ended_at_rest_is_replaced() {
    let words = ["load", "--rps", "20", "--requests", "4", "--keepalive", "all", "--json", "--url"];
    let report = result(&Demo::new("").run(&[&words[..], &[&answers_once(0)]].concat()));
    assert_eq!((&report["sent"], &report["failed"], &report["ended_idle"]), (&json!(4), &json!(0), &json!(3)));
}

/// Reads one head and drops it.
fn skip_head(reader: &mut impl BufRead) {
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
}

#[test]
fn a_server_that_never_answers_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let output = Demo::new("").run(&["load", "--url", &url, "--requests", "3", "--timeout", "200ms", "--json"]);
    let report = result(&output);
    assert_eq!(report["failed"], json!(3));
    assert_eq!(report["failures"][0]["cause"], json!("timed out"));
}

#[test]
fn it_ends_with_its_result_when_asked() {
    let demo = Demo::new("");
    let server = demo.serve(&[]);
    for by_signal in [true, false] {
        let mut load = start(&demo, &["--url", &server.url, "--seconds", "3600"]);
        server.until("/q/metrics", |answer| answer.body.contains("uri=\"/\""));
        if by_signal {
            signal(&load, "TERM");
        } else {
            drop(load.stdin.take());
        }
        // Waiting would close standard input; kept, it is the signal that ends the load.
        let kept = load.stdin.take();
        let output = load.wait_with_output().unwrap();
        drop(kept);
        assert_eq!((output.status.code(), &result(&output)["failed"]), (Some(0), &json!(0)), "{by_signal}");
    }
}
