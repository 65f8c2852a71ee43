//! `platform --listen 127.0.0.1:7420 --state DIR`: runs released versions blue beside green on loopback.
//!
//! It stands outside the release engine, as a machine room does: jobs reach it over HTTP only. Whoever
//! may talk to it may run programs as its user, so it listens on loopback alone, and asks for
//! `Authorization: Bearer …` where `PLATFORM_TOKEN` is set.

mod api;
mod artifacts;
mod clock;
mod environment;
mod fault;
mod names;
mod platform;
mod process;
mod proxy;
mod record;
mod route;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use storefront_http::Server;

use crate::api::Api;
use crate::platform::Platform;

const USAGE: &str = "platform [--listen 127.0.0.1:7420] --state DIR";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (listen, state) = match flags(&arguments) {
        Ok(flags) => flags,
        Err(wrong) => {
            eprintln!("error: {wrong}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(listen, &state) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn flags(arguments: &[String]) -> Result<(SocketAddr, PathBuf), String> {
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 7420));
    let mut state = None;
    for pair in arguments.chunks(2) {
        match pair {
            [flag, value] if flag == "--listen" => {
                let address = value.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback());
                listen = address.ok_or(format!("--listen {value}: not a loopback address like 127.0.0.1:7420"))?;
            }
            [flag, value] if flag == "--state" => state = Some(PathBuf::from(value)),
            other => return Err(format!("unknown argument `{}`", other.join(" "))),
        }
    }
    Ok((listen, state.ok_or("--state is missing")?))
}

/// Brings back what was live, then serves until SIGTERM or SIGINT; the first line on standard output is
/// `{"url": …}`. At the end running requests are answered and every version is stopped.
fn run(listen: SocketAddr, state: &Path) -> Result<(), String> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(|error| error.to_string())?;
    let server = Server::bind(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let platform = Arc::new(Platform::open(state)?);
    let stopper = server.stopper();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            stopper.stop();
        }
    });
    let token = std::env::var("PLATFORM_TOKEN").ok().filter(|token| !token.is_empty());
    println!("{}", json!({"url": format!("http://{}", server.address())}));
    let watched = Arc::downgrade(&platform);
    thread::spawn(move || {
        while let Some(platform) = watched.upgrade() {
            platform.watch();
            drop(platform);
            thread::sleep(process::WATCH);
        }
    });
    server.run(&Arc::new(Api::new(Arc::clone(&platform), token)));
    platform.stop();
    Ok(())
}
