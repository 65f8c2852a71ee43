//! One line of `smoke:`.
//!
//! ```text
//! check  = [ "pods" [ "/" WORKLOAD ] | "preview" | "public" ] [ "GET" | "HEAD" ] PATH [ STATUS ] { expect }
//! STATUS = "200" | "2xx" | "200,204"
//! expect = "json" JSONPATH [ ( "=" | "!=" ) VALUE ]
//!        | "text" [ "not" ] VALUE | "text" "matches" REGEX
//!        | "header" NAME [ "=" VALUE ]
//!        | "version" [ JSONPATH ]
//!        | "within" DURATION
//! ```
//! - `PATH` begins with `/`. Without a target first, the check is made on all targets of the step.
//! - `STATUS` defaults to 200; redirects are answers, they are not followed.
//! - `JSONPATH` is names and indexes: `checks[0].status`; `.` is the whole document. Without a comparison the value must be
//!   there and not be null. `=` compares as [`same_value`](super::same_value) does.
//! - `text VALUE`: the body holds it. `text matches REGEX`: some place of the body matches.
//! - `version`: the answer names this release's version. With a path, that JSON value is it; without, the JSON value
//!   `version`, or, of an answer that is no JSON object, the version as a whole word somewhere in the body.
//! - `within 500ms`: answered in that time, the body included.
//! - A value with spaces is quoted: `"…"` or `'…'`.
//!
//! ```
//! # use tagline_delivery::inputs::smoke::SmokeCheck;
//! for line in [
//!     "/q/health/ready 200",
//!     "/q/info json version = v1.2.3",
//!     "/q/metrics text jvm_memory_used_bytes",
//!     "pods/shop HEAD / 2xx within 500ms",
//!     "public / 200,301 text \"Welcome back\" header content-type = text/html",
//!     "/api/v1/health json . = {\"status\":\"UP\"}",
//! ] {
//!     SmokeCheck::parse(line).unwrap();
//! }
//! assert_eq!(SmokeCheck::parse("q/info").unwrap_err(), "\"q/info\": a check begins with a path; /q/info?");
//! ```

use regex_automata::nfa::thompson::pikevm::PikeVM;
use serde::{Deserialize, Serialize};

use super::{JsonPath, SmokeTarget};
use crate::inputs::words::{Word, words};
use crate::inputs::{Period, did_you_mean};

/// One request and what its answer must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeCheck {
    /// As the step writes it.
    pub text: String,
    /// Only there; none means on all targets of the step.
    pub target: Option<SmokeTarget>,
    /// Only on this workload's pods.
    pub workload: Option<String>,
    /// `GET` or `HEAD`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Status codes that are good.
    pub status: StatusTest,
    /// What else must hold: all of them.
    pub expect: Vec<Expect>,
}

/// Which status codes are good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatusTest {
    /// One of these.
    Codes(Vec<u16>),
    /// `2xx` is 2.
    Class(u16),
}

/// Something an answer must fulfil.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// A value of the JSON body.
    Json {
        /// Where.
        path: JsonPath,
        /// What it must be.
        test: JsonTest,
    },
    /// The body.
    Text(TextTest),
    /// A header: there, or with this value.
    Header {
        /// Its name, in lower case.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// The release's version is named: at this JSON path, or as the module says.
    Version(Option<JsonPath>),
    /// Answered in this time.
    Within(Period),
}

/// What a JSON value must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JsonTest {
    /// There, and not null.
    Exists,
    /// This, by [`same_value`](super::same_value).
    Is(String),
    /// There, and not this.
    IsNot(String),
}

/// What a body must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextTest {
    /// Holds this text.
    Holds(String),
    /// Does not hold it.
    Lacks(String),
    /// Has a place that matches.
    Matches(String),
}

impl StatusTest {
    /// Reads `200`, `2xx` or `200,204`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a status; write 200, 2xx or 200,204");
        if let Some(class) = text.strip_suffix("xx") {
            let class = class.parse().ok().filter(|class| (1..=5).contains(class));
            return class.map(Self::Class).ok_or_else(wrong);
        }
        let code = |part: &str| part.trim().parse().ok().filter(|code| (100..600).contains(code)).ok_or_else(wrong);
        text.split(',').map(code).collect::<Result<_, _>>().map(Self::Codes)
    }

    /// Whether a status is good.
    pub fn accepts(&self, status: u16) -> bool {
        match self {
            Self::Codes(codes) => codes.contains(&status),
            Self::Class(class) => status / 100 == *class,
        }
    }
}

impl Default for StatusTest {
    fn default() -> Self {
        Self::Codes(vec![200])
    }
}

impl SmokeCheck {
    /// Reads a line.
    pub fn parse(line: &str) -> Result<Self, String> {
        let at = |message: String| format!("\"{line}\": {message}");
        let all = words(line)?;
        let mut rest = all.as_slice();
        let mut check = Self {
            text: line.to_owned(),
            target: None,
            workload: None,
            method: "GET".to_owned(),
            path: String::new(),
            status: StatusTest::default(),
            expect: Vec::new(),
        };
        if let Some((target, workload)) = rest.first().and_then(|word| place(&word.text)) {
            (check.target, check.workload) = (Some(target), workload);
            rest = &rest[1..];
        }
        if let Some(method) = rest.first().filter(|word| word.is("GET") || word.is("HEAD")) {
            check.method.clone_from(&method.text);
            rest = &rest[1..];
        }
        match rest.split_first() {
            Some((path, after)) if path.text.starts_with('/') => {
                check.path.clone_from(&path.text);
                rest = after;
            }
            Some((word, _)) if word.text.contains("://") => {
                return Err(at("write the path only; the address is public-url".to_owned()));
            }
            Some((word, _)) if ["POST", "PUT", "PATCH", "DELETE"].contains(&word.text.as_str()) => {
                return Err(at(format!("{} changes things; GET, HEAD", word.text)));
            }
            Some((word, _)) => return Err(at(format!("a check begins with a path; /{}?", word.text))),
            None => return Err(at("no path".to_owned())),
        }
        if let Some(word) = rest.first().filter(|word| word.text.starts_with(|c: char| c.is_ascii_digit())) {
            check.status = StatusTest::parse(&word.text).map_err(at)?;
            rest = &rest[1..];
        }
        while !rest.is_empty() {
            let (expect, after) = Expect::take(rest).map_err(at)?;
            check.expect.push(expect);
            rest = after;
        }
        Ok(check)
    }
}

/// `pods`, `pods/WORKLOAD`, `preview`, `public`.
fn place(word: &str) -> Option<(SmokeTarget, Option<String>)> {
    match word {
        "pods" => Some((SmokeTarget::AllPods, None)),
        "preview" => Some((SmokeTarget::Preview, None)),
        "public" => Some((SmokeTarget::Public, None)),
        _ => word.strip_prefix("pods/").map(|workload| (SmokeTarget::AllPods, Some(workload.to_owned()))),
    }
}

const WORDS: [&str; 5] = ["json", "text", "header", "version", "within"];

impl Expect {
    fn take(words: &[Word]) -> Result<(Self, &[Word]), String> {
        let Some((first, rest)) = words.split_first() else { return Err("nothing expected".to_owned()) };
        let next = |rest: &[Word]| {
            rest.first().map(|word| word.text.clone()).ok_or(format!("nothing after \"{}\"", first.text))
        };
        let is = |rest: &[Word], word: &str| rest.first().is_some_and(|first| first.is(word));
        match first.text.as_str() {
            "json" => {
                let path = JsonPath::parse(&next(rest)?)?;
                let rest = &rest[1..];
                let (test, used) = if is(rest, "=") {
                    (JsonTest::Is(next(&rest[1..])?), 2)
                } else if is(rest, "!=") {
                    (JsonTest::IsNot(next(&rest[1..])?), 2)
                } else {
                    (JsonTest::Exists, 0)
                };
                Ok((Self::Json { path, test }, &rest[used..]))
            }
            "text" if is(rest, "not") => Ok((Self::Text(TextTest::Lacks(next(&rest[1..])?)), &rest[2..])),
            "text" if is(rest, "matches") => {
                let pattern = next(&rest[1..])?;
                PikeVM::new(&pattern).map_err(|error| format!("\"{pattern}\" is not a pattern: {error}"))?;
                Ok((Self::Text(TextTest::Matches(pattern)), &rest[2..]))
            }
            "text" => Ok((Self::Text(TextTest::Holds(next(rest)?)), &rest[1..])),
            "header" => {
                let name = next(rest)?.to_ascii_lowercase();
                let rest = &rest[1..];
                if is(rest, "=") {
                    return Ok((Self::Header { name, value: Some(next(&rest[1..])?) }, &rest[2..]));
                }
                Ok((Self::Header { name, value: None }, rest))
            }
            "version" => match rest.first() {
                Some(word) if !WORDS.contains(&word.text.as_str()) => {
                    Ok((Self::Version(Some(JsonPath::parse(&word.text)?)), &rest[1..]))
                }
                _ => Ok((Self::Version(None), rest)),
            },
            "within" => Ok((Self::Within(Period::parse(&next(rest)?)?), &rest[1..])),
            other => Err(format!("\"{other}\" is not understood; {}{}", WORDS.join(", "), did_you_mean(other, WORDS))),
        }
    }
}
