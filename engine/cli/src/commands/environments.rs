//! `tagline environments`: what runs where, since when, approved by whom, and what waits.

use jiff::Timestamp;
use serde_json::{Value, json};
use tagline_plan::Person;
use tagline_run::{Fact, RunId};
use tagline_server::ledger;
use tagline_server::repository::{ENVIRONMENTS_FILE, Repository};
use tagline_store::{DeploymentRow, RunFilter, Store};
use tagline_syntax::diagnostic::SourceFile;
use tagline_syntax::environments::{self, Environment, EnvironmentsFile};

use super::environment_now;
use crate::args::EnvironmentsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::gate;
use crate::output::{Facts, Mark, Style};
use crate::table::table;
use crate::words::{self, plain, short_commit, short_digest};

/// Runs it.
pub(crate) fn run(context: &Context, args: &EnvironmentsArgs) -> Outcome {
    let repository = context.repository()?;
    let found = Found::read(context, &repository)?;
    match &args.environment {
        None if args.json => context.output.json(&found.standings.iter().map(Standing::as_json).collect::<Vec<_>>()),
        None => print_all(context, &found),
        Some(name) => {
            let standing = found.standings.iter().find(|one| one.name.eq_ignore_ascii_case(name));
            let standing = standing.ok_or_else(|| unknown(name, &found))?;
            let place = standing.rules.as_ref().and_then(|rules| rules.cluster.as_ref());
            let now = place.map(environment_now::read);
            if args.json {
                let mut value = standing.as_json();
                value["cluster"] = now.as_ref().map_or(Value::Null, environment_now::as_json);
                context.output.json(&value);
            } else {
                print_one(context, standing, &found);
                context.output.lines(now.iter().flat_map(|now| environment_now::lines(context, now)));
            }
        }
    }
    Ok(Exit::Done)
}

fn unknown(name: &str, found: &Found) -> Failure {
    let known: Vec<&str> = found.standings.iter().map(|one| one.name.as_str()).collect();
    let known = if known.is_empty() { "it names none".to_owned() } else { format!("it names {}", known.join(", ")) };
    Failure::unusable("unknown-environment", format!("`{name}` is not in {ENVIRONMENTS_FILE} ({})", found.origin))
        .why(known)
        .next("tagline environments")
}

/// All environments of a repository.
struct Found {
    origin: String,
    standings: Vec<Standing>,
    teams: Option<EnvironmentsFile>,
}

/// One environment.
struct Standing {
    name: String,
    rules: Option<Environment>,
    history: Vec<Live>,
    waiting: Vec<Waiting>,
}

/// A version that came live.
struct Live {
    version: Option<String>,
    commit: String,
    run: u64,
    since: Timestamp,
    approved_by: Vec<Person>,
    url: String,
    artifacts: Vec<(String, String)>,
}

/// A run that waits for people.
struct Waiting {
    run: RunId,
    what: String,
    outcome: String,
}

impl Found {
    fn read(context: &Context, repository: &Repository) -> Result<Self, Failure> {
        let read = repository.environments()?;
        let file = read
            .as_ref()
            .and_then(|read| environments::read(&SourceFile::from_bytes(ENVIRONMENTS_FILE, &read.bytes)).file);
        let mut standings: Vec<Standing> = file.iter().flat_map(|file| &file.environments).map(Standing::new).collect();
        if let Some(store) = context.read_store_if_any()? {
            let root = repository.root().to_string_lossy().into_owned();
            for row in store.deployments(Some(&root), None)? {
                deployed(&mut standings, row);
            }
            waiting(&store, &root, &mut standings)?;
        }
        let origin = read.map_or_else(|| "no such file".to_owned(), |read| read.origin);
        Ok(Self { origin, standings, teams: file })
    }
}

impl Standing {
    fn new((name, rules): (&String, &Environment)) -> Self {
        Self { name: name.clone(), rules: Some(rules.clone()), history: Vec::new(), waiting: Vec::new() }
    }

    /// The one of that name; made where the file does not know it.
    fn of<'s>(all: &'s mut Vec<Self>, name: &str) -> &'s mut Self {
        let at = all.iter().position(|one| one.name.eq_ignore_ascii_case(name)).unwrap_or_else(|| {
            all.push(Self { name: name.to_owned(), rules: None, history: Vec::new(), waiting: Vec::new() });
            all.len() - 1
        });
        &mut all[at]
    }

    fn as_json(&self) -> Value {
        let live = |live: &Live| {
            json!({
                "version": live.version, "commit": live.commit, "run": live.run, "url": live.url,
                "since": words::stamp(live.since.as_millisecond()),
                "approved_by": live.approved_by.iter().map(|person| &person.email).collect::<Vec<_>>(),
                "artifacts": live.artifacts.iter().map(|(name, digest)| json!({"name": name, "digest": digest})).collect::<Vec<_>>(),
            })
        };
        json!({
            "environment": self.name,
            "live": self.history.first().map(live),
            "history": self.history.iter().map(live).collect::<Vec<_>>(),
            "waiting": self.waiting.iter().map(|one| json!({"run": one.run, "release": one.what, "outcome": one.outcome})).collect::<Vec<_>>(),
            "rules": self.rules,
        })
    }

    fn state(&self, facts: &Facts) -> String {
        let live = match self.history.first() {
            Some(_) => facts.state(Mark::Success, "live"),
            None => facts.state(Mark::Unknown, "never deployed"),
        };
        let waiting = self.waiting.iter().map(|one| {
            facts.state(Mark::Waiting, &format!("{} {} (run {})", plain(&one.what), plain(&one.outcome), one.run))
        });
        std::iter::once(live).chain(waiting).collect::<Vec<_>>().join(" · ")
    }
}

/// Rows come newest first, and so does the history.
fn deployed(standings: &mut Vec<Standing>, row: DeploymentRow) {
    let Fact::Deployed { environment, version, commit, artifacts, url, approved_by, .. } = row.event.fact else {
        return;
    };
    Standing::of(standings, &environment).history.push(Live {
        version,
        commit,
        run: row.run,
        since: row.event.at,
        approved_by,
        url,
        artifacts: artifacts.into_iter().collect(),
    });
}

fn waiting(store: &Store, root: &str, standings: &mut Vec<Standing>) -> Result<(), Failure> {
    let filter = RunFilter { root: Some(root.to_owned()), active: true, ..RunFilter::default() };
    for row in store.runs(&filter)?.into_iter().filter(|row| row.status == "waiting") {
        let run = RunId(row.id);
        let state = ledger::state(store, run)?;
        for id in gate::open_gates(&state) {
            let what = row.version.clone().unwrap_or_else(|| short_commit(&row.sha).to_owned());
            let outcome = tagline_run::view::outcome(&state, id);
            Standing::of(standings, &state.gates[&id].environment).waiting.push(Waiting { run, what, outcome });
        }
    }
    Ok(())
}

fn people(people: &[Person]) -> String {
    if people.is_empty() {
        "-".to_owned()
    } else {
        people.iter().map(|p| plain(&p.email)).collect::<Vec<_>>().join(", ")
    }
}

fn print_all(context: &Context, found: &Found) {
    let facts = &context.output.out;
    if found.standings.is_empty() {
        context.output.note(format!("0 environments in {ENVIRONMENTS_FILE} ({})", found.origin));
        return;
    }
    let line = |standing: &Standing| {
        let live = standing.history.first();
        vec![
            plain(&standing.name),
            live.map_or_else(|| "-".to_owned(), release),
            live.map_or_else(|| "-".to_owned(), |live| context.time(live.since)),
            live.map_or_else(|| "-".to_owned(), |live| people(&live.approved_by)),
            standing.state(facts),
        ]
    };
    let rows: Vec<Vec<String>> = found.standings.iter().map(line).collect();
    let lines = table(facts, &["ENVIRONMENT", "LIVE", "SINCE", "APPROVED BY", "STATE"], &rows);
    context.output.lines(lines);
}

fn release(live: &Live) -> String {
    live.version.as_deref().map_or_else(|| short_commit(&live.commit).to_owned(), plain)
}

fn print_one(context: &Context, standing: &Standing, found: &Found) {
    let out = &context.output;
    let label = |name: &str, text: String| {
        out.line(format!("  {} {text}", out.out.paint(Style::Strong, format!("{name:<10}"))));
    };
    out.line(format!("{}  {}", plain(&standing.name), standing.state(&out.out)));
    if let Some(live) = standing.history.first() {
        let (since, commit) = (context.time(live.since), short_commit(&live.commit));
        label("Live", format!("{}  {commit}  since {since}, run {}", release(live), live.run));
        label("Approved", people(&live.approved_by));
        if !live.url.is_empty() {
            label("Address", plain(&live.url));
        }
        for (name, digest) in &live.artifacts {
            label("Artifact", format!("{} {}", plain(name), short_digest(digest)));
        }
    }
    for earlier in standing.history.iter().skip(1).take(10) {
        label("Before", format!("{}  since {}, run {}", release(earlier), context.time(earlier.since), earlier.run));
    }
    if let Some(rules) = &standing.rules {
        for (name, text) in rules_of(rules) {
            label(name, text);
        }
        label("Rules", format!("{ENVIRONMENTS_FILE} ({})", found.origin));
    }
    if context.verbose {
        let teams = found.teams.iter().flat_map(|file| &file.teams);
        for (team, members) in teams {
            label("Team", format!("{}: {}", plain(team), plain(&members.join(", "))));
        }
    }
}

/// Each rule as a label and a sentence.
fn rules_of(rules: &Environment) -> Vec<(&'static str, String)> {
    let list = |names: &[String]| (!names.is_empty()).then(|| plain(&names.join(", ")));
    let rules = [
        ("Tags", rules.tags.as_deref().map(plain)),
        ("After", rules.after.as_deref().map(plain)),
        ("Reviewers", rules.reviewers.as_ref().map(super::plan_text::reviewers)),
        ("Expires", rules.reviewers.as_ref().map(|_| expiry(rules.expires_seconds))),
        ("Variables", list(&rules.required_variables)),
        ("Secrets", list(&rules.secrets)),
    ];
    rules.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

fn expiry(seconds: u64) -> String {
    format!(
        "{} after it is asked: silence is a no",
        words::duration(i64::try_from(seconds).unwrap_or(i64::MAX / 1000) * 1000)
    )
}
