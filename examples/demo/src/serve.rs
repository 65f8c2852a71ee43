//! `demo serve`: from the bound sockets to the orderly end.

mod admin;
mod app;
mod health;
mod ills;
mod routes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

pub(crate) use app::{App, log};

use crate::failure::Failure;
use crate::http::message::Request;
use crate::http::server::{Handler, Server};
use crate::release::Release;
use crate::units;

/// Where it listens, and how it ends.
pub(crate) struct Options {
    host: String,
    port: u16,
    admin_port: u16,
    drain: Duration,
    age: Duration,
}

impl Options {
    /// Reads the arguments; `DRAIN` and `CONNECTION_AGE` in the environment stand in for `--drain` and `--connection-age`.
    pub(crate) fn parse(mut words: Parser) -> Result<Self, Failure> {
        let variable = |name: &str, default: &str| {
            let text = std::env::var(name).unwrap_or_else(|_| default.to_owned());
            units::duration(&text).map_err(|error| Failure::usage(format!("{name}: {error}")))
        };
        let (drain, age) = (variable("DRAIN", "2s")?, variable("CONNECTION_AGE", "1s")?);
        let mut options = Self { host: "0.0.0.0".to_owned(), port: 8080, admin_port: 8081, drain, age };
        while let Some(word) = words.next()? {
            match word {
                Arg::Long("host") => options.host = words.value()?.string()?,
                Arg::Long("port") => options.port = words.value()?.parse()?,
                Arg::Long("admin-port") => options.admin_port = words.value()?.parse()?,
                Arg::Long("drain") => options.drain = duration(&mut words)?,
                Arg::Long("connection-age") => options.age = duration(&mut words)?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }

    fn bind(&self, port: u16, version: &str) -> Result<Server, Failure> {
        let address = format!("{}:{port}", self.host);
        let parsed: SocketAddr = address.parse().map_err(|_| Failure::usage(format!("{address} is not an address")))?;
        Server::bind(parsed, format!("x-version: {version}"), self.age)
            .map_err(|error| Failure::new(format!("cannot listen on {address}: {error}")))
    }
}

fn duration(words: &mut Parser) -> Result<Duration, Failure> {
    units::duration(&words.value()?.string()?).map_err(Failure::usage)
}

/// Serves until SIGTERM or SIGINT; see [`run`].
pub(crate) fn command(words: Parser) -> Result<(), Failure> {
    run(&Options::parse(words)?, &Arc::new(App::new(Release::load()?)))
}

/// Serves `app` until a signal: unready at once, then for the time of the drain everything is answered as the last of
/// its connection, then what is still running ends. The first line on standard output is `{"url", "admin", "version"}`:
/// with port 0 it is how the caller learns the port.
pub(crate) fn run(options: &Options, app: &Arc<App>) -> Result<(), Failure> {
    let version = app.release.version.clone();
    let public = options.bind(options.port, &version)?;
    let admin = options.bind(options.admin_port, &version)?;
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(Failure::new)?;
    app.connections(public.stopper());

    let (on_signal, stopper, drain) = (Arc::clone(app), public.stopper(), options.drain);
    thread::spawn(move || {
        for _ in signals.forever() {
            if on_signal.faults.now().ignore_term {
                log("WARN", "asked to end; ignored (fault ignore_term)");
                continue;
            }
            log("INFO", "asked to end; unready, answering what comes");
            on_signal.end();
            stopper.drain();
            thread::sleep(drain);
            stopper.close();
            return;
        }
    });
    let url = |server: &Server| format!("http://{}", server.address());
    println!("{}", json!({"url": url(&public), "admin": url(&admin), "version": version}));
    let on_admin: Arc<Handler> = {
        let app = Arc::clone(app);
        Arc::new(move |request: &Request| admin::answer(&app, request))
    };
    // It ends with the process: an answer about a process that ends matters to nobody.
    thread::spawn(move || admin.run(&on_admin));
    ills::start(app);
    let on_public: Arc<Handler> = {
        let app = Arc::clone(app);
        Arc::new(move |request: &Request| app.answer(request))
    };
    public.run(&on_public);
    log("INFO", "ended");
    Ok(())
}
