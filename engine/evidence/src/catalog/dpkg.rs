//! Debian packages: `var/lib/dpkg/status`, and `status.d` of images without a package manager.

use super::{Component, Found, Surroundings};
use crate::purl::purl;

#[expect(clippy::unnecessary_wraps, reason = "all catalogers have one shape")]
pub(super) fn catalog(text: &str, around: &Surroundings<'_>) -> Found {
    let (id, full) = around.distribution.clone().unwrap_or(("debian".to_owned(), String::new()));
    let mut remarks = Vec::new();
    let mut components = Vec::new();
    for paragraph in text.split("\n\n").filter(|one| !one.trim().is_empty()) {
        let field = |name| field(paragraph, name);
        // Images without a package manager list what they hold and know no states.
        let installed = field("Status").is_none_or(|status| status.ends_with(" installed"));
        if !installed {
            continue;
        }
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else {
            remarks.push("a paragraph has no package name or version".to_owned());
            continue;
        };
        let qualifiers = [
            ("arch", field("Architecture").unwrap_or_default()),
            ("distro", full.as_str()),
            ("upstream", &upstream(field("Source"), name)),
        ];
        components.push(Component::new(purl("deb", &id, name, version, &qualifiers), name, version));
    }
    Ok((components, remarks))
}

/// A field's first line. Continuation lines begin with white space and are never fields.
fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    paragraph.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        Some(value.trim())
    })
}

/// The source package where it differs, `NAME` or `NAME (VERSION)` in the file, `NAME[@VERSION]` here:
/// advisories are written for source packages.
fn upstream(source: Option<&str>, package: &str) -> String {
    match source.map(|source| source.split_once(' ').unwrap_or((source, ""))) {
        None => String::new(),
        Some((name, "")) if name == package => String::new(),
        Some((name, "")) => name.to_owned(),
        Some((name, version)) => format!("{name}@{}", version.trim_matches(['(', ')'])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_packages_only_with_their_source() {
        let text = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc (2.36-9)\nVersion: 2.36-9+deb12u9\nDescription: C library\n Package: not-a-field\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: zlib1g\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 1:1.2.13\nSource: zlib\n";
        let around = Surroundings { distribution: Some(("debian".into(), "debian-12".into())), neighbour: &|_| None };
        let (found, remarks) = catalog(text, &around).unwrap();
        let purls: Vec<_> = found.iter().map(|one| one.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:deb/debian/libc6@2.36-9%2Bdeb12u9?arch=amd64&distro=debian-12&upstream=glibc%402.36-9",
                "pkg:deb/debian/zlib1g@1:1.2.13?arch=amd64&distro=debian-12&upstream=zlib",
            ]
        );
        assert!(remarks.is_empty());
    }
}
