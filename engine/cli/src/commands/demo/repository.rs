//! The example as a repository of its own, with the person here as its reviewer.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::exit::Exit;
use crate::failure::Failure;

include!(concat!(env!("OUT_DIR"), "/example.rs"));

/// Where rules and addresses of the example are, and what in them is to be replaced.
const ENVIRONMENTS: &str = ".tagline/environments.yml";
const REVIEWER: &str = "you@example.com";
const ADDRESS: &str = "http://127.0.0.1:7420";

/// Writes the example's files.
pub(super) fn write(folder: &Path) -> io::Result<()> {
    for (name, content) in FILES {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, content)?;
    }
    Ok(())
}

/// Puts person and platform into the rules, commits everything and tags it. Answers the person's address.
pub(super) async fn commit(folder: &Path, url: &str, tag: &str) -> Result<String, Failure> {
    let email = of_user("user.email").await.unwrap_or_else(|| REVIEWER.to_owned());
    let name = of_user("user.name").await.unwrap_or_else(|| "You".to_owned());
    let path = folder.join(ENVIRONMENTS);
    let replaced = fs::read_to_string(&path).map(|rules| rules.replace(REVIEWER, &email).replace(ADDRESS, url));
    replaced.and_then(|rules| fs::write(&path, rules)).map_err(|error| super::bad("write the rules", &error))?;
    git(folder, &["init", "--quiet"]).await?;
    git(folder, &["symbolic-ref", "HEAD", "refs/heads/main"]).await?;
    git(folder, &["config", "user.email", &email]).await?;
    git(folder, &["config", "user.name", &name]).await?;
    git(folder, &["add", "--all"]).await?;
    git(folder, &["commit", "--quiet", "--message", "Add the storefront"]).await?;
    git(folder, &["tag", "--annotate", "--message", tag, tag]).await?;
    Ok(email)
}

/// A value of the user's own Git configuration.
async fn of_user(key: &str) -> Option<String> {
    let out = command(Path::new(".")).args(["config", "--global", key]).output().await.ok()?;
    let value = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    (out.status.success() && !value.is_empty()).then_some(value)
}

async fn git(folder: &Path, args: &[&str]) -> Result<(), Failure> {
    let out = command(folder).args(args).output().await;
    let failure = |why: String| {
        Failure::new(Exit::OutOfReach, "git", format!("git {} failed in the demo's repository", args[0]))
            .why(why)
            .effect("nothing outside the scratch folder was changed")
            .next("check that Git is installed: git --version")
    };
    match out {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(out) => Err(failure(String::from_utf8_lossy(&out.stderr).trim().to_owned())),
        Err(error) => Err(failure(error.to_string())),
    }
}

/// Git, with neither the hooks nor the signing of the user.
fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.args(["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false"]);
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_carried_whole_and_without_what_builds_leave() {
        let has = |name: &str| FILES.iter().any(|(path, _)| *path == name);
        for name in [
            ".cargo/config.toml",
            ".github/workflows/release.yml",
            ".gitignore",
            ENVIRONMENTS,
            "Cargo.lock",
            "platform/Cargo.lock",
            "src/main.rs",
        ] {
            assert!(has(name), "{name}");
        }
        assert!(FILES.iter().all(|(path, _)| !path.starts_with("target/") && !path.contains("/target/")));
    }

    #[test]
    fn what_is_replaced_is_there() {
        let (_, rules) = FILES.iter().find(|(path, _)| *path == ENVIRONMENTS).unwrap();
        let rules = String::from_utf8_lossy(rules);
        assert!(rules.contains(REVIEWER) && rules.contains(ADDRESS));
    }
}
