//! The points of the matrix: their names, which of them a short run takes, and how they run side by side.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tagline_run::Fact;

use super::built::Built;
use super::compare::{self, EndState};
use super::moments::{self, Moment};
use super::scene::Scene;
use super::sound;
use super::special;

/// Two cores, two releases at once.
const LANES: usize = 2;
/// Every so manyth point of the plain faults is in a short run.
const STRIDE: usize = 20;

/// The release in which nothing went wrong.
pub(crate) struct Oracle {
    pub(crate) end: EndState,
    /// Its facts in their order. Up to the staging job it is another one each time, but they are as many.
    pub(crate) facts: Vec<String>,
    /// The jobs that have steps, in the plan's order.
    pub(crate) jobs: Vec<String>,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Point {
    /// Faults of the engine's lives, one after the other.
    Faults(Vec<String>),
    /// The command that begins the run is killed as soon as the run is stored.
    Begun,
    /// Every job's agent is killed once before its first step.
    AgentsBefore,
    /// The agent of one job is killed after its first step began.
    AgentDuring(String),
    /// The engine is killed at a moment of a job.
    Moment(Moment, String),
    /// The engine stays away until a job's agent has ended.
    Away(String),
    /// Everybody votes at once while the engine is killed.
    Votes,
}

impl Point {
    /// Its name, which `TAGLINE_CRASH_POINT` takes.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Faults(faults) => faults.join(","),
            Self::Begun => "begun".to_owned(),
            Self::AgentsBefore => "agents-before".to_owned(),
            Self::AgentDuring(job) => format!("agent-during={job}"),
            Self::Moment(moment, job) => format!("{}={job}", moment.word()),
            Self::Away(job) => format!("away={job}"),
            Self::Votes => "votes".to_owned(),
        }
    }

    fn run(&self, built: &Built, oracle: &Oracle) -> Result<(), String> {
        match self {
            Self::Faults(faults) => plain(&Scene::new(built, false), oracle, faults),
            Self::Begun => plain(&Scene::begun_twice(built), oracle, &[]),
            Self::AgentsBefore => special::agents_before(built, oracle),
            Self::AgentDuring(job) => special::agent_during(built, oracle, job),
            Self::Moment(moment, job) => moments::killed_at(built, oracle, *moment, job),
            Self::Away(job) => moments::away(built, oracle, job),
            Self::Votes => special::votes(built, oracle),
        }
    }
}

/// Makes the release without any fault.
pub(crate) fn oracle(built: &Built) -> Oracle {
    let scene = Scene::new(built, false);
    let log = || std::fs::read_to_string(scene.log()).unwrap_or_default();
    scene.drive(&[]).unwrap_or_else(|why| panic!("{why}\n{}", log()));
    let end = compare::end_state(&scene);
    let state = scene.state();
    let failed = || format!("{:#?}\n{}", state.finished, serde_json::to_string_pretty(&end).unwrap_or_default());
    assert_eq!(end["run"][0], "success", "{}", failed());
    assert_eq!(sound::sound(&scene), Vec::<String>::new());
    let facts = scene.events().iter().map(|event| compare::about(&event.fact)).collect();
    let jobs = state.legs().map(|(key, _)| key.job).collect();
    Oracle { end, facts, jobs }
}

/// Every point there is.
pub(crate) fn all(oracle: &Oracle) -> Vec<Point> {
    let fault = |name: &str, at: usize| format!("{name}={at}");
    let mut points = Vec::new();
    for name in ["kill-stored", "kill-done", "fail-write"] {
        points.extend((1..=oracle.facts.len()).map(|at| Point::Faults(vec![fault(name, at)])));
    }
    points.extend(several(oracle));
    points.push(Point::Faults(vec!["repeat".to_owned()]));
    points.push(Point::Begun);
    points.push(Point::AgentsBefore);
    points.extend(oracle.jobs.iter().cloned().map(Point::AgentDuring));
    for moment in Moment::ALL {
        let of = oracle.jobs.iter().filter(|job| moment.is_of(job));
        points.extend(of.map(|job| Point::Moment(moment, job.clone())));
    }
    points.extend(["deploy-staging", "deploy-production"].map(|job| Point::Away(job.to_owned())));
    points.push(Point::Votes);
    points
}

/// Several crashes: three in a row, and one while the next engine recovers, each at a few places of the release.
fn several(oracle: &Oracle) -> Vec<Point> {
    let mut points = Vec::new();
    for at in (5..oracle.facts.len()).step_by(oracle.facts.len() / 5) {
        let row = [format!("kill-stored={at}"), format!("kill-done={}", at + 1), format!("kill-stored={}", at + 2)];
        points.push(Point::Faults(row.to_vec()));
        // An engine whose journal is beyond that point is killed as soon as it has set recovery going.
        points.push(Point::Faults(vec![format!("kill-done={at}"), "kill-done=1".to_owned()]));
        points.push(Point::Faults(vec![format!("kill-stored={at}"), "kill-stored=1".to_owned()]));
    }
    points
}

/// Those of a short run: every so manyth of the plain faults, beginning elsewhere for each kind, and of the others.
pub(crate) fn some(oracle: &Oracle) -> Vec<Point> {
    let points = all(oracle);
    let (plain, others) = points.split_at(3 * oracle.facts.len());
    let every = |points: &[Point], stride: usize| -> Vec<Point> {
        points.iter().skip(stride / 2).step_by(stride).cloned().collect()
    };
    let single = |point: &&Point| match point {
        Point::Begun | Point::AgentsBefore | Point::Votes => true,
        Point::Faults(faults) => faults == &["repeat"],
        Point::AgentDuring(job) | Point::Away(job) => job == "deploy-production",
        Point::Moment(..) => false,
    };
    let (one_each, rest): (Vec<&Point>, Vec<&Point>) = others.iter().partition(single);
    let rest: Vec<Point> = rest.into_iter().cloned().collect();
    let mut some = every(plain, STRIDE);
    // The end of a run has chores of its own.
    some.push(Point::Faults(vec![format!("kill-stored={}", oracle.facts.len())]));
    some.extend(every(&rest, STRIDE / 2));
    some.extend(one_each.into_iter().cloned());
    some
}

/// Runs points side by side; what failed comes back with how to repeat it.
pub(crate) fn run(points: &[Point], built: &Built, oracle: &Oracle) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let lane = || {
        while let Some(point) = points.get(next.fetch_add(1, Ordering::SeqCst)) {
            let done = catch_unwind(AssertUnwindSafe(|| point.run(built, oracle)));
            let why = match done {
                Ok(Ok(())) => continue,
                Ok(Err(why)) => why,
                Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "it panicked".to_owned()),
            };
            let name = point.name();
            let again = format!("TAGLINE_CRASH_POINT={name} cargo test -p tagline-server --test crash crash_matrix");
            let text = format!("point {name} fails: {why}\n  again: {again}");
            say(&text);
            failures.lock().unwrap().push(text);
        }
    };
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(lane);
        }
    });
    failures.into_inner().unwrap()
}

/// The release with faults of the engine must end as the oracle did.
fn plain(scene: &Scene, oracle: &Oracle, faults: &[String]) -> Result<(), String> {
    scene.drive(faults).map_err(|why| with_log(scene, &why))?;
    same(scene, oracle, &[])
}

/// Compares a scene's end with the oracle's, but for some entries.
pub(crate) fn same(scene: &Scene, oracle: &Oracle, without: &[&str]) -> Result<(), String> {
    let mut wrong = compare::differences(&oracle.end, &compare::end_state(scene), without);
    wrong.extend(sound::sound(scene));
    if wrong.is_empty() { Ok(()) } else { Err(with_log(scene, &wrong.join("\n  "))) }
}

/// With the journal and the end of what the engines said.
pub(crate) fn with_log(scene: &Scene, why: &str) -> String {
    let why_of = |fact: &Fact| match fact {
        Fact::JobFinished { why, .. } | Fact::LaunchFailed { why, .. } if !why.is_empty() => format!(" ({why})"),
        _ => String::new(),
    };
    let about = |fact: &Fact| compare::about(fact) + &why_of(fact);
    let facts: Vec<String> = scene.events().iter().map(|event| about(&event.fact)).collect();
    let facts: Vec<String> = facts.iter().enumerate().map(|(at, fact)| format!("{} {fact}", at + 1)).collect();
    let log = std::fs::read_to_string(scene.log()).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(25)..].join("\n    ");
    format!("{why}\n  journal: {}\n  engine:\n    {last}", facts.join("; "))
}

/// Says something past the test harness, which shows the output of failed tests only.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
