//! `git push` of a tag starts what it should, with and without an engine, and never fails.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixListener;

use tagline_tests::{Outcome, Repo, Scratch, Tagline, until};

const RELEASE: &str = "
name: release
on: { push: { tags: ['v*', '!v*-*'] } }
jobs:
  build: { runs-on: ubuntu-latest, steps: [{ run: echo built }] }
  production:
    needs: build
    environment: production
    runs-on: ubuntu-latest
    steps: [{ run: echo deployed }]
";

const OTHER: &str = "
on: { push: { branches: [main] } }
jobs: { check: { runs-on: ubuntu-latest, steps: [{ run: echo checked }] } }
";

const ENVIRONMENTS: &str = "
environments:
  production:
    reviewers: { any-of: [ona@example.com], required: 1 }
";

/// A repository with a bare origin that has the hook.
fn set_up(scratch: &Scratch) -> (Repo, Tagline) {
    let repo = scratch.repo("shop");
    repo.workflow("release.yml", RELEASE).workflow("check.yml", OTHER).environments(ENVIRONMENTS);
    repo.commit("First");
    let bare = scratch.join("shop.git");
    repo.bare_origin(&bare);
    let tagline = scratch.tagline();
    let installed = tagline.run(["hook", "install", "--repo", bare.to_str().expect("UTF-8")]);
    installed.success().stdout_has("hooks/post-receive");
    (repo, tagline)
}

/// Pushes with the hook's environment: what it says comes back on standard error.
#[track_caller]
fn push(repo: &Repo, words: &[&str]) -> String {
    let out = repo.command().args(["push", "origin"]).args(words).output().expect("git is installed");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "the push failed: {said}");
    said
}

fn runs(tagline: &Tagline) -> Vec<serde_json::Value> {
    tagline.run(["runs", "--json"]).success().json().as_array().expect("an array").clone()
}

#[test]
fn without_an_engine_the_run_is_recorded_and_the_push_says_how_to_go_on() {
    let scratch = Scratch::new();
    let (repo, tagline) = set_up(&scratch);
    repo.tag("v1.2.3");
    let said = push(&repo, &["v1.2.3"]);
    assert!(said.contains("tagline: v1.2.3: run 1 of .github/workflows/release.yml"), "{said}");
    assert!(said.contains("tagline resume 1"), "{said}");
    let all = runs(&tagline);
    assert_eq!(all.len(), 1, "exactly the workflow whose filter matches: {all:?}");
    assert_eq!(all[0]["tag"], "v1.2.3");
    assert_eq!(all[0]["actor"], "jonas@example.com", "the tagger asked for it");
    tagline.run(["resume", "1"]).code(3).stdout_has("Run 1 is waiting");
}

#[test]
fn with_an_engine_the_release_goes_to_its_gate_and_on_after_the_vote() {
    let scratch = Scratch::new();
    let (repo, tagline) = set_up(&scratch);
    let mut engine = tagline.spawn(["serve", "--headless"]);
    engine.line_with("the engine serves this store");
    let second = tagline.run(["serve", "--headless"]);
    second.code(5).stderr_has(&format!("process {}", engine.id()));

    repo.tag("v1.2.3");
    let said = push(&repo, &["v1.2.3"]);
    assert!(said.contains("run 1") && !said.contains("resume"), "{said}");
    until("the gate", || (runs(&tagline)[0]["status"] == "waiting").then_some(()));
    let bare = scratch.join("shop.git");
    let mut git = repo.command();
    git.current_dir(&bare).args(["config", "user.email", "ona@example.com"]);
    assert!(git.status().unwrap().success());
    let refused: Outcome = tagline.run(["approve", "1"]);
    let digest = refused.code(2).stderr.split_whitespace().find_map(|word| word.strip_prefix("sha256:")).expect("it");
    let vote = tagline.run(["approve", "1", "--environment", "production", "--plan", &digest[..12]]);
    vote.success().stdout_has("goes on by itself").lacks("resume");
    until("the end", || (runs(&tagline)[0]["status"] == "completed").then_some(()));
    tagline.run(["resume", "1"]).success().stdout_has("Run 1 succeeded");
    // `run` hands its run to the engine and follows it.
    repo.tag("v1.3.0");
    let handed = tagline.clone().dir(repo.path()).run(["run", "--tag", "v1.3.0"]);
    handed.code(3).stdout_has("it goes on by itself");
    assert_eq!(engine.terminate(), 0);
}

#[test]
fn what_is_no_release_is_said_in_a_line_and_never_fails_the_push() {
    let scratch = Scratch::new();
    let (repo, tagline) = set_up(&scratch);
    repo.light_tag("nightly").light_tag("v1.2").light_tag("v1.0.0-rc.1");
    let said = push(&repo, &["main", "nightly", "v1.2", "v1.0.0-rc.1"]);
    for line in [
        "tagline: nightly: nothing starts on it, for it names no version: ",
        "tagline: v1.2: nothing starts on it, for it names no version: ",
        "tagline: v1.0.0-rc.1: no workflow starts on it (",
        ".github/workflows/release.yml: tag `v1.0.0-rc.1` is taken out by `!v*-*`",
    ] {
        assert!(said.contains(line), "no line with {line}:\n{said}");
    }
    assert!(!said.contains("error["), "{said}");
    assert!(!tagline.store().join("tagline.db").exists() || runs(&tagline).is_empty());

    repo.tag("v1.2.3");
    push(&repo, &["v1.2.3"]);
    push(&repo, &["--delete", "v1.2.3"]);
    repo.git(["tag", "--delete", "v1.2.3"]);
    repo.commit("Second");
    repo.tag("v1.2.3");
    let said = push(&repo, &["v1.2.3"]);
    assert!(said.contains("error[moved-tag]"), "{said}");
    assert_eq!(runs(&tagline).len(), 1);
}

#[test]
fn a_hook_that_is_there_is_kept() {
    let scratch = Scratch::new();
    let (_repo, tagline) = set_up(&scratch);
    let bare = scratch.join("shop.git");
    let path = bare.to_str().unwrap();
    tagline.run(["hook", "install", path]).success().stdout_has("there already");
    let hook = bare.join("hooks/post-receive");
    let ours = std::fs::read_to_string(&hook).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho mine\n").unwrap();
    let refused = tagline.run(["hook", "install", path]);
    refused.code(1).stderr_has("error[other-hook]").stderr_has("hook receive || :");
    assert_eq!(std::fs::read_to_string(&hook).unwrap(), "#!/bin/sh\necho mine\n");
    // One of an earlier version is written anew.
    std::fs::write(&hook, ours.replace("hook receive", "hook receive-once")).unwrap();
    tagline.run(["hook", "install", path]).success().stdout_has("Wrote");
    assert_eq!(std::fs::read_to_string(&hook).unwrap(), ours);
    tagline.run(["hook", "install", "shop"]).code(2).stderr_has("error[not-bare]");
}

#[test]
fn the_pusher_is_who_the_server_says() {
    let scratch = Scratch::new();
    let (repo, tagline) = set_up(&scratch);
    repo.tag("v1.2.3");
    let mut git = repo.command();
    git.args(["push", "--quiet", "origin", "v1.2.3"]).env("TAGLINE_ACTOR", "Rasa <Rasa@Example.com>");
    assert!(git.status().unwrap().success());
    assert_eq!(runs(&tagline)[0]["actor"], "rasa@example.com");
}

/// An engine that hears what it is told and ends each time before it answers.
fn dying_engine(tagline: &Tagline, times: usize) -> std::thread::JoinHandle<()> {
    let listener =
        UnixListener::bind(tagline.store().join("tagline.sock")).expect("the store is there and no engine serves it");
    std::thread::spawn(move || {
        for stream in listener.incoming().take(times) {
            BufReader::new(stream.expect("a command connects")).read_line(&mut String::new()).expect("it asks");
        }
    })
}

#[test]
fn a_run_that_no_engine_takes_up_is_recorded_and_the_next_workflow_begins() {
    let scratch = Scratch::new();
    let (repo, tagline) = set_up(&scratch);
    repo.workflow("second.yml", RELEASE).commit("Second");
    repo.tag("v1.2.3").tag("v1.2.4");
    push(&repo, &["v1.2.3"]);
    let engine = dying_engine(&tagline, 2);
    let said = push(&repo, &["v1.2.4"]);
    engine.join().unwrap();
    for line in ["run 3 of .github/workflows/release.yml", "run 4 of .github/workflows/second.yml", "error[unanswered]"]
    {
        assert!(said.contains(line), "no {line}: {said}");
    }
    assert!(said.contains("go on with: tagline resume 3") && said.contains("tagline resume 4"), "{said}");
    assert!(!said.contains("nothing was started"), "{said}");
    assert_eq!(runs(&tagline).len(), 4);
}
