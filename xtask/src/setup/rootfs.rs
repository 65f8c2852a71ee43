//! Root file systems made of this machine's own programs and the libraries `ldd` names for them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// What a `run:` step of a plain workflow expects to find.
const PROGRAMS: &str = "bash sh awk basename base64 cat chmod chown cmp comm cp curl cut date dd df diff dirname du echo \
    env expr false find fold git grep gzip head hostname id install join kill ln ls md5sum mkdir mkfifo mktemp mv nproc \
    od paste printenv printf ps pwd readlink realpath rm rmdir sed seq setsid sha1sum sha256sum shuf sleep sort split \
    stat stty sync tac tail tar tee test timeout touch tr true truncate tsort tty uname uniq wc whoami xargs yes";

/// Folders every root needs, and those of a merged `/usr`.
fn skeleton(root: &Path) -> Result<()> {
    for folder in ["usr/bin", "usr/lib", "usr/lib64", "etc", "root", "proc", "sys", "dev", "var", "home", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for link in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{link}"), root.join(link))?;
    }
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    fs::set_permissions(root.join("tmp"), open)?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nrunner:x:1001:1001::/home:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\nrunner:x:1001:\n")?;
    fs::write(root.join("etc/hostname"), "tagline-test\n")?;
    Ok(())
}

/// A static busybox and a link for each of its applets.
pub(super) fn busybox(root: &Path) -> Result<()> {
    skeleton(root)?;
    let program = shell::which("busybox").context("busybox is not installed")?;
    fs::copy(&program, root.join("usr/bin/busybox"))?;
    for applet in shell::output(Command::new(&program).arg("--list"))?.lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("usr/bin").join(applet))?;
        }
    }
    Ok(())
}

/// Bash, the usual programs and git, with their libraries.
pub(super) fn bash(root: &Path) -> Result<()> {
    skeleton(root)?;
    let programs: Vec<PathBuf> = PROGRAMS.split_whitespace().filter_map(shell::which).collect();
    ensure!(programs.iter().any(|file| file.ends_with("bash")), "bash is not installed");
    for library in libraries(&programs)? {
        copy(&library, root)?;
    }
    for program in programs {
        let name = program.file_name().expect("`which` answers files");
        fs::copy(&program, root.join("usr/bin").join(name))?;
    }
    Ok(())
}

/// The shared libraries of the programs, the loader among them.
fn libraries(programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let told = shell::output(Command::new("ldd").args(programs))?;
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(told.lines().filter(|line| line.starts_with('\t')).filter_map(path).collect())
}

/// Copies a file to its own path beneath `root`.
fn copy(file: &Path, root: &Path) -> Result<()> {
    let to = root.join(file.strip_prefix("/").context("ldd named a relative path")?);
    fs::create_dir_all(to.parent().expect("a file has a folder"))?;
    fs::copy(file, &to).with_context(|| format!("cannot copy {}", file.display()))?;
    Ok(())
}
