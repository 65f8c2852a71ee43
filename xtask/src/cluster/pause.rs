//! The image of the pods' first process: one static program, compiled from the source in the Kubernetes module and kept
//! with the built programs, in an archive that containerd imports.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::home::Home;
use crate::shell;

/// The image's name, which no registry has.
pub(super) const IMAGE: &str = "tagline.invalid/pause:1";

/// Compiles the program from its source in the module.
pub(super) fn compile(module: &Path, program: &Path) -> Result<()> {
    let source = module.join("build/pause/linux/pause.c");
    let mut cc = Command::new("cc");
    cc.args(["-Os", "-static", "-s", "-DVERSION=test", "-o"]).arg(program).arg(&source);
    shell::output(&mut cc).context("a C compiler and libc's static library are needed")?;
    Ok(())
}

/// The archive to import, made anew.
pub(super) fn archive(home: &Home) -> Result<PathBuf> {
    let folder = home.run("pause");
    let root = folder.join("root");
    fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    fs::copy(home.program("pause"), root.join("pause"))?;
    tar(&root, &["pause"], &folder.join("layer.tar"))?;
    let layer = hex::encode(Sha256::digest(fs::read(folder.join("layer.tar"))?));
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": { "Entrypoint": ["/pause"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
    });
    fs::write(folder.join("config.json"), config.to_string())?;
    let manifest = json!([{ "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }]);
    fs::write(folder.join("manifest.json"), manifest.to_string())?;
    let archive = folder.join("pause.tar");
    tar(&folder, &["manifest.json", "config.json", "layer.tar"], &archive)?;
    Ok(archive)
}

/// This machine's architecture, in the words of images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn tar(folder: &Path, files: &[&str], to: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--owner=0", "--group=0", "--numeric-owner", "-C"]).arg(folder).arg("-cf").arg(to).args(files);
    shell::output(&mut tar)?;
    Ok(())
}
