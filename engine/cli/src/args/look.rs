//! Flags of the commands that look at runs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use tagline_run::{JobKey, RunId};

/// `tagline runs`.
#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// Only those that are not over
    #[arg(long)]
    pub(crate) active: bool,
    /// Only those of this tag
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// At most so many; without it 30 as text, all as JSON
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tagline show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run
    pub(crate) run: RunId,
    /// What waits to be approved, in full
    #[arg(long)]
    pub(crate) plan: bool,
    /// Only what changed in it since the plan with this digest
    #[arg(long, value_name = "DIGEST", requires = "plan")]
    pub(crate) since: Option<String>,
    /// What the steps wrote to GITHUB_STEP_SUMMARY
    #[arg(long, conflicts_with = "plan")]
    pub(crate) summary: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tagline logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The run
    pub(crate) run: RunId,
    /// Only this job, such as build or build.2
    #[arg(conflicts_with = "job_flag")]
    pub(crate) job: Option<JobKey>,
    /// Only this job
    #[arg(long = "job", value_name = "JOB")]
    pub(crate) job_flag: Option<JobKey>,
    /// Go on until the run is over
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only steps that failed
    #[arg(long, conflicts_with = "follow")]
    pub(crate) failed: bool,
}

/// How a graph is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Layers of jobs
    #[default]
    Text,
    /// Graphviz
    Dot,
    /// Mermaid
    Mermaid,
}

/// `tagline graph`.
#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// A run's number, or a workflow
    #[arg(value_name = "RUN|WORKFLOW")]
    pub(crate) subject: String,
    /// How it is drawn
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: GraphFormat,
}

/// `tagline explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The run
    pub(crate) run: RunId,
    /// The job, with all legs of its matrix, or one of them such as build.2
    pub(crate) job: JobKey,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tagline environments`.
#[derive(Debug, Args)]
pub(crate) struct EnvironmentsArgs {
    /// One environment, in full
    pub(crate) environment: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tagline artifacts …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactsCommand {
    /// List them
    Ls(ArtifactsListArgs),
    /// Unpack one or all into a folder
    Get(ArtifactsGetArgs),
    /// Check each against its digest
    Verify(ArtifactsVerifyArgs),
}

/// `tagline artifacts ls`.
#[derive(Debug, Args)]
pub(crate) struct ArtifactsListArgs {
    /// The run
    pub(crate) run: RunId,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tagline artifacts get`.
#[derive(Debug, Args)]
pub(crate) struct ArtifactsGetArgs {
    /// The run
    pub(crate) run: RunId,
    /// The artifact's name; without it all
    pub(crate) name: Option<String>,
    /// The folder to write to
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}

/// `tagline artifacts verify`.
#[derive(Debug, Args)]
pub(crate) struct ArtifactsVerifyArgs {
    /// The run
    pub(crate) run: RunId,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
