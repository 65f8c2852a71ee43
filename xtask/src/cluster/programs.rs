//! The programs that Debian does not have: Kubernetes, Helm, kustomize, CoreDNS and a Prometheus that finds pods.
//!
//! They are built from their Go modules once and lie in a folder of the cache that bears the version. The caches of Go
//! itself, gigabytes, go after the build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::home::Home;
use super::pause;
use crate::shell;

/// The version of Kubernetes. That of its staging modules has a 0 for the 1.
pub(super) const VERSION: &str = "1.34.4";
const STAGING: &str = "v0.34.4";
const HELM: &str = "helm.sh/helm/v3/cmd/helm@v3.22.0";
const KUSTOMIZE: &str = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1";
const COREDNS: &str = "v1.13.1";
/// Prometheus 3.11.3. Debian's is built without the discovery of pods.
const PROMETHEUS: &str = "v0.311.3";

/// Of Prometheus's two dozen ways to find targets, that one which is used; the others' modules know no such tags.
const TAGS: &str = "remove_all_sd,enable_kubernetes_sd";

/// What a person needs beside a cluster of somebody else.
pub(super) const TOOLS: [&str; 5] = ["kubectl", "helm", "kustomize", "prometheus", "promtool"];

/// What a cluster of our own needs.
pub(super) const ALL: [&str; 12] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
    "pause",
    "coredns",
    "helm",
    "kustomize",
    "prometheus",
    "promtool",
];

/// The modules that `k8s.io/kubernetes` requires as v0.0.0, as it carries them itself.
const STAGED: &str = "api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider \
    cluster-bootstrap code-generator component-base component-helpers controller-manager cri-api cri-client \
    csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator \
    kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission \
    sample-apiserver sample-cli-plugin sample-controller";

/// CoreDNS with what a cluster's DNS needs; the usual one has fifty plugins.
const DNS_MAIN: &str = r#"package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

func main() {
	dnsserver.Directives = []string{"bind", "errors", "kubernetes"}
	coremain.Run()
}
"#;

/// What `kubectl version` and every user agent tell.
fn version_flags() -> String {
    let packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
    packages.map(|package| format!("-X {package}.gitVersion=v{VERSION}")).join(" ")
}

/// A build and the folders it works in.
struct Build {
    folder: PathBuf,
    bin: PathBuf,
}

/// Builds those of the programs that are missing.
pub(super) fn build(home: &Home, programs: &[&str]) -> Result<()> {
    let build = Build { folder: home.version().join("build"), bin: home.bin() };
    let missing: Vec<&str> = programs.iter().filter(|name| !build.bin.join(name).is_file()).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    if shell::which("go").is_none() {
        bail!("Go is not installed; building needs 1.25 or newer to build");
    }
    println!("building {} (some minutes, once)", missing.join(", "));
    fs::create_dir_all(&build.bin).with_context(|| format!("cannot make {}", build.bin.display()))?;
    for name in missing {
        let start = Instant::now();
        build.one(name).with_context(|| format!("cannot build {name}"))?;
        println!("✓ {name} {} s", start.elapsed().as_secs());
    }
    build.forget()
}

impl Build {
    fn one(&self, name: &str) -> Result<()> {
        match name {
            "helm" => self.install(HELM),
            "kustomize" => self.install(KUSTOMIZE),
            "coredns" => self.coredns(),
            "prometheus" | "promtool" => self.prometheus(name),
            "pause" => self.pause(),
            kubernetes => self.compile(&self.kubernetes()?, kubernetes, &format!("k8s.io/kubernetes/cmd/{kubernetes}")),
        }
    }

    /// A `go` that keeps everything in the build's folder and takes no other version of itself.
    fn go(&self, folder: &Path) -> Command {
        let mut go = Command::new("go");
        go.current_dir(folder).env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local");
        go.env("GOPATH", self.folder.join("path")).env("GOMODCACHE", self.folder.join("modules"));
        go.env("GOCACHE", self.folder.join("cache")).env("GOFLAGS", "").env("GOWORK", "off");
        go
    }

    /// A folder with a go.mod of these lines.
    fn module(&self, name: &str, lines: &[String]) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let text = format!("module tagline.invalid/{name}\n\ngo 1.25.0\n\n{}\n", lines.join("\n"));
        fs::write(folder.join("go.mod"), text)?;
        Ok(folder)
    }

    fn kubernetes(&self) -> Result<PathBuf> {
        let mut lines = vec![format!("require k8s.io/kubernetes v{VERSION}")];
        lines.extend(STAGED.split_whitespace().map(|part| format!("replace k8s.io/{part} => k8s.io/{part} {STAGING}")));
        self.module("kubernetes", &lines)
    }

    /// Builds a package of the module in `folder`; the program appears whole or not at all.
    fn compile(&self, folder: &Path, name: &str, package: &str) -> Result<()> {
        let made = self.folder.join(name);
        let flags = format!("-s -w {}", version_flags());
        let mut go = self.go(folder);
        go.args(["build", "-mod=mod", "-tags", TAGS, "-trimpath", "-ldflags", &flags, "-o"]).arg(&made).arg(package);
        shell::output(&mut go)?;
        Ok(fs::rename(made, self.bin.join(name))?)
    }

    fn install(&self, package: &str) -> Result<()> {
        let mut go = self.go(&self.folder);
        go.env("GOBIN", &self.bin).args(["install", "-trimpath", "-ldflags=-s -w", package]);
        shell::output(&mut go)?;
        Ok(())
    }

    fn coredns(&self) -> Result<()> {
        let folder = self.module("dns", &[format!("require github.com/coredns/coredns {COREDNS}")])?;
        fs::write(folder.join("main.go"), DNS_MAIN)?;
        self.compile(&folder, "coredns", ".")
    }

    /// The server, or the program that tests rules for it.
    fn prometheus(&self, name: &str) -> Result<()> {
        let module = "github.com/prometheus/prometheus";
        let folder = self.module("metrics", &[format!("require {module} {PROMETHEUS}")])?;
        self.compile(&folder, name, &format!("{module}/cmd/{name}"))
    }

    fn pause(&self) -> Result<()> {
        let module = shell::output(self.go(&self.kubernetes()?).args([
            "mod",
            "download",
            "-json",
            &format!("k8s.io/kubernetes@v{VERSION}"),
        ]))?;
        let told: serde_json::Value = serde_json::from_str(&module)?;
        let folder = told["Dir"].as_str().context("go named no folder of the module")?;
        let made = self.folder.join("pause");
        pause::compile(Path::new(folder), &made)?;
        Ok(fs::rename(made, self.bin.join("pause"))?)
    }

    /// Frees Go's caches. Modules are read-only files, which `go` itself removes.
    fn forget(&self) -> Result<()> {
        shell::output(self.go(&self.folder).args(["clean", "-modcache"]))?;
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot free {}", self.folder.display()))
    }
}

/// Frees the programs of every version, and what a build that was stopped has left.
pub(super) fn forget(home: &Home) -> Result<()> {
    for entry in fs::read_dir(home.path())?.flatten() {
        let version = entry.path();
        if version.join("bin").is_dir() {
            let build = Build { folder: version.join("build"), bin: version.join("bin") };
            if build.folder.exists() && shell::which("go").is_some() {
                build.forget()?;
            }
            fs::remove_dir_all(&version).with_context(|| format!("cannot free {}", version.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_every_version_are_freed_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("tagline-cluster-{}", std::process::id()));
        for made in ["1.33.0/bin", "1.34.4/bin", "logs"] {
            fs::create_dir_all(folder.join(made)).expect("a folder");
        }
        fs::write(folder.join("1.33.0/bin/kubelet"), "").expect("a file");
        forget(&Home::at(folder.clone())).expect("freed");
        let left: Vec<_> =
            fs::read_dir(&folder).expect("the folder").flatten().map(|entry| entry.file_name()).collect();
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(left, ["logs"]);
    }
}
