//! A real OCI registry on a free port of loopback, its data in the cache.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{paths, shell};

const PROGRAM: &str = "docker-registry";

fn folder() -> Result<PathBuf> {
    Ok(paths::cache()?.join("registry"))
}

/// `HOST:PORT` of a registry that answers, started if need be.
pub(super) fn start() -> Result<String> {
    ensure!(shell::which(PROGRAM).is_some(), "the `{PROGRAM}` program is not installed");
    let folder = folder()?;
    let known = std::fs::read_to_string(folder.join("address")).unwrap_or_default();
    if super::pid_in(&folder.join("pid"), PROGRAM).is_some() && answers(&known) {
        return Ok(known);
    }
    std::fs::create_dir_all(folder.join("data"))?;
    let address = free_address()?;
    let data = folder.join("data");
    let config = format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
         delete: {{enabled: true}}\nhttp:\n  addr: {address}\n",
        data.display()
    );
    std::fs::write(folder.join("config.yml"), config)?;
    let mut serve = Command::new(PROGRAM);
    serve.arg("serve").arg(folder.join("config.yml"));
    let pid = shell::daemon(&mut serve, &folder.join("log"))?;
    std::fs::write(folder.join("pid"), pid.to_string())?;
    std::fs::write(folder.join("address"), &address)?;
    let up = shell::wait(Duration::from_secs(20), || answers(&address));
    ensure!(up, "the registry did not answer; its log is {}", folder.join("log").display());
    Ok(address)
}

/// A port nothing listens on at this moment.
fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on loopback")?;
    Ok(listener.local_addr()?.to_string())
}

/// Whether the registry API answers at the address.
fn answers(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /v2/ HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    ask().is_ok_and(|text| text.starts_with("HTTP/1.0 200"))
}

/// Stops the registry and frees its data.
pub(super) fn stop() -> Result<()> {
    let folder = folder()?;
    if let Some(pid) = super::pid_in(&folder.join("pid"), PROGRAM) {
        super::stop(pid, PROGRAM)?;
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}
