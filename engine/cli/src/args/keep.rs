//! Flags of the commands that keep house.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;
use jiff::SignedDuration;

/// `tagline secret …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Set a secret; its value comes from standard input or a prompt
    Set(SecretArgs),
    /// List the names: the repository's and those of its environments
    Ls(SecretListArgs),
    /// Remove a secret
    Rm(SecretArgs),
}

/// `tagline secret set|rm`.
#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    /// The name
    pub(crate) name: String,
    /// Of this environment only
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
}

/// `tagline secret ls`.
#[derive(Debug, Args)]
pub(crate) struct SecretListArgs {
    /// Of this environment only
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The document to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum SbomFormat {
    /// CycloneDX 1.6
    #[default]
    Cyclonedx,
    /// SPDX
    Spdx,
}

/// `tagline sbom`.
#[derive(Debug, Args)]
pub(crate) struct SbomArgs {
    /// A folder, or an OCI image layout
    #[arg(value_name = "PATH|LAYOUT")]
    pub(crate) path: PathBuf,
    /// The document to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: SbomFormat,
}

/// `tagline store …`.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Copy the whole store into a new folder while it is in use
    Backup(BackupArgs),
    /// Check the journal's hash chain
    Verify,
    /// Make lists and overviews again from the journal
    Rebuild,
    /// Move the store's clock forward, for tests of what happens hours later
    #[command(hide = true)]
    Clock(ClockArgs),
}

/// `tagline store clock`.
#[derive(Debug, Args)]
pub(crate) struct ClockArgs {
    /// By how much: 25h, 90m
    #[arg(long, value_name = "TIME")]
    pub(crate) forward: SignedDuration,
}

/// `tagline store backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The folder to make
    #[arg(value_name = "DIR")]
    pub(crate) to: PathBuf,
}

/// `tagline doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the rights that deliveries need in each environment's namespace, for `kubectl apply -f -`
    #[arg(long, conflicts_with = "json")]
    pub(crate) role: bool,

    /// Who is to have them; whom the cluster knows the context's credentials as where it is not given
    #[arg(long, value_name = "USER", requires = "role")]
    pub(crate) user: Option<String>,
}

/// `tagline completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}
