//! What a step sees of the host's `/etc`. Nothing else of it is there: no `shadow`, no keys, no service's settings.

use std::path::Path;

use super::STEP;

/// Files copied into the sandbox, links followed (name resolution often links into `/run`).
/// Name resolution and the network's names, the loader's cache, time, and tables programs look things up in.
pub(super) const COPIED: [&str; 17] = [
    "hosts",
    "resolv.conf",
    "nsswitch.conf",
    "host.conf",
    "gai.conf",
    "protocols",
    "services",
    "networks",
    "ld.so.cache",
    "ld.so.conf",
    "timezone",
    "os-release",
    "debian_version",
    "mime.types",
    "magic",
    "login.defs",
    "ca-certificates.conf",
];

/// Folders and files bound read-only: certificates that are public, and the settings of languages and tools whose
/// programs in `/usr` do not start without them. A trailing `*` matches the rest of a name.
pub(super) const BOUND: [&str; 19] = [
    "ssl/certs",
    "ssl/openssl.cnf",
    "ca-certificates",
    "pki",
    "alternatives",
    "ld.so.conf.d",
    "java",
    "java-*",
    "maven",
    "gradle",
    "perl",
    "python*",
    "php",
    "ruby",
    "R",
    "fonts",
    "ImageMagick-*",
    "libreoffice",
    "ghostscript",
];

/// Users of the sandbox. `nobody` is whoever is not mapped.
pub(super) fn passwd(home: &str) -> String {
    format!(
        "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n\
         runner:x:{}:{}:runner:{home}:/bin/bash\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        STEP.uid, STEP.gid
    )
}

/// Their groups.
pub(super) const GROUP: &str = "root:x:0:\nrunner:x:1001:\nnogroup:x:65534:\n";

/// The names below the host's `/etc` that `pattern` of [`BOUND`] stands for, where they exist.
pub(super) fn matches(pattern: &str) -> Vec<String> {
    let Some(start) = pattern.strip_suffix('*') else {
        let there = Path::new("/etc").join(pattern).exists();
        return there.then(|| pattern.to_owned()).into_iter().collect();
    };
    let Ok(entries) = std::fs::read_dir("/etc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(start))
        .collect()
}
