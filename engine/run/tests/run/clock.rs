//! Clocks that jump: nothing is extended by one that goes back, nothing expires on one bad reading.

use tagline_run::{Effect, GateStatus, Input, Refusal, TimerId, outstanding};

use crate::support::World;

const GUARDED: &str = "
on: push
jobs:
  a: { environment: guarded, runs-on: x, steps: [ { run: make } ] }
  other: { runs-on: x, steps: [ { run: make } ] }
";
const EXPIRES: i64 = 72 * 3600;

fn at_gate() -> (World, TimerId) {
    let mut world = World::new(GUARDED);
    world.settle();
    let timer = TimerId::Gate(world.gate("guarded"));
    (world, timer)
}

fn is_open(world: &World) -> bool {
    world.state.gates[&world.gate("guarded")].status == GateStatus::Open
}

#[test]
fn a_clock_set_forward_expires_nothing_before_it_is_looked_at_again() {
    let (mut world, timer) = at_gate();
    let before = world.now;
    world.pass(10 * 365 * 86_400);
    world.tell(Input::TimerFired(timer.clone()));
    assert!(is_open(&world));
    let effects = outstanding(&world.state);
    assert!(effects.iter().any(|e| matches!(e, Effect::CheckTimer { timer: t, .. } if *t == timer)));
    assert!(matches!(world.try_tell(Input::TimerFired(timer.clone())), Err(Refusal::NotDue(_))));
    // The clock has come back meanwhile.
    world.now = before;
    world.pass(60);
    world.tell(Input::TimerChecked(timer.clone()));
    assert!(is_open(&world));
    // And the deadline stands.
    world.pass(EXPIRES - 60);
    world.tell(Input::TimerFired(timer));
    assert!(!is_open(&world));
}

#[test]
fn after_real_downtime_the_second_look_expires_it() {
    let (mut world, timer) = at_gate();
    world.pass(EXPIRES + 3600);
    world.tell(Input::TimerFired(timer.clone()));
    assert!(is_open(&world));
    world.pass(60);
    world.tell(Input::TimerChecked(timer.clone()));
    assert!(!is_open(&world));
    assert_eq!(
        world.try_tell(Input::TimerChecked(timer)),
        Err(Refusal::NoSuchTimer(TimerId::Gate(world.gate("guarded"))))
    );
}

#[test]
fn a_clock_set_back_extends_nothing() {
    let (mut world, timer) = at_gate();
    let due = world.state.due(&timer).unwrap();
    // Something was recorded just after the deadline, then the clock went back a day.
    world.now = due;
    world.pass(1);
    world.store("other", "notes", 1, false).unwrap();
    world.pass(-86_400);
    let ballot = world.ballot(world.gate("guarded"), tagline_run::Decision::Approve, "ana");
    assert_eq!(world.try_tell(Input::Vote(Box::new(ballot))), Err(Refusal::Expired(due)));
    world.tell(Input::TimerFired(timer));
    assert!(!is_open(&world));
}
