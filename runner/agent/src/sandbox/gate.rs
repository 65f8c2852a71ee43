//! The second process: leaves the namespaces and starts the agent inside them.

use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};

use rustix::thread::UnshareFlags;

use super::{Trouble, Word, ids, raw, refused};

/// Leaves the namespaces (not when `plain`), waits for the launcher's leave, starts the agent with its own standard
/// input and output, and ends, which makes the agent nobody's child.
pub fn main(plain: bool) -> ExitCode {
    match pass(plain) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            say(&trouble.into());
            ExitCode::FAILURE
        }
    }
}

fn pass(plain: bool) -> Result<(), Trouble> {
    rustix::process::setsid().map_err(|error| format!("cannot begin a session: {error}"))?;
    rustix::thread::set_no_new_privs(true).map_err(|error| format!("cannot forbid new privileges: {error}"))?;
    if !plain {
        leave()?;
    }
    wait_for_leave().map_err(|error| format!("the launcher is gone: {error}"))?;
    if !plain && !rustix::process::getuid().is_root() {
        ids::keep_capabilities().map_err(|error| format!("cannot keep the sandbox's capabilities: {error}"))?;
    }
    let agent = Command::new("/proc/self/exe")
        .arg("inside")
        .env_clear()
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .spawn()
        .map_err(|error| format!("cannot start the agent in the sandbox: {error}"))?;
    say(&Word::Agent(agent.id()));
    Ok(())
}

fn leave() -> Result<(), Trouble> {
    let flags = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    raw::unshare(flags).map_err(|error| refused("namespaces", &error.into()))?;
    say(&Word::Unshared);
    Ok(())
}

/// One byte, read without a buffer: the order behind it is the agent's to read.
fn wait_for_leave() -> io::Result<()> {
    let mut byte = [0];
    match rustix::io::read(rustix::stdio::stdin(), &mut byte)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// One line to the launcher.
pub(super) fn say(word: &Word) {
    let line = serde_json::to_string(word).expect("a word is plain data");
    let mut output = io::stdout().lock();
    // A launcher that is gone cannot be told; the agent ends by itself when no engine comes.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
