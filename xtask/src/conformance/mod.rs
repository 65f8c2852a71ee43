//! `cargo xtask conformance`: cases of other systems' test suites, put to the real `tagline`.
//!
//! The cases lie beside the repository in `../shared/conformance` (one JSON record a line) and are not part of it.
//! Kinds that name a module (`envfile`, `mask`, `glob`, …) are scored in the tests of that module's crate. Whether a
//! case is met is decided by the case's kind; where GitHub's own verdict (`official`) is recorded it beats a third
//! party's expectation.

mod case;
mod engine;
mod expression;
mod files;
mod plan;
mod run;
mod score;
mod shape;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};

use crate::{paths, shell};
use case::Case;
use engine::Engine;
pub(crate) use score::Score;

/// How a case ended.
pub(crate) enum Verdict {
    /// As expected.
    Pass,
    /// Not so, and how.
    Fail(String),
    /// Tagline refuses it on purpose, says so, and starts nothing; which rule of its own that is.
    Refused(&'static str),
    /// It cannot be put to the binary, and why.
    Skip(&'static str),
}

/// The least share of each kind's cases that must pass, in percent of those that are neither refused nor left out.
/// It only ever rises.
const FLOORS: [(&str, f64); 10] = [
    ("action-err", 100.0),
    ("action-ok", 100.0),
    ("expr", 99.0),
    ("if", 100.0),
    ("interp", 90.0),
    ("parse-err", 95.0),
    ("parse-ok", 99.0),
    ("plan", 100.0),
    ("run", 95.0),
    ("steps", 100.0),
];

/// The floor of a kind; anything goes where it has none.
pub(crate) fn floor(kind: &str) -> f64 {
    FLOORS.iter().find(|(name, _)| *name == kind).map_or(0.0, |(_, floor)| *floor)
}

/// Cases put to the binary at a time: it must not matter to whatever else the machine does.
const WORKERS: usize = 2;

/// Which cases, and how much to say.
#[derive(Default)]
struct Options {
    kind: Option<String>,
    failed: bool,
    write: bool,
}

fn parse(args: &[&str]) -> Result<Options> {
    let mut options = Options::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match (*arg, rest.as_slice().first()) {
            ("--failed", _) => options.failed = true,
            ("--write", _) => options.write = true,
            ("--kind", Some(kind)) => {
                options.kind = Some((*kind).to_owned());
                rest.next();
            }
            (other, _) => bail!("unknown or incomplete option `{other}`; known: --kind KIND, --failed, --write"),
        }
    }
    if options.write && options.kind.is_some() {
        bail!("--write is for the score of all kinds");
    }
    Ok(options)
}

/// `cargo xtask conformance [--kind KIND] [--failed] [--write]`: the table, with `--failed` each failed case and why,
/// with `--write` the kinds' scores put into the README. False where a kind is below its floor.
pub(crate) fn command(args: &[&str]) -> Result<bool> {
    let options = parse(args)?;
    if !paths::conformance().is_dir() {
        println!("skipped: ../shared/conformance is not there");
        return Ok(true);
    }
    let build = || shell::shown(shell::cargo().args(["build", "--package", "tagline-cli"]));
    if paths::named_binary().is_none() && !build()? {
        bail!("tagline does not build");
    }
    let score = score(options.kind.as_deref())?;
    if options.failed {
        for (id, why) in &score.failures {
            println!("{id}\n    {why}");
        }
    }
    println!("{}", score.render());
    if options.write {
        write(&score)?;
    }
    let mut holds = true;
    for (kind, _, _, percent) in score.kinds() {
        let floor = floor(&kind);
        if percent < floor {
            println!("{kind}: {percent:.1} % pass, {floor} % must");
            holds = false;
        }
    }
    Ok(holds)
}

const BEGIN: &str = "<!-- conformance: written by `cargo xtask conformance --write` -->\n";
const END: &str = "<!-- end of conformance -->";

/// Puts the kinds' scores between the README's marks.
fn write(score: &Score) -> Result<()> {
    let path = paths::root().join("README.md");
    let text = std::fs::read_to_string(&path)?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else { bail!("{} has no marks of the conformance table", path.display()) };
    std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", score.summary()))?;
    Ok(())
}

/// Puts every case, or those of one kind, to the built `tagline`.
pub(crate) fn score(kind: Option<&str>) -> Result<Score> {
    let cases = case::read(&paths::conformance())?;
    let wanted = |case: &&Case| judge(&case.kind).is_some() && kind.is_none_or(|kind| kind == case.kind);
    let cases: Vec<&Case> = cases.iter().filter(wanted).collect();
    let engine = Engine::new()?;
    let score = Mutex::new(Score::default());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let judge = judge(&case.kind).expect("filtered above");
                    let verdict = judge(&engine, case).unwrap_or_else(|error| Verdict::Fail(format!("{error:#}")));
                    score.lock().expect("no judge panics holding it").count(case, verdict);
                }
            });
        }
    });
    let mut score = score.into_inner().expect("no judge panics holding it");
    score.failures.sort();
    Ok(score)
}

type Judge = fn(&Engine, &Case) -> Result<Verdict>;

/// Who judges a kind; nobody here for the kinds of single modules.
fn judge(kind: &str) -> Option<Judge> {
    match kind {
        "expr" => Some(expression::value),
        "interp" => Some(expression::template),
        "if" => Some(expression::condition),
        "parse-ok" | "parse-err" | "action-ok" | "action-err" => Some(files::judge),
        "plan" => Some(plan::judge),
        "run" => Some(run::conclusion),
        "steps" => Some(run::steps),
        _ => None,
    }
}
