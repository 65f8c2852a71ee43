//! What is to be done for a run, from its state alone.

use crate::effect::Effect;
use crate::ids::TimerId;
use crate::query::Place;
use crate::state::{GateStatus, RunState};
use crate::timers::RECHECK;

/// Everything that is to be done now, in a fixed order. Empty exactly when the run has finished.
///
/// Locks are not among it: they lie between runs, and [`crate::locks::arbitrate`] says who gets them.
pub fn outstanding(state: &RunState) -> Vec<Effect> {
    if state.finished.is_some() {
        return Vec::new();
    }
    let mut effects = Vec::new();
    for (id, gate) in &state.gates {
        if gate.status == GateStatus::Requested {
            let after = state.rules(&gate.environment).and_then(|(_, rules)| rules.after.clone());
            let environment = gate.environment.clone();
            effects.push(Effect::PrepareGate { gate: *id, environment, after });
        }
    }
    effects.extend(state.startable().into_iter().map(|key| Effect::StartJob { key, attempt: state.attempt }));
    for (key, leg) in state.legs().filter(|(_, leg)| leg.ended.is_none()) {
        let Some(started) = &leg.started else { continue };
        let (attempt, token) = (leg.attempt, started.token.clone());
        let executor = started.executor.clone();
        effects.push(Effect::Attend { key: key.clone(), attempt, token: token.clone(), executor });
        if let Some(cancel) = &started.cancel {
            let (why, kill) = (cancel.why.clone(), cancel.kill);
            effects.push(Effect::CancelJob { key, attempt, token, why, kill });
        }
    }
    effects.extend(timers(state));
    effects
}

fn timers(state: &RunState) -> impl Iterator<Item = Effect> {
    let gates = state.gates.keys().map(|gate| TimerId::Gate(*gate));
    let jobs = state.legs().filter(|(_, leg)| leg.started.is_some() && leg.ended.is_none());
    let jobs = jobs.map(|(key, _)| TimerId::Job(key));
    let launches = state.legs().filter(|(_, leg)| leg.not_before.is_some() && leg.ended.is_none());
    let launches = launches.map(|(key, _)| TimerId::Launch(key));
    let all = gates.chain(jobs).chain(launches).chain([TimerId::Run]);
    all.filter_map(|timer| {
        let at = state.due(&timer)?;
        Some(if state.held.contains(&timer) {
            Effect::CheckTimer { timer, after: RECHECK }
        } else {
            Effect::SetTimer { timer, at }
        })
    })
}

impl RunState {
    /// Whether a person must do something before the run can go on, and nothing else can happen until then: `run` and
    /// `resume` end with exit code 3 here.
    pub fn waits_for_people(&self) -> bool {
        let open = self.gates.values().any(|gate| gate.status == GateStatus::Open);
        let busy = self.gates.values().any(|gate| gate.status == GateStatus::Requested)
            || self
                .jobs
                .keys()
                .flat_map(|id| self.places(id))
                .any(|place| matches!(place, Place::Running | Place::Free | Place::Retry(_) | Place::Lock(..)));
        self.finished.is_none() && open && !busy
    }
}
