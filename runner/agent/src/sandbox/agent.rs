//! The third process, once it is the first of its pid namespace.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use tagline_protocol::{JobPaths, SandboxConfig};

use super::gate::say;
use super::{Order, STEP, Trouble, Word, ids, root};
use crate::agent::{self, Setting};
use crate::places::Places;

/// Processes and threads the steps of one job may have: room for any build, an end to a fork bomb.
const MOST_PROCESSES: u64 = 4096;

/// Builds the sandbox, says that it listens, and is the job's agent until the job ends.
pub fn main() -> ExitCode {
    match begin() {
        Ok(setting) => {
            say(&Word::Listening);
            if let Err(error) = detach(&setting.places) {
                return agent::last_resort(&format!("cannot let go of the launcher: {error}"));
            }
            agent::run(setting)
        }
        Err(trouble) => {
            say(&trouble.into());
            ExitCode::FAILURE
        }
    }
}

fn begin() -> Result<Setting, Trouble> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| format!("cannot hide the agent's memory: {error}"))?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| format!("the launcher is gone: {error}"))?;
    let order: Order =
        serde_json::from_str(&line).map_err(|error| format!("the agent's order is not understood: {error}"))?;
    let config = order.config;
    let folder = Path::new(&config.job_folder);
    rustix::process::setsid().map_err(|error| format!("cannot begin a session: {error}"))?;
    // Before the move: afterwards the job folder cannot be named any more.
    let places =
        Places::open(folder).map_err(|error| format!("cannot open the job folder {}: {error}", folder.display()))?;
    if !order.plain {
        root::enter(&config)?;
        ids::drop_capabilities().map_err(|error| format!("cannot give up capabilities: {error}"))?;
    }
    limit().map_err(|error| format!("cannot limit the steps' processes: {error}"))?;
    Ok(Setting {
        places,
        token: config.token.clone(),
        base: config.environment.clone(),
        user: user(order.plain),
        paths: Some(paths(&config, order.plain)),
        warning: order.plain.then(|| warning(&order.refusal)),
    })
}

/// What the log of a job without namespaces begins with.
fn warning(refusal: &str) -> String {
    let whose = if rustix::process::getuid().is_root() {
        "what every user of this machine can"
    } else {
        "all that the engine's user can, its store too"
    };
    format!("no isolation: {refusal}. The steps of this job are plain processes and can read {whose}")
}

/// Who the steps run as; none is the agent itself, which has no privilege to lose.
fn user(plain: bool) -> Option<tagline_protocol::StepUser> {
    match (rustix::process::getuid().is_root(), plain) {
        (true, false) => Some(STEP),
        (true, true) => Some(ids::STEP_ON_HOST),
        (false, _) => None,
    }
}

/// Without namespaces the folders are where they are on the host.
fn paths(config: &SandboxConfig, plain: bool) -> JobPaths {
    if !plain {
        return config.paths.clone();
    }
    let at = |name: &str| Path::new(&config.job_folder).join(name).to_string_lossy().into_owned();
    JobPaths { workspace: at("work"), temp: at("temp"), home: at("home"), tool_cache: config.paths.tool_cache.clone() }
}

fn limit() -> rustix::io::Result<()> {
    let hard = rustix::process::getrlimit(Resource::Nproc).maximum;
    let most = Some(hard.map_or(MOST_PROCESSES, |hard| hard.min(MOST_PROCESSES)));
    rustix::process::setrlimit(Resource::Nproc, Rlimit { current: most, maximum: most })
}

/// Lets go of the launcher's pipes. What the agent says when it panics goes to `agent.log` in the job folder.
fn detach(places: &Places) -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(rustix::stdio::dup2_stderr(places.complaints()?)?)
}
