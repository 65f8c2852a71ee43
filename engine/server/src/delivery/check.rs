//! What can be said against delivery steps before anything runs: their inputs as far as they are written out, and where
//! they deliver to.

use indexmap::IndexMap;
use tagline_delivery::inputs::{Action, Problem};
use tagline_plan::{Plan, PlannedJob};
use tagline_syntax::diagnostic::{Diagnostic, SourceFile, Span};
use tagline_syntax::environments::{Environment, EnvironmentsFile};
use tagline_syntax::expression::Template;
use tagline_syntax::workflow::{Job, Position, Text, Workflow};

/// The environments that a job may name, with their rules, as far as both are known.
type Named<'a> = Vec<(&'a String, &'a Environment)>;

/// Everything that is wrong with the delivery steps of a plan, with its place in the workflow.
pub(crate) fn check(plan: &Plan, source: &SourceFile) -> Vec<Diagnostic> {
    plan.jobs.values().flat_map(|job| of_job(&job.job, &of_legs(plan, job), source)).collect()
}

/// The same of a workflow that nobody has planned, with the rules in force. An environment that is named by an expression
/// is not known.
pub fn check_deliveries(
    workflow: &Workflow,
    environments: Option<&EnvironmentsFile>,
    source: &SourceFile,
) -> Vec<Diagnostic> {
    let rules = environments.iter().flat_map(|file| &file.environments);
    let of = |job: &Job| -> Named<'_> {
        let name = job.environment.as_ref().map(|written| written.name.text.as_str()).unwrap_or_default();
        rules.clone().filter(|(known, _)| known.eq_ignore_ascii_case(name)).collect()
    };
    workflow.jobs.values().flat_map(|job| of_job(job, &of(job), source)).collect()
}

/// The environments that the legs of a job name.
fn of_legs<'p>(plan: &'p Plan, job: &PlannedJob) -> Named<'p> {
    let mut names: Vec<&String> = job.legs.iter().flatten().filter_map(|leg| leg.environment.as_ref()).collect();
    names.sort_unstable();
    names.dedup();
    let environments = plan.policy.environments.iter();
    environments.filter(|(name, _)| names.iter().any(|named| named.eq_ignore_ascii_case(name))).collect()
}

fn of_job(job: &Job, named: &Named<'_>, source: &SourceFile) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (number, (uses, with)) in job.steps.iter().filter_map(|step| step.delivery()).enumerate() {
        if number == 0 {
            found.extend(nowhere(job, named, uses, source));
        }
        of_step(job, named, uses, with, source, &mut found);
    }
    found
}

/// The environments of a job that nothing can be delivered to.
fn nowhere(job: &Job, named: &Named<'_>, uses: &Text, source: &SourceFile) -> Vec<Diagnostic> {
    let Some(written) = &job.environment else {
        let message = format!("{} delivers to a cluster, and its job names no environment", uses.text);
        let help = "give the job `environment:`; its `cluster:` in .tagline/environments.yml says where";
        return vec![Diagnostic::error("no-environment", line(source, uses.at, 0), message).help(help)];
    };
    let lacks = |(name, rules): &(&String, &Environment)| {
        rules.cluster.is_none().then(|| {
            let message = format!("environment `{name}` has no `cluster:`, so nothing can be delivered to it");
            let help = "say where in .tagline/environments.yml: cluster: { context: …, namespace: … }";
            Diagnostic::error("no-cluster", line(source, written.name.at, 0), message).help(help)
        })
    };
    named.iter().filter_map(lacks).collect()
}

fn of_step(
    job: &Job,
    named: &Named<'_>,
    uses: &Text,
    with: &IndexMap<String, Text>,
    source: &SourceFile,
    found: &mut Vec<Diagnostic>,
) {
    for (name, value) in with {
        let names = |context: &str| {
            let of_context = |template: Template| template.references().iter().any(|r| r.context == context);
            Template::parse(&value.text).is_ok_and(of_context)
        };
        let span = line(source, value.at, 0);
        if job.environment.is_some() && names("steps") {
            let message = format!("`{name}` comes from a step of the same job, so nobody can approve it");
            let help = "make it an output of an earlier job, and take it from `needs`";
            found.push(Diagnostic::error("steps-in-gated-delivery", span, message).help(help));
        }
        // A plan is stored, shown and signed: whatever stands in it is known to everybody who may look.
        if names("secrets") {
            let message = format!("`{name}` names a secret, and what a delivery is given stands open in its plan");
            let help = "keep it in a Secret of the environment's namespace and name that one";
            found.push(Diagnostic::error("secret-in-delivery", span, message).help(help));
        }
    }
    let texts: IndexMap<String, String> = with.iter().map(|(name, value)| (name.clone(), value.text.clone())).collect();
    let protected = named.iter().find(|(_, rules)| rules.reviewers.is_some());
    let environment = protected.map(|(name, _)| name.as_str()).unwrap_or_default();
    for problem in Action::check_for(&uses.text, &texts, environment, protected.is_some()) {
        let Problem { key, line: number, message } = problem;
        let given = with.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key)).map(|(_, value)| value);
        let at = given.map_or(uses.at, |value| value.at);
        let span = line(source, at, number.unwrap_or_default());
        found.push(Diagnostic::error("bad-delivery", span, format!("{key}: {message}")));
    }
}

/// What stands from a place to the end of its line. Of a block, whose text begins in the line after its `|`, so many lines
/// further.
fn line(source: &SourceFile, at: Position, further: usize) -> Span {
    let text = source.text();
    let mut start = source.offset(at).unwrap_or_default();
    if text[start..].starts_with(['|', '>']) {
        for _ in 0..=further {
            start = text[start..].find('\n').map_or(start, |end| start + end + 1);
        }
        start += text[start..].len() - text[start..].trim_start_matches([' ', '\t']).len();
    }
    let end = text[start..].find(['\n', '\r']).map_or(text.len(), |end| start + end);
    Span::new(start, end)
}
