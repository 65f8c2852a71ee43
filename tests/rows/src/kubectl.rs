//! The real `kubectl`: what people would look with, and the hand that interferes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Ground;

/// `kubectl` in one namespace.
#[derive(Debug, Clone)]
pub struct Kubectl {
    ground: Ground,
    namespace: String,
}

impl Kubectl {
    pub(crate) fn new(ground: Ground, namespace: &str) -> Self {
        Self { ground, namespace: namespace.to_owned() }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The command with these words, ready to be changed and started.
    pub fn command<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.ground.kubeconfig);
        command.args(["--namespace", &self.namespace]);
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Runs it; what it printed.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn run<const N: usize>(&self, args: [&str; N]) -> String {
        let out = self.command(args).output().expect("kubectl is on the PATH");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "kubectl {}: {said}", args.join(" "));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// `get … -o json`.
    #[track_caller]
    pub fn get<const N: usize>(&self, args: [&str; N]) -> Value {
        let out = self.command(["get", "--output", "json"]).args(args).output().expect("kubectl is on the PATH");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "kubectl get {}: {said}", args.join(" "));
        serde_json::from_slice(&out.stdout).expect("kubectl prints JSON")
    }

    /// The items of `get KIND`.
    #[track_caller]
    pub fn all(&self, kind: &str) -> Vec<Value> {
        match self.get([kind])["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }

    /// The names of the objects of a kind, sorted.
    #[track_caller]
    pub fn names(&self, kind: &str) -> Vec<String> {
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut names: Vec<String> = self.all(kind).iter().map(name).collect();
        names.sort();
        names
    }

    /// Creates or changes objects from YAML or JSON.
    #[track_caller]
    pub fn apply(&self, objects: &str) {
        let mut command = self.command(["apply", "--filename", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl is on the PATH");
        child.stdin.take().expect("piped").write_all(objects.as_bytes()).expect("kubectl reads");
        let out = child.wait_with_output().expect("our own child");
        assert!(out.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&out.stderr));
    }
}
