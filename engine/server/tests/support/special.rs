//! Points that need a hand of their own: agents that are killed, and a crowd that votes.

use std::sync::Arc;

use tagline_executor::{JobFolder, LogReader, Process};
use tagline_protocol::Record;
use tagline_run::{Cause, Conclusion, Decision, Input, Refusal, Rerun};
use tagline_server::{TellError, beside};
use tokio::sync::watch;

use super::built::Built;
use super::files;
use super::points::{Oracle, same, with_log};
use super::process::{End, Word};
use super::scene::{REVIEWERS, Scene, ballot, reviewer};

/// Goes between the engine and the agent: the first agent of each job is killed before the engine hears of it.
const KILLER: &str = r#"#!/bin/sh
config=$(/bin/cat)
answer=$(printf '%s' "$config" | 'AGENT' "$@") || exit
folder=${config#*\"job_folder\":\"}; folder=${folder%%\"*}
job=${folder%/*}; job=${job##*/}
if [ ! -e "MARKS/$job" ]; then
  : > "MARKS/$job"
  pid=${answer#*\"pid\":}; pid=${pid%%[,\}]*}
  kill -9 "$pid"
fi
printf '%s\n' "$answer"
"#;

/// Every job's agent is killed before its first step: each is launched again, and the release ends as if nothing was.
pub(crate) fn agents_before(built: &Built, oracle: &Oracle) -> Result<(), String> {
    let mut scene = Scene::new(built, false);
    let killer = scene.scratch().join("killer");
    let marks = scene.scratch().join("marks");
    std::fs::create_dir(&marks).unwrap();
    let text =
        KILLER.replace("AGENT", &built.agent.display().to_string()).replace("MARKS", &marks.display().to_string());
    files::program(&killer, &text);
    scene.agent = killer;
    scene.drive(&[]).map_err(|why| with_log(&scene, &why))?;
    let again = scene.events().iter().filter(|event| event.fact.name() == "LaunchFailed").count();
    if again != oracle.jobs.len() {
        return Err(with_log(&scene, &format!("{again} of {} jobs were launched again", oracle.jobs.len())));
    }
    same(&scene, oracle, &["events"])
}

/// A job's agent is killed after its first step began: the job is lost, says so, and nothing runs it again by itself;
/// `rerun --failed` completes the release.
pub(crate) fn agent_during(built: &Built, oracle: &Oracle, job: &str) -> Result<(), String> {
    let scene = Scene::new(built, true);
    let folder = JobFolder::new(scene.folder.job(scene.run.0, job, 1));
    folder.create().unwrap();
    let mut spool = LogReader::new(&folder.spool(), 0);
    let killer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            while !began(&mut spool) {
                spool.grown().await.unwrap();
            }
            let agent = folder.agent().unwrap().unwrap();
            Process { pid: agent.pid, start_time: agent.start_time }.kill().await.unwrap();
        });
    });
    scene.drive(&[]).map_err(|why| with_log(&scene, &why))?;
    killer.join().map_err(|_| "the agent could not be killed".to_owned())?;
    lost(&scene, job).map_err(|why| with_log(&scene, &why))?;
    let rerun = Input::Rerun { by: reviewer(0), what: Rerun::Failed, allow_downgrade: false };
    scene.tell(rerun).map_err(|error| format!("the rerun was refused: {error}"))?;
    scene.drive(&[]).map_err(|why| with_log(&scene, &why))?;
    completed(&scene, oracle).map_err(|why| with_log(&scene, &why))
}

/// Whether a step has begun, as far as the spool has grown.
fn began(spool: &mut LogReader) -> bool {
    while let Some(line) = spool.next_line().unwrap() {
        if matches!(line.decode(), Ok(Record::StepStarted { .. })) {
            return true;
        }
    }
    false
}

fn lost(scene: &Scene, job: &str) -> Result<(), String> {
    let state = scene.state();
    let conclusion = state.finished.as_ref().map(|finished| finished.conclusion);
    if conclusion != Some(Conclusion::Failure) {
        return Err(format!("the run whose job was lost ended with {conclusion:?}"));
    }
    let (_, leg) = state.legs().find(|(key, _)| key.job == job).ok_or("the job has no leg")?;
    let ended = leg.ended.as_ref().ok_or("the lost job has not ended")?;
    if ended.cause != Cause::Lost || !ended.why.contains("agent ended without a result") {
        return Err(format!("the lost job ended by {:?}: {}", ended.cause, ended.why));
    }
    let starts =
        scene.events().into_iter().filter(|event| super::compare::about(&event.fact) == format!("JobStarted {job}/1"));
    if starts.count() == 1 { Ok(()) } else { Err(format!("{job} was run again by itself")) }
}

/// The second attempt has brought about what the oracle has.
fn completed(scene: &Scene, oracle: &Oracle) -> Result<(), String> {
    let end = super::compare::end_state(scene);
    let wrong: Vec<String> = ["run", "live"]
        .into_iter()
        .chain(oracle.end.keys().map(String::as_str).filter(|key| key.starts_with("deployment")))
        .filter(|key| end.get(*key) != oracle.end.get(*key))
        .map(|key| format!("{key} is {:?}, not {:?}", end.get(key), oracle.end.get(key)))
        .chain(super::sound::sound(scene))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n  ")) }
}

/// How a vote of the crowd ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cast {
    Counted,
    Refused,
}

/// Everybody votes at once, half yes and half no, and the engine is killed when the first vote is stored: one decision
/// counts, everybody else is refused, and the release goes on as that one said.
pub(crate) fn votes(built: &Built, oracle: &Oracle) -> Result<(), String> {
    let scene = Scene::new(built, false);
    // Everything before the vote comes in any order, but is as much.
    let vote = oracle.facts.iter().position(|fact| fact.starts_with("VoteRecorded")).ok_or("nobody voted")? + 1;
    let mut engine = scene.engine(&format!("kill-stored={vote}"));
    while engine.word()? != Some(Word::Gate) {}
    let (lives, _) = watch::channel(0_u32);
    let lives = Arc::new(lives);
    let crowd = crowd(&scene, &lives);
    if engine.word()?.is_some() || engine.end()? != End::Killed {
        return Err(with_log(&scene, "the engine was not killed at the vote"));
    }
    let mut engine = scene.engine("");
    let logged = |why: String| with_log(&scene, &why);
    while let Some(word) = engine.word().map_err(logged)? {
        if word == Word::Serving {
            lives.send_modify(|life| *life += 1);
        }
    }
    engine.end().map_err(logged)?;
    let casts = crowd.join().map_err(|_| "a voter panicked".to_owned())?;
    let counted = casts.iter().filter(|cast| **cast == Cast::Counted).count();
    let recorded = scene.events().iter().filter(|event| event.fact.name() == "VoteRecorded").count();
    if counted > 1 || recorded != 1 {
        return Err(with_log(&scene, &format!("{counted} voters were told that they decided, {recorded} votes count")));
    }
    decided(&scene, oracle)
}

/// The run has gone where the one vote said.
fn decided(scene: &Scene, oracle: &Oracle) -> Result<(), String> {
    let state = scene.state();
    let opened = state.gates.values().filter_map(|gate| gate.opened.as_ref());
    let vote = opened.flat_map(|opened| &opened.votes).next().ok_or("no vote is in the state")?;
    let conclusion = state.finished.as_ref().map(|finished| finished.conclusion);
    match vote.1.statement.decision {
        Decision::Approve => same(scene, oracle, &["gate gate-2", "deployments of production"]),
        Decision::Reject if conclusion == Some(Conclusion::Failure) => {
            let wrong = super::sound::sound(scene);
            if wrong.is_empty() { Ok(()) } else { Err(with_log(scene, &wrong.join("\n  "))) }
        }
        Decision::Reject => Err(with_log(scene, &format!("the rejected run ended with {conclusion:?}"))),
    }
}

/// The voters, each trying until it has an answer; one that could not reach the engine waits for the next life.
fn crowd(scene: &Scene, lives: &Arc<watch::Sender<u32>>) -> std::thread::JoinHandle<Vec<Cast>> {
    let (folder, run, state, lives) = (scene.folder.clone(), scene.run, scene.state(), lives.clone());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let voters: Vec<_> = (0..REVIEWERS)
                .map(|number| {
                    let decision = if number % 2 == 0 { Decision::Approve } else { Decision::Reject };
                    let input = Input::Vote(Box::new(ballot(&state, decision, number).unwrap()));
                    let (folder, mut lives) = (folder.clone(), lives.subscribe());
                    tokio::spawn(async move {
                        loop {
                            match beside::tell(&folder, run, input.clone()).await {
                                Ok(_) => return Cast::Counted,
                                Err(TellError::Refused(refusal)) => {
                                    assert!(!matches!(refusal, Refusal::NotReady(_)), "{refusal}");
                                    return Cast::Refused;
                                }
                                Err(_) if *lives.borrow() > 0 => tokio::task::yield_now().await,
                                Err(_) => drop(lives.changed().await),
                            }
                        }
                    })
                })
                .collect();
            let mut casts = Vec::new();
            for voter in voters {
                casts.push(voter.await.unwrap());
            }
            casts
        })
    })
}
