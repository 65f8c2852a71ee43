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
    /// Settings of the kernel as they were before.
    pub(super) sysctls: BTreeMap<String, String>,
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
