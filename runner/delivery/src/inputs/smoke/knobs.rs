//! How smoke checks are made, and `tagline/smoke-test`.

use regex_automata::nfa::thompson::pikevm::PikeVM;
use serde::{Deserialize, Serialize};

use super::{Expect, JsonPath, SmokeCheck, StatusTest};
use crate::inputs::reader::{Reader, one_of};
use crate::inputs::units::{dns_label, dns_subdomain};
use crate::inputs::words::words;
use crate::inputs::{ImageInput, JobSource, Period, WorkloadRef};

/// Where a check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmokeTarget {
    /// Every pod of the release, one by one.
    AllPods,
    /// The Service that selects the new release only.
    Preview,
    /// The address that users use.
    Public,
}

impl SmokeTarget {
    /// As people read it: checks are made on it.
    pub const fn place(self) -> &'static str {
        match self {
            Self::AllPods => "every pod",
            Self::Preview => "the preview",
            Self::Public => "the public address",
        }
    }
}

const TARGETS: [(&str, SmokeTarget); 3] =
    [("all-pods", SmokeTarget::AllPods), ("preview", SmokeTarget::Preview), ("public", SmokeTarget::Public)];

/// Checks and how they are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmokeInputs {
    /// Requests, in order.
    pub checks: Vec<SmokeCheck>,
    /// Jobs that must complete: manifests in the repository or CronJobs.
    pub jobs: Vec<JobSource>,
    /// Where checks without a target of their own are made: places that are there.
    pub targets: Vec<SmokeTarget>,
    /// The pods' port; the target port of the unit's Service where it is not given.
    pub port: Option<u16>,
    /// The address that users use, without a path: `https://shop.example`.
    pub public_url: Option<String>,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// Of one request.
    pub timeout: Period,
    /// How often a check is tried before it fails; at least 1.
    pub attempts: u32,
    /// Between attempts.
    pub every: Period,
    /// At most so many bytes of a body are read; more fails the check.
    pub body_limit: u64,
}

/// `REGEX at most N`: log lines of the new release's pods that may match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimit {
    /// A pattern, looked for in each line.
    pub pattern: String,
    /// More lines than this, over all pods, fail.
    pub at_most: u32,
}

impl LogLimit {
    /// Reads `PATTERN [at most N]`; without a number none may match.
    ///
    /// ```
    /// # use tagline_delivery::inputs::smoke::LogLimit;
    /// assert_eq!(LogLimit::parse("\"ERROR .*timeout\" at most 5").unwrap().at_most, 5);
    /// assert_eq!(LogLimit::parse("OutOfMemoryError").unwrap().at_most, 0);
    /// ```
    pub fn parse(line: &str) -> Result<Self, String> {
        let wrong = || format!("\"{line}\": write PATTERN at most N, a pattern with spaces in quotes");
        let words = words(line)?;
        let (pattern, at_most) = match words.as_slice() {
            [pattern] => (pattern, 0),
            [pattern, at, most, number] if at.is("at") && most.is("most") => {
                (pattern, number.text.parse().map_err(|_| wrong())?)
            }
            _ => return Err(wrong()),
        };
        PikeVM::new(&pattern.text).map_err(|error| format!("\"{}\" is not a pattern: {error}", pattern.text))?;
        Ok(Self { pattern: pattern.text.clone(), at_most })
    }
}

/// The names of one action's smoke inputs.
pub(in crate::inputs) struct Keys {
    pub(in crate::inputs) checks: &'static str,
    pub(in crate::inputs) jobs: &'static str,
    pub(in crate::inputs) targets: &'static str,
    pub(in crate::inputs) port: &'static str,
    pub(in crate::inputs) headers: &'static str,
    pub(in crate::inputs) timeout: &'static str,
    pub(in crate::inputs) attempts: &'static str,
    pub(in crate::inputs) every: &'static str,
    pub(in crate::inputs) body_limit: &'static str,
    /// The input that makes a preview, and what to give there.
    pub(in crate::inputs) preview: (&'static str, &'static str),
}

impl SmokeInputs {
    pub(in crate::inputs) fn read(reader: &mut Reader<'_>, keys: &Keys) -> Self {
        let smoke = Self {
            checks: reader.lines(keys.checks, SmokeCheck::parse),
            jobs: reader.words(keys.jobs, JobSource::parse),
            targets: reader.words(keys.targets, |word| one_of(word, "a target", &TARGETS)),
            port: reader.port(keys.port),
            public_url: reader.read("public-url", address),
            headers: reader.lines(keys.headers, header),
            timeout: reader.period(keys.timeout),
            attempts: reader.count(keys.attempts, 1).unwrap_or(1),
            every: reader.period(keys.every),
            body_limit: reader.bytes(keys.body_limit),
        };
        reader.rule(&[keys.timeout], smoke.timeout.is_zero(), || "0s: longer than 0s".to_owned());
        smoke
    }

    /// Leaves places away that are not there. One that a check or the step names is a problem: a check that is made nowhere
    /// would pass. `preview`: there is one.
    pub(in crate::inputs) fn settle_places(&mut self, reader: &mut Reader<'_>, keys: &Keys, preview: bool) {
        let given = reader.is_given(keys.targets);
        let public = (SmokeTarget::Public, self.public_url.is_some(), "public-url", "give public-url");
        for (target, there, key, give) in [(SmokeTarget::Preview, preview, keys.preview.0, keys.preview.1), public] {
            if there || !reader.are_settled(&[key]) {
                continue;
            }
            let place = target.place();
            if let Some(check) = self.checks.iter().find(|check| check.target == Some(target)) {
                reader.problem(keys.checks, format!("\"{}\" is made on {place}; {give}", check.text));
            }
            let named = self.targets.contains(&target);
            self.targets.retain(|other| *other != target);
            // Of a step whose strategy is chosen when it runs, the preview belongs to the other one.
            let other_strategy = key == "strategy" && !self.targets.is_empty();
            if given && named && !other_strategy {
                reader.problem(keys.targets, format!("there is no place for checks on {place}; {give}"));
            }
        }
        let nowhere = self.targets.is_empty() && self.checks.iter().any(|check| check.target.is_none());
        reader.rule(&[keys.targets], nowhere, || "no place is left for the checks; all-pods".to_owned());
    }

    /// Nothing is to be checked.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.jobs.is_empty()
    }
}

/// `https://shop.example[:PORT]`, without path, user or query.
pub(in crate::inputs) fn address(text: &str) -> Result<String, String> {
    let wrong = || format!("\"{text}\" is not an address; write https://shop.example or http://10.0.0.7:8080");
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    let plain = matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty();
    if !plain || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// `Name: value`.
fn header(line: &str) -> Result<(String, String), String> {
    let wrong = || format!("\"{line}\" is not a header; write Name: value");
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(wrong());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// `tagline/smoke-test`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmokeTestInputs {
    /// The unit; the repository's name where it is not given.
    pub name: Option<String>,
    /// Checks and how they are made.
    pub smoke: SmokeInputs,
    /// Only these workloads' pods; all of the unit where there is none.
    pub workloads: Vec<WorkloadRef>,
    /// The Service whose selector says which pods are live; the unit's where it is not given.
    pub service: Option<String>,
    /// The Service that selects the new release; none means there is none to test.
    pub preview_service: Option<String>,
    /// The version that is tested, and that `version` and the check of `path` expect; the release's where it is not given.
    pub expect_version: Option<String>,
    /// Patterns that the pods' logs since the step began may hold only so often.
    pub log_limits: Vec<LogLimit>,
    /// Digests for the images of `jobs`.
    pub images: Vec<ImageInput>,
}

const KEYS: Keys = Keys {
    checks: "checks",
    jobs: "jobs",
    targets: "targets",
    port: "port",
    headers: "headers",
    timeout: "timeout",
    attempts: "attempts",
    every: "every",
    body_limit: "body-limit",
    preview: ("preview-service", "give preview-service"),
};

impl SmokeTestInputs {
    pub(in crate::inputs) fn read(reader: &mut Reader<'_>) -> Self {
        let mut inputs = Self {
            name: reader.read("name", dns_label),
            smoke: SmokeInputs::read(reader, &KEYS),
            workloads: reader.words("workloads", WorkloadRef::parse),
            service: reader.read("service", dns_subdomain),
            preview_service: reader.read("preview-service", dns_subdomain),
            expect_version: reader.text("expect-version"),
            log_limits: reader.lines("log-limits", LogLimit::parse),
            images: reader.lines("images", ImageInput::parse),
        };
        inputs.smoke.checks.extend(single(reader));
        inputs.smoke.settle_places(reader, &KEYS, inputs.preview_service.is_some());
        let checks = &inputs.smoke.checks;
        let compares = |check: &SmokeCheck| check.expect.iter().any(|expect| matches!(expect, Expect::Version(_)));
        let ignored = inputs.expect_version.is_some() && !checks.is_empty() && !checks.iter().any(compares);
        reader.rule(&["expect-version", "checks", "path"], ignored, || {
            format!("no check compares a version; \"{} version\"?", checks.first().map_or("", |check| &check.text))
        });
        let nothing = inputs.smoke.is_empty() && inputs.log_limits.is_empty();
        reader.rule(&["checks", "path", "jobs", "log-limits"], nothing, || {
            "nothing is tested; give checks, path, jobs or log-limits".to_owned()
        });
        inputs
    }
}

/// The one check of `path`, `status`, `json`, `header` and `expect-version`: the same words as in a line of `checks`, a key each.
fn single(reader: &mut Reader<'_>) -> Option<SmokeCheck> {
    let path = reader.read("path", crate::inputs::deploy::path);
    let status = reader.read("status", StatusTest::parse).unwrap_or_default();
    let part = |word: &'static str| {
        move |text: &str| {
            SmokeCheck::parse(&format!("/ {word} {text}")).map(|check| check.expect).map_err(|error| {
                let (_, message) = error.split_once("\": ").unwrap_or(("", &error));
                message.to_owned()
            })
        }
    };
    let json: Vec<Expect> = reader.read("json", part("json")).unwrap_or_default();
    let header: Vec<Expect> = reader.read("header", part("header")).unwrap_or_default();
    let alone = ["json", "header"].into_iter().find(|key| reader.is_given(key));
    if let Some(key) = alone.filter(|_| !reader.is_given("path")) {
        reader.problem(key, "belongs to path, which is not given; write it in checks or give path");
    }
    let path = path?;
    let mut expect = [json, header].concat();
    if reader.is_given("expect-version") {
        expect.push(Expect::Version(None::<JsonPath>));
    }
    let text = path.clone();
    Some(SmokeCheck { text, target: None, workload: None, method: "GET".to_owned(), path, status, expect })
}
