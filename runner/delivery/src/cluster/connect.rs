//! From a kubeconfig and a context's name to a client. The user's current context is never used nor changed.

use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::error::ClusterError;
use super::http::{causes, plugin};

/// A client, and what is needed to say why its credentials are refused.
pub(crate) struct Connection {
    pub(crate) client: kube::Client,
    pub(crate) credentials: AuthInfo,
}

/// Reads the kubeconfigs (the first that names something wins, as kubectl has it) and makes a client for one context.
pub(crate) async fn connect(context: &str, files: &[PathBuf]) -> Result<Connection, ClusterError> {
    // Whoever installed a provider before has ring as well: no other one is linked.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wrong = |why: String| ClusterError::Kubeconfig { context: context.to_owned(), why };
    let kubeconfig = read(context, files)?;
    let known: Vec<String> = kubeconfig.contexts.iter().map(|each| each.name.clone()).collect();
    let Some(entry) = kubeconfig.contexts.iter().find(|each| each.name == context) else {
        let nearest = nearest(context, &known);
        return Err(ClusterError::NoContext { context: context.to_owned(), known, nearest });
    };
    let entry = entry.context.clone().unwrap_or_default();
    let cluster = kubeconfig.clusters.iter().find(|each| each.name == entry.cluster);
    let proxy = cluster.and_then(|each| each.cluster.as_ref()?.proxy_url.clone());
    if let Some(proxy) = proxy.filter(|proxy| !proxy.is_empty()) {
        return Err(wrong(format!("`proxy-url: {proxy}` is not carried out")));
    }
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| wrong(causes(&error)))?;
    // A proxy for everything of this machine is not the way to a cluster unless its kubeconfig says so.
    config.proxy_url = None;
    // Repeating is decided here, by what is harmless.
    config.default_retry = false;
    // Seen in the server's audit log.
    let agent = concat!("tagline/", env!("CARGO_PKG_VERSION"));
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
    config.connect_timeout = Some(std::time::Duration::from_secs(5));
    let credentials = config.auth_info.clone();
    if let Some(exec) = &mut config.auth_info.exec {
        // Nobody is there to answer its questions.
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
    let client = kube::Client::try_from(config).map_err(|error| match &error {
        kube::Error::Auth(error) => ClusterError::Unauthorized { context: context.to_owned(), why: plugin(error) },
        error => wrong(causes(error)),
    })?;
    Ok(Connection { client, credentials })
}

fn read(context: &str, files: &[PathBuf]) -> Result<Kubeconfig, ClusterError> {
    let wrong = |error: &KubeconfigError| match error {
        KubeconfigError::ReadConfig(cause, path) if cause.kind() == std::io::ErrorKind::NotFound => {
            ClusterError::NoKubeconfig { looked: vec![path.clone()] }
        }
        KubeconfigError::FindPath => ClusterError::NoKubeconfig { looked: vec![PathBuf::from("~/.kube/config")] },
        // The parser's own words would show the line, and with it perhaps a token.
        KubeconfigError::Parse(error) => {
            let place = error.location().map_or_else(String::new, |place| format!(" (line {})", place.line()));
            let why = format!("it is no kubeconfig in YAML{place}");
            ClusterError::Kubeconfig { context: context.to_owned(), why }
        }
        error => ClusterError::Kubeconfig { context: context.to_owned(), why: causes(error) },
    };
    if files.is_empty() {
        return Kubeconfig::read().map_err(|error| wrong(&error));
    }
    let missing: Vec<&PathBuf> = files.iter().filter(|file| !Path::exists(file)).collect();
    if missing.len() == files.len() {
        return Err(ClusterError::NoKubeconfig { looked: files.to_vec() });
    }
    let mut merged = Kubeconfig::default();
    for file in files.iter().filter(|file| file.exists()) {
        let next = Kubeconfig::read_from(file).and_then(|next| merged.clone().merge(next));
        merged = next.map_err(|error| wrong(&error))?;
    }
    Ok(merged)
}

fn nearest(wanted: &str, known: &[String]) -> Option<String> {
    let distance = |name: &&String| strsim::damerau_levenshtein(wanted, name);
    known.iter().min_by_key(distance).filter(|name| distance(name) * 3 <= wanted.len().max(3)).cloned()
}
