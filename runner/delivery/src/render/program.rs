//! Runs a renderer: no network, no credentials, bounded time and output.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};

use super::RenderError;

/// How long one rendering may take.
const TIME: Duration = Duration::from_mins(1);
/// How much it may print.
const OUTPUT: u64 = 32 << 20;

/// Address space, of which a Go program reserves much more than it uses.
const MEMORY: u64 = 8 << 30;

/// Where renderers are looked for.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    path: OsString,
}

/// One renderer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program {
    /// Its file's name.
    pub(super) name: &'static str,
    /// As errors name it.
    pub(super) says: &'static str,
    pub(super) wanted: &'static str,
    pub(super) from: &'static str,
}

impl Programs {
    /// Looks in these folders, written as `PATH` is.
    pub fn new(path: impl Into<OsString>) -> Self {
        Self { path: path.into() }
    }

    /// Looks in the engine's own `PATH`.
    pub fn of_engine() -> Self {
        Self::new(std::env::var_os("PATH").unwrap_or_default())
    }

    fn find(&self, program: Program) -> Result<PathBuf, RenderError> {
        let is_program =
            |path: &PathBuf| path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
        let mut places = std::env::split_paths(&self.path).filter(|folder| folder.is_absolute());
        let found = places.find_map(|folder| Some(folder.join(program.name)).filter(is_program));
        found.ok_or(RenderError::NoProgram { program: program.name, wanted: program.wanted, from: program.from })
    }

    /// What the program prints. `home` is an empty folder of its own; `folder` is where it runs.
    pub(super) async fn run(
        &self,
        program: Program,
        arguments: &[&OsStr],
        folder: &Path,
        home: &Path,
        path: &str,
    ) -> Result<Vec<u8>, RenderError> {
        let file = self.find(program)?;
        let mut command = Command::new(&file);
        command.args(arguments).current_dir(folder).env_clear();
        // Nothing is fetched: `git` is not on this PATH, and web addresses lead to a port that nobody serves.
        command.env("PATH", home).env("HOME", home).env("TMPDIR", home).env("KUBECONFIG", home.join("none"));
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            command.env(proxy, "http://127.0.0.1:9");
        }
        for place in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_PLUGINS", "XDG_CONFIG_HOME"] {
            command.env(place, home);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let broken = |error: io::Error| RenderError::File { path: file.clone(), message: error.to_string() };
        let mut child = command.spawn().map_err(broken)?;
        bound_memory(&child);
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(broken(io::Error::other("no pipe to it")));
        };
        let mut errors = Vec::new();
        let mut stderr = stderr.take(1 << 16);
        let work = async {
            let (output, _) = tokio::try_join!(bounded(stdout), stderr.read_to_end(&mut errors))?;
            Ok::<_, io::Error>((output, child.wait().await?))
        };
        // A child that is given up is killed when it is dropped.
        let ended = tokio::time::timeout(TIME, work).await;
        let seconds = TIME.as_secs();
        let ended =
            ended.map_err(|_| RenderError::TimedOut { program: program.says, path: path.to_owned(), seconds })?;
        let what = || format!("what {} prints for {path}", program.says);
        match ended {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(RenderError::TooLarge { what: what(), limit: OUTPUT >> 20 })
            }
            Err(error) => Err(broken(error)),
            Ok((output, status)) if status.success() => Ok(output),
            Ok((_, status)) => {
                let said = said(&String::from_utf8_lossy(&errors), folder, home);
                let message = if said.is_empty() { status.to_string() } else { said };
                let hint = hint(&message).to_owned();
                Err(RenderError::Program { program: program.says, path: path.to_owned(), message, hint })
            }
        }
    }
}

/// A template may ask for any amount of memory; the engine's machine is not to feel it.
fn bound_memory(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    // An error means that it has ended already.
    let _ = pid.map(|pid| prlimit(Some(pid), Resource::As, limit));
}

/// All it prints; more than [`OUTPUT`] is an error at once: the rest is not waited for.
async fn bounded(stdout: ChildStdout) -> io::Result<Vec<u8>> {
    let mut output = Vec::new();
    stdout.take(OUTPUT + 1).read_to_end(&mut output).await?;
    if output.len() as u64 > OUTPUT { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(output) }
}

/// An error's text without the paths of the scratch copy and on one line.
fn said(text: &str, folder: &Path, home: &Path) -> String {
    let mut text = text.to_owned();
    for place in [folder, home] {
        let place = place.to_string_lossy();
        text = text.replace(&format!("{place}/"), "").replace(place.as_ref(), ".");
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("Use --debug")).collect();
    let one = lines.join(" ");
    one.strip_prefix("Error: ").unwrap_or(&one).chars().take(2000).collect()
}

fn hint(message: &str) -> &'static str {
    let says = |text: &str| message.contains(text);
    if says("127.0.0.1:9") || says("exec: \"git\"") || says("no 'git' program") || says("executable file not found") {
        "; nothing is fetched while rendering: put a copy of it into the repository"
    } else if says("missing in charts/") {
        "; commit the charts it depends on: helm dependency build"
    } else if says("is not in or below") {
        "; files are read from the kustomization's own folder only: make a base of them"
    } else if says("enable-helm") {
        "; charts inside a kustomization are not rendered: give chart, or commit what helm template prints"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SHELL: Program = Program { name: "sh", says: "sh", wanted: "a shell", from: "the system" };

    async fn shell(script: &str) -> Result<Vec<u8>, RenderError> {
        let folder = tempfile::tempdir().unwrap();
        let home = tempfile::tempdir().unwrap();
        let arguments = [OsStr::new("-c"), OsStr::new(script)];
        Programs::new("/bin:/usr/bin").run(SHELL, &arguments, folder.path(), home.path(), "k8s").await
    }

    #[tokio::test]
    async fn a_program_sees_nothing_of_the_engine() {
        let seen = String::from_utf8(shell("export -p").await.unwrap()).unwrap();
        assert!(!seen.contains("CARGO") && !seen.contains("USER"), "{seen}");
        assert!(shell("curl --version").await.unwrap_err().to_string().contains("curl"));
    }

    #[tokio::test]
    async fn its_errors_are_told_without_paths_of_this_machine() {
        let error = shell("echo \"Error: no such file $PWD/base/x.yaml\" >&2; exit 3").await.unwrap_err();
        assert_eq!(error.to_string(), "sh could not render k8s: no such file base/x.yaml");
    }

    #[tokio::test]
    async fn too_much_output_is_an_error() {
        let error =
            shell("while :; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done");
        assert_eq!(error.await.unwrap_err().to_string(), "what sh prints for k8s is larger than 32 MiB");
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named_with_its_version() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("helm"), "no program: not executable").unwrap();
        let helm = Program { name: "helm", says: "helm template", wanted: "Helm 3", from: "https://helm.sh" };
        let error = Programs::new(folder.path()).run(helm, &[], folder.path(), folder.path(), "c").await.unwrap_err();
        assert_eq!(error.to_string(), "helm is not on the engine's PATH; install Helm 3 from https://helm.sh");
    }
}
