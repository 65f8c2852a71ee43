//! What is up, in one file: read by `status`, `env`, `down` and by whoever wants to kill a component in a test.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::home::Home;
use super::postgres;

/// One process of the cluster.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Process {
    /// Its id, on this machine.
    pub(super) pid: u32,
    /// The program's name, as the kernel has it.
    pub(super) program: String,
}

/// Ports of loopback and of the node, chosen when the cluster is made.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Ports {
    /// etcd, for the API server.
    pub(super) etcd: u16,
    /// etcd, for members that do not exist.
    pub(super) etcd_peer: u16,
    /// Prometheus.
    pub(super) prometheus: u16,
    /// PostgreSQL.
    pub(super) postgres: u16,
}

/// The state of the cluster.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct State {
    /// Whether the cluster itself is somebody else's (`--use-kubeconfig`).
    pub(super) foreign: bool,
    /// The kubeconfig of the administrator.
    pub(super) kubeconfig: PathBuf,
    /// The kubeconfig of a user who may do nothing yet.
    pub(super) restricted: Option<PathBuf>,
    /// The API server's audit log.
    pub(super) audit_log: Option<PathBuf>,
    /// `HOST:PORT` of the registry.
    pub(super) registry: String,
    /// Prometheus.
    pub(super) prometheus: String,
    /// PostgreSQL, from this machine: a superuser.
    pub(super) postgres: String,
    /// PostgreSQL, from a pod; how a pod of somebody else's cluster reaches this machine is not known.
    pub(super) postgres_in_pods: Option<String>,
    /// Ports in use.
    pub(super) ports: Ports,
    /// Processes, by component.
    pub(super) processes: BTreeMap<String, Process>,
}

impl State {
    /// What is up, if anything is.
    pub(super) fn load(home: &Home) -> Result<Option<Self>> {
        let file = home.state();
        if !file.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let state = serde_json::from_str(&text);
        Ok(Some(state.with_context(|| format!("{} is damaged; `cargo xtask cluster down` helps", file.display()))?))
    }

    /// Writes the file, whole or not at all.
    pub(super) fn save(&self, home: &Home) -> Result<()> {
        let file = home.state();
        let new = file.with_extension("new");
        std::fs::write(&new, format!("{}\n", serde_json::to_string_pretty(self)?))
            .and_then(|()| std::fs::rename(&new, &file))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// What tests read from their environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: &PathBuf| path.display().to_string();
        let mut pairs = vec![
            ("KUBECONFIG", text(&self.kubeconfig)),
            ("TAGLINE_TEST_KUBECONFIG", text(&self.kubeconfig)),
            ("TAGLINE_TEST_REGISTRY", self.registry.clone()),
            ("TAGLINE_TEST_PROMETHEUS", self.prometheus.clone()),
            ("TAGLINE_TEST_POSTGRES", self.postgres.clone()),
        ];
        pairs.extend(self.postgres_in_pods.iter().map(|url| ("TAGLINE_TEST_POSTGRES_IN_PODS", url.clone())));
        pairs.extend(self.restricted.iter().map(|file| ("TAGLINE_TEST_KUBECONFIG_RESTRICTED", text(file))));
        pairs.extend(self.audit_log.iter().map(|file| ("TAGLINE_TEST_AUDIT_LOG", text(file))));
        pairs
    }
}

impl Ports {
    /// Our own Prometheus.
    pub(super) fn prometheus(&self) -> String {
        format!("http://127.0.0.1:{}", self.prometheus)
    }

    /// Our own PostgreSQL, from this machine.
    pub(super) fn postgres(&self) -> String {
        postgres::url("127.0.0.1", self.postgres)
    }

    /// Ports nothing listens on at this moment, all different.
    pub(super) fn free() -> Result<Self> {
        let listen = || TcpListener::bind("127.0.0.1:0").context("no free port on loopback");
        let held = [listen()?, listen()?, listen()?, listen()?];
        let port = |n: usize| held[n].local_addr().map(|address| address.port());
        Ok(Self { etcd: port(0)?, etcd_peer: port(1)?, prometheus: port(2)?, postgres: port(3)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(restricted: Option<PathBuf>) -> State {
        let ports = Ports { etcd: 1, etcd_peer: 2, prometheus: 3, postgres: 4 };
        State {
            foreign: restricted.is_none(),
            kubeconfig: "admin".into(),
            audit_log: restricted.clone(),
            postgres_in_pods: restricted.as_ref().map(|_| "postgres://in-pods".to_owned()),
            restricted,
            registry: "127.0.0.1:5000".to_owned(),
            prometheus: ports.prometheus(),
            postgres: ports.postgres(),
            ports,
            processes: BTreeMap::new(),
        }
    }

    fn names(state: &State) -> Vec<&'static str> {
        state.environment().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn tests_are_told_where_everything_is() {
        let own = state(Some("file".into()));
        let pairs = own.environment();
        assert!(pairs.contains(&("TAGLINE_TEST_PROMETHEUS", "http://127.0.0.1:3".to_owned())));
        assert!(names(&own).contains(&"TAGLINE_TEST_AUDIT_LOG"));
        assert!(names(&own).contains(&"TAGLINE_TEST_POSTGRES_IN_PODS"));
    }

    #[test]
    fn nothing_is_said_of_what_somebody_else_s_cluster_does_not_have() {
        let foreign = names(&state(None));
        assert!(foreign.contains(&"TAGLINE_TEST_KUBECONFIG"));
        assert!(!foreign.contains(&"TAGLINE_TEST_AUDIT_LOG"));
        assert!(!foreign.contains(&"TAGLINE_TEST_KUBECONFIG_RESTRICTED"));
    }

    #[test]
    fn ports_differ() {
        let ports = Ports::free().expect("free ports");
        let all = [ports.etcd, ports.etcd_peer, ports.prometheus, ports.postgres];
        let different: std::collections::BTreeSet<u16> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
