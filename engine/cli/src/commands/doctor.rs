//! `tagline doctor`: what Tagline needs on this machine, each tried for real.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tagline_executor::{Isolation, PlainProcess, propose};
use tagline_store::{Store, StoreError, StoreFolder};

use super::doctor_role;
use crate::args::DoctorArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Mark;
use crate::words::{self, plain};

/// A daemon that does not answer within this is not there.
const PATIENCE: Duration = Duration::from_secs(3);
/// Name and verdict stand this far apart.
const NAME_WIDTH: usize = 12;

/// One thing that was looked at.
struct Check {
    name: &'static str,
    mark: Mark,
    text: String,
    next: Option<String>,
}

impl Check {
    fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, mark: Mark::Success, text: text.into(), next: None }
    }

    /// It could be better; nothing is broken.
    fn warn(name: &'static str, text: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, mark: Mark::Warning, text: text.into(), next: Some(next.into()) }
    }

    /// Without it nothing works.
    fn bad(name: &'static str, text: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, mark: Mark::Failure, text: text.into(), next: Some(next.into()) }
    }
}

/// Runs it: exit 1 when something that is needed is broken.
pub(crate) fn run(context: &Context, args: &DoctorArgs) -> Outcome {
    if args.role {
        return doctor_role::run(context, args.user.as_deref());
    }
    let (config, _) = crate::live::runner::config(&context.store)?;
    let plain = config.plain_process();
    let mut checks = vec![store(context)];
    let (sandbox, docker) = crate::live::block_on(async {
        let docker = tokio::time::timeout(PATIENCE, Isolation::of_docker()).await;
        Ok((sandbox(plain).await, docker.ok()))
    })?;
    checks.extend(executors(sandbox, docker, plain));
    checks.push(git(context));
    checks.push(ssh_keygen());
    checks.extend(exposure(context)?);
    if args.json {
        let one = |check: &Check| json!({"name": check.name, "state": check.mark.word(), "text": check.text, "next": check.next});
        context.output.json(&checks.iter().map(one).collect::<Vec<_>>());
    } else {
        for check in &checks {
            print(context, check);
        }
    }
    let broken = checks.iter().any(|check| check.mark == Mark::Failure);
    Ok(if broken { Exit::Failed } else { Exit::Done })
}

fn print(context: &Context, check: &Check) {
    let facts = &context.output.out;
    let next =
        check.next.as_ref().map(|next| format!("      next: {}", plain(&context.at_store(next)))).unwrap_or_default();
    context.output.line(format!("{} {:<NAME_WIDTH$} {}{next}", facts.mark(check.mark), check.name, plain(&check.text)));
}

/// The journal is read to its end, and a file is written and synced where it lies.
fn store(context: &Context) -> Check {
    let place = context.store.root().display().to_string();
    let elsewhere = "name another: tagline doctor --store sqlite:///var/lib/tagline";
    let opened = match Store::open_read_only(&context.store) {
        Err(StoreError::Missing(_)) => None,
        Ok(store) => Some(store.verify()),
        Err(error) => return Check::bad("store", format!("{place}: {error}"), elsewhere),
    };
    let written = match synced_write(context.store.root()) {
        Ok(took) => words::duration(i64::try_from(took.as_millis()).unwrap_or(i64::MAX)),
        Err(error) => return Check::bad("store", format!("{place} cannot be written: {error}"), elsewhere),
    };
    match opened {
        None => Check::good("store", format!("none yet; the first run makes it at {place}, synced write {written}")),
        Some(Ok(verified)) => {
            let entries = if verified.entries == 1 { "entry" } else { "entries" };
            Check::good(
                "store",
                format!("{place}, synced write {written}, {} {entries} verified", words::number(verified.entries)),
            )
        }
        Some(Err(error)) => Check::bad("store", error.to_string(), "restore a backup, then: tagline store verify"),
    }
}

/// In the folder, or in the nearest one above it that is there.
fn synced_write(folder: &Path) -> std::io::Result<Duration> {
    let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(there)?;
    let begun = Instant::now();
    std::io::Write::write_all(&mut file, &[0; 4096])?;
    file.as_file().sync_all()?;
    Ok(begun.elapsed())
}

/// A sandbox is made and looked at; the reason where that is not possible.
async fn sandbox(plain: PlainProcess) -> Result<Isolation, String> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let store = StoreFolder::at(scratch.path());
    store.create().map_err(|error| error.to_string())?;
    let agent = crate::agent::extract(&store).map_err(|error| error.to_string())?;
    Ok(Isolation::of_sandbox(&agent, plain).await)
}

/// What a machine without namespaces gives, where it may.
fn without_isolation(isolation: &Isolation, plain: PlainProcess) -> Check {
    let which = match plain {
        PlainProcess::Always => "jobs",
        PlainProcess::Never | PlainProcess::WithoutEnvironment => "jobs without an environment",
    };
    let text = format!("no namespaces here: {which} are plain processes and can read what you can");
    let next = isolation.help.clone().unwrap_or_else(|| "run as a user who may make namespaces".to_owned());
    Check::warn("sandbox", text, next)
}

/// One executor is enough.
fn executors(sandbox: Result<Isolation, String>, docker: Option<Isolation>, plain: PlainProcess) -> [Check; 2] {
    let open = sandbox.as_ref().ok().filter(|isolation| isolation.problem.is_none() && isolation.active.is_empty());
    let open = open.map(|isolation| without_isolation(isolation, plain));
    let late = format!("it does not answer within {}", words::duration(3_000));
    let sandbox = verdict(sandbox, "run as a user who may make namespaces");
    let docker = verdict(docker.ok_or(late), "start the daemon, or set DOCKER_HOST");
    let (there, also) = (sandbox.is_ok(), docker.is_ok());
    let check = |name, verdict: Result<String, (String, String)>, other: Option<&str>| match (verdict, other) {
        (Ok(text), _) => Check::good(name, text),
        (Err((why, next)), Some(other)) => Check::warn(name, format!("off: {why}. Not needed: {other} is there"), next),
        (Err((why, next)), None) => Check::bad(name, format!("off: {why}"), next),
    };
    let sandbox = open.unwrap_or_else(|| check("sandbox", sandbox, also.then_some("docker")));
    [sandbox, check("docker", docker, there.then_some("the sandbox"))]
}

/// What it gives, or why it does not and what would help.
fn verdict(isolation: Result<Isolation, String>, otherwise: &str) -> Result<String, (String, String)> {
    let isolation = isolation.map_err(|why| (why, otherwise.to_owned()))?;
    if let Some(problem) = isolation.problem {
        return Err((problem, isolation.help.unwrap_or_else(|| otherwise.to_owned())));
    }
    let active = isolation.active.join(", ");
    Ok(match (isolation.runner, active.as_str()) {
        ("sandbox", spaces) => format!("active ({spaces} namespaces)"),
        _ => isolation.detail,
    })
}

fn git(context: &Context) -> Check {
    let out = Command::new("git").arg("--version").output();
    let version = match out {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout).trim().replace("git version ", ""),
        _ => return Check::bad("git", "it cannot be started", "install git"),
    };
    let repository = context.repository().ok();
    match repository.map(|repository| repository.identity()) {
        Some(Some(person)) => Check::good("git", format!("{version}; you are {}", person.email)),
        Some(None) => {
            Check::warn("git", format!("{version}; it does not know you"), "git config user.email you@example.com")
        }
        None => Check::good("git", version),
    }
}

fn ssh_keygen() -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|folder| folder.join("ssh-keygen")).find(|program| program.is_file()) {
        Some(_) => Check::good("ssh-keygen", "there; votes can be signed"),
        None => Check::warn("ssh-keygen", "not there: votes stay unsigned", "install openssh-client"),
    }
}

/// Tool chains of this user that jobs in the sandbox do not see.
fn exposure(context: &Context) -> Result<Option<Check>, Failure> {
    let Some(home) = std::env::var_os("HOME").map(PathBuf::from) else { return Ok(None) };
    let (config, file) = crate::live::runner::config(&context.store)?;
    let exposed = config.exposure(&file).map_err(|error| {
        Failure::of(Exit::Failed, "bad-runner-file", &error).next(format!("mend {}", file.display()))
    })?;
    let path = std::env::var("PATH").unwrap_or_default();
    let proposed = propose(&path, &home).into_iter().filter(|folder| !exposed.folders.contains(folder));
    let proposed: Vec<String> = proposed.map(|folder| folder.display().to_string()).collect();
    if proposed.is_empty() {
        return Ok(None);
    }
    Ok(Some(Check::warn(
        "tool chains",
        format!("jobs in the sandbox do not see {}", proposed.join(", ")),
        format!("write to {}: expose = {proposed:?}", file.display()),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_executor_is_enough() {
        let there = |runner, yes: bool| {
            let problem = (!yes).then(|| "no".to_owned());
            Isolation { runner, active: vec!["user".to_owned()], detail: "29.0".to_owned(), problem, help: None }
        };
        let marks = |sandbox, docker| {
            let (sandbox, docker) = (Ok(there("sandbox", sandbox)), Some(there("docker", docker)));
            executors(sandbox, docker, PlainProcess::Never).map(|check| check.mark)
        };
        assert_eq!(marks(true, true), [Mark::Success, Mark::Success]);
        assert_eq!(marks(true, false), [Mark::Success, Mark::Warning]);
        assert_eq!(marks(false, true), [Mark::Warning, Mark::Success]);
        assert_eq!(marks(false, false), [Mark::Failure, Mark::Failure]);
    }

    #[test]
    fn jobs_without_isolation_are_warned_of() {
        let help = Some("allow it".to_owned());
        let open = Isolation { runner: "sandbox", active: Vec::new(), detail: String::new(), problem: None, help };
        let [sandbox, docker] = executors(Ok(open), None, PlainProcess::WithoutEnvironment);
        assert_eq!((sandbox.mark, docker.mark), (Mark::Warning, Mark::Warning));
        assert!(sandbox.text.contains("jobs without an environment are plain processes"), "{}", sandbox.text);
        assert_eq!(sandbox.next.as_deref(), Some("allow it"));
    }

    #[test]
    fn a_write_is_tried_where_the_store_would_be() {
        let scratch = tempfile::tempdir().unwrap();
        synced_write(&scratch.path().join("not/there/yet")).unwrap();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
