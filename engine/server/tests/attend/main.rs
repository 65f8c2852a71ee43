//! Attending jobs through all that can come between engine and agent, with scripted agents: links that break, a runner
//! out of reach, records that a power cut took, somebody who poses as the agent.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

#[path = "../common/mod.rs"]
mod common;
mod place;
mod secrets;

use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use place::{Place, WORKFLOW, cause, ended, finished, holds, place, steps, until};
use tagline_executor::{Hold, JobFolder, Link, Script};
use tagline_protocol::{AGENT_FILE, AgentState, Command, Conclusion as Said, Notice, Record, SPOOL, VERSION};
use tagline_run::{Cause, Conclusion, RunId};
use tagline_server::clock;

const NO_RULES: &str = "environments: {}\n";

/// A run whose one job stands at a hold after its first step, without an engine.
async fn left_in_the_middle(place: &Place, after: impl FnOnce(Script) -> Script) -> (RunId, Hold) {
    let hold = Hold::new();
    place.fake.script("build", after(Script::new().step("one", &[], Said::Success).hold(&hold)));
    let run = place.begin(&[]).run;
    let engine = place.engine();
    until(&engine, run, steps(1)).await;
    hold.reached().await;
    (run, hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_to_its_end_while_its_runner_is_out_of_reach() {
    let place = place(WORKFLOW, NO_RULES);
    let (run, hold) = left_in_the_middle(&place, |script| script).await;
    place.fake.set_away(true);
    let engine = place.engine();
    hold.release();
    let state = until(&engine, run, finished).await;
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Success, "{:?}", ended(&state));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_job_is_asked_until_its_runner_answers() {
    let place = place(WORKFLOW, NO_RULES);
    let (run, hold) = left_in_the_middle(&place, Script::die).await;
    place.fake.set_away(true);
    hold.release();
    let engine = place.engine();
    // Its agent is dead by now, which only the runner can tell.
    let folder = place.job(run);
    let token = folder.agent().unwrap().unwrap().token;
    loop {
        if Link::connect(&folder, &token, 0).await.is_ok_and(|link| link.state().is_none()) {
            break;
        }
    }
    place.fake.set_away(false);
    let state = until(&engine, run, finished).await;
    assert_eq!(cause(&state), Cause::Lost, "{}", ended(&state).why);
    assert_eq!(place.fake.launches().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ran_is_never_launched_again_without_its_agent_file() {
    for damage in [lose_file as fn(&JobFolder), empty_file] {
        let place = place(WORKFLOW, NO_RULES);
        let (run, _hold) = left_in_the_middle(&place, |script| script).await;
        let folder = place.job(run);
        place.fake.kill(&folder).await;
        damage(&folder);
        let engine = place.engine();
        let state = until(&engine, run, finished).await;
        assert_eq!(cause(&state), Cause::Lost, "{}", ended(&state).why);
        assert_eq!(place.fake.launches().len(), 1);
    }
}

fn lose_file(folder: &JobFolder) {
    fs::remove_file(folder.path().join(AGENT_FILE)).unwrap();
}

fn empty_file(folder: &JobFolder) {
    fs::write(folder.path().join(AGENT_FILE), "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_only_the_spool_knows_counts_as_begun() {
    let place = place(WORKFLOW, NO_RULES);
    let run = place.begin(&[]).run;
    let folder = place.job(run);
    folder.create().unwrap();
    let step = Record::StepStarted { step: 0, id: "one".into(), name: "one".into(), at: 1 };
    fs::write(folder.path().join(SPOOL), serde_json::to_string(&step).unwrap() + "\n").unwrap();
    let engine = place.engine();
    let state = until(&engine, run, finished).await;
    assert_eq!(cause(&state), Cause::Lost, "{}", ended(&state).why);
    assert!(place.fake.launches().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_broken_links_is_borne_as_long_as_there_is_news_between_them() {
    const BREAKS: usize = 8;
    let place = place(WORKFLOW, NO_RULES);
    let holds: Vec<Hold> = (0..BREAKS).map(|_| Hold::new()).collect();
    let script = holds.iter().fold(Script::new(), |script, hold| script.step("one", &[], Said::Success).hold(hold));
    place.fake.script("build", script);
    let run = place.begin(&[]).run;
    let engine = place.engine();
    for (number, hold) in holds.iter().enumerate() {
        until(&engine, run, steps(number + 1)).await;
        hold.reached().await;
        // A newer link takes the place of the engine's.
        let folder = place.job(run);
        let token = folder.agent().unwrap().unwrap().token;
        drop(Link::connect(&folder, &token, 0).await.unwrap());
        hold.release();
    }
    let state = until(&engine, run, finished).await;
    assert_eq!(state.finished.as_ref().unwrap().conclusion, Conclusion::Success, "{:?}", ended(&state));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_poses_as_the_agent_of_a_job_that_has_begun_gets_no_specification() {
    let place = place(WORKFLOW, NO_RULES);
    let (run, _hold) = left_in_the_middle(&place, |script| script).await;
    let folder = place.job(run);
    fs::rename(folder.socket(), folder.path().join("real.sock")).unwrap();
    let heard = pose(&folder);
    let engine = place.engine();
    let state = until(&engine, run, finished).await;
    assert_eq!(cause(&state), Cause::Lost, "{}", ended(&state).why);
    let heard = heard.lock().unwrap();
    assert!(!heard.is_empty(), "the engine never came");
    assert!(heard.iter().all(|command| matches!(command, Command::Hello { .. })), "{heard:?}");
}

/// Answers every connection as an agent that waits for its job; what comes after it is kept.
fn pose(folder: &JobFolder) -> Arc<Mutex<Vec<Command>>> {
    use std::io::{BufRead as _, BufReader, Write as _};
    let heard: Arc<Mutex<Vec<Command>>> = Arc::default();
    let (kept, listener) = (heard.clone(), UnixListener::bind(folder.socket()).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let hello = Notice::Hello { version: VERSION, state: AgentState::Waiting };
            let mut line = serde_json::to_vec(&hello).unwrap();
            line.push(b'\n');
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            if stream.write_all(&line).is_err() {
                continue;
            }
            while let Some(Ok(line)) = lines.next() {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        }
    });
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_never_came_up_leaves_nothing_to_be_cleaned() {
    let place = place(WORKFLOW, NO_RULES);
    place.fake.script("build", Script::refuse("no room"));
    let run = place.begin(&[]).run;
    let engine = place.engine();
    for failures in 1..3 {
        until(&engine, run, |state| state.legs().any(|(_, leg)| leg.launch_failures >= failures)).await;
        clock::forward(&place.folder, Duration::from_secs(11)).unwrap();
    }
    let state = until(&engine, run, finished).await;
    assert_eq!(cause(&state), Cause::Launch);
    let folder = place.job(run);
    holds(|| !folder.work().exists()).await;
    drop(engine);
    assert_eq!(place.outbox(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_starter_died_is_taken_up_by_the_engine_that_serves() {
    let place = place(WORKFLOW, NO_RULES);
    let engine = place.engine();
    let mut updates = engine.watch();
    let run = place.begin(&[]).run;
    loop {
        let update = updates.recv().await.unwrap();
        if update.run == run && finished(&update.state) {
            assert_eq!(update.state.finished.as_ref().unwrap().conclusion, Conclusion::Success);
            break;
        }
    }
}
