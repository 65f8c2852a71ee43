//! Every error that people can meet, held to one form: what is so, why or what it did, what to do; and to one text.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use tagline_run::{GateId, JobKey};
use tagline_syntax::diagnostic::Span;

use super::*;
use crate::failure::{commands, parses};

fn store() -> Vec<StoreError> {
    let path = || PathBuf::from("/store");
    let source = io::Error::from(io::ErrorKind::PermissionDenied);
    vec![
        StoreError::Url("postgres://db".into()),
        StoreError::Missing(path()),
        StoreError::NoRun(7),
        StoreError::Busy { store: path(), holder: "process 4121 (tagline serve)".into() },
        StoreError::Newer { store: path(), found: 9, known: 1 },
        StoreError::Full(path()),
        StoreError::Conflict { run: 7, expected: 3, found: 4 },
        StoreError::Damaged { what: "journal row 12".into(), why: "its hash does not fit".into() },
        StoreError::Io { doing: "open", path: path(), source },
        StoreError::OldSqlite("3.40.0"),
    ]
}

fn repository() -> Vec<RepositoryError> {
    let root = || PathBuf::from("/repo");
    vec![
        RepositoryError::NotARepository(root()),
        RepositoryError::NoTag { tag: "v1.2.3".into(), root: root() },
        RepositoryError::TagWithoutCommit { tag: "v1.2.3".into(), kind: "tree".into() },
        RepositoryError::NoFile { path: "a.yml".into(), commit: "4f9c2ab".into() },
        RepositoryError::Io { path: root(), source: io::Error::from(io::ErrorKind::PermissionDenied) },
    ]
}

fn file() -> Box<SourceFile> {
    Box::new(SourceFile::new("release.yml", "on: pussh\njobs: {}\n"))
}

fn planner() -> Vec<PlannerError> {
    let unknown = PlanError::UnknownEnvironment {
        job: "deploy".into(),
        name: "prodution".into(),
        nearest: Some("production".into()),
        origin: "main, 71aa0c3".into(),
        line: 1,
        column: 5,
    };
    let variable = PlanError::MissingVariable { environment: "staging".into(), name: "REGISTRY".into() };
    let both = vec![unknown.clone(), variable.clone()];
    vec![
        PlannerError::NoWorkflow("/repo".into()),
        PlannerError::NoSuchWorkflow { name: "nope".into(), known: vec!["release.yml".into()] },
        PlannerError::NothingStarts {
            what: "the tag v1.2.3".into(),
            passed_over: vec![("ci.yml".into(), "it does not start on push".into())],
        },
        PlannerError::Unusable {
            file: file(),
            diagnostics: vec![Diagnostic::error("unknown-event", Span::new(4, 9), "`pussh` is not an event")],
            origin: "4f9c2ab".into(),
        },
        PlannerError::NotCarriedOut {
            path: "release.yml".into(),
            missing: vec![(Position { line: 3, column: 5 }, "the service `db`".into())],
        },
        PlannerError::Plan { file: file(), errors: vec![unknown] },
        PlannerError::Plan { file: file(), errors: vec![variable] },
        PlannerError::Plan { file: file(), errors: both },
        PlannerError::Input { name: "level".into(), why: "it is required and not given".into() },
        PlannerError::NoIdentity,
    ]
}

fn release() -> Vec<ReleaseError> {
    vec![
        ReleaseError::MovedTag {
            tag: "v1.2.3".into(),
            was: "4f9c2ab0000000000000000000000000000000000".into(),
            was_subject: "Fix tenant cache".into(),
            run: 418,
            by: "jonas@example.com".into(),
            at: 0,
            now: "c0ffee10000000000000000000000000000000000".into(),
            now_subject: "Fix it again".into(),
        },
        ReleaseError::Downgrade {
            version: "1.2.2".into(),
            live: "1.2.3".into(),
            environment: "production".into(),
            run: 418,
        },
    ]
}

fn secrets() -> Vec<SecretError> {
    vec![
        SecretError::Missing { environment: "production".into(), name: "DATABASE_URL".into() },
        SecretError::File { line: 3, why: "it has no `=`".into() },
        SecretError::Name("1x".into()),
        SecretError::Short("TOKEN".into()),
    ]
}

fn votes() -> Vec<VoteError> {
    vec![
        VoteError::NoGate { run: 418, environment: "production".into() },
        VoteError::WhichGate { run: 418, environments: vec!["production".into(), "eu".into()] },
        VoteError::Signature("the key has a passphrase".into()),
    ]
}

fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::Ended,
        Refusal::StillRunning,
        Refusal::NothingFailed,
        Refusal::UnknownJob { job: "biuld".into(), known: "build, deploy".into() },
        Refusal::NotReady(JobKey::new("build", 0)),
        Refusal::NoSuchGate(GateId(3)),
        Refusal::AlreadyDecided { environment: "production".into(), outcome: "rejected by ona".into() },
        Refusal::StalePlan { given: "sha256:7d31c0e94b1a00".into(), current: "sha256:e2b98800d3f400".into() },
        Refusal::NotEligible { who: "jonas@example.com".into(), why: "you started this run".into() },
        Refusal::NoLongerReviewer {
            who: "ona@example.com".into(),
            environment: "production".into(),
            why: "reviewers of `production` are now ops, by .tagline/environments.yml (main, 71aa0c3)".into(),
        },
        Refusal::RulesOutOfReach("/repo is not a Git repository".into()),
        Refusal::AlreadyVoted("ona@example.com".into()),
        Refusal::AlreadyCancelled,
    ]
}

fn all() -> Vec<Failure> {
    let mut all: Vec<Failure> = store().into_iter().map(Failure::from).collect();
    all.extend(repository().into_iter().map(Failure::from));
    all.push(tagline_syntax::tag::ReleaseTag::parse("v1.2").unwrap_err().into());
    all.push(tagline_syntax::tag::ReleaseTag::parse("v1.2.3;rm -rf").unwrap_err().into());
    all.extend(planner().into_iter().map(Failure::from));
    all.extend(release().into_iter().map(Failure::from));
    all.extend(secrets().into_iter().map(Failure::from));
    all.extend(votes().into_iter().map(Failure::from));
    all.extend(refusals().into_iter().map(Failure::from));
    all.push(super::file("read", "a.json".as_ref(), &io::Error::from(io::ErrorKind::NotFound)).next("name a file"));
    all
}

#[test]
fn every_error_says_what_is_so_why_or_to_what_effect_and_what_to_do() {
    for failure in all() {
        let code = failure.code;
        assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
        assert!(!failure.message.is_empty() && !failure.message.ends_with('.'), "{code}: {}", failure.message);
        assert!(
            failure.effect.is_some()
                || !failure.why.is_empty()
                || code == "no-such-run"
                || code == "store"
                || code == "damaged",
            "{code} has neither cause nor effect"
        );
        assert!(!failure.next.is_empty(), "{code} has no next step");
        assert_ne!(failure.exit, Exit::Done, "{code}");
        for words in failure.next.iter().flat_map(|next| commands(next).collect::<Vec<_>>()) {
            assert!(parses(&words), "{code}: {words:?}");
        }
    }
}

#[test]
fn the_texts_are_these() {
    let mut text = String::new();
    for failure in all() {
        if !failure.before.is_empty() {
            writeln!(text, "{}", failure.before).unwrap();
        }
        writeln!(text, "exit {} error[{}]: {}", failure.exit as u8, failure.code, failure.message).unwrap();
        for (label, line) in failure.details() {
            writeln!(text, "  {label:<7} {line}").unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_tag_after_a_tag_is_one_patch_later() {
    assert_eq!(next_tag("v1.2.9"), Some("v1.2.10".to_owned()));
    assert_eq!(next_tag("shop-v1.2.3-rc.1"), Some("shop-v1.2.3-rc.2".to_owned()));
    assert_eq!(next_tag("v1.2.3+a"), None);
}
