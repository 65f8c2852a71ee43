//! A step that prints 200,000 lines: time, memory, and that none is lost.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::act::Mode;
use super::pair::{Side, interleave};
use super::table::Table;
use super::{Bench, Workload, memory, workload};
use crate::shell;

const COUNT: usize = 200_000;
/// Mebibytes.
const MEMORY: u64 = 40;

pub(super) fn row(bench: &Bench, table: &mut Table) -> Result<()> {
    let work = Workload::new("lines", &workload::lines(COUNT), Mode::Host)?;
    let act = bench.act.clone().map_err(anyhow::Error::msg)?;
    let mut sides: [Side<'_>; 2] = [Box::new(|| work.ours(bench, Mode::Host)), Box::new(|| work.act(&act, Mode::Host))];
    let times = interleave(&mut sides, 6)?;
    drop(sides);
    table.compare("sandbox, a step of 200,000 lines", times[0], ("act host", times[1]), 0.5);
    let args = ["run", ".github/workflows/bench.yml", "--event", "push", "--runner", "sandbox"];
    let peaks = memory::watch(&mut work.tagline(bench, &args), &work.home())?;
    ensure!(peaks.len() == 2, "not both engine and agent were seen, but {:?}", peaks.keys());
    let largest = peaks.values().copied().max().context("no process was seen")?;
    let shown: Vec<String> = peaks.iter().map(|(name, peak)| format!("{name} {} MiB", peak / 1024)).collect();
    let limit = format!("{MEMORY} MiB");
    table.absolute("the same, memory", &shown.join(", "), &limit, largest <= MEMORY * 1024);
    let lost = COUNT - kept(bench, &work)?;
    table.absolute("the same, lines lost", &lost.to_string(), "0", lost == 0);
    Ok(())
}

/// How many of the lines the log of the newest run holds, in order.
fn kept(bench: &Bench, work: &Workload) -> Result<usize> {
    let runs: Value = serde_json::from_str(&shell::output(&mut work.tagline(bench, &["runs", "--json"]))?)?;
    let newest = &runs[0]["id"];
    let id = newest.as_str().map_or_else(|| newest.to_string(), str::to_owned);
    ensure!(id != "null", "`runs --json` names no run");
    let log = shell::output(&mut work.tagline(bench, &["logs", &id]))?;
    let mut next = 1;
    for line in log.lines() {
        if line.ends_with(&format!("line {next} of the log")) {
            next += 1;
        }
    }
    Ok(next - 1)
}
