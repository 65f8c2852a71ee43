//! The name of an image, as far as it can be wrong without asking a registry.
//!
//! The grammar is the OCI distribution specification's with Docker's domain before it: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.

/// Refuses what names no image: a reference, or a layout folder as `oci:/FOLDER`.
///
/// # Errors
/// One sentence that says which part is wrong.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("`{text}` is not the name of an image: {why}"));
    if let Some(folder) = text.strip_prefix("oci:") {
        return if folder.is_empty() { wrong("no folder follows `oci:`") } else { Ok(()) };
    }
    let name = text.strip_prefix("docker://").unwrap_or(text);
    let (name, digest) = name.split_once('@').map_or((name, None), |(name, digest)| (name, Some(digest)));
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return wrong("after `@` stands sha256: and 64 hexadecimal digits");
    }
    let (path, tag) = match name.rsplit_once(':') {
        // A colon before the last slash is a port's.
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return wrong("its tag has up to 128 letters, digits, `_`, `.` and `-`, not first `.` or `-`");
    }
    let path = match path.split_once('/') {
        Some((host, path)) if is_host(host) => path,
        _ => path,
    };
    if path.is_empty() || path.len() > 255 || !path.split('/').all(is_component) {
        return wrong("its path has small letters and digits, with `.`, `_`, `__` or `-` between them");
    }
    Ok(())
}

/// What Docker takes for a registry and not for the first part of a path.
fn is_host(text: &str) -> bool {
    let looks = text == "localhost" || text.contains(['.', ':']) || text.bytes().any(|b| b.is_ascii_uppercase());
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, "0"),
    };
    let host_fits = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-[]:".contains(&b));
    looks && host_fits && port.parse::<u16>().is_ok()
}

fn is_component(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = |b: Option<u8>| b.is_some_and(plain);
    let mut runs = text.split(|c: char| c.is_ascii() && plain(c as u8)).filter(|run| !run.is_empty());
    let joins = |run: &str| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-');
    ends(text.bytes().next()) && ends(text.bytes().last()) && runs.all(joins)
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let first = text.bytes().next().is_some_and(word);
    first && text.len() <= 128 && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_told_from_what_is_none() {
        let digest = format!("sha256:{}", "a0".repeat(32));
        for good in [
            "debian",
            "debian:bookworm-slim",
            "library/debian",
            "ghcr.io/owner/shop",
            "localhost:5000/shop/web:1.2.3_b-4",
            "127.0.0.1:40401/a",
            "[::1]:5000/a",
            "registry.example/a__b/c-d--e:latest",
            "docker://alpine:3",
            "oci:/images/base",
            &format!("registry.example/shop@{digest}"),
            &format!("shop:1@{digest}"),
        ] {
            assert_eq!(check(good), Ok(()));
        }
        for bad in [
            "UPPER CASE",
            "shop:",
            "shop:a b",
            "shop:-x",
            "-shop",
            "a//b",
            "a/",
            "/a",
            "shop@sha256:12",
            "shop@md5:00",
            "registry.example/",
            "a..b/c:d:e",
            "oci:",
            "docker://",
            "späti",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
