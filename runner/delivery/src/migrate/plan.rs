//! What a migration is going to do, found out without changing anything.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::files::{Migration, read};
use super::{Backup, Version, earlier};
use crate::cluster::{Cluster, ClusterError};
use crate::inputs::MigrateInputs;
use crate::inputs::migrate::{Direction, JobKnobs, Phase, Style};
use crate::job::{self, Asked, Image, JobPlan};
use crate::{PlanError, Site};

/// Annotation of a migration's Job: the schema's version when it was done.
pub(super) const SCHEMA: &str = "tagline.dev/schema";

/// What `tagline/migrate` is going to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigratePlan {
    /// The unit.
    pub unit: String,
    /// What the step asks for.
    pub inputs: MigrateInputs,
    /// What runs the migrations.
    pub job: JobPlan,
    /// What takes the backup first.
    pub backup: Option<Backup>,
    /// The folder's migrations, the oldest first; empty where no folder is given.
    pub files: Vec<Migration>,
    /// The version in force, as the last migration of this unit left it; None where that is not known before it runs.
    pub from: Option<Version>,
    /// The version to reach; None where only the Job knows.
    pub to: Option<Version>,
    /// What is worth a warning.
    pub warnings: Vec<String>,
}

/// Reads the files, the Job's template and what the cluster remembers; changes nothing.
///
/// # Errors
/// Everything that stands against it, at once.
pub async fn plan(site: &Site, inputs: &MigrateInputs, cluster: &Cluster) -> Result<MigratePlan, PlanError> {
    let mut problems = Vec::new();
    let files = match &inputs.dir {
        Some(dir) if inputs.style != Style::Job => match read(&site.tree, dir, inputs.style) {
            Ok((files, _)) => files,
            Err(lines) => {
                problems.extend(lines);
                Vec::new()
            }
        },
        _ => Vec::new(),
    };
    let unit = inputs.name.clone().unwrap_or_else(|| site.repository.clone());
    let to = target(inputs, &files, &mut problems);
    let asked = Asked { image: Image::Release, suspended: true, timeout: *inputs.timeout, keep: *inputs.keep_jobs };
    let job = JobPlan::make(site, cluster, &inputs.job, asked, &mut problems).await?;
    let backup = backup(site, inputs, cluster, &mut problems).await?;
    problems.extend(cluster.may(&job::verbs()).await?.iter().map(ToString::to_string));
    let from = earlier::newest(&earlier::of_unit(cluster, &unit).await?);
    let Some(job) = job else { return Err(job::refused("the migration cannot run", problems).into()) };
    let mut plan = MigratePlan { unit, inputs: inputs.clone(), job, backup, files, from, to, warnings: Vec::new() };
    if let Some(from) = plan.from.clone() {
        problems.extend(plan.problems(&from));
    } else if inputs.status_args.is_empty() {
        // Nobody will know better when it runs.
        problems.extend(plan.irreversible(None));
        plan.warnings.extend(plan.takes_away(None));
    } else {
        plan.warnings.extend(plan.takes_away(None));
    }
    if problems.is_empty() { Ok(plan) } else { Err(job::refused("the migration cannot run", problems).into()) }
}

/// The version to reach.
pub(super) fn target(inputs: &MigrateInputs, files: &[Migration], problems: &mut Vec<String>) -> Option<Version> {
    let Some(text) = &inputs.to else { return files.last().map(|newest| newest.version.clone()) };
    let version = match Version::parse(text) {
        Ok(version) => version,
        // A tool's own word, as `latest`: the Job's business.
        Err(_) if inputs.dir.is_none() && !inputs.guards_a_way_back() => return None,
        Err(why) => {
            problems.push(format!("to: {why}"));
            return None;
        }
    };
    let there = version == Version::zero() || files.is_empty() || files.iter().any(|one| one.version == version);
    if !there {
        let dir = inputs.dir.as_deref().unwrap_or_default();
        let newest = files.last().map(|one| format!("; the newest is {}", one.file)).unwrap_or_default();
        problems.push(format!("to: {dir} has no migration {version}{newest}"));
    }
    Some(version)
}

async fn backup(
    site: &Site,
    inputs: &MigrateInputs,
    cluster: &Cluster,
    problems: &mut Vec<String>,
) -> Result<Option<Backup>, ClusterError> {
    let knobs = &inputs.backup;
    let job = JobKnobs {
        source: knobs.job.clone(),
        container: None,
        image: inputs.job.image.clone(),
        args: knobs.args.clone(),
        env: inputs.job.env.clone(),
    };
    // The release's image may take it too: where its own is no digest, the given one is meant.
    let own = Asked { image: Image::OwnOrGiven, suspended: false, timeout: *inputs.timeout, keep: *inputs.keep_jobs };
    let made = JobPlan::make(site, cluster, &job, own, problems).await?;
    Ok(made.map(|job| Backup { job, min_size: knobs.min_size, check: knobs.check, max_age: Some(knobs.max_age) }))
}

impl MigratePlan {
    /// The migrations that are made or taken back from a version on, in that order.
    pub fn pending(&self, from: &Version) -> Vec<&Migration> {
        let to = self.to.as_ref();
        match self.inputs.direction {
            Direction::Up => {
                self.files.iter().filter(|one| one.version > *from && to.is_none_or(|to| one.version <= *to)).collect()
            }
            Direction::Down => {
                let above = |one: &&Migration| one.version <= *from && to.is_some_and(|to| one.version > *to);
                self.files.iter().rev().filter(above).collect()
            }
        }
    }

    /// Whether a schema at this version is where this leads, or beyond it; None where only the Job knows where that is.
    pub fn is_reached(&self, at: &Version) -> Option<bool> {
        let to = self.to.as_ref()?;
        Some(if self.inputs.direction == Direction::Up { at >= to } else { at <= to })
    }

    /// What stands against it from a version on.
    pub fn problems(&self, from: &Version) -> Vec<String> {
        let mut problems = self.irreversible(Some(from));
        if self.inputs.phase == Phase::Expand && self.inputs.direction == Direction::Up {
            problems.extend(self.takes_away(Some(from)));
        }
        let newest = self.files.last().filter(|newest| newest.version < *from);
        if let Some(newest) = newest.filter(|_| self.inputs.direction == Direction::Down) {
            problems.push(format!("down from {from}: its files are not here, the newest is {}", newest.file));
        }
        problems
    }

    /// What stands against it besides, where the schema itself says that it is at a version.
    pub fn is_below(&self, at: &Version) -> Option<String> {
        let to = self.to.as_ref().filter(|to| self.inputs.direction == Direction::Down && at < *to)?;
        Some(format!("down to {to}: the schema is at {at}, below it; direction: up leads there"))
    }

    /// The versions without a way back: by their files, and those that the step names, whether there are files or not.
    fn without_way_back(&self) -> BTreeSet<Version> {
        let by_file = self.files.iter().filter(|one| !one.reversible).map(|one| one.version.clone());
        by_file.chain(self.inputs.irreversible.iter().filter_map(|text| Version::parse(text).ok())).collect()
    }

    /// Downwards: those that have no way back. Where the version in force is not known, every newer one counts.
    fn irreversible(&self, from: Option<&Version>) -> Vec<String> {
        let (Direction::Down, Some(to)) = (self.inputs.direction, &self.to) else { return Vec::new() };
        let mut all = self.without_way_back();
        all.retain(|one| one > to && from.is_none_or(|from| one <= from));
        all.iter().map(|one| format!("down to {to}: {one} is irreversible (no down)")).collect()
    }

    /// Upwards in an expand step: those that take something away. Only as advice where it is not known which are pending.
    fn takes_away(&self, from: Option<&Version>) -> Vec<String> {
        if self.inputs.direction == Direction::Down || self.inputs.phase == Phase::Contract {
            return Vec::new();
        }
        let pending = self.pending(from.unwrap_or(&Version::zero()));
        let all = pending.iter().filter(|one| !one.contract && !one.losses.is_empty());
        all.map(|one| {
            let what = one.losses.join(", ");
            format!(
                "{} {what}: mark it contract (phase: contract, or `-- tagline: contract` in {})",
                one.version, one.file
            )
        })
        .collect()
    }

    /// In lines for people.
    pub fn summary(&self) -> Vec<String> {
        let direction = if self.inputs.direction == Direction::Up { "up" } else { "down" };
        let to = self.to.as_ref().map_or_else(|| "the newest".to_owned(), ToString::to_string);
        let mut lines = vec![format!("migrate {direction} to {to} by {} with {}", self.job.source, self.job.image())];
        if let Some(backup) = &self.backup {
            lines.push(format!("a backup first, by {}, verified: {}", backup.job.source, backup.check_name()));
        }
        match &self.from {
            Some(from) => {
                let pending = self.pending(from);
                lines.push(format!("the schema is at {from}; {} to do", pending.len()));
                lines.extend(pending.iter().map(|one| self.line(one)));
            }
            None if self.files.is_empty() => {}
            None => {
                lines.push("which of these are pending shows when it runs:".to_owned());
                lines.extend(self.files.iter().map(|one| self.line(one)));
            }
        }
        lines
    }

    fn line(&self, one: &Migration) -> String {
        let no_way_back = self.without_way_back().contains(&one.version);
        let irreversible = if no_way_back { " (irreversible: no way back)" } else { "" };
        // What it takes away on its way up.
        let losses = if self.inputs.direction == Direction::Up { one.losses.join(", ") } else { String::new() };
        let losses = if losses.is_empty() { losses } else { format!(" ({losses})") };
        format!("  {}{irreversible}{losses}", one.file_of(self.inputs.direction))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use indexmap::IndexMap;
    use serde_json::json;

    use super::*;
    use crate::Object;
    use crate::inputs::Action;

    /// A step with these inputs, planned without a folder of migrations.
    pub(in crate::migrate) fn planned(with: &[(&str, &str)]) -> MigratePlan {
        let mut all = IndexMap::from([("job".to_owned(), "cronjob/m".to_owned())]);
        all.extend(with.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let Ok(Action::Migrate(inputs)) = Action::read("tagline/migrate@v1", &all) else { panic!("{all:?}") };
        let job = JobPlan { source: String::new(), container: "c".to_owned(), object: Object(json!({})) };
        let to = target(&inputs, &[], &mut Vec::new());
        let (unit, inputs) = ("shop".to_owned(), *inputs);
        MigratePlan { unit, inputs, job, backup: None, files: Vec::new(), from: None, to, warnings: Vec::new() }
    }

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn what_is_named_irreversible_is_so_without_files() {
        let plan = planned(&[("direction", "down"), ("to", "7"), ("irreversible", "8, 12")]);
        let problem = |at: &str| plan.problems(&version(at));
        assert_eq!(problem("9"), ["down to 007: 008 is irreversible (no down)"]);
        assert_eq!(plan.irreversible(None).len(), 2, "{:?}", plan.irreversible(None));
        assert!(problem("7").is_empty());
        let up = planned(&[("to", "9"), ("irreversible", "8")]);
        assert!(up.problems(&version("7")).is_empty() && up.irreversible(None).is_empty());
    }

    #[test]
    fn a_way_back_that_is_guarded_leads_to_a_number() {
        let plan = planned(&[("direction", "down"), ("to", "base"), ("irreversible", "8")]);
        let mut problems = Vec::new();
        target(&plan.inputs, &[], &mut problems);
        assert!(problems[0].starts_with("to: \"base\" is not a version of a schema"), "{problems:?}");
        problems.clear();
        target(&planned(&[("direction", "down"), ("to", "base")]).inputs, &[], &mut problems);
        assert!(problems.is_empty());
    }

    #[test]
    fn down_is_not_done_where_the_schema_is_below() {
        let plan = planned(&[("direction", "down"), ("to", "3")]);
        let said = "down to 003: the schema is at 002, below it; direction: up leads there";
        assert_eq!(plan.is_below(&version("2")).as_deref(), Some(said));
        assert_eq!(plan.is_below(&version("3")), None);
        assert_eq!(planned(&[("to", "3")]).is_below(&version("2")), None);
    }

    #[test]
    fn an_expand_step_answers_for_no_more_than_it_does() {
        let one = |number: &str, losses: &[&str]| Migration {
            version: version(number),
            file: format!("{number}.up.sql"),
            back: None,
            reversible: true,
            contract: false,
            losses: losses.iter().map(|what| (*what).to_owned()).collect(),
        };
        let mut plan = planned(&[("to", "2"), ("phase", "expand")]);
        plan.files = vec![one("1", &[]), one("2", &[]), one("3", &["drops a column"])];
        assert!(plan.problems(&version("0")).is_empty() && plan.takes_away(None).is_empty());
        plan.to = Some(version("3"));
        assert_eq!((plan.problems(&version("0")).len(), plan.takes_away(None).len()), (1, 1));
    }
}
