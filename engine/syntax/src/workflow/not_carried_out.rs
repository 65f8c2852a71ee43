//! What a valid workflow may ask for and the engine does not do yet.
//!
//! `lint` accepts such a file, because GitHub does. A plan refuses it: nothing that a file asks for is left out silently.

use super::{ActionRef, Job, Position, Step, StepAction, Workflow};
use crate::read::INSERT;

/// Actions that are part of Tagline, without their version.
const NATIVE: &[&str] =
    &["actions/checkout", "actions/upload-artifact", "actions/download-artifact", "tagline/image", "tagline/sbom"];

/// Everything in the workflow that is not carried out, with where it stands, in the order of the file.
pub fn not_carried_out(workflow: &Workflow) -> Vec<(Position, String)> {
    let mut found = workflow.beyond.clone();
    for (_, text) in workflow.env.iter().filter(|(key, _)| *key == INSERT) {
        found.push((text.at, "`env` as one expression".to_owned()));
    }
    for (name, event) in &workflow.on.events {
        for filter in event.both_filters() {
            let what = format!("`{filter}` together with `{filter}-ignore` on `{name}`");
            found.push((Position { line: 1, column: 1 }, what));
        }
    }
    for job in workflow.jobs.values() {
        of_job(job, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

fn of_job(job: &Job, found: &mut Vec<(Position, String)>) {
    if let Some(call) = &job.call {
        found.push((call.uses.at, "a job that calls a workflow".to_owned()));
    }
    for (name, service) in &job.services {
        found.push((service.container.image.at, format!("the service `{name}`")));
    }
    let containers = job.container.iter().flat_map(|container| container.env.iter());
    for (_, text) in job.env.iter().chain(containers).filter(|(key, _)| *key == INSERT) {
        found.push((text.at, "`env` as one expression".to_owned()));
    }
    for step in &job.steps {
        found.extend(of_step(step));
    }
}

fn of_step(step: &Step) -> Option<(Position, String)> {
    let StepAction::Uses { uses, with } = &step.action else { return None };
    if let Some(text) = with.get(INSERT) {
        return Some((text.at, "`with` as one expression".to_owned()));
    }
    let what = match ActionRef::parse(&uses.text) {
        Some(ActionRef::Remote { repository, path: "", .. }) if is_native(repository) => return None,
        Some(ActionRef::Remote { .. }) => {
            format!("the action `{}`: only actions that are part of Tagline run", uses.text)
        }
        Some(ActionRef::Docker(_)) => format!("the Docker action `{}`", uses.text),
        _ => format!("the action `{}` of the repository itself", uses.text),
    };
    Some((uses.at, what))
}

fn is_native(repository: &str) -> bool {
    NATIVE.iter().any(|name| name.eq_ignore_ascii_case(repository))
}
