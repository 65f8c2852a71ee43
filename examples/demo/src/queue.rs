//! `demo queue`: jobs in PostgreSQL, with leases, attempts, dead letters and five priorities.
//!
//! A job's effect is a row of `job_effects`, written in the transaction that ends the job: what is there twice was done
//! twice, and what is done without one was lost.

use std::collections::BTreeMap;

use lexopt::{Arg, Parser, ValueExt};
use postgres::{Client, Error};
use serde_json::json;

use crate::database;
use crate::failure::Failure;
use crate::metrics::gauge;

/// From the most to the least urgent.
pub(crate) const PRIORITIES: [&str; 5] = ["CRITICAL", "HIGH", "DEFAULT", "LOW", "BULK"];

const TABLES: &str = "set client_min_messages = warning;
create table if not exists jobs (
  id bigserial primary key, priority text not null, state text not null default 'waiting', ms integer not null,
  attempts integer not null default 0, lease text, lease_until timestamptz);
create index if not exists jobs_open on jobs (priority, id) where state in ('waiting', 'leased');
create table if not exists job_effects (job_id bigint not null, version text not null, at timestamptz not null default now())";

/// One of the jobs under lease.
pub(crate) struct Job {
    /// Its id; effects are counted by it.
    pub(crate) id: i64,
    /// How long it takes, milliseconds.
    pub(crate) ms: i32,
    /// Which attempt this is, from 1.
    pub(crate) attempt: i32,
    /// One of [`PRIORITIES`].
    pub(crate) priority: String,
}

/// `init`, `add --count N [--priority P] [--ms N]`, `stats`.
pub(crate) fn command(mut words: Parser) -> Result<(), Failure> {
    let (mut action, mut count, mut priority, mut ms) = (String::new(), 1_i64, "DEFAULT".to_owned(), 10_i32);
    while let Some(word) = words.next()? {
        match word {
            Arg::Value(value) if action.is_empty() => action = value.string()?,
            Arg::Long("count") => count = words.value()?.parse()?,
            Arg::Long("priority") => priority = words.value()?.string()?,
            Arg::Long("ms") => ms = words.value()?.parse()?,
            // The only form there is; named so that callers may ask for it.
            Arg::Long("json") => {}
            other => return Err(other.unexpected().into()),
        }
    }
    if !PRIORITIES.contains(&priority.as_str()) {
        return Err(Failure::usage(format!("priority `{priority}`: {}", PRIORITIES.join(", "))));
    }
    if !(0..=1_000_000).contains(&count) || !(0..=3_600_000).contains(&ms) {
        return Err(Failure::usage("--count goes up to 1000000, --ms up to 3600000"));
    }
    match action.as_str() {
        "init" => Ok(database::connect("demo queue")?.batch_execute(TABLES)?),
        "add" => add(count, &priority, ms),
        "stats" => stats(),
        _ => Err(Failure::usage("queue init, queue add --count N [--priority P] [--ms N], or queue stats --json")),
    }
}

fn add(count: i64, priority: &str, ms: i32) -> Result<(), Failure> {
    let sql = "insert into jobs (priority, ms) select $1, $2 from generate_series(1, $3::bigint)";
    let added = database::connect("demo queue")?.execute(sql, &[&priority, &ms, &count])?;
    println!("{}", json!({"added": added}));
    Ok(())
}

fn stats() -> Result<(), Failure> {
    let row = database::connect("demo queue")?.query_one(
        "select count(*), count(*) filter (where state = 'waiting'), count(*) filter (where state = 'leased'),
           count(*) filter (where state = 'done'), count(*) filter (where state = 'dead'),
           count(*) filter (where attempts > 1), count(*) filter (where state = 'done' and effects is null),
           (coalesce(sum(effects - 1), 0))::bigint
         from jobs left join (select job_id, count(*) as effects from job_effects group by 1) e on e.job_id = id",
        &[],
    )?;
    let names = ["enqueued", "waiting", "leased", "done", "dead", "retried", "lost", "duplicate_effects"];
    let stats: serde_json::Value =
        names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), json!(row.get::<_, i64>(at)))).collect();
    println!("{stats}");
    Ok(())
}

/// Takes the most urgent job of `priorities` that waits, or whose lease is over; the lease outlasts the job by 30 s.
pub(crate) fn take(client: &mut Client, priorities: &[String], worker: &str) -> Result<Option<Job>, Error> {
    let row = client.query_opt(
        "update jobs set state = 'leased', attempts = attempts + 1, lease = $2,
           lease_until = now() + interval '30 seconds' + ms * interval '1 millisecond'
         where id = (select id from jobs
           where (state = 'waiting' or state = 'leased' and lease_until < now()) and priority = any($1)
           order by array_position($1, priority), id for update skip locked limit 1)
         returning id, ms, attempts, priority",
        &[&priorities, &worker],
    )?;
    Ok(row.map(|row| Job { id: row.get(0), ms: row.get(1), attempt: row.get(2), priority: row.get(3) }))
}

/// Ends a job with `effects` effects; false where the lease went to somebody else meanwhile, and nothing was done.
pub(crate) fn done(client: &mut Client, job: &Job, worker: &str, version: &str, effects: usize) -> Result<bool, Error> {
    let mut transaction = client.transaction()?;
    let sql = "update jobs set state = 'done' where id = $1 and state = 'leased' and lease = $2 and attempts = $3";
    if transaction.execute(sql, &[&job.id, &worker, &job.attempt])? == 0 {
        return Ok(false);
    }
    for _ in 0..effects {
        transaction.execute("insert into job_effects (job_id, version) values ($1, $2)", &[&job.id, &version])?;
    }
    transaction.commit()?;
    Ok(true)
}

/// Gives a job back, or up after its last attempt.
pub(crate) fn failed(client: &mut Client, job: &Job, worker: &str, attempts: i32) -> Result<(), Error> {
    let state = if job.attempt >= attempts { "dead" } else { "waiting" };
    let sql = "update jobs set state = $4 where id = $1 and state = 'leased' and lease = $2 and attempts = $3";
    client.execute(sql, &[&job.id, &worker, &job.attempt, &state]).map(drop)
}

/// Jobs that wait, by priority, and those given up.
pub(crate) struct Depths {
    waiting: BTreeMap<String, i64>,
    dead: i64,
}

impl Depths {
    /// Adds the gauges to a page.
    pub(crate) fn write(&self, page: &mut String) {
        for name in ["jobs_queue_depth", "reporting_refresh_queue_depth"] {
            for priority in PRIORITIES {
                let labels = format!("priority=\"{}\"", priority.to_ascii_lowercase());
                gauge(page, name, &labels, self.waiting.get(priority).copied().unwrap_or(0));
            }
        }
        gauge(page, "jobs_dlq_depth", "", self.dead);
        gauge(page, "reporting_refresh_dlq_depth", "", self.dead);
    }
}

/// Reads the depths; an error where there is no queue.
pub(crate) fn depths(client: &mut Client) -> Result<Depths, Error> {
    let sql = "select priority, state, count(*) from jobs where state in ('waiting', 'dead') group by 1, 2";
    let mut depths = Depths { waiting: BTreeMap::new(), dead: 0 };
    for row in client.query(sql, &[])? {
        let (priority, state, count): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
        if state == "dead" {
            depths.dead += count;
        } else {
            depths.waiting.insert(priority, count);
        }
    }
    Ok(depths)
}
