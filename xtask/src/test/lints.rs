//! The checks of the sources: formatting, clippy, and the rules of `deny.toml`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::table::{Suite, Table};
use crate::{paths, shell};

/// The version installed where none is there.
const CARGO_DENY: &str = "0.20.2";

/// Runs each check; one row each.
pub(super) fn run(table: &mut Table) -> Result<()> {
    component(table, "fmt", "rustfmt", &["fmt", "--all", "--check"])?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    component(table, "clippy", "clippy", &clippy)?;
    deny(table)
}

/// A check by a component of the toolchain, which rustup adds where it is missing.
fn component(table: &mut Table, name: &str, component: &str, args: &[&str]) -> Result<()> {
    let there = || shell::output(shell::cargo().args([name, "--version"])).is_ok();
    if !there() {
        let added = shell::output(Command::new("rustup").args(["component", "add", component]));
        if let (Err(error), false) = (added, there()) {
            table.skip("set-up", component, &format!("{error:#}"));
            return Ok(());
        }
    }
    let start = Instant::now();
    let holds = shell::shown(shell::cargo().args(args))?;
    table.push(Suite::check(name, holds, start.elapsed()));
    Ok(())
}

fn deny(table: &mut Table) -> Result<()> {
    let program = match cargo_deny() {
        Ok(program) => program,
        Err(error) => {
            table.skip("set-up", "cargo-deny", &format!("{error:#}"));
            return Ok(());
        }
    };
    let start = Instant::now();
    let mut check = Command::new(program);
    check.current_dir(paths::root()).args(["--log-level", "error", "check", "bans", "licenses", "sources"]);
    let holds = shell::shown(&mut check)?;
    table.push(Suite::check("deny", holds, start.elapsed()));
    Ok(())
}

/// The `cargo-deny` in PATH, else the one in the cache, installed there once a version.
fn cargo_deny() -> Result<PathBuf> {
    if let Some(found) = shell::which("cargo-deny") {
        return Ok(found);
    }
    let root = paths::cache()?.join(format!("cargo-deny-{CARGO_DENY}"));
    let program = root.join("bin/cargo-deny");
    if !program.exists() {
        let mut install = shell::cargo();
        // Its own target folder: a shared one would be filled with a second set of dependencies.
        install.env("CARGO_TARGET_DIR", root.join("target"));
        install.args(["install", "--locked", "cargo-deny", "--version", CARGO_DENY, "--root"]).arg(&root);
        ensure!(shell::shown(&mut install)?, "cargo install cargo-deny {CARGO_DENY} failed");
        std::fs::remove_dir_all(root.join("target"))?;
    }
    Ok(program)
}
