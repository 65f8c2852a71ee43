//! The control plane: etcd, the API server, the controllers and the scheduler.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::home::Home;
use super::process::{Component, running};
use super::state::State;
use super::{network, pki};
use crate::shell;

const READY: Duration = Duration::from_mins(1);

/// One line for each request; a watch has two, of its start and its end, with the same `auditID`.
const AUDIT: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
";

/// Where the API server writes its audit log.
pub(super) fn audit_log(home: &Home) -> PathBuf {
    home.logs().join("audit.jsonl")
}

/// A `kubectl` of the administrator, its cache inside the cluster's folder.
pub(super) fn kubectl(home: &Home, state: &State) -> Command {
    let mut command = Command::new(home.program("kubectl"));
    command.env("KUBECACHEDIR", home.run("kubectl-cache")).arg("--kubeconfig").arg(&state.kubeconfig);
    command
}

/// Applies a list of objects as the administrator.
pub(super) fn apply(home: &Home, state: &State, list: &serde_json::Value) -> Result<()> {
    let mut kubectl = kubectl(home, state);
    kubectl.args(["apply", "--server-side", "--field-manager=tagline-test-cluster", "-f", "-"]);
    let mut child = kubectl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().expect("piped above").write_all(list.to_string().as_bytes())?;
    let out = child.wait_with_output().context("kubectl apply")?;
    ensure!(out.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(())
}

/// Starts etcd.
pub(super) fn etcd(home: &Home, state: &mut State) -> Result<bool> {
    let client = format!("http://127.0.0.1:{}", state.ports.etcd);
    let peer = format!("http://127.0.0.1:{}", state.ports.etcd_peer);
    Component::new("etcd", "etcd")
        .file("data-dir", &home.run("etcd"))
        .flag("listen-client-urls", &client)
        .flag("advertise-client-urls", &client)
        .flag("listen-peer-urls", &peer)
        .flag("initial-advertise-peer-urls", &peer)
        .flag("initial-cluster", format!("default={peer}"))
        .start(home, state)
}

/// Starts the API server.
pub(super) fn api_server(home: &Home, state: &mut State) -> Result<bool> {
    let policy = home.write("audit-policy.yaml", AUDIT)?;
    std::fs::create_dir_all(home.logs())?;
    let pki = |name: &str| pki::file(home, name);
    Component::new("kube-apiserver", home.program("kube-apiserver"))
        .flag("advertise-address", network::NODE)
        .flag("bind-address", network::NODE)
        .flag("secure-port", 6443)
        .flag("etcd-servers", format!("http://127.0.0.1:{}", state.ports.etcd))
        .flag("service-cluster-ip-range", network::SERVICES)
        .flag("service-account-issuer", "https://kubernetes.default.svc.cluster.local")
        .file("service-account-key-file", &pki("service-accounts.pub"))
        .file("service-account-signing-key-file", &pki("service-accounts.key"))
        .file("client-ca-file", &pki("ca.crt"))
        .file("tls-cert-file", &pki("apiserver.crt"))
        .file("tls-private-key-file", &pki("apiserver.key"))
        .file("kubelet-certificate-authority", &pki("ca.crt"))
        .file("kubelet-client-certificate", &pki("kubelet-client.crt"))
        .file("kubelet-client-key", &pki("kubelet-client.key"))
        .flag("kubelet-preferred-address-types", "InternalIP")
        .flag("authorization-mode", "Node,RBAC")
        .flag("enable-admission-plugins", "NodeRestriction")
        .flag("allow-privileged", true)
        .flag("profiling", false)
        .file("audit-policy-file", &policy)
        .file("audit-log-path", &audit_log(home))
        .start(home, state)
}

/// Waits until the API server says that it is ready.
pub(super) fn wait_for_api(home: &Home, state: &State) -> Result<()> {
    let mut ready = false;
    shell::wait(READY, || {
        ready = answers(home, state);
        ready || !running(state, "kube-apiserver") || !running(state, "etcd")
    });
    ensure!(ready, "the API server is not ready; see {}", home.logs().join("kube-apiserver.log").display());
    Ok(())
}

/// Whether the API server is ready.
pub(super) fn answers(home: &Home, state: &State) -> bool {
    shell::output(kubectl(home, state).args(["get", "--raw=/readyz", "--request-timeout=2s"])).is_ok()
}

/// Starts the controllers.
pub(super) fn controllers(home: &Home, state: &mut State) -> Result<bool> {
    Component::new("kube-controller-manager", home.program("kube-controller-manager"))
        .file("kubeconfig", &pki::kubeconfig(home, "controller-manager"))
        .file("service-account-private-key-file", &pki::file(home, "service-accounts.key"))
        .file("root-ca-file", &pki::file(home, "ca.crt"))
        .file("cluster-signing-cert-file", &pki::file(home, "ca.crt"))
        .file("cluster-signing-key-file", &pki::file(home, "ca.key"))
        .file("flex-volume-plugin-dir", &home.run("flexvolume"))
        .flag("use-service-account-credentials", true)
        .flag("leader-elect", false)
        .flag("secure-port", 0)
        .flag("profiling", false)
        .start(home, state)
}

/// Starts the scheduler.
pub(super) fn scheduler(home: &Home, state: &mut State) -> Result<bool> {
    Component::new("kube-scheduler", home.program("kube-scheduler"))
        .file("kubeconfig", &pki::kubeconfig(home, "scheduler"))
        .flag("leader-elect", false)
        .flag("secure-port", 0)
        .flag("profiling", false)
        .start(home, state)
}
