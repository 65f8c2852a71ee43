//! Approvals: on a terminal, by command, with and without an engine.

use std::process::Command;

use tagline_tests::{Repo, Scratch, Tagline, ended};

/// Build, staging, and production behind a gate.
const WORKFLOW: &str = "
name: release
on: { push: { tags: ['v*'] } }
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: echo hello > app.txt
      - uses: actions/upload-artifact@v4
        with: { name: app, path: app.txt }
  staging:
    needs: build
    environment: staging
    runs-on: ubuntu-latest
    steps: [{ run: echo staged }]
  production:
    needs: staging
    environment: production
    runs-on: ubuntu-latest
    steps:
      - name: Deploy
        run: echo deployed
";

const ENVIRONMENTS: &str = "
teams: { ops: [ona@example.com, rasa@example.com] }
environments:
  staging: {}
  production:
    after: staging
    reviewers: { any-of: [ops, jonas@example.com], required: REQUIRED }
    expires: 72h
";

/// A repository whose tag v1.2.3 jonas made; its gate asks so many of the others.
fn repository(scratch: &Scratch, required: u32) -> Repo {
    let repo = scratch.repo("shop");
    repo.workflow("release.yml", WORKFLOW);
    repo.environments(&ENVIRONMENTS.replace("REQUIRED", &required.to_string()));
    repo.commit("First");
    repo.tag("v1.2.3");
    repo
}

/// Runs the tag up to its gate without a terminal; the digits of the plan in the printed command.
fn waiting(tagline: &Tagline) -> String {
    let outcome = tagline.run(["run", "--tag", "v1.2.3"]);
    outcome.code(3).stdout_has("is waiting and holds no machine").stdout_has("tagline resume 1");
    let words: Vec<&str> = outcome.stdout.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "--plan").expect("a command with --plan");
    let plans: Vec<&&str> =
        words.iter().filter(|word| word.len() == 12 && word.bytes().all(|b| b.is_ascii_hexdigit())).collect();
    assert!(!plans.is_empty(), "{at}\n{outcome}");
    (*plans[0]).to_owned()
}

#[test]
fn a_vote_on_the_plan_that_was_read_lets_the_release_finish() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, 1);
    let tagline = scratch.tagline().dir(repo.path());
    let plan = waiting(&tagline);

    tagline.run(["approve", "1"]).code(2).stderr_has("error[no-plan]").stderr_has(&plan);
    let other = "0".repeat(12);
    let stale = tagline.run(["approve", "1", "--plan", &other]);
    stale.code(1).stderr_has("error[stale-plan]").stderr_has("nothing was approved");
    tagline.run(["approve", "1", "--plan", &plan[..11]]).code(2).stderr_has("error[bad-plan]");

    // Jonas made the tag and the commit, edited the workflow and started the run.
    let own = tagline.run(["approve", "1", "--environment", "production", "--plan", &plan]);
    own.code(1).stderr_has("error[not-eligible]").stderr_has("ona@example.com, rasa@example.com (ops)");
    repo.user("petras@example.com");
    tagline.run(["approve", "1", "--plan", &plan]).code(1).stderr_has("reviewers are ops");

    repo.user("ona@example.com");
    let vote = tagline.run(["approve", "1", "--environment", "production", "--plan", &plan, "--comment", "fine"]);
    vote.success().stdout_has("1 of 1: ona@example.com (ops) approved").stdout_has("unsigned");
    vote.stdout_has("tagline resume 1");
    tagline.run(["approve", "1", "--plan", &plan]).code(1).stderr_has("already decided");

    let resumed = tagline.run(["resume", "1"]);
    resumed.success().stdout_has("Run 1 succeeded: shop 1.2.3 is live in production").stdout_has("(ona@example.com)");
    tagline.run(["resume", "1"]).success().stdout_has("Run 1 succeeded");
    tagline.run(["run", "--tag", "v1.2.3"]).success().stdout_has("Run 1 succeeded");
    tagline.run(["resume"]).success().stderr_has("No run waits");
}

#[test]
fn a_rejection_ends_the_release_with_its_reason() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, 2);
    let tagline = scratch.tagline().dir(repo.path());
    let plan = waiting(&tagline);
    repo.user("ona@example.com");
    let first = tagline.run(["approve", "1", "--plan", &plan]);
    first.success().stdout_has("1 of 2").stdout_has("Waiting for 1 more").stdout_has("rasa@example.com");
    tagline.run(["approve", "1", "--plan", &plan]).code(1).stderr_has("error[already-voted]");
    repo.user("rasa@example.com");
    tagline.run(["reject", "1", "--plan", &plan, "--comment", "not during the sale"]).success();
    let resumed = tagline.run(["resume", "1"]);
    resumed.code(4).stdout_has("not during the sale").stdout_has("1.2.3 is live in staging");
    tagline.run(["run", "--tag", "v1.2.3"]).code(4);
    tagline.run(["show", "1"]).success().stdout_has("next    tagline rerun 1 --failed");
}

#[test]
fn a_signature_is_made_with_the_key_that_is_named() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, 1);
    let tagline = scratch.tagline().dir(repo.path());
    let plan = waiting(&tagline);
    let key = scratch.join("key");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
    assert!(keygen.status().expect("ssh-keygen is installed").success());
    repo.user("ona@example.com");
    let missing = scratch.join("no-key");
    let refused = tagline.run(["approve", "1", "--plan", &plan, "--key", missing.to_str().unwrap()]);
    assert_ne!(refused.code, 0);
    refused.stderr_has("no signing key");
    // Git's own setting would do as well.
    repo.git(["config", "gpg.format", "ssh"]);
    repo.git(["config", "user.signingkey", key.to_str().unwrap()]);
    tagline.run(["approve", "1", "--plan", &plan]).success().stdout_has("signed SHA256:");
}

#[test]
fn the_prompt_shows_the_plan_and_wants_the_version_typed() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, 1);
    let rules = ENVIRONMENTS.replace("REQUIRED }", "1, prevent-self-review: false }");
    repo.environments(&rules);
    repo.commit("Let jonas review his own");
    let tagline = scratch.tagline().dir(repo.path());
    let mut terminal = tagline.terminal(["run", "--tag", "v1.2.3"]);
    // What is typed before the question counts for nothing.
    terminal.line("approve");
    terminal.expect("Run 1  shop v1.2.3");
    let page = terminal.expect("quit (leave it waiting) >");
    for part in
        ["Approve shop 1.2.3 for production?", "app@sha256:", "1 Deploy", "0 of 1", "you vote as jonas@example.com"]
    {
        assert!(page.contains(part), "the page lacks {part}:\n{page}");
    }
    assert!(!page.contains("Comment"), "{page}");
    terminal.line("diff 1");
    terminal.expect("echo deployed");
    terminal.expect(">");
    terminal.line("log staging");
    terminal.expect("| staged");
    terminal.expect(">");
    terminal.line("approve");
    terminal.expect("Comment (Enter for none):");
    terminal.line("looked fine");
    terminal.expect("Type 1.2.3 to approve for production:");
    terminal.line("1.2.4");
    terminal.expect("Not approved: `1.2.4` is not 1.2.3");
    terminal.line("approve");
    terminal.expect("Comment");
    terminal.line("");
    terminal.expect("Type 1.2.3");
    terminal.line("1.2.3");
    terminal.expect("1 of 1: jonas@example.com approved plan");
    let (code, text) = terminal.end();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("✓ Run 1 succeeded: shop 1.2.3 is live in production"), "{text}");
}

#[test]
fn at_the_prompt_ctrl_c_and_the_end_of_input_leave_the_release_waiting() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, 1);
    repo.user("ona@example.com");
    let tagline = scratch.tagline().dir(repo.path());
    for key in ["\x03", "\x04", "quit\r"] {
        let mut terminal = tagline.terminal(["run", "--tag", "v1.2.3"]);
        terminal.expect("quit (leave it waiting) >");
        terminal.keys(key);
        let (code, text) = terminal.end();
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("Run 1 is waiting"), "{text}");
    }
    // The same key at the second question is no vote either.
    repo.user("rasa@example.com");
    let mut terminal = tagline.terminal(["approve", "1"]);
    terminal.expect("quit (leave it waiting) >");
    terminal.line("approve");
    terminal.expect("Comment");
    terminal.keys("\x04");
    let (code, text) = terminal.end();
    assert_eq!(code, 3, "{text}");
    let shown = tagline.run(["show", "1", "--json"]).json();
    assert_eq!(shown["approvals"].as_array().map(Vec::len), Some(0), "{shown}");
}

#[test]
fn a_terminal_that_closes_at_the_prompt_leaves_the_release_waiting() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, 1);
    let tagline = scratch.tagline().dir(repo.path());
    let mut terminal = tagline.terminal(["run", "--tag", "v1.2.3"]);
    terminal.expect("quit (leave it waiting) >");
    let mut child = terminal.close();
    ended("the command whose terminal closed", &mut child);
    tagline.run(["resume", "1"]).code(3);
}

#[test]
fn who_may_not_vote_is_told_who_can_and_can_only_look() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, 1);
    let tagline = scratch.tagline().dir(repo.path());
    let mut terminal = tagline.terminal(["run", "--tag", "v1.2.3"]);
    let page = terminal.expect("quit (leave it waiting) >");
    assert!(
        page.contains("You cannot vote: you started this run. Can: ona@example.com, rasa@example.com (ops)"),
        "{page}"
    );
    terminal.line("approve");
    terminal.expect("You cannot vote");
    terminal.line("quit");
    assert_eq!(terminal.end().0, 3);
}

#[test]
fn an_approval_from_elsewhere_goes_on_at_once_where_an_engine_serves() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, 1);
    let tagline = scratch.tagline().dir(repo.path());
    // The prompt of `run` is such an engine.
    let mut terminal = tagline.terminal(["run", "--tag", "v1.2.3"]);
    terminal.expect("quit (leave it waiting) >");
    let shown = tagline.run(["show", "1", "--plan", "--json"]);
    let shown = shown.success();
    let plan = shown.stdout.split('"').find(|word| word.starts_with("sha256:")).map(str::to_owned);
    assert!(plan.is_some(), "{shown}");
    let refused = tagline.run(["approve", "1"]);
    let plan =
        refused.stderr.split_whitespace().find_map(|word| word.strip_prefix("sha256:")).expect("the digest").to_owned();
    repo.user("ona@example.com");
    let vote = tagline.run(["approve", "1", "--plan", &plan]);
    vote.success().stdout_has("goes on by itself");
    let (code, text) = terminal.end();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("production approved by ona@example.com"), "{text}");
}
