//! `tagline graph`: the jobs of a run or workflow, layer by layer.

use indexmap::IndexMap;
use tagline_plan::Plan;
use tagline_run::view::{self, Status};
use tagline_run::{RunId, RunState};
use tagline_server::planner::Ask;

use crate::args::{GraphArgs, GraphFormat};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Facts;
use crate::words::plain;

/// Runs it.
pub(crate) fn run(context: &Context, args: &GraphArgs) -> Outcome {
    let graph = match args.subject.parse::<RunId>() {
        Ok(run) => Graph::of_run(&context.run_state(run)?.1),
        Err(_) => of_workflow(context, &args.subject)?,
    };
    let lines = match args.format {
        GraphFormat::Text => graph.text(&context.output.out),
        GraphFormat::Dot => graph.dot(),
        GraphFormat::Mermaid => graph.mermaid(),
    };
    context.output.lines(lines);
    Ok(Exit::Done)
}

fn of_workflow(context: &Context, name: &str) -> Result<Graph, Failure> {
    let planned = super::plan::make(context, Ask { workflow: Some(name.to_owned()), ..Ask::default() })?;
    planned.first().map(|one| Graph::of_plan(&one.plan)).ok_or_else(|| {
        Failure::unusable("no-such-workflow", format!("there is no workflow {name}")).next("tagline lint")
    })
}

/// Jobs by id, in the plan's order: each after its needs.
struct Graph {
    jobs: IndexMap<String, Job>,
}

struct Job {
    needs: Vec<String>,
    layer: usize,
    legs: usize,
    environments: Vec<String>,
    standing: Option<(Status, String)>,
}

impl Graph {
    fn of_plan(plan: &Plan) -> Self {
        let mut jobs: IndexMap<String, Job> = IndexMap::new();
        for (id, planned) in &plan.jobs {
            let needs = planned.job.needs.clone();
            let layer = needs.iter().filter_map(|need| jobs.get(need)).map(|job| job.layer + 1).max().unwrap_or(1);
            let legs = planned.legs.as_ref().map_or(1, Vec::len);
            let mut environments: Vec<String> =
                planned.legs.iter().flatten().filter_map(|leg| leg.environment.clone()).collect();
            environments.dedup();
            jobs.insert(id.clone(), Job { needs, layer, legs, environments, standing: None });
        }
        jobs.sort_by(|_, a, _, b| a.layer.cmp(&b.layer));
        Self { jobs }
    }

    fn of_run(state: &RunState) -> Self {
        let mut graph = Self::of_plan(&state.plan);
        for view in view::jobs(state) {
            let Some(job) = graph.jobs.get_mut(&view.id.job) else { continue };
            // Of several legs the one that says most: what failed, else what goes on, else the first.
            let worse = |status: Status| match status {
                Status::Failure | Status::Lost | Status::TimedOut => 0,
                Status::InProgress | Status::Waiting => 1,
                Status::Cancelled => 2,
                Status::Queued => 3,
                Status::Success | Status::Skipped => 4,
            };
            if job.standing.as_ref().is_none_or(|(status, _)| worse(view.status) < worse(*status)) {
                job.standing = Some((view.status, view.why));
            }
        }
        graph
    }

    fn text(&self, facts: &Facts) -> Vec<String> {
        let width = self.jobs.keys().map(String::len).max().unwrap_or_default();
        let marks = self.jobs.values().filter_map(|job| job.standing.as_ref());
        let mark_width = marks.map(|(status, _)| if facts.symbols { 1 } else { status.word().len() }).max();
        let digits = self.jobs.values().map(|job| job.layer).max().unwrap_or(1).to_string().len();
        let mut last = 0;
        let line = |(id, job): (&String, &Job)| {
            let layer = if job.layer == last { String::new() } else { job.layer.to_string() };
            last = job.layer;
            let mark = match (&job.standing, mark_width) {
                (Some((status, _)), Some(width)) => {
                    let mark = facts.mark((*status).into());
                    let shown = if facts.symbols { 1 } else { console::measure_text_width(&mark) };
                    format!("{mark}{} ", " ".repeat(width.saturating_sub(shown)))
                }
                _ => String::new(),
            };
            let line = format!("{layer:>digits$}  {mark}{:<width$}  {}", plain(id), job.about());
            line.trim_end().to_owned()
        };
        self.jobs.iter().map(line).collect()
    }

    fn dot(&self) -> Vec<String> {
        let quote = |text: &str| format!("\"{}\"", plain(text).replace('\\', "\\\\").replace('"', "\\\""));
        let mut lines = vec!["digraph workflow {".to_owned(), "  rankdir=LR;".to_owned()];
        lines.extend(self.jobs.iter().map(|(id, job)| format!("  {} [label={}];", quote(id), quote(&job.label(id)))));
        lines.extend(self.edges().map(|(from, to)| format!("  {} -> {};", quote(from), quote(to))));
        lines.push("}".to_owned());
        lines
    }

    fn mermaid(&self) -> Vec<String> {
        let label = |id: &str, job: &Job| plain(&job.label(id)).replace('"', "#quot;");
        let mut lines = vec!["flowchart LR".to_owned()];
        lines.extend(self.jobs.iter().map(|(id, job)| format!("  {id}[\"{}\"]", label(id, job))));
        lines.extend(self.edges().map(|(from, to)| format!("  {from} --> {to}")));
        lines
    }

    fn edges(&self) -> impl Iterator<Item = (&String, &String)> {
        self.jobs.iter().flat_map(|(id, job)| job.needs.iter().map(move |need| (need, id)))
    }
}

impl Job {
    fn label(&self, id: &str) -> String {
        self.standing.as_ref().map_or_else(|| id.to_owned(), |(status, _)| format!("{id}: {}", status.word()))
    }

    fn about(&self) -> String {
        let needs = (!self.needs.is_empty()).then(|| format!("after {}", self.needs.join(", ")));
        let legs = (self.legs != 1).then(|| format!("{} legs", self.legs));
        let environments = self.environments.iter().map(|name| format!("environment {}", plain(name)));
        let why = self
            .standing
            .as_ref()
            .map(|(_, why)| plain(why))
            .filter(|why| !why.is_empty() && !why.starts_with("after "));
        needs.into_iter().chain(legs).chain(environments).chain(why).collect::<Vec<_>>().join(" · ")
    }
}
