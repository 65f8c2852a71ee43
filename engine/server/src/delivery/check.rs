//! What can be said against delivery steps before anything runs: their inputs as far as they are written out, and where
//! they deliver to.

use indexmap::IndexMap;
use tagline_delivery::inputs::{Action, Problem};
use tagline_plan::{Plan, PlannedJob};
use tagline_syntax::diagnostic::{Diagnostic, SourceFile, Span};
use tagline_syntax::environments::{Environment, EnvironmentsFile};
use tagline_syntax::expression::{Reference, Template};
use tagline_syntax::workflow::{Job, Position, Step, Text, Workflow};

/// The environments that a job may name, with their rules, as far as both are known.
type Named<'a> = Vec<(&'a String, &'a Environment)>;
/// `env` of a workflow, a job or a step.
type Env = IndexMap<String, Text>;

/// A job with what is around it.
struct Around<'a> {
    job: &'a Job,
    named: Named<'a>,
    /// Of the workflow.
    env: &'a Env,
    source: &'a SourceFile,
    /// The lines of the file's other errors.
    broken: &'a [u32],
    /// The line that the next job begins at.
    end: u32,
}

/// Everything that is wrong with the delivery steps of a plan, with its place in the workflow.
pub(crate) fn check(plan: &Plan, source: &SourceFile) -> Vec<Diagnostic> {
    let of_planned = |job: &PlannedJob| {
        let named = of_legs(plan, job);
        of_job(&Around { job: &job.job, named, env: &plan.env, source, broken: &[], end: u32::MAX })
    };
    plan.jobs.values().flat_map(of_planned).collect()
}

/// The same of a workflow that nobody has planned, with the rules in force. An environment that is named by an expression
/// is not known. `others`: what else was found in the file; a step with an error in it may not have been read whole, and is
/// passed over.
pub fn check_deliveries(
    workflow: &Workflow,
    environments: Option<&EnvironmentsFile>,
    source: &SourceFile,
    others: &[Diagnostic],
) -> Vec<Diagnostic> {
    let errors = others.iter().filter(|found| found.is_error());
    let broken: Vec<u32> = errors.map(|found| source.position(found.span().start).line).collect();
    let rules = environments.iter().flat_map(|file| &file.environments);
    let of = |job: &Job| -> Named<'_> {
        let name = job.environment.as_ref().map(|written| written.name.text.as_str()).unwrap_or_default();
        rules.clone().filter(|(known, _)| known.eq_ignore_ascii_case(name)).collect()
    };
    let around = |job: &'_ Job| {
        let after = workflow.jobs.values().map(|other| other.at.line).filter(|line| *line > job.at.line);
        let (end, named) = (after.min().unwrap_or(u32::MAX), of(job));
        of_job(&Around { job, named, env: &workflow.env, source, broken: &broken, end })
    };
    workflow.jobs.values().flat_map(around).collect()
}

/// The environments that the legs of a job name.
fn of_legs<'p>(plan: &'p Plan, job: &PlannedJob) -> Named<'p> {
    let mut names: Vec<&String> = job.legs.iter().flatten().filter_map(|leg| leg.environment.as_ref()).collect();
    names.sort_unstable();
    names.dedup();
    let environments = plan.policy.environments.iter();
    environments.filter(|(name, _)| names.iter().any(|named| named.eq_ignore_ascii_case(name))).collect()
}

fn of_job(around: &Around<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let steps = &around.job.steps;
    for (number, step) in steps.iter().enumerate() {
        let Some((uses, with)) = step.delivery() else { continue };
        if around.broken.is_empty() && steps[..number].iter().all(|step| step.delivery().is_none()) {
            found.extend(nowhere(around.job, &around.named, uses, around.source));
        }
        let begin = step.at.line;
        let end = steps.get(number + 1).map_or(around.end, |next| next.at.line).max(begin + 1);
        if !around.broken.iter().any(|broken| (begin..end).contains(broken)) {
            of_step(around, step, uses, with, &mut found);
        }
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

fn of_step(around: &Around<'_>, step: &Step, uses: &Text, with: &IndexMap<String, Text>, found: &mut Vec<Diagnostic>) {
    let Around { job, named, env, source, .. } = around;
    for (name, value) in with {
        let span = line(source, value.at, 0);
        let of_context = |template: Template| template.references().iter().any(|r| r.context == "steps");
        if job.environment.is_some() && Template::parse(&value.text).is_ok_and(of_context) {
            let message = format!("`{name}` comes from a step of the same job, so nobody can approve it");
            let help = "make it an output of an earlier job, and take it from `needs`";
            found.push(Diagnostic::error("steps-in-gated-delivery", span, message).help(help));
        }
        // A plan is stored, shown and signed: whatever stands in it is known to everybody who may look.
        if holds_secret(&value.text, &[&step.env, &job.env, env]) {
            let message = format!("`{name}` holds a secret, and what a delivery is given stands open in its plan");
            let help = "keep it in a Secret of the environment's namespace and name that one";
            found.push(Diagnostic::error("secret-in-delivery", span, message).help(help));
        }
    }
    let texts: IndexMap<String, String> = with.iter().map(|(name, value)| (name.clone(), value.text.clone())).collect();
    let protected = named.iter().find(|(_, rules)| rules.reviewers.is_some());
    let environment = protected.map(|(name, _)| name.as_str()).unwrap_or_default();
    for problem in Action::check_for(&uses.text, &texts, environment, protected.is_some()) {
        found.push(at_input(&problem, uses, with, source));
    }
}

/// A problem at the input that it is of.
pub(super) fn at_input(
    problem: &Problem,
    uses: &Text,
    with: &IndexMap<String, Text>,
    source: &SourceFile,
) -> Diagnostic {
    let Problem { key, line: number, message } = problem;
    let given = with.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value);
    let span = line(source, given.map_or(uses.at, |value| value.at), number.unwrap_or_default());
    Diagnostic::error("bad-delivery", span, format!("{key}: {message}"))
}

/// Whether a text names a secret, or a variable that does: each layer of `env` sees those that follow it here.
fn holds_secret(text: &str, layers: &[&Env]) -> bool {
    let variable = |name: Option<&str>| {
        let names = |known: &str| name.is_none_or(|name| known.eq_ignore_ascii_case(name));
        let mut of_layer = layers.iter().enumerate().filter(|(_, layer)| layer.keys().any(|known| names(known)));
        let secret = |(at, layer): (usize, &&Env)| {
            layer.iter().any(|(known, value)| names(known) && holds_secret(&value.text, &layers[at + 1..]))
        };
        // The innermost layer that has a name counts; of all names, every one.
        if name.is_some() { of_layer.next().is_some_and(secret) } else { of_layer.any(secret) }
    };
    let holds = |reference: &Reference| match reference.context.as_str() {
        "secrets" => true,
        "env" => variable(reference.keys().next().filter(|_| !reference.is_dynamic())),
        _ => false,
    };
    Template::parse(text).is_ok_and(|template| template.references().iter().any(holds))
}

/// What stands from a place to the end of its line. Of a block, whose text begins in the line after its `|`, so many lines
/// further.
pub(super) fn line(source: &SourceFile, at: Position, further: usize) -> Span {
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
