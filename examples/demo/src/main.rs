//! The demo: a small application with faults baked in, and the tools around a release of it.

mod check;
mod database;
mod db;
mod failure;
mod faults;
mod http;
mod load;
mod metrics;
mod migrate;
mod queue;
mod release;
mod serve;
mod units;
mod worker;

use std::process::ExitCode;

use failure::Failure;

const USAGE: &str = "\
demo serve [--host H] [--port 8080] [--admin-port 8081] [--drain 2s] [--connection-age 1s]
demo worker [the same]
demo load --url URL [--rps 50] [--seconds N] [--requests N] [--slow 10%] [--keepalive half]
          [--timeout 5s] [--header 'X-Tenant: a']... [--json]
demo migrate up|down|status|verify [--to N] [--dir migrations] [--json]
             [--lock-timeout 5s] [--statement-timeout 15m]
demo db exec SQL [--rows N] | demo db query SQL [--json]
demo db backup [NAME] | verify NAME [--dir /backup] [--migrations /migrations] [--check restore|checksum]
demo db restore NAME [--into DATABASE] [--swap] | --in-place
demo db rotate
demo queue init | add --count N [--priority DEFAULT] [--ms 10] | stats --json
demo check eq|ne|contains NAME GOT WANTED | demo check get NAME URL WANTED
demo version

The version and the faults are those of release.toml beside the binary. The database is that of DATABASE_URL,
DATABASE_USER and DATABASE_PASSWORD; each may be a file, named by DATABASE_URL_FILE and so on.";

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
        "worker" => worker::command(words),
        "load" => load::command(words),
        "migrate" => migrate::command(words),
        "db" => db::command(words),
        "queue" => queue::command(words),
        "check" => check::command(words),
        "version" => {
            println!("{}", release::Release::load()?.version);
            Ok(())
        }
        other => Err(Failure::usage(format!("no such command: {other}\n\n{USAGE}"))),
    }
}
