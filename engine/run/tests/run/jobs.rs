//! Jobs: readiness, conditions, matrices, launches, cancels, reruns.

use crate::support::{World, key, person};
use tagline_plan::NeedResult;
use tagline_run::view::{self, Status};
use tagline_run::{
    Attempt, Cause, Conclusion, Effect, Ending, Fact, Input, Refusal, Report, Rerun, RunState, Sender, TimerId, Token,
    outstanding,
};

const CHAIN: &str = "
on: push
jobs:
  build: { runs-on: x, steps: [ { run: make } ], outputs: { version: '${{ steps.a.outputs.v }}' } }
  test: { needs: build, runs-on: x, steps: [ { run: make } ] }
  notify: { needs: test, if: vars.SLACK == 'on', runs-on: x, steps: [ { run: make } ] }
  cleanup: { needs: test, if: always(), runs-on: x, steps: [ { run: make } ] }
";

#[test]
fn a_run_keeps_its_identity_and_one_of_a_time_without_any_is_read_too() {
    let world = World::new(CHAIN);
    let text = serde_json::to_string(&world.journal[0]).unwrap();
    let of = |text: &str| RunState::begin(&serde_json::from_str(text).unwrap()).unwrap().identity;
    assert_eq!(of(&text), "0a1b");
    let older = text.replace(r#","identity":"0a1b""#, "");
    assert!(older.len() < text.len(), "{text}");
    assert_eq!(of(&older), "");
}

#[test]
fn a_chain_runs_in_order_and_ends_well() {
    let mut world = World::new(CHAIN);
    assert_eq!(world.status("build"), Status::Queued);
    assert!(matches!(&outstanding(&world.state)[0], Effect::StartJob { key: k, .. } if *k == key("build")));
    world.settle();
    assert_eq!(world.status("test"), Status::Queued);
    world.end("build", Conclusion::Success, &[("version", "1")]);
    assert_eq!(world.state.facts().finished["build"].outputs["version"], "1");
    world.ok("test");
    assert_eq!(world.status("notify"), Status::Skipped);
    world.ok("cleanup");
    assert_eq!(world.finished(), (Conclusion::Success, Ending::Jobs));
}

#[test]
fn a_failure_skips_what_needs_it_but_not_always() {
    let mut world = World::new(CHAIN);
    world.fails("build");
    assert_eq!(world.status("test"), Status::Skipped);
    world.ok("cleanup");
    assert_eq!(world.finished(), (Conclusion::Failure, Ending::Jobs));
    assert_eq!(world.state.finished.as_ref().unwrap().why, "build: step 2 (test) failed");
}

#[test]
fn a_skip_is_explained_with_its_values() {
    let mut world = World::new(CHAIN);
    world.ok("build");
    world.ok("test");
    world.ok("cleanup");
    let why = view::explain(&world.state, &key("notify")).unwrap();
    assert_eq!(why.sentence, "notify was skipped: its `if` is false");
    let clauses: Vec<_> = why.clauses.iter().map(|c| (c.text.as_str(), c.holds)).collect();
    assert_eq!(clauses, [("success()", true), ("vars.SLACK == 'on'", false)]);
    assert_eq!(why.clauses[1].note, "vars.SLACK is '' (not set)");
    let next = "set SLACK in .tagline/environments.yml; it counts from the next run on";
    assert_eq!(why.next.as_deref(), Some(next));
}

const MATRIX: &str = "
on: push
jobs:
  test:
    strategy: { max-parallel: 2, matrix: { n: [1, 2, 3, 4] } }
    runs-on: x
    steps: [ { run: make } ]
  after: { needs: test, runs-on: x, steps: [ { run: make } ] }
";

#[test]
fn max_parallel_holds_legs_back_and_fail_fast_ends_them() {
    let mut world = World::new(MATRIX);
    let starts = outstanding(&world.state).into_iter().filter(|e| matches!(e, Effect::StartJob { .. }));
    assert_eq!(starts.count(), 2);
    world.settle();
    let statuses = |world: &World| ["test", "test.2", "test.3", "test.4"].map(|leg| world.status(leg));
    assert_eq!(statuses(&world), [Status::InProgress, Status::InProgress, Status::Queued, Status::Queued]);
    world.ok("test.2");
    assert_eq!(statuses(&world), [Status::InProgress, Status::Success, Status::InProgress, Status::Queued]);
    world.fails("test");
    assert_eq!(statuses(&world), [Status::Failure, Status::Success, Status::InProgress, Status::Cancelled]);
    let told = outstanding(&world.state);
    assert!(told.iter().any(|e| matches!(e, Effect::CancelJob { key: k, kill: false, .. } if *k == key("test.3"))));
    world.end("test.3", Conclusion::Cancelled, &[]);
    assert_eq!(world.result("test"), Some(NeedResult::Failure));
    assert_eq!(world.status("after"), Status::Skipped);
    assert_eq!(world.finished(), (Conclusion::Failure, Ending::Jobs));

    // Only what did not succeed runs again, and what comes after it.
    world.rerun(Rerun::Failed);
    assert_eq!(statuses(&world), [Status::InProgress, Status::Success, Status::InProgress, Status::Queued]);
    assert_eq!(world.state.leg(&key("test.2")).unwrap().attempt, Attempt(1));
    for leg in ["test", "test.3", "test.4", "after"] {
        world.ok(leg);
    }
    assert_eq!(world.finished(), (Conclusion::Success, Ending::Jobs));
}

#[test]
fn a_matrix_may_come_from_an_output() {
    let mut world = World::new(
        "
on: push
jobs:
  list: { runs-on: x, steps: [ { run: make } ], outputs: { n: '' } }
  each:
    needs: list
    strategy: { matrix: { n: '${{ fromJSON(needs.list.outputs.n) }}' } }
    runs-on: x
    outputs: { last: '' }
    steps: [ { run: make } ]
",
    );
    assert_eq!(world.state.plan.jobs["each"].legs, None);
    world.end("list", Conclusion::Success, &[("n", "[7, 8]")]);
    assert_eq!(world.state.leg(&key("each.2")).unwrap().ready.leg.name, "each (8)");
    world.end("each.2", Conclusion::Success, &[("last", "8")]);
    world.end("each", Conclusion::Success, &[("last", "7")]);
    assert_eq!(world.state.jobs["each"].outputs()["last"], "7", "the leg that ended last wins");
    assert_eq!(world.finished().0, Conclusion::Success);
}

#[test]
fn a_matrix_that_is_none_fails_its_job_with_the_reason() {
    let mut world = World::new(
        "
on: push
jobs:
  list: { runs-on: x, steps: [ { run: make } ], outputs: { n: '' } }
  each:
    needs: list
    strategy: { matrix: { n: '${{ fromJSON(needs.list.outputs.n) }}' } }
    runs-on: x
    steps: [ { run: make } ]
",
    );
    world.end("list", Conclusion::Success, &[("n", "no JSON")]);
    assert_eq!(world.cause("each"), Cause::Invalid);
    assert!(world.state.finished.as_ref().unwrap().why.contains("fromJSON"), "{:?}", world.state.finished);
}

#[test]
fn a_tolerated_failure_counts_as_success() {
    let mut world = World::new(
        "
on: push
jobs:
  flaky: { continue-on-error: true, runs-on: x, steps: [ { run: make } ] }
  after: { needs: flaky, runs-on: x, steps: [ { run: make } ] }
",
    );
    world.fails("flaky");
    assert_eq!(world.status("flaky"), Status::Failure);
    world.ok("after");
    assert_eq!(world.finished(), (Conclusion::Success, Ending::Jobs));
}

#[test]
fn a_launch_is_tried_three_times_under_one_attempt() {
    let mut world = World::new("{ on: push, jobs: { a: { runs-on: x, steps: [ { run: make } ] } } }");
    for wait in [1, 10] {
        world.settle();
        let from = world.sender("a");
        world.tell(Input::LaunchFailed { from: from.clone(), why: "no daemon".into(), retryable: true });
        assert_eq!(world.status("a"), Status::Waiting);
        let early = world.try_tell(Input::TimerFired(TimerId::Launch(key("a"))));
        assert!(matches!(early, Err(Refusal::NotDue(_))));
        world.pass(wait);
        world.tell(Input::TimerFired(TimerId::Launch(key("a"))));
        world.settle();
        assert_ne!(world.sender("a").token, from.token, "each start has its own token");
        assert_eq!(world.sender("a").attempt, Attempt(1));
        let stale = world.try_tell(Input::AgentGone { from, steps_started: true });
        assert_eq!(stale.unwrap_err().code(), "stale-report");
    }
    let from = world.sender("a");
    world.tell(Input::AgentGone { from, steps_started: false });
    assert_eq!(world.cause("a"), Cause::Launch);
    assert_eq!(world.finished(), (Conclusion::Failure, Ending::Jobs));
}

#[test]
fn a_job_whose_agent_died_in_a_step_is_lost_and_its_zombie_is_refused() {
    let mut world = World::new("{ on: push, jobs: { a: { runs-on: x, steps: [ { run: make } ] } } }");
    world.settle();
    let from = world.sender("a");
    let step = Report::StepStarted { step: 0, id: "__run".into(), name: "make".into() };
    world.tell(Input::Reported { from: from.clone(), reports: vec![step] });
    // What was reported counts even where the caller does not know of it.
    world.tell(Input::AgentGone { from: from.clone(), steps_started: false });
    assert_eq!(world.status("a"), Status::Lost);
    let zombie = Report::Finished {
        conclusion: Conclusion::Success,
        outputs: indexmap::IndexMap::new(),
        url: String::new(),
        why: String::new(),
        timed_out: false,
    };
    let refused = world.try_tell(Input::Reported { from, reports: vec![zombie] });
    assert_eq!(refused.unwrap_err().code(), "stale-report");
    assert_eq!(world.finished(), (Conclusion::Failure, Ending::Jobs));
}

#[test]
fn a_launch_that_failed_after_a_step_began_is_not_tried_again() {
    for retryable in [true, false] {
        let mut world = World::new("{ on: push, jobs: { a: { runs-on: x, steps: [ { run: make } ] } } }");
        world.settle();
        let from = world.sender("a");
        let step = Report::StepStarted { step: 0, id: "__run".into(), name: "make".into() };
        world.tell(Input::Reported { from: from.clone(), reports: vec![step] });
        world.tell(Input::LaunchFailed { from, why: "the daemon is gone".into(), retryable });
        assert_eq!(world.status("a"), Status::Lost);
        let why = view::job(&world.state, &key("a")).unwrap().why;
        assert_eq!(why, "the daemon is gone; what its last step did is not known");
        assert_eq!(world.finished(), (Conclusion::Failure, Ending::Jobs));
    }
}

#[test]
fn a_wrong_token_is_refused() {
    let mut world = World::new(CHAIN);
    world.settle();
    let forged = Sender { token: Token("guess".into()), ..world.sender("build") };
    let refused = world.try_tell(Input::Reported { from: forged, reports: Vec::new() });
    assert_eq!(refused, Err(Refusal::StaleReport(key("build"))));
}

#[test]
fn a_cancel_ends_jobs_as_github_does() {
    let mut world = World::new(CHAIN);
    world.settle();
    world.cancel(false);
    assert!(outstanding(&world.state).iter().any(|e| matches!(e, Effect::CancelJob { kill: false, .. })));
    assert_eq!(
        world.try_tell(Input::Cancel { by: person("li"), reason: String::new(), force: false }),
        Err(Refusal::AlreadyCancelled)
    );
    world.end("build", Conclusion::Cancelled, &[]);
    assert_eq!(world.status("test"), Status::Cancelled);
    assert_eq!(world.status("notify"), Status::Cancelled);
    assert_eq!(world.status("cleanup"), Status::InProgress, "always() still runs");
    world.ok("cleanup");
    assert_eq!(world.finished(), (Conclusion::Cancelled, Ending::Cancelled));
}

#[test]
fn a_second_cancel_ends_everything_at_once() {
    let mut world = World::new(CHAIN);
    world.settle();
    world.cancel(false);
    world.cancel(true);
    assert_eq!(world.status("cleanup"), Status::Cancelled);
    assert!(outstanding(&world.state).iter().any(|e| matches!(e, Effect::CancelJob { kill: true, .. })));
    let from = world.sender("build");
    world.tell(Input::AgentGone { from, steps_started: true });
    assert_eq!(world.finished(), (Conclusion::Cancelled, Ending::Cancelled));
}

/// Its last step failed over being told to go, before the agent itself was gone.
#[test]
fn a_job_that_fails_while_it_is_killed_was_cancelled() {
    let mut world = World::new("{ on: push, jobs: { a: { runs-on: x, steps: [ { run: make } ] } } }");
    world.settle();
    world.cancel(true);
    world.fails("a");
    assert_eq!(world.finished(), (Conclusion::Cancelled, Ending::Cancelled));
}

#[test]
fn an_agent_that_overruns_is_killed_then_lost() {
    let mut world =
        World::new("{ on: push, jobs: { a: { timeout-minutes: 5, runs-on: x, steps: [ { run: make } ] } } }");
    world.settle();
    let timer = TimerId::Job(key("a"));
    world.pass(5 * 60 + 599);
    assert!(matches!(world.try_tell(Input::TimerFired(timer.clone())), Err(Refusal::NotDue(_))));
    world.pass(1);
    world.tell(Input::TimerFired(timer.clone()));
    assert!(outstanding(&world.state).iter().any(|e| matches!(e, Effect::CancelJob { kill: true, .. })));
    world.pass(300);
    world.tell(Input::TimerFired(timer));
    assert_eq!(world.status("a"), Status::Lost);
}

#[test]
fn a_run_ends_after_35_days() {
    let mut world = World::new(CHAIN);
    world.settle();
    world.pass(35 * 86_400);
    world.tell(Input::TimerFired(TimerId::Run));
    assert_eq!(world.state.cancel.as_ref().unwrap().by, None);
    // And with force a day later, should an always() job hang.
    world.end("build", Conclusion::Cancelled, &[]);
    world.pass(86_400);
    world.tell(Input::TimerFired(TimerId::Run));
    assert!(world.state.cancel.as_ref().unwrap().force);
}

#[test]
fn a_rerun_keeps_outputs_and_needs_an_end() {
    let mut world = World::new(CHAIN);
    let early = world.try_tell(Input::Rerun { by: person("jonas"), what: Rerun::All, allow_downgrade: false });
    assert_eq!(early, Err(Refusal::StillRunning));
    world.end("build", Conclusion::Success, &[("version", "1")]);
    world.ok("test");
    world.ok("cleanup");
    let nothing = world.try_tell(Input::Rerun { by: person("jonas"), what: Rerun::Failed, allow_downgrade: false });
    assert_eq!(nothing, Err(Refusal::NothingFailed));
    let unknown =
        world.try_tell(Input::Rerun { by: person("jonas"), what: Rerun::From("nope".into()), allow_downgrade: false });
    assert!(unknown.unwrap_err().to_string().contains("jobs are: build, test"));
    world.rerun(Rerun::From("TEST".into()));
    assert_eq!(world.attempt(), Attempt(2));
    assert_eq!(world.status("build"), Status::Success);
    assert_eq!(world.state.jobs["build"].outputs()["version"], "1");
    assert_eq!(world.sender("test").attempt, Attempt(2));
    world.ok("test");
    world.ok("cleanup");
    world.rerun(Rerun::All);
    assert_eq!(world.attempt(), Attempt(3));
    assert_eq!(world.status("build"), Status::InProgress);
}

#[test]
fn artifact_names_are_unique() {
    let mut world = World::new(
        "
on: push
jobs:
  a: { runs-on: x, steps: [ { run: make } ] }
  b: { runs-on: x, steps: [ { run: make } ] }
",
    );
    world.store("a", "app", 1, false).unwrap();
    assert_eq!(world.state.artifacts["app"].id, 1);
    assert!(world.store("a", "app", 1, false).unwrap().is_empty(), "the same again is nothing new");
    assert_eq!(world.store("b", "app", 2, false).unwrap_err().code(), "artifact-exists");
    world.store("b", "app", 2, true).unwrap();
    assert_eq!(world.state.artifacts["app"].id, 2);
    for name in ["../x", "a/b", "", "a\n"] {
        assert_eq!(world.store("a", name, 3, false).unwrap_err().code(), "bad-artifact-name");
    }
    world.fails("a");
    world.ok("b");
    world.rerun(Rerun::Failed);
    world.store("a", "mine", 4, false).unwrap();
    assert!(world.journal.iter().any(|e| matches!(&e.fact, Fact::ArtifactStored { attempt: Attempt(2), .. })));
}

/// A long chain and a wide fan: what a decision costs must not explode with the plan.
#[test]
fn large_plans_are_decided_in_one_go() {
    use std::fmt::Write as _;
    let mut text = String::from("on: push\njobs:\n");
    for n in 0..1000 {
        let needs = if n == 0 { String::new() } else { format!("needs: j{}, ", n - 1) };
        writeln!(text, "  j{n}: {{ {needs}runs-on: x, steps: [ {{ run: make }} ] }}").unwrap();
    }
    let mut world = World::new(&text);
    world.strict = false;
    world.prepare_and_start();
    let from = world.sender("j0");
    let finished = Report::Finished {
        conclusion: Conclusion::Failure,
        outputs: indexmap::IndexMap::new(),
        url: String::new(),
        why: String::new(),
        timed_out: false,
    };
    let events = world.tell(Input::Reported { from, reports: vec![finished] });
    let skipped = events.iter().filter(|event| matches!(event.fact, Fact::JobSkipped { .. })).count();
    assert_eq!(skipped, 999, "one input carries the end through all of them");
    assert_eq!(world.finished(), (Conclusion::Failure, Ending::Jobs));
}

#[test]
fn every_leg_is_explained_and_a_skip_behind_a_failure_runs_again_with_it() {
    let mut world = World::new(
        "on: push
jobs:
  test:
    runs-on: x
    strategy: { fail-fast: false, matrix: { n: [1, 2] } }
    steps: [{ run: 'true' }]
  after:
    needs: test
    runs-on: x
    steps: [{ run: 'true' }]
",
    );
    world.ok("test");
    world.fails("test.2");
    let legs = view::explain_all(&world.state, "test");
    let status: Vec<_> = legs.iter().map(|leg| leg.status).collect();
    assert_eq!(status, [Status::Success, Status::Failure]);
    let after = view::explain_all(&world.state, "after");
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].next.as_deref(), Some("tagline rerun 418 --failed"));
    assert!(view::explain_all(&world.state, "nope").is_empty());
}

#[test]
fn what_was_true_when_a_job_started_is_so_after_its_cancel() {
    let mut world = World::new("on: push\njobs:\n  a:\n    runs-on: x\n    steps: [{ run: 'true' }]\n");
    world.settle();
    world.cancel(false);
    world.end("a", Conclusion::Cancelled, &[]);
    let why = view::explain(&world.state, &key("a")).unwrap();
    assert_eq!(why.status, Status::Cancelled);
    assert!(why.clauses.iter().all(|clause| clause.holds), "{:?}", why.clauses);
}
