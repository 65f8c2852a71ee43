//! How jobs end: cancel, kill, time limits, and nothing left behind.

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::{Engine, Sandbox, Starter, job, job_with};
use tagline_protocol::{Command, Conclusion, Notice, Record, Stream};

/// Runs a job; once its spool holds `sign`, the engine sends `command`.
fn interrupt(sandbox: &Sandbox, spec: tagline_protocol::JobSpec, sign: &str, command: &Command) -> Duration {
    let mut engine = sandbox.connect();
    engine.send(&Command::Start(Box::new(spec)));
    wait_for(&mut engine, sandbox, sign);
    let began = Instant::now();
    engine.send(command);
    engine.wait_for_end();
    sandbox.wait_for_exit();
    began.elapsed()
}

/// Waits until a step has printed a line.
fn wait_for(engine: &mut Engine, sandbox: &Sandbox, sign: &str) {
    while let Some(notice) = engine.notice() {
        if matches!(notice, Notice::Grown { .. }) {
            let printed = |record: &Record| matches!(record, Record::Log { stream: Stream::Output, lines, .. } if lines.iter().any(|line| line == sign));
            if sandbox.story().0.iter().any(printed) {
                return;
            }
        }
    }
    panic!("the agent hung up: {}", sandbox.story().text());
}

fn cancel() -> Command {
    Command::Cancel { reason: "cancelled by ana@example.com".into() }
}

#[test]
fn a_cancel_ends_hash_files() {
    let sandbox = Sandbox::launch(Starter::Own);
    // A hole of this size is hashed for many minutes.
    let spec = job(json!([
        "truncate -s 1T hole; echo small > small",
        {"name": "slow", "if": "hashFiles('hole') == ''", "run": "echo never"},
        {"if": "always()", "run": "echo ${{ hashFiles('small') }}"},
    ]));
    let mut engine = sandbox.connect();
    engine.send(&Command::Start(Box::new(spec)));
    let begun = |record: &Record| matches!(record, Record::StepStarted { step: 1, .. });
    while !sandbox.story().0.iter().any(begun) {
        engine.notice().unwrap();
    }
    let began = Instant::now();
    engine.send(&cancel());
    engine.wait_for_end();
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    let story = sandbox.story();
    assert!(story.end(1).2.contains("the job is cancelled"), "{:?}", story.end(1));
    assert_eq!(story.output(2).trim().len(), 64, "{}", story.text());
    assert_eq!(story.result().conclusion, Conclusion::Cancelled);
}

#[test]
fn a_cancelled_step_may_clean_up_and_last_steps_run() {
    let sandbox = Sandbox::launch(Starter::Own);
    let spec = job(json!([
        // Not `sleep 600 & wait`: a signal that comes just before the shell waits is seen after it only.
        "trap 'echo cleaned; exit 1' INT; echo ready; while :; do sleep 0.1; done",
        "echo never",
        {"if": "cancelled()", "run": "echo ${{ job.status }}"},
        {"if": "always()", "run": "echo last"},
        {"if": "failure()", "run": "echo never"},
    ]));
    let took = interrupt(&sandbox, spec, "ready", &cancel());
    assert!(took < Duration::from_secs(5), "{took:?}");
    let story = sandbox.story();
    assert_eq!(story.output(0), "ready\ncleaned\n");
    assert_eq!(story.end(0).0, Conclusion::Cancelled);
    assert_eq!(story.end(1).0, Conclusion::Skipped);
    assert_eq!(story.output(2), "cancelled\n");
    assert_eq!(story.output(3), "last\n");
    assert_eq!(story.end(4).0, Conclusion::Skipped);
    assert_eq!(story.result().conclusion, Conclusion::Cancelled);
    assert_eq!(story.result().why, "cancelled by ana@example.com");
}

#[test]
fn who_ignores_every_signal_is_killed_with_all_it_started() {
    for starter in Starter::all() {
        let sandbox = Sandbox::launch(starter);
        let spec = job(json!([
            "trap '' INT TERM; (setsid sh -c \"trap '' INT TERM HUP; while :; do sleep 1; done\" &) ; echo ready; while :; do sleep 1; done",
        ]));
        let took = interrupt(&sandbox, spec, "ready", &cancel());
        assert!(took >= Duration::from_millis(9900) && took < Duration::from_secs(20), "{took:?}");
        assert_eq!(sandbox.story().result().conclusion, Conclusion::Cancelled);
    }
}

#[test]
fn a_fork_bomb_ends_when_it_is_killed() {
    for starter in Starter::all() {
        let sandbox = Sandbox::launch(starter);
        let spec = job(json!(["echo ready; bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 600"]));
        let took = interrupt(&sandbox, spec, "ready", &Command::Kill);
        assert!(took < Duration::from_secs(30), "{took:?}");
        assert_eq!(sandbox.story().result().conclusion, Conclusion::Cancelled);
    }
}

#[test]
fn limits_of_time_are_kept() {
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox.run(job(json!([
        {"run": "sleep 600", "timeout-minutes": "0.005", "continue-on-error": "true"},
        "echo on",
    ])));
    assert_eq!(story.end(0).0, Conclusion::Failure);
    assert!(story.end(0).2.contains("longer than its limit of 0.3 s"), "{:?}", story.end(0));
    assert_eq!(story.output(1), "on\n");
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox
        .run(job_with(json!(["sleep 600", {"if": "always()", "run": "echo last"}]), json!({"timeout_seconds": 1})));
    assert!(story.result().timed_out);
    assert_eq!(story.result().conclusion, Conclusion::Cancelled);
    assert_eq!(story.output(1), "last\n");
}

#[test]
fn the_background_lives_as_long_as_the_job_and_does_not_hold_a_step() {
    let sandbox = Sandbox::launch(Starter::Own);
    let began = Instant::now();
    let story = sandbox.run(job(json!([
        "(while sleep 0.05; do echo tick; done) & echo $! > pid",
        "kill -0 $(cat pid) && echo alive",
    ])));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(story.output(1), "alive\n");
    assert_eq!(story.result().conclusion, Conclusion::Success);
    sandbox.wait_for_exit();
}

#[test]
fn orphans_are_buried() {
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox.run(job(json!([
        "for i in $(seq 50); do (true &) ; done; while ps -eo ppid=,stat= | grep -q '^ *1 Z'; do :; done; echo buried",
    ])));
    assert_eq!(story.output(0), "buried\n");
}
