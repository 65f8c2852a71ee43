//! Prometheus on loopback: scrapes each second every pod that says `prometheus.io/scrape: "true"`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::home::Home;
use super::http;
use super::process::{Component, running};
use super::state::State;
use crate::shell;

const READY: Duration = Duration::from_secs(30);

/// Pods are found through the API server; annotations name path and port as everywhere, and labels become labels.
fn config(kubeconfig: &Path) -> String {
    format!(
        r#"global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
scrape_configs:
  - job_name: pods
    # Servers of files say no content type.
    fallback_scrape_protocol: PrometheusText0.0.4
    kubernetes_sd_configs:
      - role: pod
        kubeconfig_file: {}
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape]
        action: keep
        regex: "true"
      - source_labels: [__meta_kubernetes_pod_phase]
        action: drop
        regex: Pending|Succeeded|Failed
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path]
        action: replace
        target_label: __metrics_path__
        regex: (.+)
      - source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port]
        action: replace
        regex: (.+);(\d+)
        replacement: $1:$2
        target_label: __address__
      - action: labelmap
        regex: __meta_kubernetes_pod_label_(.+)
      - source_labels: [__meta_kubernetes_namespace]
        target_label: namespace
      - source_labels: [__meta_kubernetes_pod_name]
        target_label: pod
"#,
        kubeconfig.display()
    )
}

/// Starts it and waits until it answers queries.
pub(super) fn start(home: &Home, state: &mut State, kubeconfig: &Path) -> Result<bool> {
    let config = home.write("prometheus.yml", &config(kubeconfig))?;
    let address = format!("127.0.0.1:{}", state.ports.prometheus);
    let started = Component::new("prometheus", home.program("prometheus"))
        .file("config.file", &config)
        .file("storage.tsdb.path", &home.run("prometheus"))
        .flag("storage.tsdb.retention.time", "6h")
        .flag("web.listen-address", &address)
        .flag("scrape.discovery-reload-interval", "1s")
        .start(home, state)?;
    let ready = || http::get(&address, "/-/ready").is_some_and(|(status, _)| status == 200);
    let mut up = false;
    shell::wait(READY, || {
        up = ready();
        up || !running(state, "prometheus")
    });
    ensure!(up, "Prometheus does not answer; see {}", home.logs().join("prometheus.log").display());
    Ok(started)
}
