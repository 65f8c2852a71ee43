//! Resume after `kill -9` with 100 releases in flight.
//!
//! Each release has one job whose step waits on a connection to this program. With all of them waiting the engine is
//! killed, then the connections are closed: every agent ends its job alone and keeps the result. The time is from the
//! start of a new engine to the moment `tagline runs --json` shows all 100 succeeded.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::act::Mode;
use super::table::{Table, duration};
use super::{Bench, Workload};
use crate::shell;

const RELEASES: usize = 100;
const LIMIT: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_mins(3);

pub(super) fn row(bench: &Bench, table: &mut Table) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let waiting = accept(listener);
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && cat <&3");
    let workflow = format!(
        "on:\n  push:\n    tags: ['v*']\njobs:\n  wait:\n    runs-on: ubuntu-latest\n    steps:\n      - run: {script}\n"
    );
    let work = Workload::new("resume", &workflow, Mode::Host)?;
    work.configure(&format!("jobs = {RELEASES}\n"))?;
    publish(bench, &work)?;
    let mut engine = Engine::start(bench, &work)?;
    for patch in 1..=RELEASES {
        work.git(&["tag", &format!("v1.0.{patch}")])?;
    }
    work.git(&["push", "--quiet", "origin", "--tags"])?;
    let mut held = Vec::new();
    while held.len() < RELEASES {
        let next = waiting.recv_timeout(PATIENCE);
        held.push(next.with_context(|| format!("only {} of {RELEASES} releases ran at once", held.len()))?);
    }
    engine.kill()?;
    drop(held);
    let took = resume(bench, &work)?;
    let name = "resume after kill -9 with 100 releases in flight";
    table.absolute(name, &duration(took), &duration(LIMIT), took <= LIMIT);
    Ok(())
}

/// A bare origin with Tagline's hook.
fn publish(bench: &Bench, work: &Workload) -> Result<()> {
    let bare = work.home().join("origin.git");
    let path = bare.to_str().context("the temporary folder's path is not UTF-8")?;
    work.git(&["init", "--quiet", "--bare", "--initial-branch=main", path])?;
    work.git(&["remote", "add", "origin", path])?;
    work.git(&["push", "--quiet", "origin", "main"])?;
    shell::output(work.tagline(bench, &["hook", "install"]).current_dir(&bare))?;
    Ok(())
}

fn accept(listener: TcpListener) -> Receiver<TcpStream> {
    let (sender, waiting) = mpsc::channel();
    std::thread::spawn(move || listener.incoming().flatten().try_for_each(|stream| sender.send(stream)));
    waiting
}

fn resume(bench: &Bench, work: &Workload) -> Result<Duration> {
    let start = Instant::now();
    let _engine = Engine::start(bench, work)?;
    loop {
        let runs = shell::output(&mut work.tagline(bench, &["runs", "--json", "--limit", &RELEASES.to_string()]))?;
        let runs: Value = serde_json::from_str(&runs)?;
        let done = runs.as_array().map_or(0, |list| list.iter().filter(|run| succeeded(run)).count());
        if done >= RELEASES {
            return Ok(start.elapsed());
        }
        ensure!(start.elapsed() < PATIENCE, "{done} of {RELEASES} releases ended after {PATIENCE:?}");
    }
}

fn succeeded(run: &Value) -> bool {
    ["conclusion", "status"].iter().any(|key| run[*key] == "success")
}

/// `tagline serve --headless`, killed with this value.
struct Engine(Child);

impl Engine {
    fn start(bench: &Bench, work: &Workload) -> Result<Self> {
        let mut serve = work.tagline(bench, &["serve", "--headless"]);
        let child = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot start the engine")?;
        Ok(Self(child))
    }

    /// Kills it as a crash would.
    fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may be dead already.
        if self.0.kill().is_ok() {
            let _ = self.0.wait();
        }
    }
}
