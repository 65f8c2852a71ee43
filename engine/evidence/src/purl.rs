//! Package URLs: `pkg:TYPE/NAMESPACE/NAME@VERSION?QUALIFIERS`, encoded as the purl specification says.

use std::fmt::Write;

/// Builds a package URL. `namespace` may hold several segments separated by `/`; qualifiers with an
/// empty value are left out, the others sorted by key.
pub fn purl(kind: &str, namespace: &str, name: &str, version: &str, qualifiers: &[(&str, &str)]) -> String {
    let mut purl = format!("pkg:{kind}/");
    for segment in namespace.split('/').filter(|segment| !segment.is_empty()) {
        encode(segment, &mut purl);
        purl.push('/');
    }
    encode(name, &mut purl);
    if !version.is_empty() {
        purl.push('@');
        encode(version, &mut purl);
    }
    let mut qualifiers: Vec<_> = qualifiers.iter().filter(|(_, value)| !value.is_empty()).collect();
    qualifiers.sort_unstable();
    for (index, (key, value)) in qualifiers.into_iter().enumerate() {
        purl.push(if index == 0 { '?' } else { '&' });
        purl.push_str(key);
        purl.push('=');
        encode(value, &mut purl);
    }
    purl
}

/// Percent-encodes all but what the specification leaves as it is: letters, digits, `.-_~` and `:`.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                into.push(char::from(byte));
            }
            _ => write!(into, "%{byte:02X}").expect("a String takes all that is written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_encoded_each_for_itself() {
        assert_eq!(purl("npm", "@angular", "core", "16.0.0", &[]), "pkg:npm/%40angular/core@16.0.0");
        assert_eq!(
            purl(
                "deb",
                "debian",
                "g++",
                "4:12.2.0-3+b1",
                &[("distro", "debian-12"), ("arch", "amd64"), ("upstream", "")]
            ),
            "pkg:deb/debian/g%2B%2B@4:12.2.0-3%2Bb1?arch=amd64&distro=debian-12"
        );
        assert_eq!(purl("golang", "github.com/a", "b", "v1.0.0", &[]), "pkg:golang/github.com/a/b@v1.0.0");
        assert_eq!(purl("cargo", "", "serde", "", &[]), "pkg:cargo/serde");
    }
}
