//! The rows and their targets.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::act::Mode;
use super::pair::{Side, interleave, median};
use super::table::{Table, duration};
use super::{Bench, Workload, lines, memory, resume, workload};
use crate::setup;

type Row = fn(&Bench, &mut Table) -> Result<()>;

/// Every row by a word to choose it with.
pub(super) const ALL: [(&str, Row); 9] = [
    ("docker-step", docker_step),
    ("docker-steps", docker_steps),
    ("sandbox-steps", sandbox_steps),
    ("docker-chain", docker_chain),
    ("sandbox-chain", sandbox_chain),
    ("lines", lines::row),
    ("version", version),
    ("size", size),
    ("resume", resume::row),
];

fn docker_step(bench: &Bench, table: &mut Table) -> Result<()> {
    ensure!(bench.docker, "no Docker daemon");
    let name = "Docker, 1 job of 1 step";
    let work = Workload::new("docker-step", &workload::steps(1), Mode::Docker)?;
    let run = || {
        let args = ["run", "--rm", "tagline-test/bash:latest", "bash", "-e", "-c", "echo 1"];
        workload::quiet(setup::docker().args(args))
    };
    let mut sides: Vec<Side<'_>> = vec![Box::new(|| work.ours(bench, Mode::Docker)), Box::new(run)];
    if let Ok(act) = &bench.act {
        sides.push(Box::new(|| work.act(act, Mode::Docker)));
    }
    let times = interleave(&mut sides, 12)?;
    table.compare(name, times[0], ("docker run --rm", times[1]), 1.1);
    match times.get(2) {
        Some(act) => table.compare(name, times[0], ("act", *act), 0.5),
        None => table.missing(name, "no act"),
    }
    Ok(())
}

/// Ours beside act on one workflow.
fn beside_act(
    bench: &Bench,
    table: &mut Table,
    name: &str,
    work: &Workload,
    mode: Mode,
    rounds: usize,
    limit: f64,
) -> Result<()> {
    let act = bench.act.clone().map_err(anyhow::Error::msg)?;
    let mut sides: [Side<'_>; 2] = [Box::new(|| work.ours(bench, mode)), Box::new(|| work.act(&act, mode))];
    let times = interleave(&mut sides, rounds)?;
    let peer = match mode {
        Mode::Docker => "act",
        Mode::Host => "act host",
    };
    table.compare(name, times[0], (peer, times[1]), limit);
    Ok(())
}

fn docker_steps(bench: &Bench, table: &mut Table) -> Result<()> {
    ensure!(bench.docker, "no Docker daemon");
    let work = Workload::new("docker-steps", &workload::steps(50), Mode::Docker)?;
    beside_act(bench, table, "Docker, 1 job of 50 steps", &work, Mode::Docker, 4, 0.05)
}

fn sandbox_steps(bench: &Bench, table: &mut Table) -> Result<()> {
    let name = "sandbox, 1 job of 50 steps";
    let work = Workload::new("sandbox-steps", &workload::steps(50), Mode::Host)?;
    let home = work.home();
    let mut sides: Vec<Side<'_>> =
        vec![Box::new(|| work.ours(bench, Mode::Host)), Box::new(|| workload::bash_loop(&home, 50))];
    if let Ok(act) = &bench.act {
        sides.push(Box::new(|| work.act(act, Mode::Host)));
    }
    let times = interleave(&mut sides, 20)?;
    table.compare(name, times[0], ("bash -e, fdatasync", times[1]), 1.5);
    match times.get(2) {
        Some(act) => table.compare(name, times[0], ("act host", *act), 0.6),
        None => table.missing(name, "no act"),
    }
    Ok(())
}

fn docker_chain(bench: &Bench, table: &mut Table) -> Result<()> {
    ensure!(bench.docker, "no Docker daemon");
    let work = Workload::new("docker-chain", &workload::chain(10), Mode::Docker)?;
    beside_act(bench, table, "Docker, a chain of 10 jobs", &work, Mode::Docker, 4, 0.4)
}

fn sandbox_chain(bench: &Bench, table: &mut Table) -> Result<()> {
    let work = Workload::new("sandbox-chain", &workload::chain(10), Mode::Host)?;
    beside_act(bench, table, "sandbox, a chain of 10 jobs", &work, Mode::Host, 20, 0.5)
}

fn version(bench: &Bench, table: &mut Table) -> Result<()> {
    let command = || {
        let mut command = std::process::Command::new(&bench.tagline);
        command.arg("--version");
        command
    };
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        workload::quiet(&mut command())?;
        times.push(start.elapsed());
    }
    let time = median(times);
    table.absolute("tagline --version, time", &duration(time), "15 ms", time.as_millis() < 15);
    let peak = memory::peak(&command())?;
    table.absolute("tagline --version, memory", &format!("{:.1} MiB", mebibytes(peak)), "15 MiB", peak <= 15 * 1024);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a few mebibytes")]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

fn size(bench: &Bench, table: &mut Table) -> Result<()> {
    let bytes = std::fs::metadata(&bench.tagline)?.len();
    table.absolute("size of the binary", &format!("{} MB", bytes.div_ceil(1_000_000)), "30 MB", bytes <= 30_000_000);
    Ok(())
}
