//! What a valid workflow may ask for and the engine does not do yet.
//!
//! `lint` accepts such a file, because GitHub does. A plan refuses it: nothing that a file asks for is left out silently.

use super::{ActionRef, Container, DELIVERIES, Job, Position, Step, StepAction, Text, Workflow};
use crate::diagnostic::{Diagnostic, SourceFile, Span};
use crate::expression::{Reference, Template};

/// Actions that are part of Tagline, without their version.
const NATIVE: &[&str] =
    &["actions/checkout", "actions/upload-artifact", "actions/download-artifact", "tagline/image", "tagline/sbom"];

/// Keys of `github` that only a started job knows.
pub const RUNNER_KEYS: [&str; 10] = [
    "action",
    "action_path",
    "action_ref",
    "action_repository",
    "action_status",
    "env",
    "event_path",
    "path",
    "step_summary",
    "workspace",
];

/// Everything in the workflow that is not carried out, with where it stands, in the order of the file.
pub fn not_carried_out(workflow: &Workflow) -> Vec<(Position, String)> {
    let mut found = workflow.beyond.clone();
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

/// The same as errors of the file, for what refuses to go on.
pub fn refusals(workflow: &Workflow, source: &SourceFile) -> Vec<Diagnostic> {
    let refusal = |(at, what): (Position, String)| {
        let start = source.offset(at).unwrap_or_default();
        let length = source.text()[start..].find(['\n', '\r']).unwrap_or(source.text().len() - start);
        let message = format!("{what}: the engine does not carry this out yet");
        Diagnostic::error("not-carried-out", Span::new(start, start + length), message)
    };
    not_carried_out(workflow).into_iter().map(refusal).collect()
}

fn of_job(job: &Job, found: &mut Vec<(Position, String)>) {
    if let Some(call) = &job.call {
        found.push((call.uses.at, "a job that calls a workflow".to_owned()));
    }
    if let Some(container) = &job.container {
        of_container(container, found);
    }
    for (name, service) in &job.services {
        found.push((service.container.image.at, format!("the service `{name}`")));
    }
    for step in &job.steps {
        found.extend(of_step(step));
    }
}

fn of_container(container: &Container, found: &mut Vec<(Position, String)>) {
    let named = |what: &'static str| move |text: &Text| (text.at, format!("the {what} `{}` of a container", text.text));
    found.extend(container.ports.iter().map(named("port")));
    found.extend(container.volumes.iter().map(named("volume")));
    for text in container.env.values() {
        let references = Template::parse(&text.text).map(|template| template.references()).unwrap_or_default();
        let inside = references.iter().filter(|one| is_inside(one));
        found.extend(inside.map(|one| (text.at, format!("`{one}` in the `env` of a container"))));
    }
}

/// Whether only the inside of a container can tell: its `env` is worked out before it is there.
fn is_inside(reference: &Reference) -> bool {
    match reference.context.as_str() {
        "job" | "runner" | "steps" => true,
        "github" => {
            reference.keys().next().is_some_and(|key| RUNNER_KEYS.iter().any(|own| own.eq_ignore_ascii_case(key)))
        }
        _ => false,
    }
}

fn of_step(step: &Step) -> Option<(Position, String)> {
    let StepAction::Uses { uses, .. } = &step.action else { return None };
    let what = match ActionRef::parse(&uses.text) {
        Some(ActionRef::Remote { repository, path: "", .. }) if is_native(repository) => return None,
        Some(ActionRef::Remote { .. }) => {
            format!("the action `{}`, which is not part of Tagline", uses.text)
        }
        Some(ActionRef::Docker(_)) => format!("the Docker action `{}`", uses.text),
        _ => format!("the action `{}` of the repository itself", uses.text),
    };
    Some((uses.at, what))
}

fn is_native(repository: &str) -> bool {
    NATIVE.iter().chain(&DELIVERIES).any(|name| name.eq_ignore_ascii_case(repository))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::read;

    #[test]
    fn names_known_only_later_are_left_out() {
        let text = "on: push\njobs:\n  a:\n    runs-on: x\n    env: ${{ fromJSON('{}') }}\n    strategy:\n      matrix:\n        \
                    ${{ insert }}: ${{ fromJSON('{}') }}\n    steps:\n      - run: x\n        env:\n          \
                    ${{ insert }}: ${{ fromJSON('{}') }}\n          A-${{ github.sha }}: b\n";
        let workflow = read(&SourceFile::new("a.yml", text)).workflow.unwrap();
        let lines: Vec<u32> = not_carried_out(&workflow).iter().map(|(at, _)| at.line).collect();
        assert_eq!(lines, [5, 12, 13]);
    }

    #[test]
    fn what_a_container_is_not_given_is_named_with_its_place() {
        let text = "on: push\njobs:\n  a:\n    runs-on: x\n    container:\n      image: i\n      \
                    credentials: { username: u, password: '${{ secrets.P }}' }\n      ports:\n        - 80\n        - 8080:80\n      \
                    volumes:\n        - /var/run/docker.sock:/var/run/docker.sock\n      options: --cpus 1\n      env:\n        \
                    A: ${{ secrets.T }} ${{ matrix.x }} ${{ github.sha }} ${{ env.B }}\n        B: ${{ runner.temp }}\n        \
                    C: ${{ github.Workspace }}\n    steps:\n      - run: x\n";
        let workflow = read(&SourceFile::new("a.yml", text)).workflow.unwrap();
        let found = not_carried_out(&workflow);
        let found: Vec<(u32, &str)> = found.iter().map(|(at, what)| (at.line, what.as_str())).collect();
        assert_eq!(
            found,
            [
                (9, "the port `80` of a container"),
                (10, "the port `8080:80` of a container"),
                (12, "the volume `/var/run/docker.sock:/var/run/docker.sock` of a container"),
                (16, "`runner.temp` in the `env` of a container"),
                (17, "`github.Workspace` in the `env` of a container"),
            ]
        );
    }

    #[test]
    fn all_that_is_left_out_is_named_with_its_place() {
        let text = "on: push\njobs:\n  a:\n    runs-on: x\n    snapshot: image\n    services: { db: postgres }\n    steps:\n      \
                    - uses: actions/checkout@v4\n      - uses: tagline/sbom@v1\n      - uses: actions/cache@v4\n      \
                    - uses: docker://alpine\n      - uses: ./here\n      - { run: x, id: s, background: true }\n      \
                    - wait: s\n      - wait-all:\n  b:\n    uses: ./.github/workflows/b.yml\n";
        let source = SourceFile::new("a.yml", text);
        let workflow = read(&source).workflow.unwrap();
        let found = refusals(&workflow, &source);
        let lines: Vec<u32> = found.iter().map(|one| source.position(one.span().start).line).collect();
        assert_eq!(lines, [5, 6, 10, 11, 12, 13, 14, 15, 17]);
        assert_eq!(
            found[2].message,
            "the action `actions/cache@v4`, which is not part of Tagline: the engine does not carry this out yet"
        );
    }
}
