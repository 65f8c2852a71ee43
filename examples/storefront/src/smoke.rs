//! Smoke tests: does this very version answer, and rightly. They change no data.

use std::time::{Duration, Instant};

use serde_json::Value;
use storefront_http::{Headers, Url, fetch};

/// How one test ended.
pub struct Outcome {
    /// What was looked at.
    pub name: &'static str,
    /// The request.
    pub request: String,
    /// What was seen, or why it is wrong.
    pub verdict: Result<String, String>,
    /// From sending to judging.
    pub took: Duration,
}

type Check = fn(u16, &str, &str) -> Result<String, String>;

/// Name, method, path, body and judge of every test. A judge gets status, body and expected version.
const TESTS: [(&str, &str, &str, &str, Check); 8] = [
    ("live", "GET", "/q/health/live", "", is_up),
    ("ready", "GET", "/q/health/ready", "", is_up),
    ("started", "GET", "/q/health/started", "", is_up),
    ("version", "GET", "/q/info", "", is_version),
    ("metrics", "GET", "/q/metrics", "", has_metrics),
    ("api lists", "GET", "/api/products", "", lists),
    ("api refuses", "POST", "/api/products", "{}", |status, _, _| expect(422, status)),
    ("front page", "GET", "/", "", |status, body, version| {
        let page = expect(200, status)?;
        if body.contains(&format!("Version {version}")) {
            Ok(page)
        } else {
            Err("the page names another version".into())
        }
    }),
];

/// Runs every test against `url`, each with 5 s.
pub fn run(url: &Url, version: &str) -> Vec<Outcome> {
    let one = |(name, method, path, body, check): (&'static str, &str, &str, &str, Check)| {
        let begin = Instant::now();
        let mut headers = Headers::default();
        headers.push("content-type", "application/json");
        let length = body.len() as u64;
        let answer = fetch(method, url, path, &headers, &mut body.as_bytes(), length, Duration::from_secs(5));
        let verdict = answer.map_err(|error| format!("no answer: {error}"));
        let verdict = verdict.and_then(|(status, text)| check(status, &text, version));
        Outcome { name, request: format!("{method} {path}"), verdict, took: begin.elapsed() }
    };
    TESTS.into_iter().map(one).collect()
}

fn expect(expected: u16, status: u16) -> Result<String, String> {
    if status == expected { Ok(status.to_string()) } else { Err(format!("answered {status}, not {expected}")) }
}

fn is_up(status: u16, body: &str, _: &str) -> Result<String, String> {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let seen =
        expect(200, status).map_err(|wrong| format!("{wrong}: {}", body["detail"].as_str().unwrap_or("no detail")))?;
    if body["status"] == "UP" { Ok(seen) } else { Err("its status is not UP".into()) }
}

fn is_version(status: u16, body: &str, version: &str) -> Result<String, String> {
    expect(200, status)?;
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let seen = body["version"].as_str().unwrap_or("none");
    if seen == version { Ok(format!("200, {seen}")) } else { Err(format!("the version is {seen}, not {version}")) }
}

fn has_metrics(status: u16, body: &str, version: &str) -> Result<String, String> {
    expect(200, status)?;
    let build = format!("storefront_build_info{{version=\"{version}\"");
    for name in [build.as_str(), "http_server_requests_total{", "http_server_requests_seconds_bucket{"] {
        if !body.lines().any(|line| line.starts_with(name)) {
            return Err(format!("no line begins with {name}"));
        }
    }
    Ok(format!("200, {} lines", body.lines().count()))
}

fn lists(status: u16, body: &str, _: &str) -> Result<String, String> {
    expect(200, status)?;
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let products = body["products"].as_array().ok_or("there is no list of products")?;
    Ok(format!("200, {} products", products.len()))
}
