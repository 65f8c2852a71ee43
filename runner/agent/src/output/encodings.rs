//! What a secret looks like in a log: as it is, line by line, and in the encodings that programs print values in.
//! GitHub's runner masks the first nine; hex, unpadded and URL-safe base64 and the strings of a JSON document are ours.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::mask::LEAST;
use super::sanitise::sanitise;

/// The shortest encoded form that is a pattern. Shorter ones stand for one or two bytes and match by chance.
const LEAST_ENCODED: usize = 5;
/// A part of a value that PowerShell prints by itself is masked from this length on.
const LEAST_SECTION: usize = 6;
/// Strings inside a secret that is a JSON document are masked from this length on.
const LEAST_LEAF: usize = 6;

/// Adds the patterns of one secret. None holds a line end.
pub(super) fn patterns(secret: &str, found: &mut BTreeSet<Vec<u8>>) {
    let secret = secret.trim_end_matches(['\r', '\n']);
    value(secret, found);
    if secret.contains(['\r', '\n']) {
        for line in secret.split(['\r', '\n']) {
            value(line.trim(), found);
        }
    }
    if let Ok(document) = serde_json::from_str::<serde_json::Value>(secret) {
        leaves(&document, found);
    }
}

/// The strings of a JSON document.
fn leaves(document: &serde_json::Value, found: &mut BTreeSet<Vec<u8>>) {
    match document {
        serde_json::Value::String(text) if text.len() >= LEAST_LEAF => value(text, found),
        serde_json::Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        serde_json::Value::Object(map) => map.values().for_each(|item| leaves(item, found)),
        _ => {}
    }
}

fn value(text: &str, found: &mut BTreeSet<Vec<u8>>) {
    if text.len() < LEAST {
        return;
    }
    add(text.to_owned(), LEAST, found);
    for encoded in [
        json(text),
        json_ascii(text),
        xml(text),
        percent(text, "%20"),
        percent(text, "+"),
        text.replace('\'', "''"),
        text.replace('"', "\\\""),
        hex::encode(text),
        hex::encode_upper(text),
    ] {
        add(encoded, LEAST, found);
    }
    if text.len() > 8
        && let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
    {
        add(inner.to_owned(), LEAST, found);
    }
    for section in sections(text) {
        add(section.to_owned(), LEAST_SECTION, found);
    }
    for shift in 0..3 {
        base64(text.as_bytes(), shift, found);
    }
}

/// Lines are cleaned before they are masked, so what the cleaning leaves of a pattern is one as well.
fn add(pattern: String, least: usize, found: &mut BTreeSet<Vec<u8>>) {
    if pattern.len() < least || pattern.contains(['\r', '\n']) {
        return;
    }
    if let Cow::Owned(clean) = sanitise(pattern.as_bytes())
        && clean.len() >= least
    {
        found.insert(clean);
    }
    found.insert(pattern.into_bytes());
}

/// Base64 works on groups of three bytes, so the same secret looks different at each of three places. What is masked
/// is the part that only the secret decides, and the same with its padding.
fn base64(bytes: &[u8], shift: usize, found: &mut BTreeSet<Vec<u8>>) {
    let Some(bytes) = bytes.get(shift..) else {
        return;
    };
    let sure = bytes.len() * 8 / 6;
    for padded in [STANDARD.encode(bytes), URL_SAFE.encode(bytes)] {
        add(padded[..sure].to_owned(), LEAST_ENCODED, found);
        add(padded, LEAST_ENCODED, found);
    }
}

/// The inside of a JSON string.
fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a string is JSON");
    quoted[1..quoted.len() - 1].to_owned()
}

/// The same as programs write it that keep to ASCII.
fn json_ascii(text: &str) -> String {
    let mut escaped = String::new();
    for character in json(text).chars() {
        if character.is_ascii() {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            escaped.push_str("\\u");
            escaped.push_str(&hex::encode(unit.to_be_bytes()));
        }
    }
    escaped
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&apos;")
}

/// A value in a URL (RFC 3986), with a space written as given.
fn percent(text: &str, space: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            b' ' => encoded.push_str(space),
            _ => {
                encoded.push('%');
                encoded.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    encoded
}

/// The two parts PowerShell colours apart when a value with `&` stands in a failing command: up to the first `&+`, or
/// to the last `&`, and what follows; after `&+` it also splits off one character.
fn sections(text: &str) -> Vec<&str> {
    if let Some((head, tail)) = text.split_once("&+") {
        let mut rest = tail.chars();
        rest.next();
        return vec![&text[..head.len() + 2], rest.as_str()];
    }
    match text.rsplit_once('&') {
        Some((head, tail)) => vec![&text[..=head.len()], tail],
        None => Vec::new(),
    }
}
