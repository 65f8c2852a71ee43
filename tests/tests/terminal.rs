//! Terminals that go away, and text from outside on those that stay.

use std::fs;

use rustix::process::Signal;
use tagline_tests::{Scratch, TAG, Tagline, ended, holds, until};

const WORKFLOW: &str = "on: {push: {tags: ['v*']}}
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo ready
          while ! test -e go; do sleep 0.05; done
          echo built once >> \"$GITHUB_STEP_SUMMARY\"
          echo finished
  deploy:
    needs: build
    runs-on: ubuntu-latest
    environment: production
    steps: [{run: echo deployed}]
";

const RULES: &str = "environments: {production: {reviewers: {any-of: [ona@example.com]}}}\n";

/// Waits until the job's log holds the line.
fn logged(tagline: &Tagline, line: &str) {
    let spool = tagline.spool(1, "build", 1);
    let told = format!("\"{line}\"");
    holds(&spool, &told);
}

/// The engine goes with its window; the job does not, and is found again.
#[test]
fn a_terminal_that_closes_while_a_job_runs_loses_nothing() {
    let scratch = Scratch::new();
    let repo = scratch.guarded_project(WORKFLOW, RULES);
    let tagline = scratch.tagline().dir(repo.path());
    let mut terminal = tagline.terminal(["run", "--tag", TAG]);
    terminal.expect("Run 1");
    logged(&tagline, "ready");
    let mut child = terminal.close();
    ended("the command", &mut child);
    let work = tagline.spool(1, "build", 1).with_file_name("work");
    fs::write(work.join("go"), "").unwrap();
    logged(&tagline, "finished");
    tagline.run(["resume", "1"]).code(3);
    let starts = tagline.run(["run", "--tag", TAG, "--json"]).json_lines();
    let count = |kind: &str| starts.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((count("JobStarted"), count("StepStarted"), count("JobFinished")), (1, 1, 1));
    assert_eq!(tagline.log(1, "build").lines().filter(|line| *line == "finished").count(), 1);
}

/// Also where a hang-up is ignored.
#[test]
fn a_terminal_that_closes_ends_a_command_that_ignores_the_hang_up() {
    let scratch = Scratch::new();
    let repo = scratch.guarded_project(WORKFLOW, RULES);
    let tagline = scratch.tagline().dir(repo.path());
    let mut terminal = tagline.stubborn_terminal(["run", "--tag", TAG]);
    terminal.expect("Run 1");
    logged(&tagline, "ready");
    let mut child = terminal.close();
    ended("the command", &mut child);
    fs::write(tagline.spool(1, "build", 1).with_file_name("work").join("go"), "").unwrap();
    tagline.run(["resume", "1"]).code(3);
}

#[test]
fn a_command_that_is_told_to_end_leaves_the_terminal_as_it_was() {
    let scratch = Scratch::new();
    let repo = scratch.guarded_project(WORKFLOW, RULES);
    let tagline = scratch.tagline().dir(repo.path());
    for signal in [Signal::TERM, Signal::QUIT] {
        let mut terminal = tagline.terminal(["run", "--tag", TAG]);
        terminal.expect("Run 1");
        logged(&tagline, "ready");
        until("the live view", || (!terminal.echoes()).then_some(()));
        terminal.signal(signal);
        assert_eq!(terminal.ended(), 143);
        assert!(terminal.echoes(), "after {signal:?}");
        let (_, screen) = terminal.end();
        assert!(screen.contains("tagline resume 1"), "{screen}");
    }
    fs::write(tagline.spool(1, "build", 1).with_file_name("work").join("go"), "").unwrap();
    tagline.run(["resume", "1"]).code(3);
}

/// At the prompt: the release still waits, nobody has voted, and another terminal can.
#[test]
fn a_terminal_that_closes_at_the_prompt_is_no_vote() {
    let scratch = Scratch::new();
    let workflow = WORKFLOW.replace("while ! test -e go; do sleep 0.05; done", "true");
    let repo = scratch.guarded_project(&workflow, RULES);
    let tagline = scratch.tagline().dir(repo.path());
    tagline.run(["run", "--tag", TAG]).code(3);
    repo.user("ona@example.com");
    for typed in ["", "approve\r", "approve\r\r1.2", "reject\rbecause"] {
        let mut terminal = tagline.terminal(["resume", "1"]);
        terminal.expect("quit (leave it waiting)");
        terminal.keys(typed);
        if typed.contains("1.2") {
            terminal.expect("Type 1.2.3 to approve");
        }
        let mut child = terminal.close();
        ended("the command", &mut child);
        let shown = tagline.show(1);
        assert_eq!(shown["approvals"].as_array().unwrap().len(), 0, "after `{}`", typed.escape_debug());
        assert_eq!(tagline.runs()[0]["status"], "waiting", "after `{}`", typed.escape_debug());
    }
    let plan = tagline.plan(1, "production");
    tagline.run(["approve", "1", "--environment", "production", "--plan", &plan]).success();
    tagline.run(["resume", "1"]).success();
}

/// What people wrote is shown as text wherever it stands, the prompt included.
#[test]
fn names_and_messages_draw_nothing_on_the_prompt() {
    let scratch = Scratch::new();
    let hostile = "x\u{1b}]0;t\u{7}\u{1b}[2J\u{202e}y\u{9b}31m";
    let workflow = WORKFLOW.replace("while ! test -e go; do sleep 0.05; done", "true");
    let workflow = workflow.replace("  deploy:\n", "  deploy:\n    name: \"x\\e]0;t\\a\\e[2J\\u202ey\\x9b31m\"\n");
    let repo = scratch.repo("shop");
    repo.workflow("release.yml", &workflow).environments(RULES).git(["config", "user.name", hostile]);
    repo.commit(&format!("Sell {hostile}"));
    repo.tag(TAG);
    let tagline = scratch.tagline().dir(repo.path());
    let mut terminal = tagline.terminal(["run", "--tag", TAG]);
    terminal.expect("quit (leave it waiting)");
    let raw = terminal.raw().to_owned();
    for bad in ["\u{1b}]", "\u{7}", "\u{1b}[2J\u{202e}", "\u{202e}", "\u{9b}"] {
        assert!(!raw.contains(bad), "{bad:?}: {raw:?}");
    }
    terminal.line("quit");
    assert_eq!(terminal.end().0, 3);
    for words in [&["show", "1"][..], &["show", "1", "--plan"], &["runs"], &["graph", "1"], &["explain", "1", "deploy"]]
    {
        let out = tagline.run(words);
        for bad in ["\u{1b}", "\u{7}", "\u{202e}", "\u{9b}"] {
            out.success().lacks(bad);
        }
    }
}
