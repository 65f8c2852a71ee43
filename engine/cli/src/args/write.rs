//! Flags of the commands for those who write workflows.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LintFormat {
    /// For people
    #[default]
    Text,
    /// One array
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// `tagline lint`.
#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// The files; without them all workflows of the repository
    pub(crate) files: Vec<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: LintFormat,
    /// Mend what has one remedy
    #[arg(long)]
    pub(crate) fix: bool,
    /// As GitHub reads the files: what it refuses, and warnings where it acts otherwise
    #[arg(long)]
    pub(crate) github: bool,
}

/// `tagline eval`.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// The expression, without ${{ }}
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    pub(crate) expression: String,
    /// The contexts: a JSON file, or the JSON itself
    #[arg(long, value_name = "FILE|JSON")]
    pub(crate) context: Option<String>,
    /// EXPR is text with ${{ }} in it
    #[arg(long)]
    pub(crate) template: bool,
    /// EXPR is an `if`
    #[arg(long = "if", conflicts_with = "template")]
    pub(crate) condition: bool,
}

/// `tagline plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The workflow: its path, file name or name; without it every workflow whose filter matches
    pub(crate) workflow: Option<String>,
    /// The tag that would be released; without it the working tree
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// The event that would start the workflow
    #[arg(long, conflicts_with = "tag")]
    pub(crate) event: Option<String>,
    /// A JSON file that becomes `github.event`
    #[arg(long, value_name = "FILE")]
    pub(crate) payload: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tagline init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder, instead of --repo or the current one
    pub(crate) folder: Option<PathBuf>,
    /// What is written
    #[arg(long, value_enum, default_value_t)]
    pub(crate) template: Template,
    /// A value of the template; of a migration: name, dir
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
}

/// What `tagline init` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Template {
    /// A first workflow and environments file
    #[default]
    Release,
    /// The next numbered migration, up and down
    Migration,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// `tagline migration`.
#[derive(Debug, Subcommand)]
pub(crate) enum MigrationCommand {
    /// Try each migration on an empty scratch database: up, verify, down, up again
    Try(MigrationTryArgs),
}

/// `tagline migration try`.
#[derive(Debug, Args)]
pub(crate) struct MigrationTryArgs {
    /// The folder of migrations
    #[arg(long, default_value = "migrations")]
    pub(crate) dir: PathBuf,
    /// The scratch database: postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(long, value_name = "URL")]
    pub(crate) database: String,
}
