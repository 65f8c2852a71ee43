//! The deliveries of a plan looked at before anything of it runs: what would keep a later stage from being delivered is told
//! before an earlier one has changed anything, all of it at once, with its place in the workflow.
//!
//! Invariants: nothing is written, in a cluster or in the store; what is refused here would be refused at its turn, too.
//! What cannot be known yet is passed over: inputs that earlier jobs put out (images have a stand-in), and steps of which it
//! is not known whether they run. Where an earlier step or another run brings something about, and where a cluster cannot
//! be reached, the tagged files alone are looked at.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;
use tagline_actions::Delivery;
use tagline_delivery::action::{self, Past, shared_values};
use tagline_delivery::cluster::Cluster;
use tagline_delivery::inputs::{Action, with_stand_ins};
use tagline_delivery::{ImageRef, Site, Target};
use tagline_plan::{DeliveryStep, Facts, FinishedJob, NeedResult, Plan, PlannedJob, delivery_steps, job_condition};
use tagline_run::{Attempt, JobKey, RunId, RunState};
use tagline_store::{RunFilter, Store};
use tagline_syntax::diagnostic::{Diagnostic, tidy};
use tagline_syntax::workflow::Text;

use super::check::{at_input, line};
use super::kubernetes::earlier;
use super::past::of_store;
use super::reach::Reached;
use super::retire::is_busy;
use super::site::site;
use crate::planner::Planned;
use crate::services::chain;
use crate::source::{self, Wanted};
use crate::{begin, ledger};

/// Looking at one step takes no longer, or nothing is said of it.
const PATIENCE: Duration = Duration::from_mins(2);

/// A delivery that a run would make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coming {
    /// The job's leg, as `show` names it.
    pub job: String,
    /// The step, from 0.
    pub step: u32,
    /// Its name, or the action.
    pub name: String,
    /// The action, as written.
    pub uses: String,
    /// Where it delivers to.
    pub environment: String,
    /// What it would do, in lines for people.
    pub summary: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Foreseen {
    /// What would be delivered, as far as it is known.
    pub deliveries: Vec<Coming>,
    /// What is wrong with the workflow or the files that it names.
    pub inputs: Vec<Diagnostic>,
    /// What the clusters have against it.
    pub refused: Vec<Diagnostic>,
}

/// Looks at every delivery step of a plan. `root`: the repository's folder; `store`: what was delivered before, if known.
///
/// # Errors
/// One sentence: the files of the commit cannot be read.
pub async fn foresee(
    planned: &Planned,
    root: &Path,
    store: Option<&Arc<Store>>,
    reached: &Reached,
) -> Result<Foreseen, String> {
    let state = begin::imagined(&planned.plan).map_err(|error| error.to_string())?;
    let steps = steps(&state);
    let mut found = Foreseen::default();
    if steps.is_empty() {
        return Ok(found);
    }
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let tree = scratch.path().join("tree");
    source::tree(&wanted(&state.plan, root), &tree).await.map_err(|error| chain(&error))?;
    let mut look = Look { state: &state, root, store, tree: &tree, past: BTreeMap::new() };
    let asked = asked(&steps, &state, store, root, reached);
    let mut actions = Vec::new();
    for (step, cluster) in steps.iter().zip(asked) {
        if let Some((site, action)) = look.step(step, cluster, planned, &mut found).await {
            actions.push((step, site, action));
        }
    }
    if let Some((_, site, _)) = actions.first() {
        let all: Vec<&Action> = actions.iter().map(|(.., action)| action).collect();
        for (number, problem) in shared_values(site, &all) {
            let (uses, with) = actions[number].0.written();
            found.inputs.push(at_input(&problem, uses, with, &planned.source));
        }
    }
    tidy(&mut found.inputs);
    tidy(&mut found.refused);
    Ok(found)
}

/// A delivery step of a leg that is going to run, as far as that is known.
struct Step<'p> {
    key: JobKey,
    job: &'p PlannedJob,
    environment: String,
    given: DeliveryStep,
}

impl Step<'_> {
    fn written(&self) -> (&Text, &IndexMap<String, Text>) {
        let step = &self.job.job.steps[self.given.step as usize];
        step.delivery().expect("it is a delivery step")
    }
}

fn steps(state: &RunState) -> Vec<Step<'_>> {
    let mut found = Vec::new();
    let facts = Facts { attempt: 1, ..Facts::default() };
    for (id, job) in state.plan.jobs.iter().filter(|(_, job)| runs(&state.plan, job)) {
        let legs = job.legs.as_deref().unwrap_or_default();
        for leg in legs {
            let Some(environment) = leg.environment.clone() else { continue };
            let given = delivery_steps(&state.plan, job, leg, legs.len(), &facts).unwrap_or_default();
            let key = JobKey::new(id, leg.index);
            found.extend(given.into_iter().filter(|given| given.runs == Some(true)).map(|given| Step {
                key: key.clone(),
                job,
                environment: environment.clone(),
                given,
            }));
        }
    }
    found
}

/// Whether a job runs when all before it goes well. One that depends on how that ends is passed over.
fn runs(plan: &Plan, job: &PlannedJob) -> bool {
    let well = FinishedJob { result: NeedResult::Success, outputs: IndexMap::new() };
    let finished = job.ancestors.iter().map(|before| (before.clone(), well.clone())).collect();
    let facts = Facts { finished, attempt: 1, ..Facts::default() };
    let open = |text: &str| ["needs.", "failure()", "cancelled()"].iter().any(|name| text.contains(name));
    job_condition(plan, job, &facts)
        .is_ok_and(|verdict| verdict.runs && !verdict.clauses.iter().any(|clause| open(&clause.text)))
}

fn wanted(plan: &Plan, root: &Path) -> Wanted {
    let trigger = &plan.trigger;
    Wanted {
        root: root.to_owned(),
        revision: trigger.commit.clone(),
        reference: trigger.reference.clone(),
        depth: 1,
        tags: false,
        working_tree: trigger.working_tree,
    }
}

/// For each step the cluster that it can be held against by now, if any. Where an earlier step brings something about, or
/// another run does, what is there says nothing about later; but all of one approval are planned before the first of them.
fn asked<'r>(
    steps: &[Step<'_>],
    state: &RunState,
    store: Option<&Arc<Store>>,
    root: &Path,
    reached: &'r Reached,
) -> Vec<Option<&'r Cluster>> {
    let mut held: BTreeMap<&str, bool> = BTreeMap::new();
    let mut changed: Vec<(&Target, &str)> = Vec::new();
    let mut asked = Vec::with_capacity(steps.len());
    for step in steps {
        let (name, rules) = state.rules(&step.environment).unzip();
        let (name, approved) = (name.unwrap_or_default(), rules.is_some_and(|rules| rules.reviewers.is_some()));
        let cluster = reached.clusters.get(&step.environment);
        let is_held = |name: &str| store.is_some_and(|store| is_held(store, root, name));
        let cluster = cluster.filter(|_| !*held.entry(name).or_insert_with(|| is_held(name)));
        let other = |(target, by): &(&Target, &str)| {
            cluster.is_some_and(|cluster| cluster.target() == *target) && (*by != name || !approved)
        };
        asked.push(cluster.filter(|_| !changed.iter().any(other)));
        if let Some(cluster) = cluster.filter(|_| changes(&step.given.uses)) {
            changed.push((cluster.target(), name));
        }
    }
    asked
}

/// Whether an action leaves other objects behind than it found.
fn changes(uses: &str) -> bool {
    use Delivery::{Deploy, Operate, Rollback, RotateSecret};
    matches!(Delivery::lookup(uses), Some(Deploy | Operate | RotateSecret | Rollback))
}

/// Whether another run delivers to an environment now.
fn is_held(store: &Store, root: &Path, environment: &str) -> bool {
    let root = Some(root.to_string_lossy().into_owned());
    let under_way = store.runs(&RunFilter { root, active: true, ..RunFilter::default() }).unwrap_or_default();
    under_way.iter().any(|run| ledger::state(store, RunId(run.id)).is_ok_and(|state| is_busy(&state, environment)))
}

struct Look<'a> {
    state: &'a RunState,
    root: &'a Path,
    store: Option<&'a Arc<Store>>,
    tree: &'a Path,
    /// What was delivered before, by environment.
    past: BTreeMap<String, Vec<Past>>,
}

impl Look<'_> {
    /// Looks at one step; where and what it does, if its inputs are known.
    async fn step(
        &mut self,
        step: &Step<'_>,
        cluster: Option<&Cluster>,
        planned: &Planned,
        found: &mut Foreseen,
    ) -> Option<(Site, Action)> {
        let (uses, with) = step.written();
        let values = with_stand_ins(&step.given.so_far)?;
        let action = match Action::read(&step.given.uses, &values) {
            Ok(action) => action,
            Err(problems) => {
                let all = problems.iter().map(|problem| at_input(problem, uses, with, &planned.source));
                found.inputs.extend(all);
                return None;
            }
        };
        let (key, number) = (&step.key, step.given.step);
        let site = site(self.state, &step.environment, key, Attempt::FIRST, number, self.tree.to_owned()).ok()?;
        // Jobs before it may build what it delivers; without any nothing is built.
        let built = if step.job.ancestors.is_empty() { Vec::new() } else { vec![ImageRef::stand_in().digest] };
        let site = Site { built, ..site };
        let past = if cluster.is_some() { self.past(&site.environment).await } else { &[] };
        let looked = tokio::time::timeout(PATIENCE, action::foresee(&site, &action, past, cluster)).await;
        let Ok(looked) = looked else { return Some((site, action)) };
        found.inputs.extend(looked.inputs.iter().map(|problem| at_input(problem, uses, with, &planned.source)));
        if let Some(failure) = &looked.refused {
            let span = line(&planned.source, uses.at, 0);
            found.refused.extend(failure.lines().into_iter().map(|said| {
                let diagnostic = Diagnostic::error("cannot-deliver", span, format!("{}: {said}", site.environment));
                if failure.next.is_empty() { diagnostic } else { diagnostic.help(failure.next.clone()) }
            }));
        }
        if !looked.summary.is_empty() {
            let (name, uses) = (step.given.name.clone(), step.given.uses.clone());
            let (job, environment, summary) = (key.to_string(), site.environment.clone(), looked.summary);
            found.deliveries.push(Coming { job, step: number, name, uses, environment, summary });
        }
        Some((site, action))
    }

    async fn past(&mut self, environment: &str) -> &[Past] {
        if !self.past.contains_key(environment) {
            let found = match self.store {
                Some(store) => of_store(store, self.root, environment).await.unwrap_or_default(),
                None => Vec::new(),
            };
            let past = found.iter().filter_map(|one| earlier(one).ok()).collect();
            self.past.insert(environment.to_owned(), past);
        }
        &self.past[environment]
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::planner::{Ask, plan};
    use crate::repository::Repository;

    const WORKFLOW: &str = "
on: {push: {tags: ['v*']}}
jobs:
  build:
    runs-on: x
    outputs: {image: y}
    steps: [{run: make}]
  staging:
    needs: build
    runs-on: x
    environment: staging
    steps:
      - uses: tagline/deploy@v1
        with:
          manifests: k8s/overlays/staging
          images: shop=${{ needs.build.outputs.image }}
          drain: ${{ vars.DRAIN }}
  production:
    needs: [build, staging]
    runs-on: x
    environment: production
    steps:
      - uses: tagline/migrate@v1
        with:
          dir: sql
          job: k8s/job.yaml
          image: ${{ needs.build.outputs.image }}
      - uses: tagline/deploy@v1
        with:
          manifests: k8s/overlays/prd
          images: shop=${{ needs.build.outputs.image }}
          watch: ${{ vars.WATCH }}
      - uses: tagline/deploy@v1
        with:
          manifests: ${{ needs.build.outputs.manifests }}
  back:
    if: failure()
    needs: production
    runs-on: x
    environment: production
    steps: [{uses: tagline/deploy@v1, with: {manifests: nowhere}}]
";
    const RULES: &str = "
variables: {DRAIN: '10', WATCH: 10s}
environments:
  staging: {cluster: {context: test, namespace: staging}}
  production: {cluster: {context: test, namespace: shop}}
";
    const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec: {template: {spec: \
                              {containers: [{name: c, image: 'shop:1'}]}}}\n";

    /// Everything that needs no cluster is told before the first step, at its place, of all stages at once.
    #[tokio::test]
    async fn what_the_files_show_is_told_for_all_stages_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(".github/workflows/release.yml", WORKFLOW);
        write(".tagline/environments.yml", RULES);
        write("k8s/overlays/staging/app.yaml", DEPLOYMENT);
        write("k8s/overlays/prod/app.yaml", DEPLOYMENT);
        write("sql/001_a.up.sql", "select 1;");
        write("sql/003_c.up.sql", "select 1;");
        let git = |arguments: &[&str]| {
            let who = ["-c", "user.name=Ona", "-c", "user.email=ona@example.com"];
            let status = Command::new("git").args(who).args(arguments).current_dir(folder.path()).status().unwrap();
            assert!(status.success(), "git {arguments:?}");
        };
        git(&["init", "--quiet", "--initial-branch=main"]);
        git(&["config", "user.email", "ona@example.com"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "Begin"]);
        git(&["tag", "v1.2.3"]);
        let repository = Repository::open(folder.path()).unwrap();
        let planned = plan(&repository, &Ask { tag: Some("v1.2.3".to_owned()), ..Ask::default() }).unwrap();
        let found = foresee(&planned[0], repository.root(), None, &Reached::default()).await.unwrap();
        let said: Vec<String> = found
            .inputs
            .iter()
            .map(|one| format!("{} {}", planned[0].source.position(one.span().start).line, one.message))
            .collect();
        let expected = [
            "17 drain: \"10\" has no unit",
            "25 dir: sql: number 002 is missing between 001_a.up.sql and 003_c.up.sql",
            "26 job: k8s/job.yaml: ",
            "30 manifests: no kustomization.yaml, Chart.yaml or *.yaml under k8s/overlays/prd",
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}");
        }
        assert_eq!((found.refused, found.deliveries), (Vec::new(), Vec::new()));
    }
}
