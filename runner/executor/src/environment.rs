//! What of the engine's own environment reaches steps. Nothing but the listed variables does: the engine's
//! environment may hold credentials.

use crate::exposure::Exposure;

/// Certificates of a company's proxy, as each tool family wants them named. Paths: for the sandbox only.
const CERTIFICATES: [&str; 12] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "HTTPLIB2_CA_CERTS",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
];

/// The way to the network; both spellings are in use.
const PROXIES: [&str; 8] =
    ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

/// Language and character set of programs' output, and the time zone.
const LOCALE: [&str; 3] = ["LANG", "LC_ALL", "TZ"];

/// GitHub's runners say this when nothing else is set.
const DEFAULT_LANG: &str = "C.UTF-8";

/// The variables of one environment that jobs may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    path: String,
    locale: Vec<(String, String)>,
    certificates: Vec<(String, String)>,
    proxies: Vec<(String, String)>,
}

impl Environment {
    /// Of this process.
    pub fn of_process() -> Self {
        Self::pick(|name| std::env::var(name).ok())
    }

    /// Of the environment that `value` looks names up in.
    pub fn pick(value: impl Fn(&str) -> Option<String>) -> Self {
        let list = |names: &[&str]| -> Vec<(String, String)> {
            let set = names.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?)));
            set.filter(|(_, value)| !value.is_empty()).collect()
        };
        let mut locale = list(&LOCALE);
        if !locale.iter().any(|(name, _)| name == "LANG") {
            locale.push(("LANG".to_owned(), DEFAULT_LANG.to_owned()));
        }
        Self {
            path: value("PATH").unwrap_or_default(),
            locale,
            certificates: list(&CERTIFICATES),
            proxies: list(&PROXIES),
        }
    }

    /// For steps that see the host's programs.
    pub fn for_host(&self, exposure: &Exposure) -> Vec<(String, String)> {
        let mut all = vec![("PATH".to_owned(), exposure.path(&self.path))];
        all.extend(self.locale.iter().cloned());
        all.extend(self.certificates.iter().cloned());
        all.extend(self.proxies.iter().cloned());
        all.extend(exposure.environment.iter().cloned());
        all
    }

    /// For steps in an image: it has programs and certificates of its own, and so has another `PATH`.
    pub fn for_image(&self) -> Vec<(String, String)> {
        self.proxies.clone()
    }
}

/// One value for each name, the later list's where both have it; in order of first appearance.
pub(crate) fn merge(lists: impl IntoIterator<Item = Vec<(String, String)>>) -> Vec<(String, String)> {
    let mut merged: Vec<(String, String)> = Vec::new();
    for (name, value) in lists.into_iter().flatten() {
        match merged.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => merged.push((name, value)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(name: &str) -> Option<String> {
        let value = match name {
            "PATH" => "/usr/bin:/secret/bin",
            "HOME" => "/home/ana",
            "AWS_SECRET_ACCESS_KEY" | "GITHUB_TOKEN" => "secret",
            "https_proxy" => "http://proxy:3128",
            "SSL_CERT_FILE" => "/etc/ssl/certs/ca-certificates.crt",
            "PIP_CERT" => "",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn only_listed_variables_pass() {
        let environment = Environment::pick(engine);
        let host = environment.for_host(&Exposure::none());
        let names: Vec<_> = host.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PATH", "LANG", "SSL_CERT_FILE", "https_proxy"]);
        assert!(!host[0].1.contains("secret"));
    }

    #[test]
    fn an_image_gets_the_way_to_the_network_only() {
        let names: Vec<_> = Environment::pick(engine).for_image();
        assert_eq!(names.len(), 1);
        assert_eq!(names[0].0, "https_proxy");
    }

    #[test]
    fn later_lists_win_and_keep_the_place() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let merged = merge([vec![pair("A", "1"), pair("B", "1")], vec![pair("C", "2"), pair("A", "2")]]);
        assert_eq!(merged, [pair("A", "2"), pair("B", "1"), pair("C", "2")]);
    }
}
