//! From the errors of the libraries to errors for people: exit code, stable code, cause, effect, next step.

use tagline_plan::PlanError;
use tagline_run::Refusal;
use tagline_server::release::ReleaseError;
use tagline_server::repository::RepositoryError;
use tagline_server::rollback::RollbackError;
use tagline_server::secrets::SecretError;
use tagline_server::vote::VoteError;
use tagline_server::{BeginError, PlannerError, TellError};
use tagline_store::StoreError;
use tagline_syntax::diagnostic::{Diagnostic, SourceFile};
use tagline_syntax::tag::TagError;
use tagline_syntax::workflow::Position;

use crate::diagnostics;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::words::short_commit;

const NOTHING_RUN: &str = "nothing was run";

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let of = |exit, code| Self::of(exit, code, &error);
        match &error {
            StoreError::Url(_) => {
                let next = "tagline doctor --store sqlite:///var/lib/tagline";
                of(Exit::Unusable, "bad-store").effect("nothing was done").next(next)
            }
            StoreError::Missing(_) => {
                of(Exit::Unusable, "no-store").why("nothing has been run here yet").next("tagline run --tag v1.2.3")
            }
            StoreError::NoRun(_) => of(Exit::Unusable, "no-such-run").next("tagline runs"),
            StoreError::Busy { .. } => of(Exit::OutOfReach, "store-busy")
                .effect(NOTHING_RUN)
                .next("wait for its end, or use the commands that work beside it: tagline runs"),
            StoreError::Newer { .. } => of(Exit::OutOfReach, "newer-store")
                .effect("the store was not touched")
                .next("use the version of tagline that wrote it, or a newer one"),
            StoreError::Full(_) => of(Exit::OutOfReach, "disk-full")
                .effect("what was asked was not done; nothing that was there is lost")
                .next("make room, then: tagline resume"),
            StoreError::Conflict { .. } => {
                of(Exit::Failed, "run-moved-on").effect("nothing was recorded").next("tagline runs")
            }
            StoreError::Damaged { .. } => of(Exit::OutOfReach, "damaged").next("tagline store verify"),
            StoreError::Io { .. } | StoreError::Database(_) | StoreError::OldSqlite(_) => {
                of(Exit::OutOfReach, "store").next("tagline doctor")
            }
        }
    }
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        let of = |code| Self::of(Exit::Unusable, code, &error).effect(NOTHING_RUN);
        match &error {
            RepositoryError::NotARepository(_) => of("not-a-repository").next("name one: tagline plan --repo DIR"),
            RepositoryError::NotTrusted(root) => of("not-trusted-repository")
                .next(format!("if you trust it: git config --global --add safe.directory {}", root.display())),
            RepositoryError::Unopened { path, .. } => {
                of("unreadable-repository").next(format!("git -C {} status", path.display()))
            }
            RepositoryError::NoTag { .. } => of("no-such-tag").next("git tag --list"),
            RepositoryError::TagWithoutCommit { .. } => of("tag-without-commit").next("tag a commit"),
            RepositoryError::NoFile { .. } => of("no-such-file").next("git status"),
            RepositoryError::Io { .. } => of("unreadable-file").next("tagline doctor"),
            RepositoryError::Git { .. } => of("git").next("git fsck"),
        }
    }
}

impl From<TagError> for Failure {
    fn from(error: TagError) -> Self {
        let failure = Self::of(Exit::Unusable, "bad-tag", &error).effect(NOTHING_RUN);
        match &error.nearest {
            Some(nearest) => failure.next(format!("git tag {nearest}")),
            None => failure.next("use a tag such as v1.2.3"),
        }
    }
}

impl From<PlannerError> for Failure {
    fn from(error: PlannerError) -> Self {
        match error {
            PlannerError::Repository(error) => error.into(),
            PlannerError::Tag(error) => error.into(),
            PlannerError::NoWorkflow(_) => Self::unusable("no-workflow", error)
                .effect(NOTHING_RUN)
                .next("tagline init       writes release.yml and environments.yml for what is found here"),
            PlannerError::NoSuchWorkflow { ref known, .. } => {
                Self::unusable("no-such-workflow", &error).effect(NOTHING_RUN).next(match known.as_slice() {
                    [] => "tagline init       writes a first workflow".to_owned(),
                    known => format!("name one of {}", known.join(", ")),
                })
            }
            PlannerError::NothingStarts { ref passed_over, .. } => {
                let failure = Self::unusable("nothing-starts", &error).effect(NOTHING_RUN);
                let failure =
                    passed_over.iter().fold(failure, |failure, (path, why)| failure.why(format!("{path}: {why}")));
                failure.next("change the file's `on`, or name an event: tagline plan --event push")
            }
            PlannerError::Unusable { file, diagnostics, origin } => unusable_file(&file, &diagnostics, &origin),
            PlannerError::NotCarriedOut { ref path, ref missing } => not_carried_out(path, missing),
            PlannerError::Plan { file, errors } => plan_errors(&file, &errors),
            PlannerError::Input { .. } => {
                Self::unusable("bad-input", error).effect(NOTHING_RUN).next("correct `inputs` in the payload")
            }
            PlannerError::EditorUnknown { ref oldest, .. } => Self::unusable("editor-unknown", &error)
                .why(format!("this clone is shallow: its history begins at {oldest}, where the file is the same"))
                .effect(NOTHING_RUN)
                .next("git fetch --unshallow"),
            PlannerError::NoIdentity => {
                Self::unusable("no-identity", error).effect(NOTHING_RUN).next("git config user.email you@example.com")
            }
        }
    }
}

fn unusable_file(source: &SourceFile, found: &[Diagnostic], origin: &str) -> Failure {
    let facts = crate::output::Output::new().err;
    let before: Vec<String> = found.iter().map(|one| diagnostics::render(source, one, &facts)).collect();
    let (errors, _) = diagnostics::tally(found.iter());
    let errors = crate::words::count(errors, "error");
    let message = format!("{} ({origin}) cannot be used: {errors}", source.name());
    let failure = Failure::unusable("unusable-file", message).effect(NOTHING_RUN).next("tagline lint");
    Failure { before: before.join("\n\n").into(), ..failure }
}

fn not_carried_out(path: &str, missing: &[(Position, String)]) -> Failure {
    let message = format!("{path} uses what this version does not carry out");
    let failure = Failure::unusable("not-carried-out", message).effect(NOTHING_RUN);
    let place = |at: &Position, what: &str| format!("{path}:{}:{}: {what}", at.line, at.column);
    let failure = missing.iter().fold(failure, |failure, (at, what)| failure.why(place(at, what)));
    failure.next("take it out of the file, or wait for a version that has it")
}

fn plan_errors(source: &SourceFile, errors: &[PlanError]) -> Failure {
    let facts = crate::output::Output::new().err;
    let found: Vec<Diagnostic> = errors.iter().filter_map(|error| located(source, error)).collect();
    let drawn: Vec<String> = found.iter().map(|one| diagnostics::render(source, one, &facts)).collect();
    let code = match errors.first() {
        Some(PlanError::UnknownEnvironment { .. }) => "unknown-environment",
        Some(PlanError::MissingVariable { .. }) => "missing-variable",
        _ => "unplannable",
    };
    let message = match errors {
        [one] => one.to_string(),
        many => format!("{} cannot be planned: {}", source.name(), crate::words::count(many.len(), "error")),
    };
    let failure = Failure::unusable(code, message).effect(NOTHING_RUN);
    let others = errors.iter().filter(|error| errors.len() > 1 && located(source, error).is_none());
    let failure = others.fold(failure, Failure::why);
    let failure = match code {
        "unknown-environment" => failure.next("tagline environments"),
        "missing-variable" => {
            failure.next("set it under `variables` in .tagline/environments.yml on the default branch")
        }
        _ => failure.next("tagline lint"),
    };
    Failure { before: drawn.join("\n\n").into(), ..failure }
}

/// An error of planning as a finding in the workflow's file, where it has a place there.
pub(crate) fn located(source: &SourceFile, error: &PlanError) -> Option<Diagnostic> {
    let span = |line, column| {
        let start = source.offset(Position { line, column })?;
        let rest = &source.text()[start..];
        let end = rest.find(['\n', '#', ',', ']', '}']).unwrap_or(rest.len());
        Some(tagline_syntax::diagnostic::Span::new(start, start + rest[..end].trim_end().len()))
    };
    match error {
        PlanError::UnknownEnvironment { nearest, line, column, .. } => {
            let span = span(*line, *column)?;
            let found = Diagnostic::error("unknown-environment", span, error.to_string());
            Some(found.suggest(span, nearest.as_deref()))
        }
        PlanError::MissingVariable { .. } => None,
        PlanError::Leg { source: leg, .. } => {
            let (line, column) = match leg {
                tagline_plan::LegError::Evaluation(error) => (error.line, error.column),
                tagline_plan::LegError::Matrix { line, column, .. } => (*line, *column),
            };
            Some(Diagnostic::error("unplannable", span(line, column)?, error.to_string()))
        }
        PlanError::Evaluation(inner) => {
            Some(Diagnostic::error("unplannable", span(inner.line, inner.column)?, error.to_string()))
        }
    }
}

impl From<BeginError> for Failure {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Release(error) => error.into(),
            BeginError::Secret(error) => error.into(),
            BeginError::Store(error) => error.into(),
            BeginError::Identity(_) => Self::failed("no-random-number", error).effect(NOTHING_RUN),
            BeginError::Plan(_) => {
                Self::failed("bug", error).effect(NOTHING_RUN).next("report it with the workflow file")
            }
        }
    }
}

impl From<RollbackError> for Failure {
    fn from(error: RollbackError) -> Self {
        match error {
            RollbackError::Plan(error) => error.into(),
            RollbackError::Run(error) => error.into(),
            RollbackError::NeverDelivered { .. } => Self::of(Exit::Unusable, "never-delivered", &error)
                .effect(NOTHING_RUN)
                .next("look what is live where: tagline environments"),
            RollbackError::NeverLive { ref environment, ref known, .. } => {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let next = format!("tagline environments {environment}");
                Self::of(Exit::Unusable, "never-live", &error)
                    .why(format!("versions that were, newest first: {known}"))
                    .effect(NOTHING_RUN)
                    .next(next)
            }
            RollbackError::NoUnit { ref known, .. } => Self::of(Exit::Unusable, "no-such-unit", &error)
                .why(format!("units that were delivered there: {}", known.join(", ")))
                .effect(NOTHING_RUN),
            RollbackError::NoVersionBefore { ref environment, .. } => {
                let next = format!("name one that was live: tagline rollback {environment} --to 1.2.2");
                Self::of(Exit::Unusable, "no-version-before", &error).effect(NOTHING_RUN).next(next)
            }
        }
    }
}

impl From<ReleaseError> for Failure {
    fn from(error: ReleaseError) -> Self {
        let message = error.to_string();
        match error {
            ReleaseError::MovedTag { tag, was, was_subject, run, by, now, now_subject, .. } => {
                let (was, now) = (short_commit(&was).to_owned(), short_commit(&now).to_owned());
                Self::failed("moved-tag", message)
                    .why(format!("was {was} \"{was_subject}\" (run {run}, {by}); now {now} \"{now_subject}\""))
                    .effect(format!("nothing was run; approvals and artifacts of {tag} belong to {was}"))
                    .next(match next_tag(&tag) {
                        Some(next) => format!("git tag {next} {now} && git push origin {next}"),
                        None => format!("release {now} under a new tag"),
                    })
                    .next(format!("look at what was released: tagline show {run}"))
            }
            ReleaseError::Downgrade { tag, live, run, .. } => Self::failed("downgrade", message)
                .why(format!("run {run} brought {live} there"))
                .effect(NOTHING_RUN)
                .next(format!("if it is meant: tagline run --tag {tag} --allow-downgrade")),
            ReleaseError::Store(error) => error.into(),
        }
    }
}

/// The tag one patch later: `v1.2.4` after `v1.2.3`.
fn next_tag(tag: &str) -> Option<String> {
    let (head, patch) = tag.rsplit_once('.')?;
    Some(format!("{head}.{}", patch.parse::<u64>().ok()?.checked_add(1)?))
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        let of = |code| Self::of(Exit::Unusable, code, &error);
        match &error {
            SecretError::Missing { environment, name } => of("missing-secret")
                .effect(NOTHING_RUN)
                .next(format!("tagline secret set {name} --environment {environment}")),
            SecretError::File { .. } => of("bad-secrets-file").effect(NOTHING_RUN).next("write one NAME=VALUE a line"),
            SecretError::Name(_) => of("bad-secret-name").effect("nothing was stored").next("choose another name"),
            SecretError::Short(_) => of("short-secret").effect("nothing was stored").next("use a longer value"),
            SecretError::Store(_) => match error {
                SecretError::Store(error) => error.into(),
                _ => of("secret"),
            },
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let failure = Self::failed(refusal.code(), &refusal).effect("nothing was recorded");
        match refusal {
            Refusal::UnknownJob { .. } => Self { exit: Exit::Unusable, ..failure }.next("name one of these jobs"),
            Refusal::StalePlan { .. } => failure.next("read the present plan: tagline runs --active"),
            Refusal::NoLongerReviewer { environment, .. } => {
                failure.next(format!("see who reviews it now: tagline environments {environment}"))
            }
            Refusal::RulesOutOfReach(_) => failure.next("make them readable, then vote again: tagline runs --active"),
            _ => failure.next("tagline runs"),
        }
    }
}

impl From<TellError> for Failure {
    fn from(error: TellError) -> Self {
        match error {
            TellError::Refused(refusal) => refusal.into(),
            TellError::Store(error) => error.into(),
            TellError::Vote(error) => error.into(),
            TellError::Unanswered { run, .. } => Self::of(Exit::OutOfReach, "unanswered", &error)
                .effect("what it was told may be recorded or not")
                .next(format!("look, before it is said again: tagline show {run}")),
            TellError::Corrupt(_) => Self::of(Exit::OutOfReach, "corrupt-journal", &error).next("tagline store verify"),
        }
    }
}

impl From<VoteError> for Failure {
    fn from(error: VoteError) -> Self {
        let of = |code| Self::of(Exit::Unusable, code, &error).effect("nothing was recorded");
        match &error {
            VoteError::NoGate { run, .. } => of("no-gate").next(format!("tagline show {run}")),
            VoteError::WhichGate { run, environments } => {
                environments.iter().fold(of("which-gate"), |failure, name| {
                    failure.next(format!("read it, then add --environment {name}: tagline show {run} --plan"))
                })
            }
            VoteError::Signature(_) => {
                of("signature").next("name another key with --key, or look at yours: ssh-add -l")
            }
        }
    }
}

/// A file that the command was given cannot be read or written.
pub(crate) fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => "no-such-file",
        std::io::ErrorKind::AlreadyExists => "file-exists",
        _ => "file",
    };
    Failure::unusable(code, format!("cannot {doing} {}", path.display())).why(error)
}

#[cfg(test)]
mod catalogue;
