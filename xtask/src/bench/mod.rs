//! `cargo xtask bench [ROW…]`: Tagline beside its peers, on one machine, in one run.
//!
//! Each row runs ours and the peers in turn, forwards and backwards (ABBA), so that a busy moment meets all of them;
//! it compares medians. Nothing of Tagline is relaxed for it: every step and event is synced as always. It is never a
//! test: the numbers are looked at by people and kept in `docs/performance.md`.

mod act;
mod lines;
mod memory;
mod pair;
mod resume;
mod rows;
mod table;
mod workload;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::{paths, setup, shell};
pub(crate) use memory::measured_child;
use table::Table;
use workload::Workload;

const START: &str = "<!-- table: written by `cargo xtask bench --write` -->";
const END: &str = "<!-- end of the table -->";

/// What the rows need: our binary, the peer, and what the machine has.
struct Bench {
    tagline: PathBuf,
    /// The peer's program, or why it is not there.
    act: Result<PathBuf, String>,
    /// A daemon with the test images answers.
    docker: bool,
}

/// Runs the rows whose name contains one of the words, all without words; `--write` puts the table into the page.
pub(crate) fn command(args: &[&str]) -> Result<bool> {
    let (flags, words): (Vec<&str>, Vec<&str>) = args.iter().partition(|arg| arg.starts_with('-'));
    ensure!(flags.iter().all(|flag| *flag == "--write"), "unknown option in {flags:?}; known: --write");
    let state = setup::run()?;
    let tagline = match paths::named_binary() {
        Some(named) => named,
        None => release()?,
    };
    let act = act::install().map_err(|error| format!("{error:#}"));
    if let Err(why) = &act {
        println!("! act: {why}");
    }
    let bench = Bench { tagline, act, docker: state.docker.is_some() && state.images.len() == 2 };
    let mut table = Table::default();
    for (name, row) in rows::ALL {
        if words.is_empty() || words.iter().any(|word| name.contains(word)) {
            println!("… {name}");
            if let Err(error) = row(&bench, &mut table) {
                table.missing(name, &format!("{error:#}"));
            }
        }
    }
    let text = format!("{}\n\n{}", machine()?, table.render());
    println!("\n{text}");
    if !flags.is_empty() {
        write(&text)?;
    }
    Ok(table.holds())
}

/// Puts the table between its two marks in the page about performance.
fn write(text: &str) -> Result<()> {
    let page = paths::root().join("docs/performance.md");
    let old = std::fs::read_to_string(&page)?;
    let (head, rest) = old.split_once(START).context("docs/performance.md has no place for the table")?;
    let (_, tail) = rest.split_once(END).context("docs/performance.md has no end of the table")?;
    Ok(std::fs::write(page, format!("{head}{START}\n\n{text}\n{END}{tail}"))?)
}

fn release() -> Result<PathBuf> {
    let built = shell::shown(shell::cargo().args(["build", "--release", "--package", "tagline-cli"]))?;
    ensure!(built, "tagline does not build");
    Ok(paths::target().join("release/tagline"))
}

/// A line about the machine, without its name.
fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").context("no /proc")?;
    let load = std::fs::read_to_string("/proc/loadavg").context("no /proc")?;
    let docker =
        shell::output(setup::docker().args(["version", "--format", "{{.Server.Version}}"])).unwrap_or_default();
    Ok(format!(
        "{cores} cores, Linux {}, Docker {}, fdatasync of 4 KiB {}, load at the end {}.",
        kernel.trim().split('-').next().unwrap_or_default(),
        if docker.trim().is_empty() { "none" } else { docker.trim() },
        table::duration(workload::sync_time()?),
        load.split(' ').next().unwrap_or_default(),
    ))
}
