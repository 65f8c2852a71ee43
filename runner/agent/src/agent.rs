//! The agent: waits for its job, runs it, and ends.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use tagline_protocol::{AgentState, JobPaths, StepUser};

use crate::control::Control;
use crate::job::{self, Means};
use crate::journal::Journal;
use crate::places::Places;
use crate::reap::Reaper;
use crate::spool::Spool;
use crate::wake::Wake;

/// How long a job may be awaited.
const PATIENCE: Duration = Duration::from_mins(1);
/// The exit code when the result could not be written: the engine finds a dead agent without a result.
const NO_RESULT: u8 = 74;

/// Where an agent finds itself.
#[derive(Debug)]
pub struct Setting {
    /// The job folder.
    pub places: Places,
    /// What the engine must know.
    pub token: String,
    /// Variables below all others.
    pub base: Vec<(String, String)>,
    /// Who steps run as, where the sandbox decides and not the job; none is the agent itself.
    pub user: Option<StepUser>,
    /// Where the folders are, where the sandbox decides and not the job.
    pub paths: Option<JobPaths>,
    /// What the job's log must begin with.
    pub warning: Option<String>,
}

/// Waits for the job and runs it. Exit code 0 when the result is in the spool, or when no job came.
pub fn run(setting: Setting) -> ExitCode {
    match serve(setting) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => last_resort(&format!("the result of the job could not be written: {error}")),
    }
}

/// Says what went wrong where somebody may look, as nobody listens any more.
pub fn last_resort(why: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "tagline-agent: {why}");
    ExitCode::from(NO_RESULT)
}

fn serve(setting: Setting) -> io::Result<()> {
    let wake = Wake::new()?;
    // Orphans of a step come to the agent also where it is not the first process.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let reaper = Reaper::start(wake.clone())?;
    let control = Control::start(setting.places.listener()?, setting.token, wake.clone())?;
    let Some(spec) = control.wait_for_start(PATIENCE) else {
        return Ok(());
    };
    let spool = Spool::open(setting.places.spool()?)?;
    let journal = Journal::new(spool, control.clone());
    let means = Means {
        places: setting.places,
        control: control.clone(),
        reaper,
        wake,
        base: setting.base,
        // A sandbox knows better than the job which users it has.
        user: if setting.paths.is_some() { setting.user } else { spec.user },
        paths: setting.paths.unwrap_or_else(|| spec.paths.clone()),
        warning: setting.warning,
    };
    let result = job::run(*spec, means, journal);
    control.set_state(AgentState::Finished);
    result
}
