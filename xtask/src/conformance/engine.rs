//! The built `tagline`, run in a folder of its own for each case.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};

use crate::paths;

/// The binary and where the cases' folders are; they are removed with this value.
pub(super) struct Engine {
    binary: PathBuf,
    scratch: PathBuf,
    next: AtomicUsize,
}

/// What a command said.
pub(super) struct Said {
    /// The exit code.
    pub(super) code: i32,
    /// Standard output.
    pub(super) stdout: String,
    /// Standard error.
    pub(super) stderr: String,
}

impl Said {
    /// The exit code and the last words, for a failure's reason.
    pub(super) fn brief(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
        format!("exit {}: {words}", self.code)
    }
}

impl Engine {
    pub(super) fn new() -> Result<Self> {
        let named = paths::named_binary();
        let binary = named.unwrap_or_else(|| paths::target().join("debug/tagline"));
        if !binary.exists() {
            bail!("{} is not there", binary.display());
        }
        let scratch = std::env::temp_dir().join(format!("tagline-cf-{}", std::process::id()));
        fs::create_dir_all(&scratch)?;
        Ok(Self { binary, scratch, next: AtomicUsize::new(0) })
    }

    /// A new folder with `home` and `tree` in it, for one case.
    pub(super) fn folder(&self) -> Result<Folder> {
        let path = self.scratch.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir_all(path.join("home"))?;
        fs::create_dir_all(path.join("tree"))?;
        Ok(Folder { path })
    }

    /// Runs `tagline`; a minute at most, then it is killed and that is its exit code, 124.
    pub(super) fn run(&self, folder: &Folder, args: &[&str]) -> Result<Said> {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "60"]).arg(&self.binary).args(args);
        said(folder.isolate(&mut command))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // What cannot be removed is in the system's temporary folder.
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// The folder of one case.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The working tree.
    pub(super) fn tree(&self) -> PathBuf {
        self.path.join("tree")
    }

    /// Where `tagline` keeps its state.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("home/data/tagline")
    }

    /// Writes a file outside the tree; its path.
    pub(super) fn beside(&self, name: &str, text: &str) -> Result<String> {
        let file = self.path.join(name);
        fs::write(&file, text)?;
        Ok(file.to_string_lossy().into_owned())
    }

    /// Writes a file of the tree.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let relative = Path::new(name);
        if relative.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            bail!("the case names a file outside its folder: {name}");
        }
        let file = self.tree().join(relative);
        fs::create_dir_all(file.parent().context("a file has a folder")?)?;
        Ok(fs::write(file, text)?)
    }

    /// Makes the tree a Git repository with everything committed.
    pub(super) fn commit(&self) -> Result<()> {
        let steps: [&[&str]; 5] = [
            &["init", "--quiet", "--initial-branch=main"],
            &["config", "user.name", "jonas"],
            &["config", "user.email", "jonas@example.com"],
            &["add", "--all"],
            &["commit", "--quiet", "--allow-empty", "--message", "Case"],
        ];
        for args in steps {
            let mut git = Command::new("git");
            let out = said(self.isolate(git.args(args)))?;
            if out.code != 0 {
                bail!("git {}: {}", args.join(" "), out.brief());
            }
        }
        Ok(())
    }

    fn isolate<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let home = self.path.join("home");
        command.current_dir(self.tree()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LANG", "C.UTF-8");
        command.env("HOME", &home).env("XDG_DATA_HOME", home.join("data")).env("XDG_STATE_HOME", home.join("state"));
        command.env("XDG_CONFIG_HOME", home.join("config")).env("XDG_CACHE_HOME", home.join("cache"));
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").stdin(Stdio::null())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn said(command: &mut Command) -> Result<Said> {
    let out = command.output().with_context(|| format!("cannot start {}", crate::shell::words(command)))?;
    Ok(Said {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    })
}
