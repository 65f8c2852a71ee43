//! `cargo xtask cluster check`: a small application on the cluster, and everything a delivery needs of it, asked once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::home::Home;
use super::state::State;
use super::{control, http, services};
use crate::setup::docker;
use crate::shell;

const NAMESPACE: &str = "tagline-cluster-check";
const IMAGE: &str = "tagline-test/busybox:latest";
const LIMIT: Duration = Duration::from_secs(30);
const PORT: u16 = 8080;
/// Asks PostgreSQL whether it speaks TLS; it answers S or N.
const ASK_POSTGRES: &str = r"printf '\000\000\000\010\004\322\026\057' | nc -w 3";

struct Check<'a> {
    home: &'a Home,
    state: &'a State,
    /// `127.0.0.1:NODEPORT`.
    public: String,
}

/// Runs every check and removes what it made; an error at the first that does not hold.
pub(super) fn run(home: &Home, state: &State) -> Result<()> {
    let mut check = Check { home, state, public: String::new() };
    check.remove()?;
    let held = check.all();
    check.remove()?;
    held
}

impl Check<'_> {
    fn all(&mut self) -> Result<()> {
        let image = format!("{}/{IMAGE}", self.state.registry);
        shell::output(docker().args(["tag", IMAGE, &image])).context("`cargo xtask setup` makes the image")?;
        shell::output(docker().args(["push", "--quiet", &image]))?;
        let mut items = vec![json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } })];
        items.extend(["blue", "green"].map(|colour| deployment(colour, &image)));
        items.push(service());
        self.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }))?;
        timed("two Deployments of two replicas are available", || self.rolled_out())?;
        let port = self.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}"])?;
        self.public = format!("127.0.0.1:{}", port.trim());
        timed("the NodePort answers on loopback", || self.answers("blue"))?;
        timed("a selector's patch moves the traffic", || self.switch())?;
        timed("a pod reaches a Service by name", || self.in_pod("wget -qO- http://web/", "green"))?;
        if let Some(inside) = &self.state.postgres_in_pods {
            let host = services::host_and_port(inside);
            timed("a pod talks to PostgreSQL", || self.in_pod(&format!("{ASK_POSTGRES} {host}"), "N"))?;
        }
        timed("Prometheus has the pods' metrics", || self.scraped())?;
        timed("a pod's log can be read", || self.kubectl(&["logs", "deploy/blue"]).map(drop))
    }

    fn kubectl(&self, args: &[&str]) -> Result<String> {
        shell::output(control::kubectl(self.home, self.state).args(["--namespace", NAMESPACE]).args(args))
    }

    fn apply(&self, list: &Value) -> Result<()> {
        control::apply(self.home, self.state, list)
    }

    fn remove(&self) -> Result<()> {
        self.kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=60s"]).map(drop)
    }

    fn rolled_out(&self) -> Result<()> {
        for colour in ["deploy/blue", "deploy/green"] {
            self.kubectl(&["rollout", "status", colour, "--timeout=60s"])?;
        }
        Ok(())
    }

    /// Waits until the NodePort's answer is that colour's.
    fn answers(&self, colour: &str) -> Result<()> {
        let there = shell::wait(LIMIT, || http::get(&self.public, "/").is_some_and(|(_, body)| body.trim() == colour));
        ensure!(there, "http://{}/ does not answer `{colour}`", self.public);
        Ok(())
    }

    /// Moves the Service; every request until the new colour answers is answered.
    fn switch(&self) -> Result<()> {
        self.kubectl(&["patch", "service", "web", "-p", r#"{"spec":{"selector":{"app":"green"}}}"#])?;
        let mut failed = 0;
        let moved = shell::wait(LIMIT, || {
            let answer = http::get(&self.public, "/");
            failed += u32::from(!matches!(answer, Some((200, _))));
            answer.is_some_and(|(_, body)| body.trim() == "green")
        });
        ensure!(moved && failed == 0, "the traffic did not move cleanly: {failed} requests failed");
        Ok(())
    }

    fn in_pod(&self, script: &str, expected: &str) -> Result<()> {
        let said = self.kubectl(&["exec", "deploy/blue", "--", "sh", "-c", script])?;
        ensure!(said.trim() == expected, "`{script}` in a pod said `{}`", said.trim());
        Ok(())
    }

    /// Four pods with the metric, two of each colour.
    fn scraped(&self) -> Result<()> {
        let address = self.state.prometheus.trim_start_matches("http://");
        let query = format!("/api/v1/query?query=count(tagline_check%7Bnamespace%3D%22{NAMESPACE}%22%7D)");
        let mut said = String::new();
        let found = shell::wait(LIMIT, || {
            said = http::get(address, &query).map(|(_, body)| body).unwrap_or_default();
            said.contains(r#","4"]"#)
        });
        ensure!(found, "Prometheus does not have the metrics of four pods: {said}");
        Ok(())
    }
}

/// Does it, and says how long that took.
fn timed(what: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    act().with_context(|| format!("not so: {what}"))?;
    println!("✓ {what}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn deployment(colour: &str, image: &str) -> Value {
    let script = format!(
        "mkdir /www && echo {colour} > /www/index.html && echo 'tagline_check 1' > /www/metrics && \
         exec httpd -f -p {PORT} -h /www"
    );
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "namespace": NAMESPACE, "name": colour },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": colour } },
            "template": {
                "metadata": {
                    "labels": { "app": colour },
                    "annotations": { "prometheus.io/scrape": "true", "prometheus.io/port": PORT.to_string() },
                },
                "spec": { "terminationGracePeriodSeconds": 0, "containers": [{
                    "name": "web",
                    "image": image,
                    "command": ["sh", "-c", script],
                    "readinessProbe": { "httpGet": { "path": "/", "port": PORT }, "periodSeconds": 1 },
                }]},
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": NAMESPACE, "name": "web" },
        "spec": { "type": "NodePort", "selector": { "app": "blue" }, "ports": [{ "port": 80, "targetPort": PORT }] },
    })
}
