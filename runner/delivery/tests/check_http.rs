//! Checks against servers that misbehave: slow, missing, endless, broken off. No cluster is asked.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::Link;
use indexmap::IndexMap;
use jiff::Timestamp;
use tagline_delivery::Target;
use tagline_delivery::check::prometheus::{Prometheus, PrometheusError};
use tagline_delivery::check::smoke::{SmokeError, SmokeFor, Where, run};
use tagline_delivery::cluster::Cluster;
use tagline_delivery::inputs::{Action, SmokeInputs};

/// A server on loopback that hands each connection to `answer`, after its request was read. Its address.
fn server(answer: impl Fn(String, TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                request.push(byte[0]);
            }
            answer(String::from_utf8_lossy(&request).into_owned(), stream);
        }
    });
    address
}

fn reply(mut stream: TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nX-Shop: a\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

/// A cluster that is never asked.
async fn no_cluster() -> Cluster {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                  users: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n";
    std::fs::write(file.path(), config).unwrap();
    let target = Target { context: "x".to_owned(), namespace: "n".to_owned() };
    Cluster::connect(&target, &[file.path().to_owned()]).await.unwrap()
}

fn inputs(url: &str, checks: &str, more: &[(&str, &str)]) -> SmokeInputs {
    let mut with = IndexMap::from([
        ("checks".to_owned(), checks.to_owned()),
        ("targets".to_owned(), "public".to_owned()),
        ("public-url".to_owned(), url.to_owned()),
        ("every".to_owned(), "1ms".to_owned()),
        ("attempts".to_owned(), "2".to_owned()),
        ("timeout".to_owned(), "300ms".to_owned()),
    ]);
    with.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    match Action::read("tagline/smoke-test@v1", &with) {
        Ok(Action::SmokeTest(inputs)) => inputs.smoke,
        other => panic!("{other:?}"),
    }
}

/// What a check of a public address says.
async fn said(url: &str, checks: &str, more: &[(&str, &str)]) -> String {
    let cluster = no_cluster().await;
    let release = SmokeFor { version: "1.2.3".to_owned(), port: None };
    let at = Where::Public { url: url.to_owned(), serves: "1.2.3".to_owned() };
    match run(&inputs(url, checks, more), &release, &at, &cluster, Link::new().as_ref()).await {
        Ok(report) => report.summary(),
        Err(error) => error.to_string().replace(url, "URL"),
    }
}

#[tokio::test]
async fn a_good_public_address_passes_and_the_version_is_compared() {
    let url = server(|request, stream| match request.split(' ').nth(1) {
        Some("/info") => reply(stream, "200 OK", r#"{"version":"1.2.3"}"#),
        Some("/old") => reply(stream, "200 OK", r#"{"version":"1.2.2"}"#),
        _ => reply(stream, "404 Not Found", "nothing here"),
    });
    assert_eq!(said(&url, "/info version header x-shop = a within 250ms", &[]).await, "1 check on 1 place, all good");
    let old = said(&url, "/old version", &[]).await;
    assert_eq!(old, "smoke check failed: URL /old version: version is 1.2.2, expected 1.2.3");
    let missing = said(&url, "/gone", &[]).await;
    assert_eq!(missing, "smoke check failed: URL /gone: status 404, expected 200: nothing here");
}

#[tokio::test]
async fn servers_that_misbehave_fail_with_their_cause() {
    let cut = server(|_, mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    });
    assert_eq!(said(&cut, "/", &[]).await, "smoke check failed: URL /: no answer: the answer broke off");
    let silent = server(|_, stream| {
        std::thread::spawn(move || {
            let mut stream = stream;
            // Until the other side gives up.
            let _ = stream.read(&mut [0]);
        });
    });
    let start = Instant::now();
    assert_eq!(said(&silent, "/", &[]).await, "smoke check failed: URL /: no answer: no answer within 0.3s");
    assert!(start.elapsed() < Duration::from_secs(3), "two attempts of 300 ms");
    let endless = server(|_, mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 8192]).is_ok() {}
    });
    let limited = said(&endless, "/", &[("body-limit", "64KiB")]).await;
    assert_eq!(limited, "smoke check failed: URL /: its body is longer than body-limit");
    assert_eq!(said("http://127.0.0.1:1", "/", &[]).await, "smoke check failed: URL /: no answer: connection refused");
}

#[tokio::test]
async fn an_address_that_is_well_at_the_second_attempt_passes() {
    let tries = AtomicU32::new(0);
    let url = server(move |_, stream| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => reply(stream, "503 Service Unavailable", "not yet"),
        _ => reply(stream, "200 OK", ""),
    });
    assert_eq!(said(&url, "/", &[]).await, "1 check on 1 place, all good");
}

/// Each attempt is held against the limit by itself: repeating does not make an address fast that never is.
#[tokio::test]
async fn an_address_that_is_slow_at_every_attempt_fails() {
    let tries = Arc::new(AtomicU32::new(0));
    let url = {
        let tries = Arc::clone(&tries);
        server(move |_, stream| {
            tries.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(100));
            reply(stream, "200 OK", "well");
        })
    };
    let slow = said(&url, "/ within 50ms", &[("attempts", "3"), ("timeout", "10s")]).await;
    assert!(slow.starts_with("smoke check failed: URL / within 50ms: took "), "{slow}");
    assert!(slow.ends_with(", allowed 50ms"), "{slow}");
    assert_eq!(tries.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_public_address_is_not_asked_before_the_switch() {
    let cluster = no_cluster().await;
    let release = SmokeFor { version: "1.2.3".to_owned(), port: None };
    let at = Where::Public { url: "http://127.0.0.1:1".to_owned(), serves: "1.2.2".to_owned() };
    let inputs = inputs("http://127.0.0.1:1", "/", &[]);
    let error = run(&inputs, &release, &at, &cluster, Link::new().as_ref()).await.unwrap_err();
    assert!(matches!(error, SmokeError::Refused(_)));
    assert_eq!(error.to_string(), "public before the switch would test 1.2.2");
}

#[tokio::test]
async fn what_is_no_prometheus_is_away_and_never_data() {
    let html = server(|_, stream| reply(stream, "200 OK", "<html>welcome</html>"));
    let broken = server(|_, stream| drop(stream));
    let busy = server(|_, stream| {
        reply(
            stream,
            "503 Service Unavailable",
            r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#,
        );
    });
    for address in [html.as_str(), &broken, &busy, "http://127.0.0.1:1"] {
        let error = Prometheus::new(address).unwrap().query("up", Timestamp::now()).await.unwrap_err();
        assert!(matches!(error, PrometheusError::Away { .. }), "{error}");
    }
    let odd = server(|_, stream| {
        reply(stream, "200 OK", r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#);
    });
    let error = Prometheus::new(&odd).unwrap().query("up[5m]", Timestamp::now()).await.unwrap_err();
    assert!(error.to_string().ends_with("its result is a matrix; a number is needed"), "{error}");
}
