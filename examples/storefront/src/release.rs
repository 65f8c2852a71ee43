//! `storefront release`: what a job of the release asks of the platform, and the smoke tests.
//!
//! The result goes to standard output, alone on its line, for a script to take; all else to standard error.

use std::fs::File;
use std::io::{self, Seek};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use storefront_http::{Headers, Url, fetch};

use crate::flags::{Failure, Flags};
use crate::smoke;

/// Longest wait for one answer: the platform answers a deployment when the new version is ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// `storefront release ACTION`.
pub fn command(action: &str, words: &[&str]) -> Result<(), Failure> {
    let known: &[&str] = match action {
        "push" => &["platform", "file"],
        "deploy" => &["platform", "environment", "version", "digest"],
        "switch" => &["platform", "environment", "version"],
        "rollback" | "status" => &["platform", "environment"],
        "smoke" => &["url", "version"],
        other => {
            let known = "push, deploy, smoke, switch, rollback, status";
            return Err(Failure::usage(format!("`{other}` is none of {known}")));
        }
    };
    let flags = Flags::parse(words, known, &[])?;
    match action {
        "push" => push(&flags),
        "deploy" => deploy(&flags),
        "switch" => switch(&flags),
        "rollback" => rollback(&flags),
        "status" => status(&flags),
        _ => smoke_test(&flags),
    }
}

/// Sends a binary, by default this one; prints its digest.
fn push(flags: &Flags<'_>) -> Result<(), Failure> {
    let path = flags.get("file").map_or_else(std::env::current_exe, |file| Ok(PathBuf::from(file)));
    let path = path.map_err(Failure::new)?;
    let read = |error: io::Error| Failure::new(format!("{}: {error}", path.display()));
    let mut file = File::open(&path).map_err(read)?;
    let mut hash = Hash(Sha256::new());
    let length = io::copy(&mut file, &mut hash).map_err(read)?;
    file.rewind().map_err(read)?;
    let digest = hex::encode(hash.0.finalize());
    let platform = Platform::of(flags)?;
    let media_type = "application/octet-stream";
    platform.ask("PUT", &format!("/artifacts/{digest}"), media_type, &mut file, length)?;
    eprintln!("pushed {} ({length} bytes)", path.display());
    println!("sha256:{digest}");
    Ok(())
}

/// Starts a version beside the live one; prints where it can be tried.
fn deploy(flags: &Flags<'_>) -> Result<(), Failure> {
    let version = bare(flags.need("version")?);
    let request = json!({"version": version, "digest": flags.need("digest")?});
    let answer = Platform::of(flags)?.act(flags, "deploy", &request)?;
    let colour = text(&answer, "colour")?;
    eprintln!(
        "{version} is ready as {colour} in {}; it serves no traffic before the switch",
        text(&answer, "environment")?
    );
    println!("{}", text(&answer, "preview_url")?);
    Ok(())
}

/// Moves the traffic; prints the public address.
fn switch(flags: &Flags<'_>) -> Result<(), Failure> {
    let request = json!({"version": bare(flags.need("version")?)});
    let answer = Platform::of(flags)?.act(flags, "switch", &request)?;
    let (environment, live) = (text(&answer, "environment")?, text(&answer, "live")?);
    let before = answer["previous"].as_str().map_or(String::new(), |before| format!("; {before} is kept"));
    eprintln!("{live} is live in {environment}{before}");
    println!("{}", text(&answer, "url")?);
    Ok(())
}

/// Moves the traffic back to the version before; prints the public address.
fn rollback(flags: &Flags<'_>) -> Result<(), Failure> {
    let answer = Platform::of(flags)?.act(flags, "rollback", &json!({}))?;
    let already = if answer["changed"] == true { "" } else { "already " };
    eprintln!("{already}live in {}: {}", text(&answer, "environment")?, text(&answer, "live")?);
    println!("{}", text(&answer, "url")?);
    Ok(())
}

/// Prints what runs where, as JSON.
fn status(flags: &Flags<'_>) -> Result<(), Failure> {
    let path = flags.get("environment").map_or("/environments".to_owned(), |name| format!("/environments/{name}"));
    let answer = Platform::of(flags)?.ask("GET", &path, "application/json", &mut io::empty(), 0)?;
    println!("{answer:#}");
    Ok(())
}

fn smoke_test(flags: &Flags<'_>) -> Result<(), Failure> {
    let url = flags.need("url")?;
    let version = bare(flags.need("version")?);
    let outcomes = smoke::run(&Url::parse(url).map_err(Failure::usage)?, version);
    for outcome in &outcomes {
        let (word, seen) = match &outcome.verdict {
            Ok(seen) => ("success", seen),
            Err(wrong) => ("failure", wrong),
        };
        println!("{word} {:<11} {:<22} {seen} in {}ms", outcome.name, outcome.request, outcome.took.as_millis());
    }
    let passed = outcomes.iter().filter(|outcome| outcome.verdict.is_ok()).count();
    println!("{passed} of {} smoke tests passed at {url}", outcomes.len());
    if passed == outcomes.len() { Ok(()) } else { Err(Failure::new(format!("{version} must not go live"))) }
}

/// The platform a command talks to.
struct Platform {
    url: Url,
    token: Option<String>,
}

impl Platform {
    fn of(flags: &Flags<'_>) -> Result<Self, Failure> {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let url = flags.get("platform").map(str::to_owned).or_else(|| set("PLATFORM_URL"));
        let url = url.ok_or_else(|| Failure::usage("--platform is missing, and PLATFORM_URL is not set"))?;
        Ok(Self { url: Url::parse(&url).map_err(Failure::usage)?, token: set("PLATFORM_TOKEN") })
    }

    fn act(&self, flags: &Flags<'_>, action: &str, request: &Value) -> Result<Value, Failure> {
        let environment = flags.need("environment")?;
        // A name is checked by the platform; what could leave its place in the path is not sent at all.
        if !environment.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(Failure::usage(format!("`{environment}` is not the name of an environment")));
        }
        let body = request.to_string();
        let path = format!("/environments/{environment}/{action}");
        self.ask("POST", &path, "application/json", &mut body.as_bytes(), body.len() as u64)
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        media_type: &str,
        body: &mut dyn io::Read,
        length: u64,
    ) -> Result<Value, Failure> {
        let mut headers = Headers::default();
        headers.push("content-type", media_type);
        if let Some(token) = &self.token {
            headers.push("authorization", format!("Bearer {token}"));
        }
        let host = &self.url.host;
        let answer = fetch(method, &self.url, path, &headers, body, length, PATIENCE);
        let (status, text) = answer.map_err(|error| Failure::new(format!("platform {host}: {error}")))?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let cause = answer["error"].as_str().unwrap_or("no reason given");
        Err(Failure::new(format!("platform {host}: {method} {path} answered {status}: {cause}")))
    }
}

struct Hash(Sha256);

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A version as the service knows it: a tag's `v` is not part of it.
fn bare(version: &str) -> &str {
    version.strip_prefix('v').unwrap_or(version)
}

fn text<'a>(answer: &'a Value, key: &str) -> Result<&'a str, Failure> {
    answer[key].as_str().ok_or_else(|| Failure::new(format!("the platform's answer has no `{key}`: {answer}")))
}
