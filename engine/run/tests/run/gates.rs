//! Gates: who may vote, what a vote binds, what a gate refuses, and what voids it.

use std::collections::BTreeSet;

use tagline_run::view::{self, Status};
use tagline_run::{
    Attempt, Cause, Conclusion, Decision, Ending, GateId, GateStatus, Input, JobKey, Refusal, Rerun, Signature,
    TimerId, Vote, outstanding,
};

use crate::support::{World, digest, key, person, plan_of};

const RELEASE: &str = "
on: push
jobs:
  build: { runs-on: x, steps: [ { run: make } ], outputs: { image: '' } }
  deploy-staging: { needs: build, environment: staging, runs-on: x, steps: [ { run: ./deploy } ] }
  deploy-production: { needs: [build, deploy-staging], environment: production, runs-on: x, steps: [ { run: ./deploy } ] }
  smoke: { needs: deploy-production, environment: production, runs-on: x, steps: [ { run: ./smoke } ] }
  report: { needs: smoke, if: always(), runs-on: x, steps: [ { run: ./report } ] }
";

/// At the open gate of production, with one artifact.
fn at_gate() -> World {
    let mut world = World::new(RELEASE);
    world.store("build", "app", 1, false).unwrap();
    world.end("build", Conclusion::Success, &[("image", "app@1")]);
    world.ok("deploy-staging");
    assert!(world.state.deployments.contains_key("staging"));
    assert_eq!(world.status("deploy-production"), Status::Waiting);
    assert!(world.state.waits_for_people());
    world
}

fn refused(told: Result<Vec<tagline_run::Event>, Refusal>) -> &'static str {
    told.unwrap_err().code()
}

#[test]
fn a_quorum_opens_the_stage_and_asks_once() {
    let mut world = at_gate();
    let gate = &world.state.gates[&world.gate("production")];
    assert_eq!(gate.jobs, [key("deploy-production"), key("smoke")]);
    let plan = &gate.opened.as_ref().unwrap().plan;
    assert_eq!(plan.outputs["build"]["image"], "app@1");
    assert_eq!(plan.artifacts["app"], digest(1));
    world.approve("production", "sam");
    assert_eq!(world.status("deploy-production"), Status::Waiting);
    let seen = view::job(&world.state, &key("deploy-production")).unwrap();
    assert_eq!(seen.why, "waits for 1 approval, 1 from ops (production)");
    world.approve("production", "ana");
    assert_eq!(world.status("deploy-production"), Status::InProgress);
    world.ok("deploy-production");
    assert_eq!(world.status("smoke"), Status::InProgress, "the stage was approved as a whole");
    world.ok("smoke");
    let deployed = &world.state.deployments["production"];
    assert_eq!(deployed.artifacts["app"], digest(1));
    let by: Vec<_> = deployed.approved_by.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(by, ["sam", "ana"]);
    world.ok("report");
    assert_eq!(world.finished(), (Conclusion::Success, Ending::Jobs));
    let seen = view::run(&world.state);
    assert_eq!(seen.approvals.len(), 2);
    assert_eq!(
        refused(world.try_tell(Input::Vote(Box::new(world.ballot(world.gate("production"), Decision::Reject, "ona"))))),
        "already-decided"
    );
}

#[test]
fn two_managers_are_no_quorum_without_ops() {
    let mut world = at_gate();
    world.approve("production", "sam");
    world.approve("production", "ona");
    let id = world.gate("production");
    assert_eq!(view::outcome(&world.state, id), "waits for 1 approval, 1 from ops");
    world.approve("production", "ana");
    assert_eq!(world.status("deploy-production"), Status::InProgress);
}

#[test]
fn nobody_approves_their_own_release() {
    let mut world = at_gate();
    let told = world.vote("production", Decision::Approve, "li").unwrap_err();
    assert_eq!(told.to_string(), "li@example.com cannot vote: you are the author of the tagged commit");
    let told = world.vote("production", Decision::Approve, "jonas").unwrap_err();
    assert_eq!(told.to_string(), "jonas@example.com cannot vote: reviewers are ops, managers");
    let shown = view::approval(&world.state, world.gate("production"), Some("ANA@example.com"), None).unwrap();
    assert_eq!(shown.you.unwrap().reason, "you vote as ANA@example.com (ops)");
    let may: Vec<_> = shown.reviewers.iter().filter(|r| r.may_vote).map(|r| r.email.as_str()).collect();
    assert_eq!(may, ["ana@example.com", "ona@example.com", "sam@example.com"]);
}

#[test]
fn a_lone_developer_may_where_the_file_says_so() {
    let mut world =
        World::new("{ on: push, jobs: { a: { environment: free, runs-on: x, steps: [ { run: make } ] } } }");
    world.settle();
    world.approve("free", "jonas");
    world.ok("a");
    assert_eq!(world.finished().0, Conclusion::Success);
}

#[test]
fn a_vote_is_final_and_one_per_person() {
    let mut world = at_gate();
    world.approve("production", "ana");
    assert_eq!(refused(world.vote("production", Decision::Approve, "ana")), "already-voted");
    assert_eq!(refused(world.vote("production", Decision::Reject, "ana")), "already-voted");
}

#[test]
fn a_no_closes_at_once() {
    let mut world = at_gate();
    world.approve("production", "ana");
    world.vote("production", Decision::Reject, "sam").unwrap();
    assert_eq!(world.cause("deploy-production"), Cause::Rejected);
    assert_eq!(world.status("smoke"), Status::Skipped);
    world.ok("report");
    assert_eq!(world.finished(), (Conclusion::Failure, Ending::Rejected));
}

#[test]
fn silence_is_a_no() {
    let mut world = at_gate();
    let timer = TimerId::Gate(world.gate("production"));
    let ballot = world.ballot(world.gate("production"), Decision::Approve, "ana");
    world.pass(72 * 3600);
    assert_eq!(refused(world.try_tell(Input::Vote(Box::new(ballot)))), "expired");
    world.tell(Input::TimerFired(timer));
    world.settle();
    world.ok("report");
    assert_eq!(world.finished(), (Conclusion::Failure, Ending::Expired));
}

#[test]
fn every_field_of_a_vote_is_checked() {
    let mut world = at_gate();
    let good = world.ballot(world.gate("production"), Decision::Approve, "ana");
    let with = |change: &dyn Fn(&mut Vote)| {
        let mut vote = good.clone();
        change(&mut vote);
        vote
    };
    let bad: Vec<(Vote, &str)> = vec![
        (with(&|v| v.statement.format = "tagline-vote-v0".into()), "mismatch"),
        (with(&|v| v.statement.run = tagline_run::RunId(417)), "mismatch"),
        (with(&|v| v.statement.repository = "retail".into()), "mismatch"),
        (with(&|v| v.statement.environment = "staging".into()), "mismatch"),
        (with(&|v| v.statement.gate = GateId(99)), "no-such-gate"),
        (with(&|v| v.statement.gate = GateId(1)), "already-decided"),
        (with(&|v| v.statement.gate_digest = digest(3)), "stale-plan"),
        (with(&|v| v.statement.artifacts.clear()), "mismatch"),
        (with(&|v| v.statement.workflow_digest = digest(3)), "mismatch"),
        (with(&|v| v.statement.policy_version = digest(3)), "mismatch"),
        (with(&|v| v.statement.nonce = "old".into()), "mismatch"),
        (with(&|v| v.statement.voter = "sam@example.com".into()), "mismatch"),
        (with(&|v| v.voter = person("sam")), "mismatch"),
        (with(&|v| drop(v.statement.checklist.insert("a".into(), "y".into()))), "mismatch"),
    ];
    for (vote, code) in bad {
        assert_eq!(refused(world.try_tell(Input::Vote(Box::new(vote.clone())))), code, "{vote:#?}");
    }
    world.tell(Input::Vote(Box::new(good)));
}

#[test]
fn of_many_votes_at_once_one_decides() {
    let mut world = at_gate();
    let gate = world.gate("production");
    let ballots: Vec<_> = (0..100)
        .map(|n| {
            let who = ["ana", "sam", "ona", "li", "jonas"][n % 5];
            let decision = if n % 7 == 0 { Decision::Reject } else { Decision::Approve };
            world.ballot(gate, decision, who)
        })
        .collect();
    world.strict = false;
    let accepted = ballots.into_iter().filter(|b| world.try_tell(Input::Vote(Box::new(b.clone()))).is_ok()).count();
    assert_eq!(accepted, 1, "the first was a no");
    assert!(matches!(world.state.gates[&gate].status, GateStatus::Rejected { .. }));
}

#[test]
fn a_rerun_asks_again_and_an_old_vote_is_refused() {
    let mut world = at_gate();
    let old = world.ballot(world.gate("production"), Decision::Approve, "ana");
    world.approve("production", "ana");
    world.approve("production", "sam");
    world.fails("deploy-production");
    world.ok("report");
    world.rerun(Rerun::Failed);
    assert_eq!(world.attempt(), Attempt(2));
    assert_eq!(world.status("deploy-production"), Status::Waiting);
    assert_eq!(refused(world.try_tell(Input::Vote(Box::new(old.clone())))), "already-decided");
    let new = world.gate("production");
    let mut replayed = old;
    replayed.statement.gate = new;
    let opened = world.state.gates[&new].opened.as_ref().unwrap();
    replayed.statement.gate_digest.clone_from(&opened.digest);
    assert_eq!(refused(world.try_tell(Input::Vote(Box::new(replayed)))), "mismatch", "the nonce is another");
    let shown = view::approval(&world.state, new, None, None).unwrap();
    assert_eq!(
        shown.first,
        ["this is attempt 2, started by jonas@example.com; what was approved before does not count"]
    );
    world.approve("production", "ana");
    world.approve("production", "sam");
    world.ok("deploy-production");
    world.ok("smoke");
    world.ok("report");
    assert_eq!(world.finished().0, Conclusion::Success);
}

#[test]
fn who_starts_an_attempt_does_not_approve_it() {
    let mut world = at_gate();
    world.approve("production", "ana");
    world.approve("production", "sam");
    world.fails("deploy-production");
    world.ok("report");
    world.tell(Input::Rerun { by: person("Sam"), what: Rerun::Failed, allow_downgrade: false });
    world.settle();
    let told = world.vote("production", Decision::Approve, "sam").unwrap_err();
    assert_eq!(told.to_string(), "sam@example.com cannot vote: you started this attempt (2)");
    // Who started the run started this release, whoever runs it again.
    let shown = view::approval(&world.state, world.gate("production"), Some("jonas@example.com"), None).unwrap();
    assert!(!shown.you.unwrap().may_vote);
    assert_eq!(shown.first, ["this is attempt 2, started by Sam@example.com; what was approved before does not count"]);
    world.approve("production", "ana");
    world.approve("production", "ona");
    world.fails("deploy-production");
    world.ok("report");
    // Of a third attempt it is somebody else.
    world.tell(Input::Rerun { by: person("ona"), what: Rerun::Failed, allow_downgrade: false });
    world.settle();
    world.approve("production", "sam");
    assert_eq!(refused(world.vote("production", Decision::Approve, "ona")), "not-eligible");
}

#[test]
fn a_nonce_serves_once() {
    let mut world = World::new(RELEASE);
    let prepared = |gate, nonce: &str| Input::GatePrepared {
        gate,
        nonce: nonce.into(),
        passed: BTreeSet::new(),
        deliveries: Vec::new(),
    };
    world.settle();
    world.finish_alone("build");
    assert_eq!(refused(world.try_tell(prepared(GateId(1), ""))), "nonce-reused");
    world.tell(prepared(GateId(1), "n"));
    assert_eq!(refused(world.try_tell(prepared(GateId(1), "m"))), "no-such-gate");
    world.ok("deploy-staging");
    // `settle` has prepared production with a nonce of its own; a rerun may not take that again.
    world.vote("production", Decision::Reject, "ana").unwrap();
    world.ok("report");
    world.tell(Input::Rerun { by: person("jonas"), what: Rerun::Failed, allow_downgrade: false });
    let gate = world.gate("production");
    assert_eq!(refused(world.try_tell(prepared(gate, "n"))), "nonce-reused");
}

const PARALLEL: &str = "
on: push
jobs:
  build: { runs-on: x, steps: [ { run: make } ] }
  late: { runs-on: x, steps: [ { run: make } ] }
  deploy: { needs: build, environment: guarded, runs-on: x, steps: [ { run: ./deploy } ] }
  next: { needs: deploy, environment: guarded, runs-on: x, steps: [ { run: ./deploy } ] }
";

#[test]
fn other_bytes_void_the_votes_and_ask_again() {
    let mut world =
        World::new(&PARALLEL.replace("guarded", "production").replace("needs: build, ", "needs: staged, ").replace(
            "  late:",
            "  staged: { needs: build, environment: staging, runs-on: x, steps: [ { run: ./deploy } ] }\n  late:",
        ));
    world.store("build", "app", 1, false).unwrap();
    world.ok("build");
    world.ok("staged");
    world.approve("production", "ana");
    let old = world.gate("production");
    let late_vote = world.ballot(old, Decision::Approve, "sam");
    world.store("late", "app", 2, true).unwrap();
    world.settle();
    assert!(matches!(world.state.gates[&old].status, GateStatus::Voided { .. }));
    // The new bytes have not passed staging, so now the gate is closed by that rule.
    let new = world.gate("production");
    assert_ne!(old, new);
    assert!(matches!(&world.state.gates[&new].status, GateStatus::Refused { code, .. } if code == "not-passed"));
    assert_eq!(refused(world.try_tell(Input::Vote(Box::new(late_vote)))), "already-decided");
}

#[test]
fn a_vote_on_the_old_plan_names_the_new_one() {
    let mut world = World::new(PARALLEL);
    world.store("build", "app", 1, false).unwrap();
    world.ok("build");
    let old = world.ballot(world.gate("guarded"), Decision::Approve, "ana");
    world.store("late", "app", 2, true).unwrap();
    world.settle();
    let new = world.state.gates[&world.gate("guarded")].opened.as_ref().unwrap().digest.clone();
    let told = world.try_tell(Input::Vote(Box::new(old.clone()))).unwrap_err();
    assert_eq!(told, Refusal::StalePlan { given: old.statement.gate_digest, current: new });
    world.approve("guarded", "ana");
    assert_eq!(world.status("deploy"), Status::InProgress);
    // What was approved stays as it is until its jobs are over.
    assert_eq!(refused(world.store("late", "app", 3, true)), "artifact-approved");
    world.store("late", "notes", 4, false).unwrap();
    world.ok("deploy");
    assert_eq!(refused(world.store("late", "app", 3, true)), "artifact-approved");
    world.ok("next");
    world.store("late", "app", 3, true).unwrap();
}

const STAGES: &str = "
on: push
jobs:
  build: { runs-on: x, steps: [ { run: make } ] }
  late: { runs-on: x, steps: [ { run: make } ] }
  deploy: { needs: build, environment: guarded, runs-on: x, steps: [ { run: ./deploy } ] }
  next: { needs: deploy, environment: Guarded, runs-on: x, steps: [ { run: ./deploy } ] }
  staging: { needs: build, environment: staging, runs-on: x, steps: [ { run: ./deploy } ] }
";

#[test]
fn a_guarded_job_gets_what_was_approved_and_what_its_stage_made() {
    let mut world = World::new(STAGES);
    world.store("build", "app", 1, false).unwrap();
    world.ok("build");
    world.approve("guarded", "ana");
    world.store("late", "patch", 2, false).unwrap();
    world.store("deploy", "report", 3, false).unwrap();
    let had = |world: &World, job: &str| {
        let may = |(name, artifact): (&String, &tagline_run::Artifact)| {
            world.state.may_have(&key(job), name, artifact).is_ok().then(|| name.clone())
        };
        world.state.artifacts.iter().filter_map(may).collect::<Vec<_>>()
    };
    assert_eq!(had(&world, "deploy"), ["app", "report"]);
    assert_eq!(had(&world, "late"), ["app", "patch", "report"]);
    assert_eq!(had(&world, "staging"), ["app", "patch", "report"], "nobody guards it");
    let refused = world.state.may_have(&key("deploy"), "patch", &world.state.artifacts["patch"]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "artifact `patch` was made after guarded's plan was approved, so nobody said yes to it; let the jobs of guarded \
         need `late`, which makes it"
    );
    world.ok("deploy");
    assert_eq!(had(&world, "next"), ["app", "report"], "of the same stage, as its file spells it or not");
    // What another job makes of the stage's own is another one's.
    world.store("late", "report", 4, true).unwrap();
    assert_eq!(had(&world, "next"), ["app"]);

    world.fails("next");
    world.ok("late");
    world.ok("staging");
    world.rerun(Rerun::Failed);
    world.approve("guarded", "ana");
    assert_eq!(had(&world, "next"), ["app", "patch", "report"], "who approved the rerun saw all of them");
}

#[test]
fn where_artifacts_must_have_passed_what_came_later_has_not() {
    let late = "  late: { runs-on: x, steps: [ { run: make } ] }\n  smoke:";
    let mut world = World::new(&RELEASE.replace("  smoke:", late));
    world.store("build", "app", 1, false).unwrap();
    world.ok("build");
    world.ok("deploy-staging");
    world.approve("production", "sam");
    world.approve("production", "ana");
    world.store("late", "patch", 2, false).unwrap();
    let may = |name: &str| world.state.may_have(&key("deploy-production"), name, &world.state.artifacts[name]);
    assert_eq!((may("app").is_ok(), may("patch").is_ok()), (true, false));
}

#[test]
fn what_an_artifact_is_said_to_be_must_be_a_kind() {
    let mut world = World::new(RELEASE);
    world.settle();
    for (kind, good) in
        [("file", true), ("sbom", true), ("image", true), ("evidence", true), ("", false), ("Sbom", false)]
    {
        let from = world.sender("build");
        let (name, digest) = (format!("a {kind}"), digest(9));
        let told =
            world.try_tell(Input::ArtifactStored { from, name, digest, size: 1, kind: kind.into(), overwrite: false });
        match told {
            Ok(_) => assert!(good, "{kind}"),
            Err(refusal) => assert_eq!((refusal.code(), good), ("bad-artifact-kind", false), "{kind}"),
        }
    }
}

#[test]
fn a_version_out_of_range_is_refused_without_asking() {
    for (tag, why) in [
        (Some("v0.9.0"), "production takes versions >=1.0.0 only, not 0.9.0"),
        (Some("v1.2.3-rc.1"), "production takes versions >=1.0.0 only, not 1.2.3-rc.1"),
        (None, "production takes versions >=1.0.0 only, and no version tag started this run"),
    ] {
        let mut world = World::of(plan_of(RELEASE, tag));
        world.ok("build");
        world.ok("deploy-staging");
        assert_eq!(world.cause("deploy-production"), Cause::Refused);
        assert_eq!(view::job(&world.state, &key("deploy-production")).unwrap().why, why);
        assert!(world.state.gates.values().all(|gate| gate.opened.as_ref().is_none_or(|o| o.votes.is_empty())));
    }
}

const PRODUCTION_ONLY: &str = "
on: push
jobs:
  build: { runs-on: x, steps: [ { run: make } ] }
  deploy: { needs: build, environment: Production, runs-on: x, steps: [ { run: ./deploy } ] }
";

/// Brings it to where the gate is to be prepared, and prepares it with what earlier runs brought through staging.
fn prepared_with(passed: &[String]) -> World {
    let mut world = World::new(PRODUCTION_ONLY);
    world.store("build", "app", 1, false).unwrap();
    world.finish_alone("build");
    let effects = outstanding(&world.state);
    assert!(
        effects.iter().any(|e| matches!(e, tagline_run::Effect::PrepareGate { after: Some(a), .. } if a == "staging"))
    );
    let passed = passed.iter().cloned().collect();
    world.tell(Input::GatePrepared { gate: GateId(1), nonce: "n".into(), passed, deliveries: Vec::new() });
    world
}

#[test]
fn what_passed_before_must_be_these_very_bytes() {
    let world = prepared_with(&[digest(2)]);
    assert_eq!(world.cause("deploy"), Cause::Refused);
    let why = &world.state.finished.as_ref().unwrap().why;
    assert_eq!(why, "deploy: production comes after staging, which artifact app (010101010101) has not passed");
    let world = prepared_with(&[digest(1)]);
    assert_eq!(world.status("deploy"), Status::Waiting);
    assert_eq!(world.state.gates[&GateId(1)].environment, "production", "spelled as in the file");
}

#[test]
fn a_gate_that_cannot_be_prepared_fails_its_jobs() {
    let mut world =
        World::new("{ on: push, jobs: { a: { environment: guarded, runs-on: x, steps: [ { run: make } ] } } }");
    world.tell(Input::GateUnprepared { gate: GateId(1), why: "the cluster is out of reach".into() });
    assert_eq!(world.cause("a"), Cause::Refused);
    assert_eq!(world.finished(), (Conclusion::Failure, Ending::Jobs));
}

#[test]
fn a_skipped_job_never_asks() {
    let mut world = World::new(
        "{ on: push, jobs: { a: { if: false, environment: guarded, runs-on: x, steps: [ { run: make } ] } } }",
    );
    world.settle();
    assert!(world.state.gates.is_empty());
    assert_eq!(world.finished().0, Conclusion::Success);
}

#[test]
fn a_cancel_closes_gates_and_asks_nobody() {
    let mut world = at_gate();
    world.cancel(false);
    assert_eq!(world.status("deploy-production"), Status::Cancelled);
    assert_eq!(world.status("smoke"), Status::Cancelled);
    assert!(matches!(world.state.gates[&world.gate("production")].status, GateStatus::Voided { .. }));
    world.ok("report");
    assert_eq!(world.finished(), (Conclusion::Cancelled, Ending::Cancelled));

    let mut world = World::new(
        "
on: push
jobs:
  a: { runs-on: x, steps: [ { run: make } ] }
  b: { needs: a, if: always(), environment: guarded, runs-on: x, steps: [ { run: make } ] }
  c: { needs: a, if: always(), environment: staging, runs-on: x, steps: [ { run: make } ] }
",
    );
    world.settle();
    world.cancel(false);
    world.end("a", Conclusion::Cancelled, &[]);
    assert_eq!(world.status("b"), Status::Cancelled, "nobody is asked any more");
    assert_eq!(world.status("c"), Status::InProgress, "where nobody is asked, always() goes on");
    world.ok("c");
}

#[test]
fn what_was_not_known_asks_again() {
    let mut world = World::new(
        "
on: push
jobs:
  first: { environment: guarded, runs-on: x, steps: [ { run: make } ], outputs: { n: '' } }
  fixed: { needs: first, environment: guarded, runs-on: x, steps: [ { run: make } ] }
  later:
    needs: first
    environment: guarded
    strategy: { matrix: { n: '${{ fromJSON(needs.first.outputs.n) }}' } }
    runs-on: x
    steps: [ { run: make } ]
",
    );
    world.settle();
    world.approve("guarded", "ana");
    world.end("first", Conclusion::Success, &[("n", "[1, 2]")]);
    assert_eq!(world.status("fixed"), Status::InProgress);
    assert_eq!(world.status("later"), Status::Waiting);
    let again = &world.state.gates[&world.gate("guarded")];
    assert_eq!(again.jobs, [JobKey::new("later", 0), JobKey::new("later", 1)]);
    world.approve("guarded", "ana");
    for job in ["fixed", "later", "later.2"] {
        world.ok(job);
    }
    assert_eq!(world.finished().0, Conclusion::Success);
}

#[test]
fn what_comes_after_a_job_that_goes_on_elsewhere_asks_for_itself() {
    let mut world = World::new(
        "
on: push
jobs:
  build: { runs-on: x, steps: [ { run: make } ] }
  late: { runs-on: x, steps: [ { run: make } ], outputs: { image: '' } }
  deploy: { needs: build, environment: guarded, runs-on: x, steps: [ { run: ./deploy } ] }
  smoke: { needs: deploy, environment: guarded, runs-on: x, steps: [ { run: ./smoke } ] }
  next:
    needs: [deploy, late]
    environment: guarded
    runs-on: x
    steps: [ { run: ./deploy $IMAGE, env: { IMAGE: '${{ needs.late.outputs.image }}' } } ]
  last: { needs: next, environment: guarded, runs-on: x, steps: [ { run: ./smoke } ] }
",
    );
    world.ok("build");
    let first = &world.state.gates[&world.gate("guarded")];
    assert_eq!(first.jobs, [key("deploy"), key("smoke")], "what late puts out is not known yet");
    world.approve("guarded", "ana");
    world.ok("deploy");
    world.ok("smoke");
    world.end("late", Conclusion::Success, &[("image", "app@sha256:evil")]);
    assert_eq!(world.status("next"), Status::Waiting, "nobody has said yes to that image");
    let second = &world.state.gates[&world.gate("guarded")];
    assert_eq!(second.jobs, [key("next"), key("last")]);
    assert_eq!(second.opened.as_ref().unwrap().plan.outputs["late"]["image"], "app@sha256:evil");
    assert!(!world.state.deployments.contains_key("guarded"), "the stage is not over");
    world.approve("guarded", "sam");
    world.ok("next");
    world.ok("last");
    assert_eq!(world.finished().0, Conclusion::Success);
}

/// A leg that stays outside of the environment may still put something out.
#[test]
fn a_job_that_is_in_the_stage_only_in_part_is_not_known() {
    let mut world = World::new(
        "
on: push
jobs:
  both:
    strategy: { matrix: { to: [guarded, ''] } }
    environment: '${{ matrix.to }}'
    runs-on: x
    steps: [ { run: make } ]
  after: { needs: both, environment: guarded, runs-on: x, steps: [ { run: ./deploy } ] }
",
    );
    world.settle();
    assert_eq!(world.state.gates[&world.gate("guarded")].jobs, [key("both")]);
}

#[test]
fn an_environment_known_late_must_exist() {
    let mut world = World::new(
        "
on: push
jobs:
  pick: { runs-on: x, steps: [ { run: make } ], outputs: { to: '' } }
  deploy: { needs: pick, environment: '${{ needs.pick.outputs.to }}', runs-on: x, steps: [ { run: make } ] }
",
    );
    world.end("pick", Conclusion::Success, &[("to", "prodution")]);
    assert_eq!(world.cause("deploy"), Cause::Invalid);
    assert!(world.state.finished.as_ref().unwrap().why.contains("`prodution` is not in .tagline/environments.yml"));
}

#[test]
fn what_did_not_succeed_is_not_live() {
    let mut world = at_gate();
    world.approve("production", "ana");
    world.approve("production", "sam");
    world.ok("deploy-production");
    assert!(!world.state.deployments.contains_key("production"), "the stage is not over");
    world.fails("smoke");
    world.ok("report");
    assert!(!world.state.deployments.contains_key("production"));
    assert!(world.state.deployments.contains_key("staging"));
    // Only the failed part runs again, behind a gate of its own, and completes the stage.
    world.rerun(Rerun::Failed);
    assert_eq!(world.state.gates[&world.gate("production")].jobs, [key("smoke")]);
    world.approve("production", "ana");
    world.approve("production", "ona");
    world.ok("smoke");
    let by: Vec<_> = world.state.deployments["production"].approved_by.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(by, ["ana", "ona"]);
}

#[test]
fn a_waiting_job_says_what_to_do() {
    let world = at_gate();
    let why = view::explain(&world.state, &key("deploy-production")).unwrap();
    assert_eq!(why.sentence, "deploy-production waits for 2 approvals, 1 from ops (production)");
    let plan = &world.state.gates[&world.gate("production")].opened.as_ref().unwrap().digest;
    let short = tagline_plan::digest::short(plan);
    assert_eq!(why.next.unwrap(), format!("tagline approve 418 --environment production --plan {short}"));
    let later = view::explain(&world.state, &key("smoke")).unwrap();
    assert_eq!(later.sentence, "smoke has not had its turn: after deploy-production, then 2 approvals");
    assert!(later.clauses.is_empty());
    let seen = view::run(&world.state);
    assert_eq!(seen.why, "production waits for 2 approvals, 1 from ops");
    let json = serde_json::to_value(&seen).unwrap();
    assert_eq!(json["id"], 418);
    assert_eq!(json["jobs"][2]["id"], "deploy-production");
    assert_eq!(json["jobs"][2]["status"], "waiting");
    assert_eq!(json["jobs"][2]["attempt"], 1);
}

#[test]
fn an_approval_is_shown_with_what_was_signed_and_times_in_milliseconds() {
    let mut world = at_gate();
    let mut vote = world.ballot(world.gate("production"), Decision::Approve, "ana");
    let bytes = vote.statement.bytes();
    vote.signature = Signature::Ssh { armored: "-----BEGIN".into(), fingerprint: "SHA256:x".into() };
    world.tell(Input::Vote(Box::new(vote)));
    world.approve("production", "sam");
    let seen = serde_json::to_value(view::run(&world.state)).unwrap();
    assert_eq!(seen["approvals"][0]["statement"].as_str().unwrap().as_bytes(), bytes);
    assert_eq!(seen["approvals"][0]["signature"], "-----BEGIN");
    assert_eq!(seen["approvals"][0]["signed"], "SHA256:x");
    assert_eq!(seen["approvals"][1]["signature"], serde_json::Value::Null);
    for at in [&seen["created_at"], &seen["approvals"][0]["at"], &seen["gates"][1]["expires"]] {
        let at = at.as_str().unwrap();
        assert_eq!(at.len(), "2026-11-19T14:26:32.000Z".len(), "{at}");
    }
}

#[test]
fn an_approved_job_stands_in_line_for_its_environment() {
    let mut world = at_gate();
    for who in ["ana", "sam"] {
        let vote = world.ballot(world.gate("production"), Decision::Approve, who);
        world.try_tell(Input::Vote(Box::new(vote))).unwrap();
    }
    let seen = view::job(&world.state, &key("deploy-production")).unwrap();
    assert_eq!((seen.status, seen.why.as_str()), (Status::Queued, "in line for the environment production"));
}

fn lower(environment: &str) -> Input {
    Input::Downgrade { environment: environment.into(), why: "1.2.3 is lower than 1.2.4, which is live there".into() }
}

#[test]
fn an_open_gate_closes_when_something_higher_came_live() {
    let mut world = at_gate();
    world.tell(lower("Production"));
    let gate = &world.state.gates[&world.gate("production")];
    assert!(matches!(&gate.status, GateStatus::Refused { code, .. } if code == "downgrade"), "{:?}", gate.status);
    assert_eq!(world.cause("deploy-production"), Cause::Refused);
    world.ok("report");
    assert_eq!(world.finished(), (Conclusion::Failure, Ending::Jobs));
    assert!(!world.state.deployments.contains_key("production"));
}

#[test]
fn an_approved_stage_without_its_lock_is_refused_when_something_higher_came_live() {
    let mut world = at_gate();
    world.approve("production", "sam");
    let gate = world.gate("production");
    let ballot = world.ballot(gate, Decision::Approve, "ana");
    world.tell(Input::Vote(Box::new(ballot)));
    assert_eq!(world.status("deploy-production"), Status::Queued, "it waits for its environment");
    world.tell(lower("production"));
    assert_eq!(world.cause("deploy-production"), Cause::Refused);
    assert_eq!(world.state.locks.len(), 0, "others may go on");
}

#[test]
fn a_stage_that_has_its_environment_goes_on() {
    let mut world = at_gate();
    world.approve("production", "sam");
    world.approve("production", "ana");
    assert_eq!(world.status("deploy-production"), Status::InProgress);
    assert_eq!(world.tell(lower("production")), []);
    world.ok("deploy-production");
    assert_eq!(world.status("smoke"), Status::InProgress);
}

#[test]
fn a_run_that_may_go_below_what_is_live_keeps_that_in_its_journal() {
    let mut world = at_gate();
    world.tell(lower("production"));
    world.ok("report");
    let plain = serde_json::to_string(&world.journal).unwrap();
    assert!(!plain.contains("allow_downgrade"), "an engine that does not know the field could not read it");
    world.tell(Input::Rerun { by: person("jonas"), what: Rerun::Failed, allow_downgrade: true });
    world.settle();
    assert!(world.state.allow_downgrade);
    assert_eq!(world.tell(lower("production")), []);
    assert_eq!(world.status("deploy-production"), Status::Waiting);
}
