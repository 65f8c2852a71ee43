//! The two local images of the tests, imported from programs of this machine: no image registry is needed.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::docker::docker;
use super::rootfs;
use crate::{paths, shell};

/// A new number makes the images anew.
const VERSION: &str = "1";

/// An image and how its files come about.
pub(super) struct Image {
    /// Its name, which the tests use.
    pub(super) name: &'static str,
    shell: &'static str,
    fill: fn(&Path) -> Result<()>,
}

/// What pods of the tests run.
pub(super) const BUSYBOX: &str = "tagline-test/busybox:latest";

/// A static busybox, a few megabytes; and one with bash, coreutils and git, for jobs as GitHub's runners have them.
pub(super) const ALL: [Image; 2] = [
    Image { name: BUSYBOX, shell: "/bin/sh", fill: rootfs::busybox },
    Image { name: "tagline-test/bash:latest", shell: "/bin/bash", fill: rootfs::bash },
];

impl Image {
    /// Imports the image unless it is there.
    pub(super) fn make(&self) -> Result<()> {
        let label = "{{index .Config.Labels \"tagline.test\"}}";
        let found = shell::output(docker().args(["image", "inspect", "--format", label, self.name]));
        if found.is_ok_and(|version| version.trim() == VERSION) {
            return Ok(());
        }
        let folder = paths::cache()?.join("rootfs");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        (self.fill)(&folder)?;
        self.import(&folder)?;
        Ok(std::fs::remove_dir_all(&folder)?)
    }

    fn import(&self, folder: &Path) -> Result<()> {
        let mut tar = Command::new("tar");
        tar.args(["--owner=0", "--group=0", "--numeric-owner", "-C"]).arg(folder).args(["-c", "."]);
        let mut tar = tar.stdout(Stdio::piped()).spawn().context("cannot start tar")?;
        let mut import = docker();
        import.args(["import", "-c", &format!("LABEL tagline.test={VERSION}")]);
        import.args(["-c", "ENV PATH=/usr/local/bin:/usr/bin:/bin"]);
        import.args(["-c", &format!("CMD [\"{}\"]", self.shell), "-", self.name]);
        let out = import.stdin(tar.stdout.take().expect("piped above")).output()?;
        ensure!(out.status.success(), "docker import: {}", String::from_utf8_lossy(&out.stderr).trim());
        ensure!(tar.wait()?.success(), "tar failed");
        Ok(())
    }
}

/// Puts an image into the registry, from where pods have it.
pub(super) fn push(image: &str, registry: &str) -> Result<()> {
    let name = format!("{registry}/{image}");
    shell::output(docker().args(["tag", image, &name]))?;
    shell::output(docker().args(["push", "--quiet", &name]))?;
    Ok(())
}

/// Removes the images; a daemon that is not there has none.
pub(super) fn remove() -> Result<()> {
    for image in ALL {
        let there = shell::output(docker().args(["image", "inspect", image.name])).is_ok();
        if there {
            shell::output(docker().args(["image", "rm", "--force", image.name]))?;
            println!("✓ {} removed", image.name);
        }
    }
    Ok(())
}
