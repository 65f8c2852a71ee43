//! The command line. Only the executor and the agent itself use it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::process::DumpableBehavior;

use crate::agent::{self, Setting};
use crate::helper;
use crate::job;
use crate::places::Places;
use crate::sandbox;

const USAGE: &str = "usage: tagline-agent sandbox [--config FILE]\n       \
    tagline-agent run --job DIR [--token TOKEN] [--base-env NAME=VALUE]...\n\
    The configuration comes on standard input without --config, the token as TAGLINE_TOKEN without --token.\n";

/// Runs the subcommand that the arguments name.
pub fn main() -> ExitCode {
    sandbox::close_inherited();
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("sandbox") => sandbox_with(arguments),
        Some("gate") => sandbox::gate::main(false),
        Some("gate-plain") => sandbox::gate::main(true),
        Some("inside") => sandbox::agent::main(),
        Some("run") => run(arguments),
        Some("action") => helper::main(),
        Some("hash-files") => job::hash_files_helper(arguments),
        Some("--version") => print(concat!("tagline-agent ", env!("CARGO_PKG_VERSION"), "\n"), ExitCode::SUCCESS),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    print(USAGE, ExitCode::from(2))
}

fn print(text: &str, code: ExitCode) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    code
}

fn sandbox_with(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, ..) => sandbox::launcher::main(None),
        (Some("--config"), Some(path), None) => sandbox::launcher::main(Some(Path::new(&path))),
        _ => usage(),
    }
}

/// As the first process of a container. Its own variables are the image's: the steps' base.
fn run(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let (mut job, mut token) = (None, std::env::var("TAGLINE_TOKEN").ok());
    let mut base: Vec<(String, String)> = std::env::vars().filter(|(name, _)| name != "TAGLINE_TOKEN").collect();
    while let Some(option) = arguments.next() {
        match (option.as_str(), arguments.next()) {
            ("--job", Some(path)) => job = Some(PathBuf::from(path)),
            ("--token", Some(text)) => token = Some(text),
            ("--base-env", Some(pair)) => match pair.split_once('=') {
                Some((name, value)) => base.push((name.to_owned(), value.to_owned())),
                None => return usage(),
            },
            _ => return usage(),
        }
    }
    let (Some(job), Some(token)) = (job, token) else {
        return usage();
    };
    match setting(&job, token, base) {
        Ok(setting) => agent::run(setting),
        Err(error) => agent::last_resort(&format!("cannot open the job folder {}: {error}", job.display())),
    }
}

fn setting(job: &Path, token: String, base: Vec<(String, String)>) -> io::Result<Setting> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(Setting { places: Places::open(job)?, token, base, user: None, paths: None, warning: None })
}
