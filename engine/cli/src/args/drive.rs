//! Flags of the commands that drive runs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use tagline_run::RunId;

/// Where jobs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Runner {
    /// The sandbox, or Docker where a job needs it
    #[default]
    Auto,
    /// Namespaces of this machine, without a daemon
    Sandbox,
    /// One container a job
    Docker,
}

impl Runner {
    /// The name as flags, plans and the store write it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Sandbox => "sandbox",
            Self::Docker => "docker",
        }
    }
}

/// `tagline demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where to make the scratch repository, instead of a temporary folder
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Where jobs run
    #[arg(long, value_enum, default_value_t)]
    pub(crate) runner: Runner,
}

/// What every command takes that drives runs.
#[derive(Debug, Args)]
pub(crate) struct DriveArgs {
    /// A file of secrets, one NAME=VALUE a line
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
    /// Print events as JSON, one a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tagline run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The workflow: its path, file name or name; without it every workflow whose filter matches
    pub(crate) workflow: Option<String>,
    /// The tag to release; without it the working tree is run
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Where jobs run
    #[arg(long, value_enum, default_value_t)]
    pub(crate) runner: Runner,
    /// Only this job and what it needs
    #[arg(long)]
    pub(crate) job: Option<String>,
    /// The event that starts the workflow
    #[arg(long, conflicts_with = "tag")]
    pub(crate) event: Option<String>,
    /// A JSON file that becomes `github.event`
    #[arg(long, value_name = "FILE")]
    pub(crate) payload: Option<PathBuf>,
    /// Release a version lower than the live one
    #[arg(long)]
    pub(crate) allow_downgrade: bool,
    /// How it is driven
    #[command(flatten)]
    pub(crate) drive: DriveArgs,
}

/// `tagline serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Without pages and port; the only way in this version
    #[arg(long, required = true)]
    pub(crate) headless: bool,
}

/// What both votes take.
#[derive(Debug, Args)]
pub(crate) struct VoteArgs {
    /// The run
    pub(crate) run: RunId,
    /// The environment
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
    /// The plan that was read: 12 or more digits of its digest
    #[arg(long, value_name = "DIGEST")]
    pub(crate) plan: Option<String>,
    /// Sign the vote with this SSH key, instead of Git's signing key
    #[arg(long, value_name = "SSHKEY")]
    pub(crate) key: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tagline approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The vote
    #[command(flatten)]
    pub(crate) vote: VoteArgs,
    /// A comment to record
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// `tagline reject`.
#[derive(Debug, Args)]
pub(crate) struct RejectArgs {
    /// The vote
    #[command(flatten)]
    pub(crate) vote: VoteArgs,
    /// The reason to record
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// `tagline cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The run
    pub(crate) run: RunId,
    /// Kill its jobs at once, without their clean-up steps
    #[arg(long)]
    pub(crate) force: bool,
    /// The reason to record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) comment: String,
}

/// `tagline rerun`.
#[derive(Debug, Args)]
pub(crate) struct RerunArgs {
    /// The run
    pub(crate) run: RunId,
    /// Only the jobs that did not succeed and those after them
    #[arg(long, conflicts_with = "from")]
    pub(crate) failed: bool,
    /// This job and those after it
    #[arg(long, value_name = "JOB")]
    pub(crate) from: Option<String>,
    /// Release a version lower than the live one
    #[arg(long)]
    pub(crate) allow_downgrade: bool,
    /// How it is driven
    #[command(flatten)]
    pub(crate) drive: DriveArgs,
}

/// `tagline rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The environment
    pub(crate) environment: String,
    /// The version to go to; without it what was live before the newest release
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<String>,
    /// Only this unit (several times for several); without it all of the newest release
    #[arg(long, value_name = "NAME")]
    pub(crate) unit: Vec<String>,
    /// The reason to record
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Restart the old release's pods before they get traffic
    #[arg(long)]
    pub(crate) restart: bool,
    /// How it is driven
    #[command(flatten)]
    pub(crate) drive: DriveArgs,
}

/// `tagline resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The run; without it all that are not over
    pub(crate) run: Option<RunId>,
    /// How it is driven
    #[command(flatten)]
    pub(crate) drive: DriveArgs,
}

/// `tagline hook …`.
#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// Write a post-receive hook into a bare repository, so that pushed tags start their workflows
    Install(HookInstallArgs),
    /// Start what a push brought; the hook calls this
    #[command(hide = true)]
    Receive,
}

/// `tagline hook install`.
#[derive(Debug, Args)]
pub(crate) struct HookInstallArgs {
    /// The bare repository, instead of --repo or the current folder
    pub(crate) folder: Option<PathBuf>,
}
