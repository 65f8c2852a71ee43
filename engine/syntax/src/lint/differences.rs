//! Where GitHub would act otherwise on purpose: the warnings of `lint --github`.
//!
//! They take the place of the rules that speak of what only this engine does with the file.

use super::{File, untrusted_in_run};
use crate::diagnostic::{Diagnostic, Span};
use crate::filter::{PatternList, Subject};
use crate::workflow::{ActionRef, StepAction};

/// The code of these warnings.
pub(super) const CODE: &str = "differs-on-github";

/// Rules that are not for a file as GitHub reads it.
pub(super) const REPLACED: &[&str] = &["unknown-environment", "untrusted-in-run"];

/// Tags that people push and that are no versions.
const NO_VERSIONS: &[&str] = &["v1", "v1.2", "v01.2.3", "1", "latest", "nightly", "release-1"];

pub(super) fn check(file: &File<'_>, found: &mut Vec<Diagnostic>) {
    environments(file, found);
    tags(file, found);
    actions(file, found);
    scripts(file, found);
}

fn environments(file: &File<'_>, found: &mut Vec<Diagnostic>) {
    for environment in file.workflow.jobs.values().filter_map(|job| job.environment.as_ref()) {
        let name = &environment.name.text;
        let message = format!("GitHub does not read .tagline/environments.yml: nothing of it protects `{name}` there");
        let report = Diagnostic::warning(CODE, file.span(&environment.name), message);
        found.push(
            report.help("set reviewers and secrets in the repository's settings too; without them GitHub asks nobody"),
        );
    }
}

fn tags(file: &File<'_>, found: &mut Vec<Diagnostic>) {
    let Some(patterns) = file.workflow.on.events.get("push").and_then(|push| push.tags.as_ref()) else { return };
    let Ok(list) = PatternList::parse(patterns, Subject::Ref) else { return };
    let Some((tag, pattern)) = NO_VERSIONS.iter().find_map(|tag| Some((tag, list.deciding(tag)?))) else { return };
    if pattern.is_negated() {
        return;
    }
    let text = file.source.text();
    let key = text.find("tags").unwrap_or_default();
    let at = text[key..].find(pattern.text()).map_or(key, |at| key + at);
    let message =
        format!("GitHub starts this for the tag `{tag}` too; here only versions such as `v1.2.3` are released");
    let report = Diagnostic::warning(CODE, Span::new(at, at + pattern.text().len()), message);
    found.push(report.help("'v[0-9]+.[0-9]+.[0-9]+'"));
}

fn actions(file: &File<'_>, found: &mut Vec<Diagnostic>) {
    for (_, step) in file.steps() {
        let StepAction::Uses { uses, .. } = &step.action else { continue };
        let Some(ActionRef::Remote { repository, .. }) = ActionRef::parse(&uses.text) else { continue };
        if repository.to_lowercase().starts_with("tagline/") {
            let message = format!("`{repository}` is built into Tagline; GitHub has no such action and fails the job");
            found.push(Diagnostic::warning(CODE, file.span(uses), message));
        }
    }
}

fn scripts(file: &File<'_>, found: &mut Vec<Diagnostic>) {
    for (span, what) in untrusted_in_run::places(file) {
        let message =
            format!("GitHub runs {what} as part of the script; here the step stops if it holds shell characters");
        found.push(Diagnostic::warning(CODE, span, message).help(untrusted_in_run::REMEDY));
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::SourceFile;
    use crate::lint::{Options, run};

    fn found(text: &str) -> Vec<(&'static str, String)> {
        let source = SourceFile::new("a.yml", text);
        let options = Options { github: true, ..Options::default() };
        run(&source, &options).iter().map(|one| (one.code, source.slice(one.span()).to_owned())).collect()
    }

    #[test]
    fn each_difference_has_its_place() {
        let text = "on: { push: { tags: ['!x', 'v*'] } }\njobs:\n  a:\n    runs-on: x\n    environment: production\n    steps:\n      \
                    - uses: tagline/sbom@v1\n      - run: echo ${{ github.ref_name }}\n";
        let places: Vec<String> = found(text).into_iter().map(|(_, place)| place).collect();
        assert_eq!(places, ["v*", "production", "tagline/sbom@v1", "${{ github.ref_name }}"]);
        assert!(found(text).iter().all(|(code, _)| *code == super::CODE));
    }

    #[test]
    fn what_is_the_same_there_is_not_told() {
        let text = "on: { push: { tags: ['v[0-9]+.[0-9]+.[0-9]+', '!v0*'] } }\njobs:\n  a:\n    runs-on: x\n    steps:\n      \
                    - uses: actions/checkout@v4\n      - run: echo ${{ github.sha }}\n";
        assert_eq!(found(text), []);
    }
}
