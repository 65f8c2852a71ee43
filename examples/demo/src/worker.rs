//! `demo worker`: everything that `serve` is, and one job of the queue after the other.
//!
//! Asked to end, it takes no further job and ends the one it has.

use std::env;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lexopt::Parser;
use postgres::Client;

use crate::database;
use crate::failure::Failure;
use crate::queue::{self, Job, PRIORITIES};
use crate::release::Release;
use crate::serve::{self, App, Options, log};

/// How long it waits where there is nothing to do, or the database is away.
const PAUSE: Duration = Duration::from_millis(200);

/// What a worker may do, by its environment.
struct Duties {
    priorities: Vec<String>,
    attempts: i32,
    critical_attempts: i32,
    enabled: bool,
}

impl Duties {
    fn read() -> Result<Self, Failure> {
        let number = |name: &str, default: i32| match env::var(name) {
            Ok(text) => text.parse().map_err(|_| Failure::usage(format!("{name}={text} is not a number"))),
            Err(_) => Ok(default),
        };
        let enabled = match env::var("QUARKUS_SCHEDULER_ENABLED").as_deref() {
            Ok("false") => false,
            Ok("true") | Err(_) => true,
            Ok(other) => return Err(Failure::usage(format!("QUARKUS_SCHEDULER_ENABLED={other}: true or false"))),
        };
        Ok(Self {
            priorities: priorities(&env::var("WORKER_PRIORITY_FILTER").unwrap_or_default())?,
            attempts: number("JOBS_RETRY_MAX_ATTEMPTS_DEFAULT", 3)?,
            critical_attempts: number("JOBS_RETRY_MAX_ATTEMPTS_CRITICAL", 5)?,
            enabled,
        })
    }
}

/// The priorities of a filter, the most urgent first; all of them where it is empty.
fn priorities(filter: &str) -> Result<Vec<String>, Failure> {
    let named: Vec<&str> = filter.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = named.iter().find(|name| !PRIORITIES.contains(name)) {
        let known = PRIORITIES.join(", ");
        return Err(Failure::usage(format!("WORKER_PRIORITY_FILTER: `{unknown}` is no priority; {known}")));
    }
    let meant = PRIORITIES.iter().filter(|name| named.is_empty() || named.contains(name));
    Ok(meant.map(|name| (*name).to_owned()).collect())
}

/// Works until SIGTERM or SIGINT; the arguments are those of `serve`.
pub(crate) fn command(words: Parser) -> Result<(), Failure> {
    let options = Options::parse(words)?;
    let duties = Duties::read()?;
    let app = Arc::new(App::new(Release::load()?));
    for name in ["started", "completed", "failed"] {
        app.metrics.add(format!("reporting_job_{name}_total"), 0);
    }
    let working = {
        let app = Arc::clone(&app);
        thread::spawn(move || work(&app, &duties))
    };
    serve::run(&options, &app)?;
    working.join().map_err(|_| Failure::new("the worker's thread broke"))
}

fn work(app: &App, duties: &Duties) {
    // A lease names who holds it: host and start are never the same for two workers.
    let worker = format!("{} {}", env::var("HOSTNAME").unwrap_or_default(), crate::units::now());
    let mut client = None;
    while !app.ending() {
        match step(app, duties, &worker, &mut client) {
            Ok(true) => {}
            Ok(false) => thread::sleep(PAUSE),
            Err(failure) => {
                log("ERROR", &format!("queue: {failure}"));
                client = None;
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Takes and does one job; false where there is none.
fn step(app: &App, duties: &Duties, worker: &str, held: &mut Option<Client>) -> Result<bool, Failure> {
    if !duties.enabled {
        return Ok(false);
    }
    let client = match held {
        Some(client) => client,
        None => held.insert(database::connect("demo worker")?),
    };
    let Some(job) = queue::take(client, &duties.priorities, worker)? else {
        return Ok(false);
    };
    let began = Instant::now();
    app.metrics.add("reporting_job_started_total", 1);
    thread::sleep(Duration::from_millis(u64::try_from(job.ms).unwrap_or(0)));
    let done = finish(app, duties, worker, client, &job)?;
    app.metrics.add(format!("reporting_job_{}_total", if done { "completed" } else { "failed" }), 1);
    let labels = format!("priority=\"{}\"", job.priority.to_ascii_lowercase());
    app.metrics.observe("reporting_job_duration", labels, began.elapsed());
    Ok(true)
}

fn finish(app: &App, duties: &Duties, worker: &str, client: &mut Client, job: &Job) -> Result<bool, Failure> {
    if app.faults.job_fails() {
        log("ERROR", &format!("job {} failed in attempt {}: fault", job.id, job.attempt));
        let most = if job.priority == "CRITICAL" { duties.critical_attempts } else { duties.attempts };
        queue::failed(client, job, worker, most)?;
        return Ok(false);
    }
    let effects = if app.faults.now().dup_job { 2 } else { 1 };
    let done = queue::done(client, job, worker, &app.release.version, effects)?;
    if !done {
        log("WARN", &format!("job {} was taken over by another worker", job.id));
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_keeps_the_order_of_urgency() {
        assert_eq!(priorities("BULK, CRITICAL").unwrap(), ["CRITICAL", "BULK"]);
        assert_eq!(priorities("").unwrap(), PRIORITIES);
        assert!(priorities("URGENT").unwrap_err().to_string().contains("`URGENT`"));
    }
}
