//! Whether an answer is what a check expects.

use regex_automata::nfa::thompson::pikevm::PikeVM;
use serde_json::Value;

use crate::cluster::{HttpAnswer, short};
use crate::inputs::smoke::{Expect, JsonPath, JsonTest, SmokeCheck, StatusTest, TextTest, same_value};

/// Longest piece of an answer in a message.
const EXCERPT: usize = 120;

/// What is wrong with an answer: the first thing, with what was seen. `version` is the release's.
///
/// # Errors
/// One line for people.
pub(super) fn judge(check: &SmokeCheck, version: &str, answer: &HttpAnswer) -> Result<(), String> {
    if !check.status.accepts(answer.status) {
        let body = excerpt(&String::from_utf8_lossy(&answer.body));
        let body = if body.is_empty() { body } else { format!(": {body}") };
        return Err(format!("status {}, expected {}{body}", answer.status, status(&check.status)));
    }
    if answer.cut {
        return Err("its body is longer than body-limit".to_owned());
    }
    let body = String::from_utf8_lossy(&answer.body);
    check.expect.iter().try_for_each(|expect| holds(expect, version, answer, &body))
}

fn status(test: &StatusTest) -> String {
    match test {
        StatusTest::Class(class) => format!("{class}xx"),
        StatusTest::Codes(codes) => codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
    }
}

fn holds(expect: &Expect, version: &str, answer: &HttpAnswer, body: &str) -> Result<(), String> {
    match expect {
        Expect::Json { path, test } => json(path, test, &document(body)?),
        Expect::Text(test) => text(test, body),
        Expect::Header { name, value } => header(name, value.as_deref(), answer),
        Expect::Version(path) => names_version(path.as_ref(), version, body),
        Expect::Within(limit) if answer.took > **limit => Err(format!("took {}, allowed {limit}", short(answer.took))),
        Expect::Within(_) => Ok(()),
    }
}

fn document(body: &str) -> Result<Value, String> {
    serde_json::from_str(body).map_err(|_| format!("the body is no JSON: {}", excerpt(body)))
}

fn json(path: &JsonPath, test: &JsonTest, document: &Value) -> Result<(), String> {
    let name = path.as_str();
    let Some(value) = path.find(document).filter(|value| !value.is_null()) else {
        return Err(format!("{name} is not there: {}", excerpt(&document.to_string())));
    };
    match test {
        JsonTest::Is(expected) if same_value(value, expected) => Ok(()),
        JsonTest::Is(expected) => Err(format!("{name} is {}, expected {expected}", excerpt(&plain(value)))),
        JsonTest::IsNot(other) if same_value(value, other) => Err(format!("{name} is {other}, and must not be")),
        JsonTest::Exists | JsonTest::IsNot(_) => Ok(()),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn text(test: &TextTest, body: &str) -> Result<(), String> {
    match test {
        TextTest::Holds(text) if !body.contains(text) => Err(format!("the body lacks \"{text}\": {}", excerpt(body))),
        TextTest::Lacks(text) if body.contains(text) => Err(format!("the body holds \"{text}\"")),
        TextTest::Matches(pattern) => match PikeVM::new(pattern) {
            Ok(pattern) if pattern.is_match(&mut pattern.create_cache(), body.as_bytes()) => Ok(()),
            Ok(_) => Err(format!("the body does not match \"{pattern}\": {}", excerpt(body))),
            Err(error) => Err(format!("\"{pattern}\" is not a pattern: {error}")),
        },
        TextTest::Holds(_) | TextTest::Lacks(_) => Ok(()),
    }
}

fn header(name: &str, value: Option<&str>, answer: &HttpAnswer) -> Result<(), String> {
    let mut found = answer.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    match (value, found.next()) {
        (_, None) => Err(format!("header {name} is not there")),
        (None, Some(_)) => Ok(()),
        (Some(wanted), Some(first)) if first == wanted || found.any(|other| other == wanted) => Ok(()),
        (Some(wanted), Some(first)) => Err(format!("header {name} is {first}, expected {wanted}")),
    }
}

/// Compared, never only shown: an answer of another version is a failure whatever its status.
fn names_version(path: Option<&JsonPath>, version: &str, body: &str) -> Result<(), String> {
    let parsed = serde_json::from_str::<Value>(body).ok().filter(Value::is_object);
    match (path, parsed) {
        (Some(path), _) => json(path, &JsonTest::Is(version.to_owned()), &document(body)?),
        (None, Some(document)) => {
            let path = JsonPath::parse("version")?;
            json(&path, &JsonTest::Is(version.to_owned()), &document)
        }
        (None, None) if has_word(body, version) => Ok(()),
        (None, None) => Err(format!("the body does not name {version}: {}", excerpt(body))),
    }
}

/// The version as a whole word, with or without a leading `v`: 1.2.3 is not in 1.2.30, nor in 11.2.3.
fn has_word(body: &str, version: &str) -> bool {
    let plain = version.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let version = plain.unwrap_or(version);
    let inner = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    !version.is_empty()
        && body.match_indices(version).any(|(place, _)| {
            let before = body[..place].strip_suffix('v').unwrap_or(&body[..place]);
            let mut after = body[place + version.len()..].chars();
            let goes_on = match after.next() {
                // A full stop ends a sentence; followed by more it is a longer version.
                Some('.' | '-' | '+') => after.next().is_some_and(inner),
                Some(letter) => inner(letter),
                None => false,
            };
            !goes_on && !before.ends_with(|letter: char| inner(letter) || letter == '.')
        })
}

/// The beginning of a text, in one line.
fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(EXCERPT).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn answer(status: u16, body: &str) -> HttpAnswer {
        HttpAnswer {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.as_bytes().to_vec(),
            cut: false,
            took: Duration::from_millis(300),
        }
    }

    fn said(check: &str, status: u16, body: &str) -> String {
        match judge(&SmokeCheck::parse(check).unwrap(), "1.2.3", &answer(status, body)) {
            Ok(()) => "good".to_owned(),
            Err(why) => why,
        }
    }

    #[test]
    fn each_expectation_says_what_was_seen() {
        let cases = [
            ("/ready 200", 503, "down", "status 503, expected 200: down"),
            ("/ready 2xx", 204, "", "good"),
            ("/ready 200,204", 404, "", "status 404, expected 200 or 204"),
            ("/h json status = UP", 200, r#"{"status":"DOWN"}"#, "status is DOWN, expected UP"),
            ("/h json . = {\"status\":\"UP\"}", 200, r#"{"status":"UP"}"#, "good"),
            ("/h json checks[0].name", 200, r#"{"checks":[]}"#, "checks[0].name is not there: {\"checks\":[]}"),
            ("/h json status != DOWN", 200, r#"{"status":"DOWN"}"#, "status is DOWN, and must not be"),
            ("/h json a", 200, "<html>", "the body is no JSON: <html>"),
            ("/m text jvm_memory_used_bytes", 200, "up 1\n", "the body lacks \"jvm_memory_used_bytes\": up 1"),
            ("/m text not Exception", 200, "an Exception", "the body holds \"Exception\""),
            ("/m text matches 'v[0-9]+'", 200, "vx", "the body does not match \"v[0-9]+\": vx"),
            (
                "/ header content-type = text/html",
                200,
                "",
                "header content-type is application/json, expected text/html",
            ),
            ("/ header x-a", 200, "", "header x-a is not there"),
            ("/ within 200ms", 200, "", "took 0.3s, allowed 200ms"),
        ];
        for (check, status, body, expected) in cases {
            assert_eq!(said(check, status, body), expected, "{check}");
        }
    }

    #[test]
    fn the_version_is_compared() {
        let cases = [
            ("/q/info version", r#"{"version":"v1.2.3"}"#, "good"),
            ("/q/info version", r#"{"version":"1.2.2"}"#, "version is 1.2.2, expected 1.2.3"),
            ("/q/info version", r#"{"name":"1.2.3"}"#, "version is not there: {\"name\":\"1.2.3\"}"),
            ("/q/info version app.build", r#"{"app":{"build":"1.2.3"}}"#, "good"),
            ("/ version", "<b>Shop v1.2.3</b>", "good"),
            ("/ version", "Shop 1.2.3. Welcome", "good"),
            ("/ version", "Shop 1.2.30", "the body does not name 1.2.3: Shop 1.2.30"),
        ];
        for (check, body, expected) in cases {
            assert_eq!(said(check, 200, body), expected, "{check} {body}");
        }
        for other in ["11.2.3", "1.2.3.1", "1.2.3-rc.1", "0.1.2.3", "x1.2.3"] {
            assert!(!has_word(other, "1.2.3"), "{other}");
        }
    }

    #[test]
    fn a_body_beyond_the_limit_is_no_answer() {
        let check = SmokeCheck::parse("/").unwrap();
        let cut = HttpAnswer { cut: true, ..answer(200, "x") };
        assert_eq!(judge(&check, "1.2.3", &cut), Err("its body is longer than body-limit".to_owned()));
    }

    proptest! {
        #[test]
        fn nothing_panics(body in ".{0,60}", version in ".{0,8}", status in 100_u16..600) {
            for check in ["/ version", "/ json a.b = 1", "/ text x", "/ text matches '^.+$'"] {
                let _ = judge(&SmokeCheck::parse(check).unwrap(), &version, &answer(status, &body));
            }
        }
    }
}
