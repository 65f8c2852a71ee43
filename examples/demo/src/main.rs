//! The demo: a small application with faults baked in, and the tools around a release of it.

mod database;
mod failure;
mod faults;
mod http;
mod load;
mod metrics;
mod queue;
mod release;
mod serve;
mod units;

use std::process::ExitCode;

use failure::Failure;

const USAGE: &str = "\
demo serve [--host H] [--port 8080] [--admin-port 8081] [--drain 2s]
demo load --url URL [--rps 50] [--seconds N] [--requests N] [--slow 10%] [--keepalive half]
          [--timeout 5s] [--header 'X-Tenant: a']... [--json]
demo version";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit)
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut words = lexopt::Parser::from_env();
    let Some(lexopt::Arg::Value(command)) = words.next()? else {
        println!("{USAGE}");
        return Ok(());
    };
    match command.to_str().unwrap_or_default() {
        "serve" => serve::command(words),
        "load" => load::command(words),
        "version" => {
            println!("{}", release::Release::load()?.version);
            Ok(())
        }
        other => Err(Failure::usage(format!("no such command: {other}\n\n{USAGE}"))),
    }
}
