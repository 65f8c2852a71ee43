//! Starting the agent's launcher and hearing its one line.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tagline_protocol as protocol;
use tagline_protocol::SandboxConfig;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::error::ExecutorError;
use crate::launch::Launch;
use crate::process::Process;

/// The launcher's whole work takes milliseconds; a machine that needs this long is in trouble.
const PATIENCE: Duration = Duration::from_secs(30);
/// More of what it said is of no help.
const SAID: u64 = 2_000;
/// Its one line is shorter.
const LINE: u64 = 64 * 1024;

/// An agent that listens.
pub(super) struct Up {
    pub(super) process: Process,
    pub(super) isolation: Vec<String>,
}

/// Starts the launcher; `log` is its standard error, and stays locked as long as one of its processes lives.
pub(super) async fn run(launch: &Launch, config: &SandboxConfig, log: File) -> Result<Up, ExecutorError> {
    let wrap = |source| ExecutorError::Agent { path: launch.agent_binary.clone(), source };
    let mut reading = launch.folder.launch_log()?;
    let begin = reading.seek(SeekFrom::End(0)).map_err(wrap)?;
    let mut child = spawn(&launch.agent_binary, log).map_err(wrap)?;
    let Ok(line) = tokio::time::timeout(PATIENCE, converse(&mut child, config)).await else {
        child.kill().await.map_err(wrap)?;
        return Err(ExecutorError::Slow {
            key: launch.key.clone(),
            seconds: PATIENCE.as_secs(),
            said: said(&mut reading, begin),
        });
    };
    let line = line.map_err(wrap)?;
    child.wait().await.map_err(wrap)?;
    match serde_json::from_str(&line) {
        Ok(protocol::Launch::Up { pid, start_time, isolation }) => {
            Ok(Up { process: Process { pid, start_time }, isolation })
        }
        Ok(protocol::Launch::Refused { why }) => Err(ExecutorError::Refused { key: launch.key.clone(), why }),
        Ok(protocol::Launch::Failed { why }) => Err(ExecutorError::Sandbox { key: launch.key.clone(), why }),
        Err(_) => Err(ExecutorError::Sandbox {
            key: launch.key.clone(),
            why: format!("its launcher ended without a word{}", said(&mut reading, begin)),
        }),
    }
}

fn spawn(program: &PathBuf, log: File) -> std::io::Result<Child> {
    Command::new(program)
        .arg("sandbox")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
}

/// Gives the configuration, gets the line.
async fn converse(child: &mut Child, config: &SandboxConfig) -> std::io::Result<String> {
    let text = serde_json::to_vec(config).expect("a configuration is plain data");
    let mut input = child.stdin.take().expect("the launcher's input is a pipe");
    // A launcher that ends early says why on its output, which is worth more than the broken pipe.
    let _ = input.write_all(&text).await;
    drop(input);
    let output = child.stdout.take().expect("the launcher's output is a pipe");
    let mut line = String::new();
    BufReader::new(output.take(LINE)).read_line(&mut line).await?;
    Ok(line)
}

/// What was written to the log since `begin`, as the end of a sentence.
fn said(log: &mut File, begin: u64) -> String {
    let mut text = String::new();
    let read = log.seek(SeekFrom::Start(begin)).and_then(|_| log.take(SAID).read_to_string(&mut text));
    match (read, text.trim()) {
        (Err(_), _) | (_, "") => String::new(),
        (_, text) => format!("; it said: {text}"),
    }
}
