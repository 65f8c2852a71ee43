//! The first process: what the executor starts and reads one line from.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use tagline_protocol::{Launch, SandboxConfig, SandboxRoot, VERSION};

use super::{Order, Trouble, Word, folders, ids, refused};

/// The namespaces of a sandbox, as `doctor` names them.
const ISOLATION: [&str; 5] = ["user", "mount", "pid", "ipc", "uts"];

/// Launches the sandbox that the configuration describes and prints how it went; exit code 0 when the agent listens.
pub fn main(config: Option<&Path>) -> ExitCode {
    let launch = read(config).map_or_else(|why| Launch::Failed { why }, |config| launch(&config));
    let line = serde_json::to_string(&launch).expect("a launch line is plain data");
    let printed = writeln!(io::stdout(), "{line}");
    match launch {
        Launch::Up { .. } if printed.is_ok() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn read(config: Option<&Path>) -> Result<SandboxConfig, String> {
    let text = match config {
        Some(path) => std::fs::read_to_string(path),
        None => io::read_to_string(io::stdin()),
    };
    let text = text.map_err(|error| format!("cannot read the sandbox's configuration: {error}"))?;
    let config: SandboxConfig = serde_json::from_str(&text)
        .map_err(|error| format!("the sandbox's configuration is not understood: {error}"))?;
    if config.version != VERSION {
        return Err(format!(
            "the engine speaks protocol {} and this agent {VERSION}; use the agent that came with the engine",
            config.version
        ));
    }
    Ok(config)
}

/// Isolated if the kernel allows it; where it refuses, as a plain process if that may be.
fn launch(config: &SandboxConfig) -> Launch {
    let folder = Path::new(&config.job_folder);
    if let Err(error) = folders::prepare(folder) {
        let why = format!("cannot make the folders of the job in {}: {error}", folder.display());
        return Launch::Failed { why };
    }
    match start(config, None) {
        Ok((pid, start_time)) => up(pid, start_time, &ISOLATION),
        Err(Trouble::Refused(why)) if config.allow_plain_process && config.root == SandboxRoot::Host => {
            plain(config, &why)
        }
        Err(Trouble::Refused(why)) => Launch::Refused { why },
        Err(Trouble::Failed(why)) => Launch::Failed { why },
    }
}

/// Without namespaces, for this reason.
fn plain(config: &SandboxConfig, refusal: &str) -> Launch {
    let reached = folders::steps_reach(Path::new(&config.job_folder));
    match reached.map_err(Trouble::Failed).and_then(|()| start(config, Some(refusal))) {
        Ok((pid, start_time)) => up(pid, start_time, &[]),
        Err(Trouble::Refused(why) | Trouble::Failed(why)) => {
            Launch::Failed { why: format!("{refusal}; and as a plain process it cannot run: {why}") }
        }
    }
}

fn up(pid: u32, start_time: u64, isolation: &[&str]) -> Launch {
    Launch::Up { pid, start_time, isolation: isolation.iter().map(ToString::to_string).collect() }
}

/// The agent's process id and start time, once it listens; with a refusal as a plain process.
fn start(config: &SandboxConfig, refusal: Option<&str>) -> Result<(u32, u64), Trouble> {
    let mut gate = gate(refusal.is_some()).map_err(|error| format!("cannot start the agent: {error}"))?;
    let result = converse(&mut gate, config, refusal);
    if result.is_err() {
        let _ = gate.kill();
    }
    let _ = gate.wait();
    result
}

fn gate(plain: bool) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(if plain { "gate-plain" } else { "gate" });
    // What the agent says when it panics must not hold the executor's pipe open: it goes to a file from there on.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

fn converse(gate: &mut Child, config: &SandboxConfig, refusal: Option<&str>) -> Result<(u32, u64), Trouble> {
    let mut input = gate.stdin.take().expect("the gate's input is a pipe");
    let mut words = BufReader::new(gate.stdout.take().expect("the gate's output is a pipe"));
    if refusal.is_none() {
        match next(&mut words)? {
            Word::Unshared => {}
            other => return Err(out_of_turn(&other)),
        }
        ids::map(gate.id()).map_err(|error| refused("users of a namespace", &error))?;
    }
    let order =
        Order { config: config.clone(), plain: refusal.is_some(), refusal: refusal.unwrap_or_default().to_owned() };
    let order = serde_json::to_string(&order).expect("an order is plain data");
    input
        .write_all(format!("\n{order}\n").as_bytes())
        .map_err(|error| format!("the sandbox ended before it began: {error}"))?;
    // Gate and agent speak at the same time.
    let (mut agent, mut listens) = (None, false);
    loop {
        match agent {
            Some(pid) if listens => {
                let start_time = start_time(pid).map_err(|error| format!("the agent ended at once: {error}"))?;
                return Ok((pid, start_time));
            }
            _ => match next(&mut words)? {
                Word::Agent(pid) => agent = Some(pid),
                Word::Listening => listens = true,
                other => return Err(out_of_turn(&other)),
            },
        }
    }
}

fn out_of_turn(word: &Word) -> Trouble {
    Trouble::Failed(format!("the sandbox said {word:?} out of turn"))
}

/// The next word; a failure is the error.
fn next(words: &mut BufReader<ChildStdout>) -> Result<Word, Trouble> {
    let mut line = String::new();
    words.read_line(&mut line).map_err(|error| format!("cannot hear the sandbox: {error}"))?;
    match serde_json::from_str(&line) {
        Ok(Word::Refused(why)) => Err(Trouble::Refused(why)),
        Ok(Word::Failed(why)) => Err(Trouble::Failed(why)),
        Ok(word) => Ok(word),
        Err(_) => Err(Trouble::Failed("the sandbox ended without a word".to_owned())),
    }
}

/// Field 22 of `/proc/PID/stat`: when the process began, in clock ticks since the machine's start.
fn start_time(pid: u32) -> io::Result<u64> {
    let mut stat = String::new();
    File::open(format!("/proc/{pid}/stat"))?.read_to_string(&mut stat)?;
    // The program's name, field 2, is in parentheses and may hold any character.
    stat.rsplit(") ")
        .next()
        .and_then(|rest| rest.split(' ').nth(19))
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::other("the process table is not understood"))
}
