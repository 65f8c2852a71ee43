//! The command line: every command and flag, with the text of `--help`.

mod drive;
mod keep;
mod look;
mod write;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

pub(crate) use drive::{
    ApproveArgs, CancelArgs, DemoArgs, HookCommand, HookInstallArgs, RejectArgs, RerunArgs, ResumeArgs, RollbackArgs,
    RunArgs, ServeArgs, VoteArgs,
};
pub(crate) use keep::{
    BackupArgs, ClockArgs, CompletionsArgs, DoctorArgs, SbomArgs, SbomFormat, SecretArgs, SecretCommand,
    SecretListArgs, StoreCommand,
};
pub(crate) use look::{
    ArtifactsCommand, ArtifactsGetArgs, ArtifactsListArgs, ArtifactsVerifyArgs, EnvironmentsArgs, ExplainArgs,
    GraphArgs, GraphFormat, LogsArgs, RunsArgs, ShowArgs,
};
pub(crate) use write::{
    EvalArgs, InitArgs, LintArgs, LintFormat, MigrationCommand, MigrationTryArgs, PlanArgs, Template,
};

use crate::exit::Exit;

/// Release pipelines on your own machines, written as GitHub Actions workflows.
#[derive(Debug, Parser)]
#[command(name = "tagline", version, propagate_version = false, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Where Tagline keeps its state, such as sqlite:///var/lib/tagline
    #[arg(long, global = true, value_name = "URL", env = "TAGLINE_STORE", hide_env_values = true)]
    pub(crate) store: Option<String>,
    /// The repository, instead of the one the current folder is in
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) repo: Option<PathBuf>,
    /// Show more
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Release the example shop in a scratch repository, from its tag to the approval
    Demo(DemoArgs),
    /// Release a tag, or run a workflow on the working tree
    Run(RunArgs),
    /// Show what a run would do, in order; runs nothing
    Plan(PlanArgs),
    /// Check workflow files
    Lint(LintArgs),
    /// Evaluate an expression
    Eval(EvalArgs),
    /// Drive the runs of a store: launches, approvals, timers, triggers
    Serve(ServeArgs),
    /// List the runs, newest first
    Runs(RunsArgs),
    /// Show a run: its jobs, its approvals, what it waits for
    Show(ShowArgs),
    /// Print the log of a run or of one of its jobs
    Logs(LogsArgs),
    /// Draw the jobs of a run or workflow in the order they run
    Graph(GraphArgs),
    /// Say why a job ran, waits, or did not run
    Explain(ExplainArgs),
    /// Approve what a run waits to do in an environment
    Approve(ApproveArgs),
    /// Reject what a run waits to do in an environment
    Reject(RejectArgs),
    /// Cancel a run
    Cancel(CancelArgs),
    /// Run jobs of a finished run again
    Rerun(RerunArgs),
    /// Bring back what was live in an environment, or a version that was
    Rollback(RollbackArgs),
    /// Go on with a run that waits or was interrupted; without RUN with all of them
    Resume(ResumeArgs),
    /// Show what runs where, since when, approved by whom
    Environments(EnvironmentsArgs),
    /// List, fetch or verify the artifacts of a run
    #[command(subcommand)]
    Artifacts(ArtifactsCommand),
    /// Set, list or remove secrets
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Print the bill of materials of a folder or of an image layout
    Sbom(SbomArgs),
    /// Triggers in repositories
    #[command(subcommand)]
    Hook(HookCommand),
    /// Back up, verify or repair the store
    #[command(subcommand)]
    Store(StoreCommand),
    /// Check what Tagline needs on this machine
    Doctor(DoctorArgs),
    /// Write a first workflow and environments file for this repository
    Init(InitArgs),
    /// Migrations on this machine
    #[command(subcommand)]
    Migration(MigrationCommand),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
}

/// Says why the command line cannot be used, or prints the help or version that was asked for.
pub(crate) fn explain(error: &clap::Error) -> Exit {
    // A closed pipe is nobody who would read it.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
        _ => Exit::Unusable,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_has_a_help_text() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {} has no help", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}
