//! Delivery steps through the real engine and agent, with a deliverer that only pretends: what is planned, approved,
//! journalled, gone on with, taken back and removed later.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

#[path = "../common/mod.rs"]
mod common;
mod crash;
mod place;
mod pretender;

use std::process::Command;
use std::time::Duration;

use jiff::SignedDuration;
use place::{RULES, WORKFLOW, finished, names, place, place_with, reached, until};
use serde_json::{Value, json};
use tagline_plan::Person;
use tagline_run::{Conclusion, Fact, GateStatus, Input, RunState};
use tagline_server::{PlannerError, clock};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_is_delivered_also_by_the_next_engine_and_its_rest_goes_later() {
    let place = place();
    *place.stage.retire_in.lock().unwrap() = Some(SignedDuration::from_hours(24));
    let run = place.begin();
    let first = place.engine();
    let state = place.approved(&first, run).await;
    let bound = &state.gates.values().next().unwrap().opened.as_ref().unwrap().plan.deliveries;
    assert_eq!((bound.len(), bound[0].step, bound[0].uses.as_str()), (1, 0, "tagline/deploy@v1"));
    assert!(bound[0].summary[0].contains("to namespace shop of context test after 0 others"), "{bound:?}");
    // What would be planned now is not what was approved.
    *place.stage.plan.lock().unwrap() = json!({"version": 2});
    until(&first, run, reached("begun")).await;
    drop(first);

    let second = place.engine();
    place.on.send_replace(true);
    let state = until(&second, run, finished).await;
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Success, "{:#?}", state.jobs);
    assert_eq!(names(&state), ["planned", "begun", "switched", "delivered"]);
    assert_eq!(place.did(), ["apply {\"version\":1} after ", "apply {\"version\":1} after begun"]);
    let artifacts = second.store().artifacts(run).unwrap();
    assert_eq!(
        (artifacts[0].name.as_str(), artifacts[0].kind.as_str()),
        ("evidence-production-production-1-0-pods.log", "evidence")
    );
    let outbox = second.store().outbox().unwrap();
    assert!(outbox.iter().any(|row| row.key.starts_with("retire/")), "{outbox:?}");
    drop(second);

    // A day passes while no engine runs.
    clock::forward(&place.folder, Duration::from_hours(25)).unwrap();
    let third = place.engine();
    let mut updates = third.watch();
    loop {
        let update = updates.recv().await.unwrap();
        if update
            .events
            .iter()
            .any(|event| matches!(&event.fact, Fact::Milestone { milestone, .. } if milestone.name == "deleted"))
        {
            assert!(update.state.finished.is_some());
            break;
        }
    }
    assert_eq!(place.did().last().unwrap(), "retire \"the old one\"");
    let outbox = third.store().outbox().unwrap();
    assert!(!outbox.iter().any(|row| row.key.starts_with("retire/")), "{outbox:?}");
    third.store().verify().unwrap();
}

/// Each store numbers its runs from 1, and they meet in one cluster.
#[test]
fn the_first_runs_of_two_stores_are_told_apart() {
    let identity = |place: &place::Place| {
        let run = place.begin();
        let rows = tagline_store::Store::open_read_only(&place.folder).unwrap().events(run, 0).unwrap();
        (run, RunState::load(rows.iter().map(|(_, event)| event)).unwrap().identity)
    };
    let ((one, first), (other, second)) = (identity(&place()), identity(&place()));
    assert_eq!(one, other);
    assert!(first.len() == 32 && first != second, "{first} {second}");
}

/// What was left ended with its run: once, after the run, and nothing waits for it any more.
fn assert_ended_with(place: &place::Place, run: tagline_run::RunId) {
    assert_eq!(place.did().iter().filter(|what| what.starts_with("retire")).count(), 1, "{:?}", place.did());
    let store = tagline_store::Store::open_read_only(&place.folder).unwrap();
    assert!(!store.outbox().unwrap().iter().any(|row| row.key.starts_with("retire/")));
    let events = store.events(run, 0).unwrap();
    let at = |found: &dyn Fn(&Fact) -> bool| events.iter().position(|(_, event)| found(&event.fact)).unwrap();
    let end = at(&|fact| matches!(fact, Fact::RunFinished { .. }));
    let gone = at(&|fact| matches!(fact, Fact::Milestone { milestone, .. } if milestone.name == "deleted"));
    assert!(end < gone, "not before the run has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_with_its_run_is_done_before_the_engine_goes() {
    let place = place();
    *place.stage.retire_in.lock().unwrap() = Some(SignedDuration::ZERO);
    *place.stage.finally.lock().unwrap() = true;
    let run = place.begin();
    let engine = place.engine();
    place.approved(&engine, run).await;
    place.on.send_replace(true);
    until(&engine, run, finished).await;
    engine.stop();
    assert_ended_with(&place, run);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_with_its_run_is_done_by_the_next_engine_too() {
    let place = place();
    *place.stage.retire_in.lock().unwrap() = Some(SignedDuration::ZERO);
    *place.stage.finally.lock().unwrap() = true;
    let run = place.begin();
    let first = place.engine();
    place.approved(&first, run).await;
    place.on.send_replace(true);
    until(&first, run, reached("delivered")).await;
    drop(first);
    let second = place.engine();
    until(&second, run, finished).await;
    second.stop();
    assert_ended_with(&place, run);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_delivery_goes_back_before_its_job_ends() {
    let place = place();
    let run = place.begin();
    let engine = place.engine();
    place.approved(&engine, run).await;
    until(&engine, run, reached("begun")).await;
    let by = Person { name: "Li".into(), email: "li@example.com".into() };
    engine.tell(run, Input::Cancel { by, reason: String::new(), force: true }).await.unwrap();
    let state = until(&engine, run, finished).await;
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Cancelled);
    assert_eq!(names(&state), ["planned", "begun", "rolled-back"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_without_its_agent_goes_back() {
    let place = place();
    let run = place.begin();
    let first = place.engine();
    place.approved(&first, run).await;
    until(&first, run, reached("begun")).await;
    drop(first);
    // Both are gone: the engine and, before the next one comes, the job's agent.
    let agent = place.folder.job(run.0, "production", 1).join("agent.json");
    let told: Value = serde_json::from_str(&std::fs::read_to_string(agent).unwrap()).unwrap();
    let pid = i32::try_from(told["pid"].as_i64().unwrap()).unwrap();
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
    let second = place.engine();
    let state = until(&second, run, finished).await;
    assert_eq!(names(&state), ["planned", "begun", "rolled-back"]);
    assert_eq!(view_cause(&state), "Lost");
}

/// A release of two units goes back: what cannot be planned is told before anything moves, and one that fails does not keep
/// the other from going.
#[tokio::test(flavor = "multi_thread")]
async fn several_units_go_back_together() {
    let step = "      - {uses: tagline/deploy@v1, with: {name: NAME, manifests: k8s, images: 'shop=${{ needs.build.outputs.image }}', smoke: /health 200}}\n";
    let head = WORKFLOW.split("      - id: deploy\n").next().unwrap();
    let units = ["api", "web"].map(|name| step.replace("NAME", name)).concat();
    let place = place_with(&format!("{head}{units}"), RULES);
    let live = |version: &str| json!({"live": {"release": "r", "version": version}, "workloads": {}, "objects": [], "absent": []});
    *place.stage.plan.lock().unwrap() = json!({"version": "1.2.3"});
    *place.stage.before.lock().unwrap() = Some(live("1.2.2"));
    place.on.send_replace(true);
    let run = place.begin();
    let engine = place.engine();
    place.approved(&engine, run).await;
    let state = until(&engine, run, finished).await;
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Success, "{:#?}", state.jobs);
    drop(engine);

    let back = async |refuses: Option<&str>, fails: Option<&str>| {
        *place.stage.refuses.lock().unwrap() = refuses.map(str::to_owned);
        *place.stage.fails.lock().unwrap() = fails.map(str::to_owned);
        *place.stage.plan.lock().unwrap() = json!({"version": "1.2.2"});
        place.stage.did.lock().unwrap().clear();
        let (run, steps) = place.begin_rollback();
        assert_eq!(steps, ["api back to 1.2.2", "web back to 1.2.2"]);
        let engine = place.engine();
        let state = until(&engine, run, finished).await;
        let delivered = state.reached.iter().filter(|one| one.milestone.name == "delivered").count();
        (state.finished.unwrap().conclusion, place.did(), delivered)
    };
    let (conclusion, did, _) = back(Some("web"), None).await;
    assert_eq!((conclusion, did), (Conclusion::Failure, Vec::new()), "api did not move either");
    let (conclusion, did, delivered) = back(None, Some("api")).await;
    assert_eq!((conclusion, did.len(), delivered), (Conclusion::Failure, 2, 1), "web went back all the same: {did:?}");
    let (conclusion, _, delivered) = back(None, None).await;
    assert_eq!((conclusion, delivered), (Conclusion::Success, 2));
}

fn view_cause(state: &RunState) -> String {
    format!("{:?}", state.jobs["production"].ends().next().unwrap().cause)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_whose_deliveries_cannot_be_planned_does_not_open() {
    let place = place();
    *place.stage.plan.lock().unwrap() = json!("out of reach");
    let run = place.begin();
    let engine = place.engine();
    let state = until(&engine, run, finished).await;
    let GateStatus::Refused { code, why, .. } = &state.gates.values().next().unwrap().status else {
        panic!("{state:#?}")
    };
    assert_eq!(code, "not-prepared");
    assert_eq!(why, "production, step 1 (tagline/deploy@v1): the cluster is out of reach: no route (next: look at it)");
    assert_eq!(place.did(), [""; 0]);
}

#[test]
fn what_is_wrong_with_deliveries_is_said_before_the_first_step_all_at_once() {
    let workflow = WORKFLOW
        .replace("manifests: k8s", "max-surg: 1, strategy: bluegreen, reason: '${{ secrets.WHY }}'")
        .replace("needs.build", "steps.build");
    let rules = RULES.replace("    cluster: {context: test, namespace: shop}\n", "");
    let Err(PlannerError::Unusable { diagnostics, file, .. }) = place_with(&workflow, &rules).plan() else {
        panic!("it is refused")
    };
    let found: Vec<String> = diagnostics
        .iter()
        .map(|one| format!("{} {}: {}", file.position(one.span().start).line, one.code, one.message))
        .collect();
    let text = found.join("\n");
    for part in [
        "12 no-cluster: environment `production`",
        "16 steps-in-gated-delivery: `images`",
        "secret-in-delivery: `reason`",
        "\"bluegreen\" is not a strategy",
        "max-surg",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
}
