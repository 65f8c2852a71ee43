//! `steps`: scripts, actions, and the steps that wait for others.

use std::collections::HashMap;

use super::identifier::{self, StepIds};
use super::uses::{self, ActionRef};
use crate::diagnostic::{Diagnostic, Span};
use crate::expression::Availability;
use crate::read::{Fields, Reader};
use crate::tree::{Kind, Node};
use crate::workflow::{Step, StepAction};

const PLACE: Option<&Availability> = Some(&Availability::STEP);

/// What decides the kind of a step. The last four are read and checked, but not carried out.
const KINDS: &[&str] = &["run", "uses", "wait", "wait-all", "cancel", "parallel"];

/// A step before those without an id get theirs.
pub(crate) struct Draft {
    step: Step,
    /// The name a made-up id begins with, for a step without an id.
    made_up: Option<String>,
}

impl Draft {
    fn new(step: Step) -> Self {
        let made_up = step.id.is_empty().then(|| match &step.action {
            StepAction::Run { .. } => "run".to_owned(),
            StepAction::Uses { uses, .. } => ActionRef::parse(&uses.text).map_or("run", ActionRef::id).to_owned(),
        });
        Self { step, made_up }
    }

    /// The step with its id. Ids are made up once every id that the file gives is taken.
    pub(crate) fn finish(self, ids: &mut StepIds) -> Step {
        match self.made_up {
            Some(name) => Step { id: ids.make(&name), ..self.step },
            None => self.step,
        }
    }
}

/// Every step of a job.
#[derive(Default)]
struct Steps {
    drafts: Vec<Draft>,
    ids: StepIds,
    /// Where each id was given first.
    given: HashMap<String, Span>,
    /// Ids that `wait` and `cancel` name.
    awaited: Vec<(String, Span)>,
}

pub(super) fn read(reader: &mut Reader<'_>, node: Node<'_>) -> Vec<Step> {
    let mut steps = Steps::default();
    steps.list(reader, node);
    for (id, span) in std::mem::take(&mut steps.awaited) {
        if !steps.given.contains_key(&id.to_lowercase()) {
            reader.error("unknown-step", span, format!("no step of this job has the id `{id}`"));
        }
    }
    let Steps { drafts, mut ids, .. } = steps;
    drafts.into_iter().map(|draft| draft.finish(&mut ids)).collect()
}

impl Steps {
    fn list(&mut self, reader: &mut Reader<'_>, node: Node<'_>) {
        if !matches!(node.kind(), Kind::Sequence) {
            reader.wrong_type(node, "a list of steps");
        }
        for item in node.items() {
            self.step(reader, item);
        }
    }

    fn step(&mut self, reader: &mut Reader<'_>, node: Node<'_>) {
        let Some(mut fields) = reader.fields(node, "a step") else { return };
        match KINDS.iter().find(|kind| fields.has(kind)) {
            Some(&("run" | "uses")) => {
                fields.describe(if fields.has("run") { "a step with `run`" } else { "a step with `uses`" });
                self.action(reader, node, &mut fields);
            }
            Some(&"parallel") => {
                if let Some(entry) = fields.entry("parallel") {
                    reader.beyond(entry.node.span(), "`parallel` steps");
                    self.list(reader, entry.value);
                }
            }
            Some(kind) => self.coordination(reader, &mut fields, kind),
            None => {
                let at = Span::new(node.span().start, node.span().start);
                let report = Diagnostic::error("missing-key", at, "a step needs `run` or `uses`");
                reader.report(report);
                // Known keys, so that only strange ones are reported.
                for key in ["run", "uses", "name", "id", "if", "env", "with", "shell", "working-directory"] {
                    fields.take(key);
                }
                for key in ["continue-on-error", "timeout-minutes", "background"] {
                    fields.take(key);
                }
            }
        }
        fields.finish(reader);
    }

    /// A step that runs a script or an action.
    fn action(&mut self, reader: &mut Reader<'_>, node: Node<'_>, fields: &mut Fields<'_>) {
        let id = self.id(reader, fields);
        let name = fields.take("name").and_then(|node| reader.text(node, PLACE));
        let condition = fields.take("if").and_then(|node| reader.condition_text(node, &Availability::STEP_IF));
        let env = fields.take("env").map(|node| reader.texts(node, "`env`", PLACE, false));
        let continue_on_error = fields.take("continue-on-error").and_then(|node| reader.boolean_text(node, PLACE));
        let timeout_minutes = fields.take("timeout-minutes").and_then(|node| reader.number_text(node, PLACE));
        let background = fields.entry("background");
        if let Some(entry) = background.filter(|entry| reader.boolean(entry.value) == Some(true)) {
            reader.beyond(entry.node.span(), "`background` steps");
        }
        let action = if fields.has("run") { run(reader, fields, PLACE, None) } else { action(reader, fields, PLACE) };
        let Some(action) = action else { return };
        let step = Step {
            id: id.unwrap_or_default(),
            at: reader.position(node),
            name,
            condition,
            env: env.unwrap_or_default(),
            continue_on_error,
            timeout_minutes,
            action,
        };
        self.drafts.push(Draft::new(step));
    }

    /// `wait`, `wait-all` and `cancel`.
    fn coordination(&mut self, reader: &mut Reader<'_>, fields: &mut Fields<'_>, kind: &'static str) {
        self.id(reader, fields);
        if let Some(node) = fields.take("name") {
            reader.text(node, PLACE);
        }
        if let Some(node) = fields.take("continue-on-error") {
            reader.boolean_text(node, PLACE);
        }
        let Some(entry) = fields.entry(kind) else { return };
        reader.beyond(entry.node.span(), format!("`{kind}` steps"));
        let node = entry.value;
        match kind {
            "wait-all" if node.is_null() => {}
            "wait-all" => {
                if reader.boolean(node) == Some(false) {
                    reader.error("wrong-type", node.span(), "`wait-all` takes `true` or nothing");
                }
            }
            _ if kind == "cancel" && !matches!(node.kind(), Kind::Scalar(_)) => {
                reader.wrong_type(node, "the id of a step");
            }
            _ => {
                let items: Vec<Node<'_>> =
                    if matches!(node.kind(), Kind::Sequence) { node.items().collect() } else { vec![node] };
                for item in items {
                    if let Some(text) = reader.word(item, None) {
                        self.awaited.push((text.text, item.span()));
                    }
                }
            }
        }
    }

    fn id(&mut self, reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<String> {
        let node = fields.take("id")?;
        let id = reader.word(node, None)?.text;
        identifier::check(reader, node, &id, "a step");
        if self.ids.take(&id) {
            self.given.insert(id.to_lowercase(), node.span());
        } else {
            let report =
                Diagnostic::error("duplicate-id", node.span(), format!("another step of this job has the id `{id}`"));
            let report = match self.given.get(&id.to_lowercase()) {
                Some(first) => report.label(*first, "first here"),
                None => report,
            };
            reader.report(report);
        }
        Some(id)
    }
}

/// A script; `shell` may use what its own place offers, which in workflows is nothing.
fn run(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    place: Option<&Availability>,
    shell: Option<&Availability>,
) -> Option<StepAction> {
    let script = fields.take("run").and_then(|node| reader.text(node, place));
    let shell = fields.take("shell").and_then(|node| reader.word(node, shell));
    let working_directory = fields.take("working-directory").and_then(|node| reader.text(node, place));
    for kind in ["uses", "with"] {
        if let Some(entry) = fields.entry(kind) {
            let message = format!("`{kind}` does not go with `run`: a step is one or the other");
            reader.error("run-and-uses", entry.node.span(), message);
        }
    }
    let working_directory = working_directory.filter(|text| !text.text.is_empty());
    Some(StepAction::Run { script: script?, shell, working_directory })
}

fn action(reader: &mut Reader<'_>, fields: &mut Fields<'_>, place: Option<&Availability>) -> Option<StepAction> {
    let node = fields.take("uses")?;
    let uses = reader.word(node, None);
    if let Some(uses) = &uses {
        uses::check_action(reader, node, &uses.text);
    }
    let with = fields.take("with").map(|node| reader.texts(node, "`with`", place, true));
    for kind in ["shell", "working-directory"] {
        if let Some(entry) = fields.entry(kind) {
            reader.error("run-and-uses", entry.node.span(), format!("`{kind}` goes with `run` only, not with `uses`"));
        }
    }
    Some(StepAction::Uses { uses: uses?, with: with.unwrap_or_default() })
}

/// A step of a composite action, which has fewer keys and whose `run` must name its shell.
pub(crate) fn composite_step(reader: &mut Reader<'_>, node: Node<'_>, ids: &mut StepIds) -> Option<Draft> {
    const PLACE: Option<&Availability> = Some(&Availability::COMPOSITE_STEP);
    let mut fields = reader.fields(node, "a step")?;
    let id = fields.take("id").and_then(|node| {
        let id = reader.word(node, None)?.text;
        identifier::check(reader, node, &id, "a step");
        if !ids.take(&id) {
            reader.error("duplicate-id", node.span(), format!("another step of this action has the id `{id}`"));
        }
        Some(id)
    });
    let name = fields.take("name").and_then(|node| reader.text(node, PLACE));
    let condition = fields.take("if").and_then(|node| reader.condition_text(node, &Availability::COMPOSITE_STEP_IF));
    let env = fields.take("env").map(|node| reader.texts(node, "`env`", PLACE, false));
    let continue_on_error = fields.take("continue-on-error").and_then(|node| reader.boolean_text(node, PLACE));
    let what = if fields.has("run") {
        if !fields.has("shell") {
            fields.missing(reader, "shell");
        }
        run(reader, &mut fields, PLACE, PLACE)
    } else if fields.has("uses") {
        action(reader, &mut fields, PLACE)
    } else {
        fields.missing(reader, "run` or `uses");
        None
    };
    fields.finish(reader);
    let step = Step {
        id: id.unwrap_or_default(),
        at: reader.position(node),
        name,
        condition,
        env: env.unwrap_or_default(),
        continue_on_error,
        timeout_minutes: None,
        action: what?,
    };
    Some(Draft::new(step))
}
