//! What steps reach in the world is kept in order, said once, and recorded also when its job has ended.

use serde_json::json;
use tagline_plan::PlannedDelivery;
use tagline_run::{
    Attempt, Conclusion, Decision, Input, Milestone, Refusal, Report, Rerun, Sender, TimerId, Token, view,
};

use crate::support::{World, digest, key, plan_of};

const DEPLOY: &str = "on: push\njobs:\n  deploy:\n    runs-on: x\n    environment: guarded\n    steps: [ { uses: 'tagline/deploy@v1' } ]\n";

fn milestone(name: &str) -> Milestone {
    Milestone { name: name.into(), text: format!("{name} it"), data: json!({ "of": name }) }
}

/// A run whose deploy step has begun.
fn delivering() -> World {
    let mut world = World::new(DEPLOY);
    world.settle();
    world.approve("guarded", "ana");
    let from = world.sender("deploy");
    let started = Report::StepStarted { step: 0, id: "deploy".into(), name: "Run tagline/deploy@v1".into() };
    world.tell(Input::Reported { from, reports: vec![started] });
    world
}

fn reach(world: &mut World, name: &str) -> usize {
    let from = world.sender("deploy");
    world.tell(Input::Milestone { from, step: 0, milestone: milestone(name) }).len()
}

fn names(world: &World) -> Vec<String> {
    let reached = world.state.milestones(&key("deploy"), Attempt(1), 0).map(|one| one.milestone.name.clone()).collect();
    let shown: Vec<_> =
        view::job(&world.state, &key("deploy")).unwrap().milestones.into_iter().map(|m| m.name).collect();
    assert_eq!(reached, shown);
    reached
}

#[test]
fn they_are_kept_in_order_and_said_once() {
    let mut world = delivering();
    let told: Vec<usize> = ["begun", "begun", "created", "begun"].iter().map(|name| reach(&mut world, name)).collect();
    assert_eq!(told, [1, 0, 1, 1], "told twice it is recorded once, later again it is one more");
    assert_eq!(names(&world), ["begun", "created", "begun"]);
}

#[test]
fn one_of_another_start_is_refused() {
    let mut world = delivering();
    let from = Sender { token: Token("forged".into()), ..world.sender("deploy") };
    let told = world.try_tell(Input::Milestone { from, step: 0, milestone: milestone("begun") });
    assert_eq!(told, Err(Refusal::StaleReport(key("deploy"))));
}

#[test]
fn the_end_of_job_and_run_does_not_hide_what_was_done() {
    let mut world = delivering();
    reach(&mut world, "switched");
    world.fails("deploy");
    let ended = world.finished();
    assert_eq!(reach(&mut world, "rolled-back"), 1);
    let retired = |name: &str| {
        let (key, milestone) = (key("deploy"), milestone(name));
        Input::Retired { key, attempt: Attempt(1), step: 0, milestone }
    };
    assert_eq!(world.tell(retired("deleted")).len(), 1);
    assert_eq!(names(&world), ["switched", "rolled-back", "deleted"]);
    assert_eq!(world.finished(), ended);
    world.rerun(Rerun::All);
    assert_eq!(world.tell(retired("left")).len(), 1, "a rerun does not take the place of what an attempt has left");
}

#[test]
fn an_untagged_run_that_only_works_on_what_is_live_brings_nothing_live() {
    let deployed = |action: &str| {
        let mut world = World::of(plan_of(&DEPLOY.replace("tagline/deploy", action), None));
        world.settle();
        world.approve("guarded", "ana");
        world.ok("deploy");
        world.state.deployments.contains_key("guarded")
    };
    for action in ["tagline/rotate-secret", "tagline/operate", "tagline/migrate", "tagline/smoke-test"] {
        assert!(!deployed(action), "{action}");
    }
    assert!(deployed("tagline/deploy") && deployed("tagline/rollback"));
}

#[test]
fn nothing_is_retired_that_was_never_delivered() {
    let mut world = delivering();
    let (key, milestone) = (key("deploy"), milestone("deleted"));
    let told = world.try_tell(Input::Retired { key: key.clone(), attempt: Attempt(1), step: 0, milestone });
    assert_eq!(told, Err(Refusal::StaleReport(key)));
}

#[test]
fn a_cancelled_job_has_time_to_go_back() {
    let mut world = delivering();
    world.cancel(false);
    let soon = world.state.due(&TimerId::Job(key("deploy"))).unwrap();
    reach(&mut world, "begun");
    let later = world.state.due(&TimerId::Job(key("deploy"))).unwrap();
    assert_eq!(later.duration_since(soon).as_hours(), 2);
    let ended = Conclusion::Cancelled;
    let report = Report::StepFinished { step: 0, outcome: ended, conclusion: ended, why: String::new() };
    world.tell(Input::Reported { from: world.sender("deploy"), reports: vec![report] });
    assert_eq!(world.state.due(&TimerId::Job(key("deploy"))), Some(soon), "it is back");
}

#[test]
fn an_approval_binds_what_will_be_delivered() {
    let digests: Vec<String> = [1, 2]
        .into_iter()
        .map(|n| {
            let mut world = World::new(DEPLOY);
            let planned = PlannedDelivery {
                job: "deploy".into(),
                leg: 0,
                step: 0,
                uses: "tagline/deploy@v1".into(),
                digest: digest(n),
                summary: vec!["2 objects change".into()],
            };
            let (gate, nonce) = (world.gate("guarded"), "n".into());
            let (passed, deliveries) = (std::collections::BTreeSet::new(), vec![planned]);
            world.tell(Input::GatePrepared { gate, nonce, passed, deliveries });
            let ballot = world.ballot(gate, Decision::Approve, "ana");
            assert_eq!(world.state.gates[&gate].opened.as_ref().unwrap().plan.deliveries.len(), 1);
            ballot.statement.gate_digest
        })
        .collect();
    assert_ne!(digests[0], digests[1]);
}
