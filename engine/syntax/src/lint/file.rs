//! What a rule sees: the workflow, every expression in it with its place, and the way back to the bytes.

use std::collections::HashMap;

use super::Options;
use crate::diagnostic::{SourceFile, Span};
use crate::expression::{Expr, Template, convert_if};
use crate::read::locate;
use crate::tree::{Node, Tree};
use crate::workflow::{Container, Job, RunsOn, Secrets, Step, StepAction, Text, Workflow};

/// A workflow file under a rule.
pub struct File<'f> {
    /// The file.
    pub source: &'f SourceFile,
    /// The workflow, as far as it could be read.
    pub workflow: &'f Workflow,
    /// What else is known.
    pub options: &'f Options<'f>,
    /// Scalars by the byte they start at.
    scalars: HashMap<usize, Node<'f>>,
    expressions: Vec<Expression<'f>>,
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'f> {
    /// The job, unless the expression belongs to the workflow.
    pub job: Option<&'f Job>,
    /// The step, unless the expression belongs to the job.
    pub step: Option<&'f Step>,
    /// Whether it is in the script of a `run`.
    pub script: bool,
}

/// An expression with its place.
pub struct Expression<'f> {
    /// The expression; its offsets are those of the text's value.
    pub expr: Expr,
    /// The text that holds it.
    pub text: &'f Text,
    /// Where it stands.
    pub place: Place<'f>,
}

impl<'f> File<'f> {
    pub(super) fn new(
        source: &'f SourceFile,
        tree: &'f Tree,
        workflow: &'f Workflow,
        options: &'f Options<'f>,
    ) -> Self {
        let mut scalars = HashMap::new();
        collect(tree.root(), &mut scalars);
        Self { source, workflow, options, scalars, expressions: expressions(workflow) }
    }

    /// The bytes of a whole text.
    pub fn span(&self, text: &Text) -> Span {
        self.node(text).map_or_else(|| self.start(text), Node::span)
    }

    /// The bytes that stand for a part of a text's value.
    pub fn part(&self, text: &Text, start: usize, end: usize) -> Span {
        match self.node(text).and_then(|node| Some((node, node.scalar()?))) {
            Some((node, scalar)) => locate(self.source, node, scalar, start, end),
            None => self.start(text),
        }
    }

    fn node(&self, text: &Text) -> Option<Node<'f>> {
        self.scalars.get(&self.source.offset(text.at)?).copied()
    }

    fn start(&self, text: &Text) -> Span {
        let at = self.source.offset(text.at).unwrap_or_default();
        Span::new(at, at)
    }

    /// Every expression of jobs and steps, matrices aside. What does not parse is left out: it was reported.
    pub fn expressions(&self) -> &[Expression<'f>] {
        &self.expressions
    }

    /// Every step with its job.
    pub fn steps(&self) -> impl Iterator<Item = (&'f Job, &'f Step)> {
        self.workflow.jobs.values().flat_map(|job| job.steps.iter().map(move |step| (job, step)))
    }
}

fn expressions(workflow: &Workflow) -> Vec<Expression<'_>> {
    let mut texts = Vec::new();
    for job in workflow.jobs.values() {
        of_job(job, &mut texts);
    }
    let mut found = Vec::new();
    for (text, condition, place) in texts {
        if condition {
            found.extend(convert_if(&text.text).ok().map(|one| Expression { expr: one.expression, text, place }));
        } else if let Ok(template) = Template::parse(&text.text) {
            let expressions = template.expressions().cloned();
            found.extend(expressions.map(|expr| Expression { expr, text, place }));
        }
    }
    found
}

fn collect<'t>(node: Node<'t>, scalars: &mut HashMap<usize, Node<'t>>) {
    if node.scalar().is_some() {
        scalars.insert(node.span().start, node);
    }
    node.items().for_each(|item| collect(item, scalars));
    node.entries().for_each(|(_, value)| collect(value, scalars));
}

/// A text, whether it is a condition, and its place.
type Found<'f> = (&'f Text, bool, Place<'f>);

fn of_job<'f>(job: &'f Job, texts: &mut Vec<Found<'f>>) {
    let place = Place { job: Some(job), ..Place::default() };
    texts.extend(job.condition.iter().map(|text| (text, true, place)));
    let mut add = |text: &'f Text| texts.push((text, false, place));
    job.name.iter().for_each(&mut add);
    if let Some(RunsOn { labels, group }) = &job.runs_on {
        labels.iter().chain(group).for_each(&mut add);
    }
    if let Some(environment) = &job.environment {
        [Some(&environment.name), environment.url.as_ref()].into_iter().flatten().for_each(&mut add);
    }
    if let Some(concurrency) = &job.concurrency {
        [Some(&concurrency.group), concurrency.cancel_in_progress.as_ref()].into_iter().flatten().for_each(&mut add);
    }
    job.env.values().chain(job.outputs.values()).for_each(&mut add);
    job.timeout_minutes.iter().chain(&job.continue_on_error).for_each(&mut add);
    job.strategy.fail_fast.iter().chain(&job.strategy.max_parallel).for_each(&mut add);
    job.defaults.shell.iter().chain(&job.defaults.working_directory).for_each(&mut add);
    let services = job.services.values().map(|service| &service.container);
    services.chain(&job.container).flat_map(of_container).for_each(&mut add);
    if let Some(call) = &job.call {
        call.with.values().for_each(&mut add);
        if let Secrets::Named(secrets) = &call.secrets {
            secrets.values().for_each(&mut add);
        }
    }
    for step in &job.steps {
        of_step(step, Place { step: Some(step), ..place }, texts);
    }
}

fn of_container(container: &Container) -> impl Iterator<Item = &Text> {
    let credentials = container.credentials.iter().flat_map(|one| [&one.username, &one.password]);
    let lists = container.ports.iter().chain(&container.volumes).chain(container.env.values());
    std::iter::once(&container.image).chain(credentials).chain(lists).chain(&container.options)
}

fn of_step<'f>(step: &'f Step, place: Place<'f>, texts: &mut Vec<Found<'f>>) {
    texts.extend(step.condition.iter().map(|text| (text, true, place)));
    let mut add = |text: &'f Text| texts.push((text, false, place));
    step.name.iter().chain(step.env.values()).for_each(&mut add);
    step.continue_on_error.iter().chain(&step.timeout_minutes).for_each(&mut add);
    match &step.action {
        StepAction::Run { script, shell, working_directory } => {
            shell.iter().chain(working_directory).for_each(&mut add);
            texts.push((script, false, Place { script: true, ..place }));
        }
        StepAction::Uses { with, .. } => with.values().for_each(&mut add),
    }
}
