//! `jobs`: jobs of steps and jobs that call a workflow.

use indexmap::IndexMap;

use super::concurrency::Placed;
use super::graph::{self, Need};
use super::{concurrency, container, defaults, environment, identifier, permissions, steps, strategy, uses};
use crate::expression::Availability;
use crate::read::{Entry, Fields, Reader};
use crate::tree::{Kind, Node};
use crate::workflow::{Call, Job, RunsOn, Secrets, Step, Text};

const RUNS_ON: Option<&Availability> = Some(&Availability::RUNS_ON);

/// All jobs, with their `needs` resolved.
///
/// `workflow` is the workflow's own concurrency group, which no job may share: it would wait for itself.
pub(super) fn read_all(reader: &mut Reader<'_>, node: Node<'_>, workflow: Option<&Placed>) -> IndexMap<String, Job> {
    let Some(fields) = reader.fields(node, "`jobs`") else { return IndexMap::new() };
    let span = fields.span();
    let mut jobs = IndexMap::new();
    let mut needs = IndexMap::new();
    for Entry { key, node, value } in fields.rest() {
        identifier::check(reader, node, &key, "a job");
        let mut names = Vec::new();
        let job = job(reader, &key, node, value, workflow, &mut names);
        needs.insert(key.clone(), names);
        jobs.insert(key, job);
    }
    graph::resolve(reader, &mut jobs, &needs, span);
    jobs
}

fn job(
    reader: &mut Reader<'_>,
    id: &str,
    key: Node<'_>,
    node: Node<'_>,
    workflow: Option<&Placed>,
    needs: &mut Vec<Need>,
) -> Job {
    let mut job = Job { id: id.to_owned(), at: reader.position(key), ..Job::default() };
    let Some(mut fields) = reader.fields(node, "a job") else { return job };
    if let Some(node) = fields.take("needs") {
        *needs = self::needs(reader, node);
    }
    shared(reader, &mut fields, &mut job, workflow);
    if calls(&fields) {
        fields.describe("a job that calls a workflow");
        job.call = call(reader, &mut fields);
    } else {
        own(reader, &mut fields, &mut job);
    }
    fields.finish(reader);
    job
}

/// Whether it is a job that calls a workflow: as on GitHub, the first key that only one kind of job has decides.
fn calls(fields: &Fields<'_>) -> bool {
    let first = fields.keys().find_map(|key| match key {
        "uses" | "with" | "secrets" => Some(true),
        "runs-on" | "steps" | "container" | "services" | "outputs" | "environment" | "env" | "defaults"
        | "timeout-minutes" | "continue-on-error" => Some(false),
        _ => None,
    });
    first.unwrap_or(false)
}

/// Keys that both kinds of job have.
fn shared(reader: &mut Reader<'_>, fields: &mut Fields<'_>, job: &mut Job, workflow: Option<&Placed>) {
    job.name = fields.take("name").and_then(|node| reader.text(node, Some(&Availability::JOB_NAME)));
    job.condition = fields.take("if").and_then(|node| reader.condition_text(node, &Availability::JOB_IF));
    job.permissions = fields.take("permissions").and_then(|node| permissions::read(reader, node));
    let concurrency = fields.take("concurrency");
    let concurrency = concurrency.and_then(|node| concurrency::read(reader, node, &Availability::JOB_CONCURRENCY));
    if let (Some(workflow), Some(own)) = (workflow, &concurrency) {
        concurrency::check_deadlock(reader, workflow, own, &job.id);
    }
    job.concurrency = concurrency.map(|placed| placed.concurrency);
    job.strategy = fields.take("strategy").map(|node| strategy::read(reader, node)).unwrap_or_default();
}

/// Keys of a job with steps.
fn own(reader: &mut Reader<'_>, fields: &mut Fields<'_>, job: &mut Job) {
    job.runs_on = fields.require(reader, "runs-on").map(|node| runs_on(reader, node));
    job.environment = fields.take("environment").and_then(|node| environment::read(reader, node));
    let output = Some(&Availability::JOB_OUTPUT);
    job.outputs = fields.take("outputs").map(|node| reader.texts(node, "`outputs`", output, false)).unwrap_or_default();
    let env = Some(&Availability::JOB_ENV);
    job.env = fields.take("env").map(|node| reader.texts(node, "`env`", env, true)).unwrap_or_default();
    let place = Some(&Availability::JOB_DEFAULTS);
    job.defaults = fields.take("defaults").map(|node| defaults::read(reader, node, place)).unwrap_or_default();
    let place = Some(&Availability::JOB_TIMEOUT);
    job.timeout_minutes = fields.take("timeout-minutes").and_then(|node| reader.number_text(node, place));
    if let Some(entry) = fields.entry("cancel-timeout-minutes") {
        reader.number_text(entry.value, place);
        reader.beyond(entry.node.span(), "`cancel-timeout-minutes`");
    }
    let place = Some(&Availability::JOB_CONTINUE_ON_ERROR);
    job.continue_on_error = fields.take("continue-on-error").and_then(|node| reader.boolean_text(node, place));
    job.container = fields.take("container").and_then(|node| container::read(reader, node));
    job.services = fields.take("services").map(|node| container::services(reader, node)).unwrap_or_default();
    job.steps = fields.take("steps").map_or_else(Vec::<Step>::new, |node| steps::read(reader, node));
    if let Some(entry) = fields.entry("snapshot") {
        snapshot(reader, entry.value);
        reader.beyond(entry.node.span(), "`snapshot`");
    }
}

/// Keys of a job that calls a workflow.
fn call(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Call> {
    let node = fields.require(reader, "uses");
    let uses = node.and_then(|node| {
        let uses = reader.word(node, None)?;
        uses::check_workflow(reader, node, &uses.text);
        Some(uses)
    });
    let place = Some(&Availability::JOB_WITH);
    let with = fields.take("with").map(|node| reader.texts(node, "`with`", place, false)).unwrap_or_default();
    let place = Some(&Availability::JOB_SECRETS);
    let secrets = match fields.take("secrets") {
        None => Secrets::Named(IndexMap::new()),
        Some(node) if matches!(node.kind(), Kind::Scalar(_)) => {
            reader.choice(node, "`inherit`", &["inherit"]);
            Secrets::Inherit
        }
        Some(node) => Secrets::Named(reader.texts(node, "`secrets`", place, false)),
    };
    Some(Call { uses: uses?, with, secrets })
}

fn needs(reader: &mut Reader<'_>, node: Node<'_>) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut take = |item: Node<'_>| {
        if let Some(text) = reader.word(item, None) {
            needs.push(Need { name: text.text, span: item.span() });
        }
    };
    match node.kind() {
        Kind::Sequence => node.items().for_each(take),
        Kind::Scalar(_) => take(node),
        _ => reader.wrong_type(node, "the id of a job or a list of ids"),
    }
    needs
}

fn runs_on(reader: &mut Reader<'_>, node: Node<'_>) -> RunsOn {
    if !matches!(node.kind(), Kind::Mapping) {
        return RunsOn { labels: reader.words(node, RUNS_ON), group: None };
    }
    let Some(mut fields) = reader.fields(node, "`runs-on`") else { return RunsOn { labels: Vec::new(), group: None } };
    let group = fields.take("group").and_then(|node| reader.word(node, RUNS_ON));
    let labels: Vec<Text> = fields.take("labels").map(|node| reader.words(node, RUNS_ON)).unwrap_or_default();
    fields.finish(reader);
    RunsOn { labels, group }
}

/// `snapshot`, which the engine does not carry out: checked and left out of the model.
fn snapshot(reader: &mut Reader<'_>, node: Node<'_>) {
    const IF: Availability = Availability {
        key: "jobs.*.snapshot.if",
        contexts: &["github", "inputs", "vars", "needs", "strategy", "matrix"],
        functions: &[],
    };
    if matches!(node.kind(), Kind::Scalar(_)) {
        reader.word(node, None);
        return;
    }
    let Some(mut fields) = reader.fields(node, "`snapshot`") else { return };
    if let Some(node) = fields.require(reader, "image-name") {
        reader.word(node, None);
    }
    if let Some(node) = fields.take("if") {
        reader.condition_text(node, &IF);
    }
    if let Some(node) = fields.take("version") {
        reader.word(node, None);
    }
    fields.finish(reader);
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::SourceFile;
    use crate::workflow::read;

    fn places(job: &str) -> Vec<(u32, String)> {
        let source = SourceFile::new("a.yml", format!("on: push\njobs:\n  a:\n{job}"));
        let line = |start| source.position(start).line;
        read(&source).diagnostics.into_iter().map(|one| (line(one.span().start), one.message)).collect()
    }

    #[test]
    fn the_first_key_of_one_kind_decides_which_job_it_is() {
        let call = places("    with: { b: c }\n    runs-on: x\n");
        let expected = [
            (4, "a job that calls a workflow needs the key `uses`".to_owned()),
            (5, "a job that calls a workflow has no key `runs-on`".to_owned()),
        ];
        assert_eq!(call, expected);
        assert_eq!(places("    runs-on: x\n    with: { b: c }\n"), [(5, "a job has no key `with`".to_owned())]);
    }
}
