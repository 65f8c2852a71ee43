//! `demo load`: requests at a fixed pace, whatever becomes of them, and what became of them.
//!
//! The pace is open-loop: a slow answer delays no other request, and a time is counted from when its request was due.
//! Nothing is retried. A kept connection that the server has ended is noticed before it is used, as other clients do;
//! one that ends under a request has failed that request.

mod ask;
mod pool;
mod report;

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lexopt::{Arg, Parser, ValueExt};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::Failure;
use crate::http::client::Url;
use crate::units;

use ask::{Client, Request};
use pool::Pool;

/// How often the end is looked for while nothing is due.
const GLANCE: Duration = Duration::from_millis(50);

/// What is asked, how often and how long.
struct Plan {
    url: Url,
    rate: f64,
    seconds: Option<Duration>,
    requests: Option<u64>,
    slow: f64,
    kept: f64,
    timeout: Duration,
    headers: String,
    json: bool,
}

impl Plan {
    fn parse(mut words: Parser) -> Result<Self, Failure> {
        let (mut url, mut headers, mut json) = (None, String::new(), false);
        let (mut rate, mut seconds, mut requests) = (50.0, None, None);
        let (mut slow, mut kept, mut timeout) = (0.0, 0.5, Duration::from_secs(5));
        let share = |word: &str| units::share(word).map_err(Failure::usage);
        while let Some(word) = words.next()? {
            match word {
                Arg::Long("url") => url = Some(Url::parse(&words.value()?.string()?).map_err(Failure::usage)?),
                Arg::Long("rps") => rate = words.value()?.parse()?,
                Arg::Long("seconds") => seconds = Some(words.value()?.parse::<f64>()?),
                Arg::Long("requests") => requests = Some(words.value()?.parse()?),
                Arg::Long("slow") => slow = share(&words.value()?.string()?)?,
                Arg::Long("keepalive") => kept = share(&words.value()?.string()?)?,
                Arg::Long("timeout") => {
                    timeout = units::duration(&words.value()?.string()?).map_err(Failure::usage)?;
                }
                Arg::Long("header") => headers += &header(&words.value()?.string()?)?,
                Arg::Long("json") => json = true,
                other => return Err(other.unexpected().into()),
            }
        }
        let url = url.ok_or_else(|| Failure::usage("--url is missing"))?;
        if !(0.1..=10_000.0).contains(&rate) {
            return Err(Failure::usage(format!("--rps {rate}: from 0.1 to 10000")));
        }
        let seconds = match seconds {
            Some(seconds) if !(0.0..=1e7).contains(&seconds) => {
                return Err(Failure::usage(format!("--seconds {seconds}: from 0 to 10000000")));
            }
            given => given.map(Duration::from_secs_f64),
        };
        Ok(Self { url, rate, seconds, requests, slow, kept, timeout, headers, json })
    }

    /// When the n-th request (from 0) is due after the start; `None` when there is no such request.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn due(&self, n: u64) -> Option<Duration> {
        let due = Duration::from_secs_f64(n as f64 / self.rate);
        let over = self.requests.is_some_and(|most| n >= most) || self.seconds.is_some_and(|end| due >= end);
        (!over).then_some(due)
    }

    fn request(&self, n: u64, due: Instant) -> Request {
        // Of two shares the second is drawn from another order, or every slow request would be kept alive.
        let shuffled = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        #[expect(clippy::cast_precision_loss, reason = "24 bits")]
        let kept = (shuffled as f64 / f64::from(1 << 24)) < self.kept;
        Request { due, slow: units::falls(n, self.slow), kept }
    }
}

fn header(text: &str) -> Result<String, Failure> {
    let clean = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match text.split_once(':') {
        Some((name, value)) if clean && !name.is_empty() && !name.contains(' ') => {
            Ok(format!("{name}: {}\r\n", value.trim()))
        }
        _ => Err(Failure::usage(format!("--header `{text}` is not like X-Tenant: a"))),
    }
}

/// Runs the load until it is over, SIGTERM, SIGINT, or the end of a standard input that is a pipe; prints the result.
/// Fails with 1 where a request failed.
pub(crate) fn command(words: Parser) -> Result<(), Failure> {
    let plan = Plan::parse(words)?;
    let ended = ends()?;
    let client = Arc::new(Client::new(plan.url.clone(), plan.timeout, &plan.headers));
    let pool = Pool::new(Arc::clone(&client));
    let start = Instant::now();
    eprintln!("started");
    let mut n = 0;
    while let Some(due) = plan.due(n).map(|due| start + due) {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            pool.submit(plan.request(n, due));
            n += 1;
        } else {
            thread::sleep(left.min(GLANCE));
        }
    }
    pool.finish();
    let report = client.report();
    if plan.json {
        println!("{}", report.json(start.elapsed()));
    } else {
        println!("{}", report.text());
    }
    match report.failed {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{failed} of {} requests failed", report.sent))),
    }
}

/// A flag that is set when somebody asks for the end.
fn ends() -> Result<Arc<AtomicBool>, Failure> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&ended)).map_err(Failure::new)?;
    }
    // Only a pipe has somebody at its other end; in the background standard input is often empty from the start.
    if std::fs::read_link("/proc/self/fd/0").is_ok_and(|target| target.to_string_lossy().starts_with("pipe:")) {
        let ended = Arc::clone(&ended);
        thread::spawn(move || {
            // An error means the same as the end: nobody is there.
            drop(io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink()));
            ended.store(true, Ordering::Relaxed);
        });
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Result<Plan, Failure> {
        Plan::parse(Parser::from_args([&["--url", "http://127.0.0.1:1"], words].concat()))
    }

    #[test]
    fn requests_are_due_at_their_pace_until_the_end() {
        let of_time = plan(&["--rps", "500", "--seconds", "2"]).unwrap();
        assert_eq!(of_time.due(250), Some(Duration::from_millis(500)));
        assert_eq!((of_time.due(999).is_some(), of_time.due(1000)), (true, None));
        let of_count = plan(&["--requests", "3"]).unwrap();
        assert_eq!((of_count.due(2).is_some(), of_count.due(3)), (true, None));
    }

    #[test]
    fn slow_and_kept_are_shares_that_do_not_depend_on_each_other() {
        let plan = plan(&["--slow", "10%", "--keepalive", "half"]).unwrap();
        let now = Instant::now();
        let all: Vec<Request> = (0..10_000).map(|n| plan.request(n, now)).collect();
        let count = |slow: bool, kept: bool| all.iter().filter(|one| one.slow == slow && one.kept == kept).count();
        assert_eq!(count(true, true) + count(true, false), 1000);
        assert!((450..=550).contains(&count(true, true)), "{}", count(true, true));
        assert!((4400..=4600).contains(&count(false, true)), "{}", count(false, true));
    }

    #[test]
    fn wrong_words_are_refused() {
        for words in [
            &["--rps", "0"][..],
            &["--slow", "110%"],
            &["--timeout", "5"],
            &["--seconds", "-1"],
            &["--header", "X-Tenant"],
            &["--header", "A: b\r\nC: d"],
            &["--fast"],
        ] {
            assert_eq!(plan(words).err().map(|failure| failure.exit), Some(2), "{words:?}");
        }
    }
}
