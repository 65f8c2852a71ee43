//! Who may approve what, and once: no vote counts that should not, and no release starts twice.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};

use serde_json::Value;
use tagline_tests::{Repo, Scratch, TAG, Tagline};

const WORKFLOW: &str = "on: {push: {tags: ['v*']}}
jobs:
  build:
    runs-on: ubuntu-latest
    steps: [{run: echo built}]
  deploy:
    needs: build
    runs-on: ubuntu-latest
    environment: production
    steps: [{run: echo deployed}]
";

const RULES: &str = "
teams:
  ops: [ona@example.com, rasa@example.com]
  managers: [petras@example.com, sam@example.com]
environments:
  production:
    reviewers: {any-of: [ops, managers], required: 2, from: {ops: 1}}
";

/// A release that waits for its approval: the repository, the command, the plan's digest.
#[track_caller]
fn waiting(scratch: &Scratch, rules: &str) -> (Repo, Tagline, String) {
    let repo = scratch.guarded_project(WORKFLOW, rules);
    let tagline = scratch.tagline().dir(repo.path());
    tagline.run(["run", "--tag", TAG]).code(3);
    let plan = tagline.plan(1, "production");
    (repo, tagline, plan)
}

/// The words of a vote.
fn vote<'w>(word: &'w str, plan: &'w str) -> [&'w str; 6] {
    [word, "1", "--environment", "production", "--plan", plan]
}

/// How many events of each kind a run has.
#[track_caller]
fn events(tagline: &Tagline) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for event in tagline.run(["run", "--tag", TAG, "--json"]).json_lines() {
        *kinds.entry(event["event"].as_str().expect("events have a kind").to_owned()).or_default() += 1;
    }
    kinds
}

#[test]
fn two_people_must_say_yes_and_one_of_them_from_the_team() {
    let scratch = Scratch::new();
    let (repo, tagline, plan) = waiting(&scratch, RULES);
    repo.user("sam@example.com");
    tagline.run(vote("approve", &plan)).success().stdout_has("1 of 2");
    // A vote is final, one way and the other.
    tagline.run(vote("approve", &plan)).refused(1, "already-voted", "sam@example.com");
    tagline.run(vote("reject", &plan)).refused(1, "already-voted", "sam@example.com");
    repo.user("petras@example.com");
    tagline.run(vote("approve", &plan)).success().stdout_has("1 must be from ops");
    tagline.run(["resume", "1"]).code(3);
    assert!(tagline.log_is_missing(1, "deploy"), "two managers are not enough");
    repo.user("Ona@Example.com");
    tagline.run(vote("approve", &plan)).success().stdout_has("tagline resume 1");
    let shown = tagline.run(["show", "1"]);
    shown.success().stdout_has("queued: waits for an engine to start deploy, and none serves the store");
    shown.stdout_has("tagline resume 1");
    tagline.run(["resume", "1"]).success();
    repo.user("rasa@example.com");
    tagline.run(vote("approve", &plan)).refused(1, "already-decided", "production");
    let kinds = events(&tagline);
    assert_eq!(kinds["VoteRecorded"], 3, "{kinds:?}");
    let approvals = tagline.show(1)["approvals"].clone();
    let by: Vec<&str> = approvals.as_array().unwrap().iter().filter_map(|one| one["by"].as_str()).collect();
    assert_eq!(by.len(), 3, "{approvals}");
}

#[test]
fn nobody_approves_their_own_release() {
    let rules = "environments: {production: {reviewers: {any-of: [ina@example.com, tom@example.com, \
        jonas@example.com, marta@example.com, ona@example.com]}}}\n";
    let scratch = Scratch::new();
    let repo = scratch.repo("shop");
    repo.user("marta@example.com").workflow("release.yml", WORKFLOW).environments(rules).commit("Write the workflow");
    repo.user("jonas@example.com").write("shop", "shoes").commit("Sell shoes");
    repo.user("tom@example.com").tag(TAG).user("ina@example.com");
    let tagline = scratch.tagline().dir(repo.path());
    tagline.run(["run", "--tag", TAG]).code(3);
    let plan = tagline.plan(1, "production");
    for (who, why) in [("ina", "started"), ("tom", "tag"), ("jonas", "commit"), ("marta", "workflow")] {
        repo.user(&format!("{who}@example.com"));
        tagline.run(vote("approve", &plan)).refused(1, "not-eligible", who).stderr_has(why);
        tagline.run(vote("reject", &plan)).refused(1, "not-eligible", who);
    }
    // Not even as somebody else by letter case.
    repo.user("INA@example.com");
    tagline.run(vote("approve", &plan)).refused(1, "not-eligible", "ina@example.com");
    tagline.run(["resume", "1"]).code(3);
    repo.user("ona@example.com");
    tagline.run(vote("approve", &plan)).success();
    tagline.run(["resume", "1"]).success();
    let kinds = events(&tagline);
    assert_eq!(kinds["VoteRecorded"], 1, "{kinds:?}");
}

#[test]
fn who_is_not_named_has_no_vote() {
    let scratch = Scratch::new();
    let (repo, tagline, plan) = waiting(&scratch, RULES);
    repo.user("eve@example.com");
    tagline.run(vote("approve", &plan)).refused(1, "not-eligible", "eve@example.com").stderr_has("ona");
    repo.git(["config", "user.email", ""]);
    let nobody = tagline.run(vote("approve", &plan));
    assert!([1, 2].contains(&nobody.code), "{nobody}");
    nobody.stderr_has("git config user.email");
    assert!(!events(&tagline).contains_key("VoteRecorded"));
}

#[test]
fn a_vote_on_another_plan_is_refused() {
    let scratch = Scratch::new();
    let (repo, tagline, plan) = waiting(&scratch, RULES);
    repo.user("ona@example.com");
    tagline.run(vote("approve", "000000000000")).refused(1, "stale-plan", &plan);
    tagline.run(vote("approve", &plan[..11])).refused(2, "bad-plan", &plan[..11]);
    tagline.run(vote("approve", "")).code(2);
    tagline.run(vote("approve", "zzzzzzzzzzzz")).refused(2, "bad-plan", "zzzzzzzzzzzz");
    tagline.run(["approve", "1", "--environment", "production"]).refused(2, "no-plan", &plan);
    tagline.run(["approve", "1", "--environment", "prodution", "--plan", &plan]).code(1).stderr_has("prodution");
    tagline.run(["approve", "7", "--environment", "production", "--plan", &plan]).code(2);
    assert!(!events(&tagline).contains_key("VoteRecorded"));
    // The environment by another case and the digest in full are the same.
    let full = tagline.show(1).to_string();
    let at = full.find(&plan).unwrap_or_else(|| panic!("no plan {plan} in {full}"));
    let long = &full[at..at + 64];
    tagline.run(["approve", "1", "--environment", "PRODUCTION", "--plan", long]).success();
}

#[test]
fn one_no_ends_it() {
    let scratch = Scratch::new();
    let (repo, tagline, plan) = waiting(&scratch, RULES);
    repo.user("ona@example.com");
    tagline.run(vote("approve", &plan)).success();
    repo.user("sam@example.com");
    tagline.run([&vote("reject", &plan)[..], &["--comment", "not during the sale"]].concat()).success();
    tagline.run(["resume", "1"]).code(4);
    tagline.run(["run", "--tag", TAG]).code(4).stdout_has("not during the sale");
    repo.user("rasa@example.com");
    tagline.run(vote("approve", &plan)).refused(1, "already-decided", "rejected");
    assert!(tagline.log_is_missing(1, "deploy"));
}

#[test]
fn a_tag_that_moved_is_refused_with_both_commits() {
    let scratch = Scratch::new();
    let (repo, tagline, _) = waiting(&scratch, RULES);
    let was = repo.git(["rev-parse", "--short=7", "HEAD"]);
    let now = repo.commit("Sell boots");
    repo.git(["tag", "--force", TAG]);
    let out = tagline.run(["run", "--tag", TAG]);
    out.refused(1, "moved-tag", TAG).stderr_has(&was).stderr_has(&now[..7]).stderr_has("run 1");
    assert_eq!(tagline.runs().len(), 1);
    repo.git(["tag", "--force", TAG, "HEAD~1"]);
    tagline.run(["run", "--tag", TAG]).code(3);
}

#[test]
fn a_version_below_the_live_one_must_be_meant() {
    let scratch = Scratch::new();
    let repo = scratch.guarded_project(WORKFLOW, "environments: {production: {}}\n");
    let tagline = scratch.tagline().dir(repo.path());
    repo.light_tag("v1.10.0").light_tag("v1.9.0").light_tag("v1.10.0-rc.1");
    tagline.run(["run", "--tag", "v1.10.0"]).success();
    for lower in ["v1.9.0", "v1.10.0-rc.1"] {
        let out = tagline.run(["run", "--tag", lower]);
        out.refused(1, "downgrade", &lower[1..]).stderr_has("1.10.0").stderr_has("--allow-downgrade");
    }
    assert_eq!(tagline.runs().len(), 1);
    tagline.run(["run", "--tag", "v1.9.0", "--allow-downgrade"]).success();
    // Now 1.9.0 is live.
    tagline.run(["run", "--tag", "v1.10.0-rc.1"]).success();
}

#[test]
fn a_release_that_waited_while_a_higher_one_came_live_is_not_brought_back() {
    let rules = "environments: {production: {reviewers: {any-of: [ona@example.com]}}}\n";
    let scratch = Scratch::new();
    let (repo, tagline, plan) = waiting(&scratch, rules);
    repo.light_tag("v1.2.4");
    tagline.run(["run", "--tag", "v1.2.4"]).code(3);
    let newer = tagline.plan(2, "production");
    repo.user("ona@example.com");
    tagline.run(["approve", "2", "--environment", "production", "--plan", &newer]).success();
    tagline.run(["resume", "2"]).success();
    tagline.run(vote("approve", &plan)).success();
    let out = tagline.run(["resume", "1"]);
    out.code(1).stdout_has("1.2.3 is lower than 1.2.4, which is live in production");
    assert!(tagline.log_is_missing(1, "deploy"), "it was delivered");
    // Neither by a rerun, unless it is meant, and then everybody is asked again.
    repo.user("jonas@example.com");
    let again = ["rerun", "1", "--failed"];
    tagline.run(again).refused(1, "downgrade", "1.2.4").stderr_has("tagline rerun 1 --allow-downgrade");
    tagline.run(["rerun", "1", "--from", "deploy"]).refused(1, "downgrade", "1.2.4");
    tagline.run([&again[..], &["--allow-downgrade"]].concat()).code(3);
    let plan = tagline.plan(1, "production");
    repo.user("ona@example.com");
    tagline.run(vote("approve", &plan)).success();
    tagline.run(["resume", "1"]).success();
}

#[test]
fn a_run_that_was_allowed_to_go_below_the_live_one_stays_so_behind_its_gate() {
    let rules = "environments: {production: {reviewers: {any-of: [ona@example.com]}}}\n";
    let scratch = Scratch::new();
    let (repo, tagline, plan) = waiting(&scratch, rules);
    repo.user("ona@example.com");
    tagline.run(vote("approve", &plan)).success();
    tagline.run(["resume", "1"]).success();
    repo.user("jonas@example.com").light_tag("v1.2.2");
    tagline.run(["run", "--tag", "v1.2.2", "--allow-downgrade"]).code(3);
    let plan = tagline.plan(2, "production");
    repo.user("ona@example.com");
    tagline.run(["approve", "2", "--environment", "production", "--plan", &plan]).success();
    tagline.run(["resume", "2"]).success();
}

#[test]
fn what_is_live_is_told_by_versions_of_the_same_name() {
    let scratch = Scratch::new();
    let workflow = WORKFLOW.replace("'v*'", "'**'");
    let repo = scratch.guarded_project(&workflow, "environments: {production: {}}\n");
    let tagline = scratch.tagline().dir(repo.path());
    for tag in ["shop-v2.0.0", "shop-v1.2.2", "api-v1.0.0", "1.2.2", "v1.0.0"] {
        repo.light_tag(tag);
    }
    tagline.run(["run", "--tag", "shop-v2.0.0"]).success();
    tagline.run(["run", "--tag", "api-v1.0.0"]).success();
    tagline.run(["run", "--tag", TAG]).success();
    // A run without a version hides nothing.
    tagline.run(["run"]).success();
    for tag in ["shop-v1.2.2", "1.2.2"] {
        let next = format!("tagline run --tag {tag} --allow-downgrade");
        tagline.run(["run", "--tag", tag]).refused(1, "downgrade", "1.2.2").stderr_has(&next);
    }
    // One job of a tag is looked at as well.
    tagline.run(["run", "--tag", "v1.0.0", "--job", "deploy"]).refused(1, "downgrade", "1.0.0");
    tagline.run(["run", "--tag", "v1.0.0", "--job", "build"]).success();
    repo.commit("Sell boots");
    repo.git(["tag", "--force", TAG]);
    tagline.run(["run", "--tag", TAG, "--job", "build"]).refused(1, "moved-tag", TAG);
}

/// The exit codes of many commands that run at once, and what they printed.
#[track_caller]
fn at_once(tagline: &Tagline, count: usize, words: &[&str]) -> Vec<(i32, String)> {
    let start = |_| -> Child {
        let mut command = tagline.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
    };
    let children: Vec<Child> = (0..count).map(start).collect();
    let end = |child: Child| {
        let out = child.wait_with_output().expect("our own child");
        let text = [out.stdout, out.stderr].concat();
        (out.status.code().expect("no signal ended it"), String::from_utf8_lossy(&text).into_owned())
    };
    children.into_iter().map(end).collect()
}

#[test]
fn a_hundred_commands_at_once_make_one_run_and_one_decision() {
    let scratch = Scratch::new();
    let repo = scratch.guarded_project(WORKFLOW, &RULES.replace("required: 2", "required: 1"));
    let tagline = scratch.tagline().dir(repo.path());
    let ends = at_once(&tagline, 100, &["run", "--tag", TAG]);
    // Each saw the release wait, or was refused because another one drives it.
    let odd: Vec<_> =
        ends.iter().filter(|(code, text)| *code != 3 && !(*code == 5 && text.contains("store-busy"))).collect();
    assert!(odd.is_empty(), "{odd:#?}");
    tagline.run(["resume", "1"]).code(3);
    let runs = tagline.runs();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let kinds = events(&tagline);
    assert_eq!((kinds["JobStarted"], kinds["GateOpened"]), (1, 1), "{kinds:?}");

    let plan = tagline.plan(1, "production");
    repo.user("ona@example.com");
    let ends = at_once(&tagline, 100, &vote("approve", &plan));
    let codes = |wanted: i32| ends.iter().filter(|(code, _)| *code == wanted).count();
    assert_eq!(codes(0), 1, "{ends:#?}");
    let late = ["error[already-voted]", "error[already-decided]", "error[store-busy]"];
    let odd: Vec<_> =
        ends.iter().filter(|(code, text)| *code != 0 && !late.iter().any(|word| text.contains(word))).collect();
    assert!(odd.is_empty(), "{odd:#?}");
    tagline.run(["resume", "1"]).success();
    let kinds = events(&tagline);
    assert_eq!((kinds["VoteRecorded"], kinds["GateApproved"], kinds["JobStarted"]), (1, 1, 2), "{kinds:?}");
    tagline.run(["store", "verify"]).success();
}

/// The same through the socket of an engine.
#[test]
fn with_an_engine_many_votes_at_once_are_one_decision_too() {
    let scratch = Scratch::new();
    let (repo, tagline, plan) = waiting(&scratch, &RULES.replace("required: 2", "required: 1"));
    let mut engine = tagline.spawn(["serve", "--headless"]);
    engine.line_with("the engine serves this store");
    repo.user("ona@example.com");
    let ends = at_once(&tagline, 30, &vote("approve", &plan));
    assert_eq!(ends.iter().filter(|(code, _)| *code == 0).count(), 1, "{ends:#?}");
    assert!(ends.iter().all(|(code, _)| [0, 1].contains(code)), "{ends:#?}");
    tagline_tests::until("the end of the release", || (tagline.runs()[0]["conclusion"] == "success").then_some(()));
    assert_eq!(engine.terminate(), 0);
    let kinds = events(&tagline);
    assert_eq!((kinds["VoteRecorded"], kinds["JobStarted"]), (1, 2), "{kinds:?}");
}

/// What comes after a job that goes on elsewhere asks for itself, also while the first gate still waits.
#[test]
fn an_environment_that_asks_twice_is_told_which_plan_is_meant() {
    let workflow = WORKFLOW.replace(
        "  deploy:",
        "  late:
    runs-on: ubuntu-latest
    outputs: {to: '${{ steps.a.outputs.to }}'}
    steps: [{id: a, run: echo to=shop >> $GITHUB_OUTPUT}]
  next:
    needs: late
    runs-on: ubuntu-latest
    environment: production
    steps: [{run: 'echo \"moved to $TO\"', env: {TO: '${{ needs.late.outputs.to }}'}}]
  deploy:",
    );
    let scratch = Scratch::new();
    let repo = scratch.guarded_project(&workflow, &RULES.replace("required: 2", "required: 1"));
    let tagline = scratch.tagline().dir(repo.path());
    tagline.run(["run", "--tag", TAG]).code(3);
    let shown = tagline.run(["show", "1", "--plan", "--json"]).success().json();
    let plan_of = |job: &str| -> String {
        let reviews = shown.as_array().expect("a review for each gate");
        let of = |review: &&Value| review["jobs"][0]["job"] == job;
        let review = reviews.iter().find(of).unwrap_or_else(|| panic!("{job} does not ask: {shown}"));
        assert_eq!(review["jobs"].as_array().map(Vec::len), Some(1), "{shown}");
        review["plan"].as_str().expect("it is open").to_owned()
    };
    let (deploy, next) = (plan_of("deploy"), plan_of("next"));
    repo.user("ona@example.com");
    tagline.run(vote("approve", &next)).success();
    tagline.run(["resume", "1"]).code(3);
    assert!(tagline.log(1, "next").contains("moved to shop"));
    assert!(tagline.log_is_missing(1, "deploy"), "nobody has said yes to it");
    tagline.run(vote("approve", &deploy)).success();
    tagline.run(["resume", "1"]).success();
}

/// Whoever is removed from the rules while a release waits has no say any more, with an engine and without.
#[test]
fn who_was_removed_from_the_rules_cannot_approve() {
    let scratch = Scratch::new();
    let (repo, tagline, plan) = waiting(&scratch, RULES);
    repo.environments(&RULES.replace("ona@example.com, ", "")).commit("Ona has left");
    repo.user("ona@example.com");
    let refused = |why: &str| {
        tagline.run(vote("approve", &plan)).refused(1, "no-longer-reviewer", "ona@example.com").stderr_has(why);
    };
    refused("reviewers of `production` are now ops, managers, by .tagline/environments.yml (main, ");
    let mut engine = tagline.spawn(["serve", "--headless"]);
    engine.line_with("the engine serves this store");
    refused("tagline environments production");
    assert_eq!(engine.terminate(), 0);
    // Who comes in anew has none either: the run keeps its own rules.
    repo.user("jonas@example.com");
    repo.environments(&RULES.replace("petras@", "eve@")).commit("Eve joins");
    repo.user("eve@example.com");
    tagline.run(vote("approve", &plan)).refused(1, "not-eligible", "eve@example.com");
    repo.user("ona@example.com");
    tagline.run(vote("approve", &plan)).success().stdout_has("1 of 2");
    // Rules that are gone name nobody, and rules that cannot be read let nobody approve.
    for (rules, code, why) in [
        ("environments: {production: {}}\n", "no-longer-reviewer", "names no reviewers of `production` any more"),
        ("environments: {staging: {}}\n", "no-longer-reviewer", "`production` is not in"),
        ("environments: [\n", "rules-out-of-reach", "has errors"),
    ] {
        repo.environments(rules).commit("Change the rules");
        repo.user("sam@example.com");
        tagline.run(vote("approve", &plan)).refused(1, code, why);
    }
    // To say no the rules of the run are enough.
    tagline.run(vote("reject", &plan)).success();
    tagline.run(["resume", "1"]).code(4);
    repo.environments(RULES).commit("Put the rules back");
    let kinds = events(&tagline);
    assert_eq!(kinds["VoteRecorded"], 2, "{kinds:?}");
}

/// What stands in the store is what the first command said, whatever the working copy says now.
#[test]
fn rules_come_from_the_default_branch_and_not_from_the_tag() {
    let scratch = Scratch::new();
    let repo = scratch.guarded_project(WORKFLOW, RULES);
    repo.git(["checkout", "--quiet", "-b", "attack"]);
    repo.environments("environments: {production: {}}\n").commit("Nobody need approve");
    repo.tag("v6.6.6");
    let tagline = scratch.tagline().dir(repo.path());
    let out = tagline.run(["run", "--tag", "v6.6.6"]);
    out.code(3).stderr_has("environments.yml");
    let gate: Value = tagline.show(1);
    assert_eq!(gate["approvals"], Value::Array(Vec::new()));
    assert!(tagline.log_is_missing(1, "deploy"));
}
