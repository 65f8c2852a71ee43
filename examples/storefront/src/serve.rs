//! `storefront serve`: from the bound socket to the orderly end.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use storefront_http::{Server, Stopper};

use crate::database;
use crate::flags::{Failure, Flags};
use crate::service::Service;

/// Serves until SIGTERM or SIGINT, then ends what is running and returns. The first line on standard output is
/// `{"url": …, "version": …}`: with port 0 it is how the caller learns the port.
///
/// With `--lifeline` the end of standard input stops it as well: whoever started it holds the other end of that
/// pipe, so the service never outlives its supervisor, not even one that was killed.
pub fn command(words: &[&str]) -> Result<(), Failure> {
    let flags = Flags::parse(words, &["listen", "database"], &["lifeline"])?;
    let listen = flags.need("listen")?;
    let listen: SocketAddr =
        listen.parse().map_err(|_| Failure::usage(format!("--listen {listen}: not an address like 127.0.0.1:8080")))?;
    let service = Arc::new(Service::new(database::open(Path::new(flags.need("database")?))?));
    let server = Server::bind(listen).map_err(|error| Failure::new(format!("cannot listen on {listen}: {error}")))?;
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(Failure::new)?;

    let (on_signal, stopper) = (Arc::clone(&service), server.stopper());
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            stop(&on_signal, &stopper);
        }
    });
    if flags.get("lifeline").is_some() {
        let (on_end, stopper) = (Arc::clone(&service), server.stopper());
        thread::spawn(move || {
            // An error on standard input means the same as its end: nobody is there.
            drop(io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink()));
            stop(&on_end, &stopper);
        });
    }
    println!("{}", json!({"url": format!("http://{}", server.address()), "version": crate::version()}));
    server.run(&service);
    Ok(())
}

fn stop(service: &Service, stopper: &Stopper) {
    service.stop();
    stopper.stop();
}
