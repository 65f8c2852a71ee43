//! Reads `tagline/deploy`: each knob, then what must hold between them.

use super::{
    BlueGreenKnobs, ConfigOwner, DeployInputs, Drift, EvidenceHook, Follow, Names, OnFailure, RollingKnobs, Strategy,
};
use crate::inputs::measure::{MeasureKnobs, NoData};
use crate::inputs::reader::Reader;
use crate::inputs::rule::{Condition, RollbackRule};
use crate::inputs::smoke::{Keys, LogLimit, SmokeInputs, SmokeTarget};
use crate::inputs::source::{Source, images};
use crate::inputs::units::{dns_label, dns_subdomain};
use crate::inputs::{Period, Problem, Replicas, WorkloadRef};

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Rolling,
    BlueGreen,
    Canary,
    Workers,
    Gitops,
}

const STRATEGIES: [(&str, Word); 5] = [
    ("rolling", Word::Rolling),
    ("blue-green", Word::BlueGreen),
    ("canary", Word::Canary),
    ("workers", Word::Workers),
    ("gitops", Word::Gitops),
];
const ON_FAILURE: [(&str, OnFailure); 3] =
    [("rollback", OnFailure::Rollback), ("pause", OnFailure::Pause), ("stop", OnFailure::Stop)];
const DRIFT: [(&str, Drift); 3] = [("refuse", Drift::Refuse), ("overwrite", Drift::Overwrite), ("keep", Drift::Keep)];
const FOLLOW: [(&str, Follow); 2] = [("follow", Follow::Follow), ("leave", Follow::Leave)];
const NAMES: [(&str, Names); 2] = [("release", Names::Release), ("colours", Names::Colours)];
const CONFIG: [(&str, ConfigOwner); 2] = [("release", ConfigOwner::Release), ("shared", ConfigOwner::Shared)];

const SMOKE: Keys = Keys {
    checks: "smoke",
    jobs: "smoke-jobs",
    targets: "smoke-targets",
    port: "smoke-port",
    headers: "smoke-headers",
    timeout: "smoke-timeout",
    attempts: "smoke-attempts",
    every: "smoke-every",
    body_limit: "smoke-body-limit",
    preview: ("strategy", "strategy: blue-green has one"),
};

/// Knobs that only rolling has, and those that only blue-green has.
const ROLLING_ONLY: [&str; 2] = ["max-surge", "max-unavailable"];
const BLUE_GREEN_ONLY: [&str; 8] =
    ["drain", "scale-old", "keep-old", "rollback-replicas", "autoscaler", "pdb", "names", "preview-service"];

impl DeployInputs {
    pub(in crate::inputs) fn read(reader: &mut Reader<'_>) -> Self {
        let (source, helm) = Source::read(reader);
        let word = read_strategy(reader);
        let rolling = RollingKnobs::read(reader);
        let blue_green = BlueGreenKnobs::read(reader);
        let measure = MeasureKnobs::read(reader, "prometheus");
        let rollback_when = read_rules(reader, &measure);
        let (timeout, progress_deadline, min_ready) = read_deadlines(reader);
        let watch = read_watch(reader, word, &rollback_when, &measure.log_limits);
        let inputs = Self {
            name: reader.read("name", dns_label),
            source,
            helm,
            images: images(reader),
            workloads: reader.words("workloads", WorkloadRef::parse),
            services: reader.words("service", dns_subdomain),
            preview_service: reader.read("preview-service", dns_subdomain),
            names: reader.choice("names", "a way to name workloads", &NAMES),
            config: reader.choice("config", "an owner of configuration", &CONFIG),
            replicas: reader.read("replicas", Replicas::parse).unwrap_or(Replicas::Previous),
            strategy: match word {
                Word::BlueGreen => Strategy::BlueGreen(blue_green),
                _ => Strategy::Rolling(rolling),
            },
            timeout,
            progress_deadline,
            min_ready,
            on_failure: reader.choice("on-failure", "an answer to failure", &ON_FAILURE),
            reason: reader.text("reason"),
            prune: reader.flag("prune"),
            force_conflicts: reader.flag("force-conflicts"),
            adopt: reader.flag("adopt"),
            drift: reader.choice("drift", "an answer to drift", &DRIFT),
            capacity_check: reader.flag("capacity-check"),
            smoke: SmokeInputs::read(reader, &SMOKE),
            watch,
            rollback_when,
            health: reader.read("health", path),
            measure,
            evidence: reader.lines("evidence", EvidenceHook::parse),
            releases: reader.count("releases", 0).unwrap_or_default(),
            notes: Vec::new(),
        };
        inputs.check(reader, word)
    }

    /// What must hold between knobs.
    fn check(mut self, reader: &mut Reader<'_>, word: Word) -> Self {
        let asked = self.smoke.targets.contains(&SmokeTarget::Preview) && reader.is_given(SMOKE.targets);
        self.smoke.settle_places(reader, &SMOKE, word == Word::BlueGreen);
        if asked && !self.smoke.targets.contains(&SmokeTarget::Preview) {
            self.notes.push("smoke-targets: preview has an effect with strategy: blue-green only".to_owned());
        }
        reader.rule(&["releases"], self.releases < 2, || {
            format!("releases {} leaves nothing to roll back to; at least 2", self.releases)
        });
        if let Strategy::BlueGreen(knobs) = &self.strategy {
            let (keep, watch) = (knobs.keep_old, self.watch);
            reader.rule(&["keep-old", "watch", "strategy"], keep < watch, || {
                format!("keep-old {keep} ends before watch {watch}; at least {watch}")
            });
            reader.rule(&["autoscaler", "strategy"], knobs.autoscaler == Follow::Leave, || {
                "autoscaler: leave with blue-green: the new release would have no autoscaler; follow".to_owned()
            });
        }
        let set_image = matches!(self.source, Source::SetImage { .. });
        reader.rule(
            &["strategy", "deployment"],
            set_image && word == Word::BlueGreen && self.names == Names::Release,
            || "blue-green with deployment sets the image of the idle colour; names: colours".to_owned(),
        );
        reader.rule(&["images", "deployment"], set_image && self.images.len() != 1, || {
            format!("deployment sets one image, {} are given", self.images.len())
        });
        let unused: &[&str] = match word {
            Word::BlueGreen => &ROLLING_ONLY,
            _ => &BLUE_GREEN_ONLY,
        };
        let other = if word == Word::BlueGreen { "rolling" } else { "blue-green" };
        let given = unused.iter().filter(|key| reader.is_given(key));
        self.notes.extend(given.map(|key| format!("{key} has an effect with strategy: {other} only")));
        self
    }

    /// What an environment with reviewers asks beyond that.
    pub(in crate::inputs) fn for_protected(&self, environment: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.smoke.checks.is_empty() && self.smoke.jobs.is_empty() {
            problems
                .push(Problem::new("smoke", format!("{environment} has reviewers: smoke is required; /health 200")));
        }
        if self.on_failure == OnFailure::Stop && self.reason.is_none() {
            let message = format!("on-failure: stop leaves {environment} as it failed; give reason, or rollback");
            problems.push(Problem::new("on-failure", message));
        }
        problems.extend(self.measure.for_protected(environment));
        problems
    }
}

impl MeasureKnobs {
    pub(in crate::inputs) fn for_protected(&self, environment: &str) -> Option<Problem> {
        let refused = self.no_data == NoData::Pass && self.allow_no_data.is_none();
        refused.then(|| {
            Problem::new("no-data", format!("no-data: pass is refused for {environment}; give allow-no-data: reason"))
        })
    }
}

impl RollingKnobs {
    fn read(reader: &mut Reader<'_>) -> Self {
        let knobs = Self { max_surge: reader.amount("max-surge"), max_unavailable: reader.amount("max-unavailable") };
        let stuck = knobs.max_surge.is_zero() && knobs.max_unavailable.is_zero();
        reader.rule(&["max-surge", "max-unavailable"], stuck, || {
            "max-surge 0 with max-unavailable 0 can never progress; one of them at least 1".to_owned()
        });
        knobs
    }
}

impl BlueGreenKnobs {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            drain: reader.period("drain"),
            scale_old: reader.count("scale-old", 0).unwrap_or_default(),
            keep_old: reader.period("keep-old"),
            rollback_replicas: reader.read("rollback-replicas", Replicas::parse).unwrap_or(Replicas::Previous),
            autoscaler: reader.choice("autoscaler", "what an autoscaler does", &FOLLOW),
            pdb: reader.choice("pdb", "what a disruption budget does", &FOLLOW),
        }
    }
}

fn read_strategy(reader: &mut Reader<'_>) -> Word {
    let word = reader.choice("strategy", "a strategy", &STRATEGIES);
    let name = match word {
        Word::Rolling | Word::BlueGreen => return word,
        Word::Canary => "canary",
        Word::Workers => "workers",
        Word::Gitops => "gitops",
    };
    reader.problem("strategy", format!("{name} is not carried out yet; rolling, blue-green"));
    word
}

/// `timeout` > `progress-deadline` > `min-ready`. A default that would break this is shortened to half of what is above it.
fn read_deadlines(reader: &mut Reader<'_>) -> (Period, Period, Period) {
    let timeout = reader.period("timeout");
    let mut deadline = reader.period("progress-deadline");
    if !reader.is_given("progress-deadline") && deadline >= timeout {
        deadline = (*timeout / 2).into();
    }
    let mut ready = reader.period("min-ready");
    if !reader.is_given("min-ready") && ready >= deadline {
        ready = (*deadline / 2).into();
    }
    reader.rule(&["min-ready", "progress-deadline", "timeout"], ready >= deadline, || {
        format!("min-ready {ready} is longer than progress-deadline {deadline}: it can never succeed")
    });
    reader.rule(&["progress-deadline", "timeout"], deadline >= timeout, || {
        format!(
            "progress-deadline {deadline} is not shorter than timeout {timeout}; the timeout would always come first"
        )
    });
    (timeout, deadline, ready)
}

fn read_rules(reader: &mut Reader<'_>, measure: &MeasureKnobs) -> Vec<RollbackRule> {
    // A rule may name a signal whose definition still holds an expression.
    let open = !reader.are_settled(&["signals"]);
    let rules = reader.lines("rollback-when", |line| match RollbackRule::parse(line, &measure.signals) {
        Err(message) if open && message.contains("unknown signal") => Ok(None),
        other => other.map(Some),
    });
    rules.into_iter().flatten().collect()
}

/// Rolling without rules and without limits on logs has nothing to watch, unless it asks for it.
fn read_watch(reader: &mut Reader<'_>, word: Word, rules: &[RollbackRule], logs: &[LogLimit]) -> Period {
    let watch = reader.period("watch");
    for rule in rules {
        let least = rule.least_watch();
        reader.rule(&["watch"], watch < least, || {
            format!("watch {watch} is shorter than \"{}\": that rule can never fire", rule.text)
        });
        let blind = watch.is_zero() && least.is_zero() && matches!(rule.condition, Condition::Signal(_));
        reader.rule(&["watch"], blind, || format!("watch 0s never looks at \"{}\"", rule.text));
    }
    if let Some(limit) = logs.first() {
        reader.rule(&["watch"], watch.is_zero(), || {
            format!("watch 0s never looks at the logs for \"{}\"", limit.pattern)
        });
    }
    let asks = ["watch", "rollback-when", "log-limits"].into_iter().any(|key| reader.is_given(key));
    if word == Word::Rolling && !asks { Period::default() } else { watch }
}

/// A path of a request.
pub(in crate::inputs) fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err(format!("\"{text}\": a path begins with /; /{text}?")) }
}
