//! `concurrency` of a workflow or a job.

use crate::diagnostic::{Diagnostic, Span};
use crate::expression::Availability;
use crate::read::Reader;
use crate::tree::{Kind, Node};
use crate::workflow::Concurrency;

/// Longest group name, in characters.
const MAX_LENGTH: usize = 400;

/// A group and where it is written.
pub(super) struct Placed {
    pub(super) concurrency: Concurrency,
    span: Span,
}

/// Reports a job that shares its workflow's group: the run holds it, so the job would wait for ever.
pub(super) fn check_deadlock(reader: &mut Reader<'_>, workflow: &Placed, own: &Placed, job: &str) {
    let group = &own.concurrency.group.text;
    if workflow.concurrency.group.text.to_lowercase() == group.to_lowercase() {
        let message = format!("job `{job}` waits for the group `{group}`, which its own run holds");
        let report =
            Diagnostic::error("duplicate-group", own.span, message).label(workflow.span, "held by the run here");
        reader.report(report.help("give the job a group of its own"));
    }
}

pub(super) fn read(reader: &mut Reader<'_>, node: Node<'_>, place: &Availability) -> Option<Placed> {
    let concurrency = concurrency(reader, node, place)?;
    Some(Placed { concurrency, span: node.span() })
}

fn concurrency(reader: &mut Reader<'_>, node: Node<'_>, place: &Availability) -> Option<Concurrency> {
    if matches!(node.kind(), Kind::Scalar(_)) {
        let group = reader.word(node, Some(place))?;
        check_length(reader, node, &group.text);
        return Some(Concurrency { group, cancel_in_progress: None, queue_max: false });
    }
    let mut fields = reader.fields(node, "`concurrency`")?;
    let group = fields.require(reader, "group").and_then(|node| {
        let group = reader.word(node, Some(place))?;
        check_length(reader, node, &group.text);
        Some(group)
    });
    let cancel = fields.take("cancel-in-progress").and_then(|node| reader.boolean_text(node, Some(place)));
    let queue = fields.entry("queue");
    let queue_max = queue
        .as_ref()
        .is_some_and(|entry| reader.choice(entry.value, "a kind of queue", &["single", "max"]) == Some("max"));
    if let Some(entry) = queue.filter(|_| queue_max && cancel.as_ref().is_some_and(|text| text.text == "true")) {
        let message =
            "`queue: max` keeps all that wait, and `cancel-in-progress: true` cancels what runs: only one can be";
        reader.report(Diagnostic::error("queue-and-cancel", entry.node.span(), message).help("leave one of them away"));
    }
    fields.finish(reader);
    Some(Concurrency { group: group?, cancel_in_progress: cancel, queue_max })
}

fn check_length(reader: &mut Reader<'_>, node: Node<'_>, group: &str) {
    if group.chars().count() > MAX_LENGTH {
        reader.error("too-long", node.span(), format!("a group has {MAX_LENGTH} characters at most"));
    }
}
