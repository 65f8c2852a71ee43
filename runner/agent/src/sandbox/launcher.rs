//! The first process: what the executor starts and reads one line from.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use tagline_protocol::{Launch, SandboxConfig, SandboxRoot, VERSION};

use super::{Order, Word, folders, ids};

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

/// Isolated if the kernel allows it, else as a plain process if that may be.
fn launch(config: &SandboxConfig) -> Launch {
    let folder = Path::new(&config.job_folder);
    if let Err(error) = folders::prepare(folder) {
        let why = format!("cannot make the folders of the job in {}: {error}", folder.display());
        return Launch::Failed { why };
    }
    let isolated = start(config, false);
    let plain_may_be = config.allow_plain_process && config.root == SandboxRoot::Host;
    match isolated {
        Err(_) if plain_may_be => match start(config, true) {
            Ok((pid, start_time)) => up(pid, start_time, &[]),
            Err(why) => Launch::Failed { why },
        },
        Ok((pid, start_time)) => up(pid, start_time, &ISOLATION),
        Err(why) => Launch::Failed { why },
    }
}

fn up(pid: u32, start_time: u64, isolation: &[&str]) -> Launch {
    Launch::Up { pid, start_time, isolation: isolation.iter().map(ToString::to_string).collect() }
}

/// The agent's process id and start time, once it listens.
fn start(config: &SandboxConfig, plain: bool) -> Result<(u32, u64), String> {
    let mut gate = gate(plain).map_err(|error| format!("cannot start the agent: {error}"))?;
    let result = converse(&mut gate, config, plain);
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

fn converse(gate: &mut Child, config: &SandboxConfig, plain: bool) -> Result<(u32, u64), String> {
    let mut input = gate.stdin.take().expect("the gate's input is a pipe");
    let mut words = BufReader::new(gate.stdout.take().expect("the gate's output is a pipe"));
    if !plain {
        match next(&mut words)? {
            Word::Unshared => {}
            other => return Err(format!("the sandbox said {other:?} out of turn")),
        }
        ids::map(gate.id()).map_err(|error| format!("cannot map the users of the sandbox: {error}"))?;
    }
    let order = serde_json::to_string(&Order { config: config.clone(), plain }).expect("an order is plain data");
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
                other => return Err(format!("the sandbox said {other:?} out of turn")),
            },
        }
    }
}

/// The next word; a failure is the error.
fn next(words: &mut BufReader<ChildStdout>) -> Result<Word, String> {
    let mut line = String::new();
    words.read_line(&mut line).map_err(|error| format!("cannot hear the sandbox: {error}"))?;
    match serde_json::from_str(&line) {
        Ok(Word::Failed(why)) => Err(why),
        Ok(word) => Ok(word),
        Err(_) => Err("the sandbox ended without a word".to_owned()),
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
