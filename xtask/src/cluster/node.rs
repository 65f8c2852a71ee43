//! The node: a mount namespace of its own with containerd and the kubelet, and kube-proxy beside it.
//!
//! The kubelet and containerd have paths that no option moves (`/var/lib/kubelet`, `/run/netns`, `/var/log/containers`).
//! In the namespace these folders lie in the cluster's run folder; with its last process every mount is gone.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::home::Home;
use super::process::{Component, running};
use super::state::State;
use super::{cgroup, control, network, pause, pki};
use crate::shell;

const READY: Duration = Duration::from_secs(30);
/// Where Debian puts the network plugins.
pub(super) const CNI_PLUGINS: &str = "/usr/lib/cni";
/// The folders of the machine that the node has for itself, and their names in the run folder.
const OWN: [(&str, &str); 3] = [("/run", "node/run"), ("/var/lib", "node/lib"), ("/var/log", "node/log")];
/// containerd's socket, inside the namespace.
const SOCKET: &str = "/run/containerd/containerd.sock";

/// Starts the process that holds the mount namespace; it is `sleep` once the mounts are there.
pub(super) fn holder(home: &Home, state: &mut State) -> Result<bool> {
    let mut script = Vec::new();
    for (folder, own) in OWN {
        let own = home.run(own);
        std::fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
        script.push(format!("mount --bind {} {folder}", own.display()));
    }
    script.push("exec sleep infinity".to_owned());
    let mut holder = Component::new("mounts", "sleep");
    let unshare = ["unshare", "--mount", "--propagation=slave", "sh", "-c"].map(str::to_owned);
    holder.before.extend(unshare);
    holder.before.push(script.join(" && "));
    holder.start(home, state)
}

/// The process that holds the mount namespace.
pub(super) fn holder_id(state: &State) -> Result<u32> {
    Ok(state.processes.get("mounts").context("the node's mounts are not made")?.pid)
}

/// A command inside the node's mount namespace.
fn inside(state: &State, program: &str) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--mount=/proc/{}/ns/mnt", holder_id(state)?)).arg("--").arg(program);
    Ok(command)
}

/// Starts containerd and waits for it.
pub(super) fn containerd(home: &Home, state: &mut State) -> Result<bool> {
    let config = home.write("containerd.toml", &containerd_config(home))?;
    home.write("cni/10-tagline.conflist", &format!("{:#}\n", cni()))?;
    let id = holder_id(state)?;
    let containerd = Component::new("containerd", "containerd").inside(id).file("config", &config);
    let started = containerd.start(home, state)?;
    let up = shell::wait(READY, || {
        inside(state, "ctr").is_ok_and(|mut ctr| shell::output(ctr.arg("version")).is_ok())
            || !running(state, "containerd")
    });
    let log = home.logs().join("containerd.log");
    ensure!(up && running(state, "containerd"), "containerd does not answer; see {}", log.display());
    if started {
        let archive = pause::archive(home)?;
        shell::output(inside(state, "ctr")?.args(["-n", "k8s.io", "images", "import"]).arg(archive))?;
    }
    Ok(started)
}

/// Registries on loopback need no entry: containerd speaks plain HTTP with them.
fn containerd_config(home: &Home) -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{cni}"
"#,
        pause = pause::IMAGE,
        cni = home.run("cni").display(),
    )
}

fn cni() -> serde_json::Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "tagline",
        "plugins": [{
            "type": "bridge",
            "bridge": network::BRIDGE,
            "isGateway": true,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": network::PODS }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}

/// Starts the kubelet.
pub(super) fn kubelet(home: &Home, state: &mut State) -> Result<bool> {
    let resolv = home.write("resolv.conf", "")?;
    let config = home.write("kubelet.json", &format!("{:#}\n", kubelet_config(home, &resolv)))?;
    Component::new("kubelet", home.program("kubelet"))
        .inside(holder_id(state)?)
        .file("kubeconfig", &pki::kubeconfig(home, "kubelet"))
        .file("config", &config)
        .flag("hostname-override", pki::NODE_NAME)
        .flag("node-ip", network::NODE)
        .start(home, state)
}

/// Cgroups v1 are taken, nothing is evicted or collected, and ConfigMaps in volumes follow within seconds.
fn kubelet_config(home: &Home, resolv: &Path) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network::NODE,
        "healthzBindAddress": network::NODE,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": pki::file(home, "ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": pki::file(home, "kubelet-server.crt"),
        "tlsPrivateKeyFile": pki::file(home, "kubelet-server.key"),
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", cgroup::NAME),
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "clusterDomain": "cluster.local",
        "clusterDNS": [network::DNS_SERVICE],
        "resolvConf": resolv,
        "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%" },
        "imageGCHighThresholdPercent": 100,
        "syncFrequency": "10s",
        "serializeImagePulls": false,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "maxPods": 200,
        "makeIPTablesUtilChains": false,
        "volumePluginDir": home.run("flexvolume"),
    })
}

/// Starts kube-proxy: NodePorts on loopback and on the node's address only.
pub(super) fn proxy(home: &Home, state: &mut State) -> Result<bool> {
    let config = home.write("kube-proxy.json", &format!("{:#}\n", proxy_config(home)))?;
    Component::new("kube-proxy", home.program("kube-proxy")).file("config", &config).start(home, state)
}

fn proxy_config(home: &Home) -> serde_json::Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": { "kubeconfig": pki::kubeconfig(home, "proxy") },
        "hostnameOverride": pki::NODE_NAME,
        "clusterCIDR": network::PODS,
        "nodePortAddresses": ["127.0.0.0/8", network::PODS],
        "bindAddress": network::NODE,
        "healthzBindAddress": format!("{}:10256", network::NODE),
        "metricsBindAddress": format!("{}:10249", network::NODE),
        "oomScoreAdj": 0,
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
    })
}

/// Watches the node until it is ready, and the default service account until pods can be made.
pub(super) fn wait_until_ready(home: &Home, state: &State) -> Result<()> {
    let node = format!("node/{}", pki::NODE_NAME);
    for (condition, object) in
        [("create", node.as_str()), ("condition=Ready", &node), ("create", "serviceaccount/default")]
    {
        let mut wait = control::kubectl(home, state);
        wait.args(["wait", &format!("--for={condition}"), object, "--timeout=60s"]);
        shell::output(&mut wait).with_context(|| format!("the node is not ready; see {}", home.logs().display()))?;
    }
    Ok(())
}
