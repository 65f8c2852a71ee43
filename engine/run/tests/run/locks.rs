//! Locks between runs: several runs, one arbiter.

use tagline_run::view::Status;
use tagline_run::{Conclusion, Ending, Holder, Input, Lock, RunId, locks};

use crate::support::{World, plan};

fn world(number: u64, workflow: &str, first: &World) -> World {
    let mut world = World::of(plan(workflow));
    // Another number and a later time, as the store would give.
    let mut journal = world.journal.clone();
    for event in &mut journal {
        event.at = first.now;
        if let tagline_run::Fact::RunCreated { run, .. } = &mut event.fact {
            *run = RunId(number);
        }
    }
    world.state = tagline_run::RunState::load(&journal).unwrap();
    world.now = first.now;
    world.journal = journal;
    world
}

/// Tells all of them what the arbiter says, until nothing changes.
fn arbitrate(worlds: &mut [World]) {
    loop {
        let mut changes = 0;
        let mut wanted: Vec<Lock> = worlds.iter().flat_map(|w| locks::wanted(&w.state)).cloned().collect();
        wanted.sort();
        wanted.dedup();
        for lock in wanted {
            let claims: Vec<_> = worlds.iter().flat_map(|w| locks::claims(&w.state, &lock)).collect();
            for (run, input) in locks::arbitrate(&lock, &claims) {
                let world = worlds.iter_mut().find(|w| w.state.run == run).unwrap();
                changes += world.try_tell(input).map_or(0, |events| events.len());
            }
            let claims = worlds.iter().flat_map(|w| locks::claims(&w.state, &lock));
            assert!(claims.filter(|c| c.claim.granted).count() <= 1, "{lock} has two holders");
        }
        for world in worlds.iter_mut() {
            changes += world.prepare_and_start();
        }
        if changes == 0 {
            break;
        }
    }
}

fn two(workflow: &str) -> [World; 2] {
    let mut first = World::new(workflow);
    first.pass(10);
    let mut second = world(419, workflow, &first);
    second.pass(10);
    [first, second]
}

#[test]
fn a_run_in_a_group_waits_and_a_newcomer_takes_its_place() {
    let workflow = "{ on: push, concurrency: Release, jobs: { a: { runs-on: x, steps: [ { run: make } ] } } }";
    let [first, second] = two(workflow);
    let third = world(420, workflow, &second);
    let mut all = [first, second, third];
    arbitrate(&mut all);
    assert_eq!(all[0].status("a"), Status::InProgress);
    assert_eq!(all[1].finished(), (Conclusion::Cancelled, Ending::Cancelled));
    assert_eq!(all[1].state.cancel.as_ref().unwrap().reason, "run 420 came after it in concurrency group release");
    assert_eq!(all[2].status("a"), Status::Queued);
    all[0].finish_alone("a");
    arbitrate(&mut all);
    assert_eq!(all[2].status("a"), Status::InProgress);
}

#[test]
fn cancel_in_progress_ends_the_running_one() {
    let workflow = "
on: push
concurrency: { group: g, cancel-in-progress: true }
jobs: { a: { runs-on: x, steps: [ { run: make } ] } }
";
    let [first, second] = two(workflow);
    let mut all = [first];
    arbitrate(&mut all);
    let [first] = all;
    let mut all = [first, second];
    arbitrate(&mut all);
    assert!(all[0].state.cancel.is_some());
    assert_eq!(all[1].status("a"), Status::Queued, "the old one still ends");
    all[0].finish_alone("a");
    arbitrate(&mut all);
    assert_eq!(all[1].status("a"), Status::InProgress);
}

#[test]
fn environments_queue_and_drop_nobody() {
    let workflow = "
on: push
jobs:
  deploy: { environment: staging, runs-on: x, steps: [ { run: make } ] }
  smoke: { needs: deploy, environment: staging, runs-on: x, steps: [ { run: make } ] }
  other: { needs: smoke, runs-on: x, steps: [ { run: make } ] }
";
    let [first, second] = two(workflow);
    let third = world(420, workflow, &second);
    let mut all = [first, second, third];
    arbitrate(&mut all);
    let seen = |all: &[World; 3]| all.each_ref().map(|w| w.status("deploy"));
    assert_eq!(seen(&all), [Status::InProgress, Status::Queued, Status::Queued]);
    all[0].finish_alone("deploy");
    arbitrate(&mut all);
    assert_eq!(seen(&all), [Status::Success, Status::Queued, Status::Queued], "the stage goes on with smoke");
    all[0].finish_alone("smoke");
    arbitrate(&mut all);
    assert_eq!(seen(&all), [Status::Success, Status::InProgress, Status::Queued]);
}

#[test]
fn a_clean_up_after_another_environment_does_not_keep_the_first() {
    let workflow = "
on: push
jobs:
  deploy: { environment: staging, runs-on: x, steps: [ { run: make } ] }
  release: { needs: deploy, environment: guarded, runs-on: x, steps: [ { run: make } ] }
  clean: { needs: release, environment: staging, runs-on: x, steps: [ { run: make } ] }
";
    let [mut first, second] = two(workflow);
    first.prepare_and_start();
    let mut all = [first, second];
    arbitrate(&mut all);
    all[0].finish_alone("deploy");
    assert!(all[0].state.deployments.contains_key("staging"), "staging has it, whatever becomes of the clean-up");
    arbitrate(&mut all);
    assert_eq!(all[0].status("release"), Status::Waiting);
    assert_eq!(all[1].status("deploy"), Status::InProgress);
    // The clean-up waits its turn then.
    all[0].approve("guarded", "ana");
    arbitrate(&mut all);
    all[0].finish_alone("release");
    arbitrate(&mut all);
    assert_eq!(all[0].status("clean"), Status::Queued);
    all[1].finish_alone("deploy");
    arbitrate(&mut all);
    assert_eq!(all[0].status("clean"), Status::InProgress, "its approval was the stage's");
}

#[test]
fn a_job_in_a_group_gives_way_before_it_starts() {
    let workflow = "{ on: push, jobs: { a: { concurrency: g, runs-on: x, steps: [ { run: make } ] } } }";
    let [first, second] = two(workflow);
    let third = world(420, workflow, &second);
    let mut all = [first, second, third];
    arbitrate(&mut all);
    assert_eq!(all.each_ref().map(|w| w.status("a")), [Status::InProgress, Status::Cancelled, Status::Queued]);
    assert_eq!(all[1].finished(), (Conclusion::Cancelled, Ending::Cancelled));
}

#[test]
fn a_lock_nobody_asked_for_is_refused() {
    let mut world = World::new("{ on: push, jobs: { a: { runs-on: x, steps: [ { run: make } ] } } }");
    let told = world.try_tell(Input::LockGranted { lock: Lock::group("g"), holder: Holder::Run });
    assert_eq!(told.unwrap_err().code(), "no-such-lock");
}
