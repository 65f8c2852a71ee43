//! `demo check`: one assertion, one line of TAP.

use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use crate::failure::Failure;
use crate::http::client;

const USAGE: &str = "check eq|ne|contains NAME GOT WANTED, or check get NAME URL WANTED";
/// How long `get` waits for its answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long `get` knocks at an address that refuses: of a Service that is new or has new pods, the nodes hear a moment later.
const KNOCKING: Duration = Duration::from_secs(15);

/// Prints `ok - NAME`, or `not ok - NAME` with what was got; the exit code says the same. `get` asks a URL, whose answer
/// must be 200 and contain the text.
pub(crate) fn command(mut words: Parser) -> Result<(), Failure> {
    let mut given = Vec::new();
    while let Some(word) = words.next()? {
        match word {
            Arg::Value(value) => given.push(value.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let [kind, name, got, wanted] = given.as_slice() else {
        return Err(Failure::usage(USAGE));
    };
    let (holds, got) = match kind.as_str() {
        "eq" => (got == wanted, got.clone()),
        "ne" => (got != wanted, got.clone()),
        "contains" => (got.contains(wanted), got.clone()),
        "get" => get(got, wanted),
        _ => return Err(Failure::usage(USAGE)),
    };
    if holds {
        println!("ok - {name}");
        return Ok(());
    }
    println!("not ok - {name}\n  ---\n  got: {got:?}\n  {kind}: {wanted:?}\n  ...");
    Err(Failure::new(format!("{name} does not hold: got {got:?}")))
}

fn get(url: &str, wanted: &str) -> (bool, String) {
    match client::get(url, KNOCKING, TIMEOUT) {
        Err(error) => (false, error),
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body);
            (answer.status == 200 && body.contains(wanted), format!("{} {body}", answer.status))
        }
    }
}
