//! Git repositories made for a test, untouched by the configuration of who runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A working copy with its own `user.name` and `user.email`.
#[derive(Debug)]
pub struct Repo {
    path: PathBuf,
    home: PathBuf,
}

/// Who commits where a test does not say otherwise.
const EMAIL: &str = "jonas@example.com";

impl Repo {
    #[track_caller]
    pub(crate) fn init(path: PathBuf, home: PathBuf) -> Self {
        std::fs::create_dir_all(&path).expect("a folder in the scratch");
        std::fs::create_dir_all(&home).expect("a folder in the scratch");
        let repo = Self { path, home };
        repo.git(["init", "--quiet", "--initial-branch=main"]);
        repo.user(EMAIL);
        repo
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets who commits, tags and votes here from now on.
    #[track_caller]
    pub fn user(&self, email: &str) -> &Self {
        let name = email.split('@').next().unwrap_or(email);
        self.git(["config", "user.name", name]);
        self.git(["config", "user.email", email]);
        self
    }

    /// Writes a file, uncommitted.
    #[track_caller]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let file = self.path.join(name);
        std::fs::create_dir_all(file.parent().expect("a file has a folder")).expect("folders in the repository");
        std::fs::write(file, content).expect("a file in the repository");
        self
    }

    /// Writes `.github/workflows/NAME`.
    #[track_caller]
    pub fn workflow(&self, name: &str, content: &str) -> &Self {
        self.write(&format!(".github/workflows/{name}"), content)
    }

    /// Writes `.tagline/environments.yml`.
    #[track_caller]
    pub fn environments(&self, content: &str) -> &Self {
        self.write(".tagline/environments.yml", content)
    }

    /// Commits everything, even nothing; the commit's full id.
    #[track_caller]
    pub fn commit(&self, message: &str) -> String {
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(["rev-parse", "HEAD"])
    }

    /// An annotated tag on HEAD.
    #[track_caller]
    pub fn tag(&self, name: &str) -> &Self {
        self.git(["tag", "--annotate", "--message", name, name]);
        self
    }

    /// A lightweight tag on HEAD.
    #[track_caller]
    pub fn light_tag(&self, name: &str) -> &Self {
        self.git(["tag", name]);
        self
    }

    /// A bare repository in `path`, set as `origin`, with everything pushed.
    #[track_caller]
    pub fn bare_origin(&self, path: &Path) -> &Self {
        let text = path.to_str().expect("scratch paths are UTF-8");
        self.git(["init", "--quiet", "--bare", "--initial-branch=main", text]);
        self.git(["remote", "add", "origin", text]);
        self.git(["push", "--quiet", "origin", "main"]);
        self
    }

    /// A `git` command in this repository, for what [`Repo::git`] cannot say.
    pub fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.path).env("HOME", &self.home);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_TERMINAL_PROMPT", "0").env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
        command
    }

    /// Runs `git`; its standard output without the last line end.
    #[track_caller]
    pub fn git<const N: usize>(&self, args: [&str; N]) -> String {
        let out = self.command().args(args).output().expect("git is installed");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "git {}: {said}", args.join(" "));
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }
}
