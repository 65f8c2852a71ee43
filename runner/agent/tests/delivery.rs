//! Steps that the engine carries out: what it says is shown, what comes of it is handed on, and none of them is ended
//! before the engine has brought it to an orderly end.
#![allow(clippy::allow_attributes, clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod support;

use serde_json::json;
use support::{Engine, Sandbox, Starter, TOKEN, job, job_with};
use tagline_protocol::{Command, Conclusion, Notice, Reply, Request, VERSION};

/// The next notice that is more than a hint.
fn next(engine: &mut Engine) -> Option<Notice> {
    loop {
        match engine.notice() {
            Some(Notice::Grown { .. }) => {}
            other => return other,
        }
    }
}

/// Begins a job and waits for its request.
fn begin(sandbox: &Sandbox, spec: tagline_protocol::JobSpec) -> (Engine, u64, Request) {
    let mut engine = sandbox.connect();
    engine.send(&Command::Start(Box::new(spec)));
    match next(&mut engine) {
        Some(Notice::Request { id, body }) => (engine, id, body),
        other => panic!("a request is due: {other:?}"),
    }
}

const DEPLOY: &str = "tagline/deploy@v1";

#[test]
fn the_engine_delivers_and_its_words_and_outputs_arrive() {
    let sandbox = Sandbox::launch(Starter::Own);
    let (mut engine, id, body) = begin(
        &sandbox,
        job(json!([
            "echo before",
            {"id": "deploy", "uses": DEPLOY, "with": {"manifests": "k8s/${{ github.ref_name }}"}},
            "echo ${{ steps.deploy.outputs.release }}",
        ])),
    );
    let Request::Deliver { step, uses, with } = body else { panic!("{body:?}") };
    assert_eq!((step, uses.as_str(), with["manifests"].as_str()), (1, DEPLOY, "k8s/v1.2.3"));
    let (lines, warnings) = (vec!["2 of 3 pods are ready".into(), "3 of 3".into()], vec!["slow".into()]);
    engine.send(&Command::Progress { id: id + 1, lines: vec!["of another".into()], warnings: Vec::new() });
    engine.send(&Command::Progress { id, lines, warnings });
    let outputs = [("release".to_owned(), "v1-2-3-1a2b3c4d".to_owned())].into_iter().collect();
    engine.send(&Command::Reply { id, result: Ok(Reply::Delivered { outputs }) });
    engine.wait_for_end();
    let story = sandbox.story();
    assert_eq!(story.result().conclusion, Conclusion::Success, "{}", story.text());
    assert_eq!(story.output(1), "2 of 3 pods are ready\n3 of 3\n");
    assert_eq!(story.annotations(), ["slow"]);
    assert_eq!(story.output(2), "v1-2-3-1a2b3c4d\n");
}

#[test]
fn a_value_that_is_masked_does_not_leave_the_job() {
    let sandbox = Sandbox::launch(Starter::Own);
    let mut engine = sandbox.connect();
    let steps = json!([
        "echo ::add-mask::own-token",
        {"uses": DEPLOY, "continue-on-error": "true", "with": {"headers": "Authorization: Bearer own-token"}},
        {"uses": DEPLOY, "env": {"T": "${{ secrets.T }}"}, "with": {"headers": "Authorization: Bearer ${{ env.T }}"}},
    ]);
    let spec = job_with(steps, json!({"contexts": {"secrets": {"T": "hunter2-long"}}}));
    engine.send(&Command::Start(Box::new(spec)));
    engine.wait_for_end();
    let story = sandbox.story();
    for step in [1, 2] {
        let (outcome, _, why) = story.end(step);
        assert!(outcome == Conclusion::Failure && why.contains("`headers` holds a value that is masked"), "{why}");
    }
    assert!(!story.text().contains("hunter2"), "{}", story.text());
}

#[test]
fn a_request_larger_than_a_sockets_buffer_arrives_whole() {
    let sandbox = Sandbox::launch(Starter::Own);
    let long = "x".repeat(2_000_000);
    let (mut engine, id, body) = begin(&sandbox, job(json!([{"uses": DEPLOY, "with": {"manifests": long}}])));
    let Request::Deliver { with, .. } = body else { panic!("{body:?}") };
    assert_eq!(with["manifests"].len(), long.len());
    engine.send(&Command::Reply { id, result: Ok(Reply::Delivered { outputs: indexmap::IndexMap::default() }) });
    engine.wait_for_end();
    assert_eq!(sandbox.story().result().conclusion, Conclusion::Success);
}

#[test]
fn a_cancelled_delivery_ends_when_the_engine_has_gone_back() {
    let sandbox = Sandbox::launch(Starter::Own);
    let steps = json!([{"uses": DEPLOY}, {"if": "always()", "run": "echo last"}]);
    let (mut engine, id, body) = begin(&sandbox, job(steps));
    engine.send(&Command::Cancel { reason: "cancelled by ana@example.com".into() });
    let withdraw = Notice::Withdraw { id, why: "cancelled by ana@example.com".into() };
    assert_eq!(next(&mut engine), Some(withdraw.clone()));
    // Another engine takes over: it hears both again.
    let mut newer = Engine::open(sandbox.folder.path());
    newer.send(&Command::Hello { version: VERSION, token: TOKEN.into() });
    assert!(matches!(next(&mut newer), Some(Notice::Hello { .. })));
    assert_eq!(next(&mut newer), Some(Notice::Request { id, body }));
    assert_eq!(next(&mut newer), Some(withdraw));
    assert!(!sandbox.story().text().contains("step_finished"), "it waits");
    newer.send(&Command::Progress { id, lines: vec!["back on 1.2.2".into()], warnings: Vec::new() });
    newer.send(&Command::Reply { id, result: Err("1.2.2 serves all".into()) });
    newer.wait_for_end();
    let story = sandbox.story();
    let (outcome, _, why) = story.end(0);
    assert_eq!((outcome, why.as_str()), (Conclusion::Cancelled, "cancelled by ana@example.com; 1.2.2 serves all"));
    assert_eq!(story.output(0), "back on 1.2.2\n");
    assert_eq!(story.output(1), "last\n");
    assert_eq!(story.result().conclusion, Conclusion::Cancelled);
}

#[test]
fn time_limits_are_told_and_waited_for() {
    for (steps, more, conclusion) in [
        (json!([{"uses": DEPLOY, "timeout-minutes": "0.005"}]), json!({}), Conclusion::Failure),
        (json!([{"uses": DEPLOY}]), json!({"timeout_seconds": 1}), Conclusion::Cancelled),
    ] {
        let sandbox = Sandbox::launch(Starter::Own);
        let (mut engine, id, _) = begin(&sandbox, job_with(steps, more));
        let Some(Notice::Withdraw { id: withdrawn, why }) = next(&mut engine) else { panic!("it must be told") };
        assert!(withdrawn == id && why.contains("longer than its limit"), "{why}");
        engine.send(&Command::Reply { id, result: Err("it went back".into()) });
        engine.wait_for_end();
        let (outcome, _, why) = sandbox.story().end(0);
        assert!(outcome == conclusion && why.ends_with("; it went back"), "{outcome:?} {why}");
    }
}

#[test]
fn a_kill_waits_for_nothing() {
    let sandbox = Sandbox::launch(Starter::Own);
    let (mut engine, ..) = begin(&sandbox, job(json!([{"uses": DEPLOY}])));
    engine.send(&Command::Kill);
    engine.wait_for_end();
    assert_eq!(sandbox.story().result().conclusion, Conclusion::Cancelled);
}
