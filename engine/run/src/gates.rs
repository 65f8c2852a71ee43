//! Gates: opening them with everything an approval binds, and counting votes.
//!
//! An approval binds run, environment, gate, gate digest, artifacts, workflow, rules and a nonce used once. A vote on
//! anything else is refused; what changes under an open gate voids it and its votes, and another gate asks anew.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use tagline_plan::{GatePlan, PlannedDelivery, gate_plan};

use crate::decide::Decider;
use crate::event::{ApprovedBy, Cause, Fact};
use crate::ids::{GateId, Holder, Lock};
use crate::refusal::Refusal;
use crate::rules;
use crate::state::{Gate, GateStatus, Opened, RunState};
use crate::statement::{Decision, Statement, VOTE_FORMAT, Vote};
use crate::view;

impl RunState {
    /// The plan a gate would bind now: its legs, what the jobs before them put out, the artifacts made so far.
    pub fn gate_plan(&self, gate: &Gate) -> GatePlan {
        let stage = rules::stage(self, &gate.jobs);
        let artifacts = self.artifact_digests();
        gate_plan(&self.plan, &gate.environment, &stage, &self.facts(), &artifacts)
    }

    /// What somebody states by a vote on an open gate: sign its bytes, and send it as a [`Vote`].
    pub fn statement(
        &self,
        id: GateId,
        decision: Decision,
        voter: &str,
        comment: &str,
        time: jiff::Timestamp,
    ) -> Option<Statement> {
        let gate = self.gates.get(&id)?;
        let opened = gate.opened.as_ref()?;
        Some(Statement {
            format: VOTE_FORMAT.to_owned(),
            run: self.run,
            repository: self.plan.repository.clone(),
            environment: gate.environment.clone(),
            gate: id,
            decision,
            gate_digest: opened.digest.clone(),
            artifacts: opened.plan.artifacts.clone(),
            workflow_digest: opened.plan.workflow_digest.clone(),
            policy_version: opened.plan.policy_version.clone(),
            nonce: opened.nonce.clone(),
            voter: voter.to_lowercase(),
            comment: comment.to_owned(),
            checklist: std::collections::BTreeMap::new(),
            time,
        })
    }
}

impl Decider {
    pub(crate) fn gate_prepared(
        &mut self,
        id: GateId,
        nonce: String,
        passed: &BTreeSet<String>,
        deliveries: Vec<PlannedDelivery>,
    ) -> Result<(), Refusal> {
        let gate = self.requested(id)?.clone();
        let used = |other: &Gate| other.opened.as_ref().is_some_and(|o| o.nonce == nonce);
        if nonce.is_empty() || self.state.gates.values().any(used) {
            return Err(Refusal::NonceReused);
        }
        if let Err(forbidden) = rules::check(&self.state, &gate, passed) {
            let code = forbidden.code.to_owned();
            self.emit(Fact::GateRefused { gate: id, code, why: forbidden.why });
            return Ok(());
        }
        let rules = self.state.rules(&gate.environment).map(|(_, rules)| rules);
        let requires = rules.and_then(|rules| rules.reviewers.clone());
        let lasts = rules.map_or(0, |rules| rules.expires_seconds);
        let lasts = SignedDuration::from_secs(i64::try_from(lasts).unwrap_or(i64::MAX));
        let until = self.now.saturating_add(lasts).unwrap_or(jiff::Timestamp::MAX);
        let plan = Box::new(GatePlan { deliveries, ..self.state.gate_plan(&gate) });
        let by_rule = requires.is_none();
        self.emit(Fact::GateOpened {
            gate: id,
            digest: plan.digest(),
            plan,
            nonce,
            expires: requires.is_some().then_some(until),
            requires,
        });
        if by_rule {
            self.emit(Fact::GateApproved { gate: id, by: ApprovedBy::Rule });
        }
        Ok(())
    }

    pub(crate) fn gate_unprepared(&mut self, id: GateId, why: String) -> Result<(), Refusal> {
        self.requested(id)?;
        self.emit(Fact::GateRefused { gate: id, code: "not-prepared".to_owned(), why });
        Ok(())
    }

    /// What is started goes on, and a stage that has its environment's lock has the environment to itself: nothing came
    /// live there since it was looked at.
    pub(crate) fn downgrade(&mut self, environment: &str, why: &str) {
        let name = environment.to_lowercase();
        let claim = self.state.locks.get(&(Lock::Environment(name.clone()), Holder::Stage(name)));
        let has_it = claim.is_some_and(|claim| claim.granted);
        if self.state.allow_downgrade {
            return;
        }
        let here = |gate: &Gate| gate.status.is_pending() && gate.environment.eq_ignore_ascii_case(environment);
        let gates: Vec<GateId> = self.state.gates.iter().filter(|(_, gate)| here(gate)).map(|(id, _)| *id).collect();
        for gate in gates {
            self.emit(Fact::GateRefused { gate, code: "downgrade".to_owned(), why: why.to_owned() });
        }
        for key in self.state.open_stage(environment) {
            if !has_it && self.leg_of(&key).is_some_and(|leg| leg.started.is_none()) {
                self.fail(&key, Cause::Refused, why.to_owned());
            }
        }
    }

    fn requested(&self, id: GateId) -> Result<&Gate, Refusal> {
        let gate = self.state.gates.get(&id).ok_or(Refusal::NoSuchGate(id))?;
        match gate.status {
            GateStatus::Requested => Ok(gate),
            _ => Err(Refusal::NoSuchGate(id)),
        }
    }

    pub(crate) fn vote(&mut self, vote: Vote) -> Result<(), Refusal> {
        let id = vote.statement.gate;
        let opened = self.open_for(&vote.statement)?;
        check_statement(&self.state, id, opened, &vote)?;
        if let Some(expires) = opened.expires.filter(|expires| self.now >= *expires) {
            return Err(Refusal::Expired(expires));
        }
        let email = vote.voter.email.to_lowercase();
        if opened.votes.iter().any(|(_, v)| v.voter.email.eq_ignore_ascii_case(&email)) {
            return Err(Refusal::AlreadyVoted(email));
        }
        let eligibility = view::eligibility(&self.state, id, &email);
        if !eligibility.may_vote {
            return Err(Refusal::NotEligible { who: email, why: eligibility.reason });
        }
        let decision = vote.statement.decision;
        self.emit(Fact::VoteRecorded { gate: id, vote: Box::new(vote) });
        let opened = self.state.gates.get(&id).and_then(|gate| gate.opened.as_ref());
        match decision {
            Decision::Reject => self.emit(Fact::GateRejected { gate: id }),
            Decision::Approve => {
                if opened.is_some_and(|o| rules::missing(&self.state.plan, o).is_none()) {
                    self.emit(Fact::GateApproved { gate: id, by: ApprovedBy::Votes });
                }
            }
        }
        Ok(())
    }

    /// The open gate a statement is about, or why there is none.
    fn open_for(&self, statement: &Statement) -> Result<&Opened, Refusal> {
        let id = statement.gate;
        let gate = self.state.gates.get(&id).ok_or(Refusal::NoSuchGate(id))?;
        let stale =
            |current: &str| Refusal::StalePlan { given: statement.gate_digest.clone(), current: current.to_owned() };
        match (&gate.status, &gate.opened) {
            (GateStatus::Requested, _) | (GateStatus::Open, None) => Err(Refusal::NotOpen(id)),
            (GateStatus::Open, Some(opened)) if opened.digest == statement.gate_digest => Ok(opened),
            (GateStatus::Open, Some(opened)) => Err(stale(&opened.digest)),
            (GateStatus::Voided { .. }, _) => {
                let newer = self
                    .state
                    .gates
                    .values()
                    .rev()
                    .find(|other| other.environment == gate.environment && other.status == GateStatus::Open);
                Err(match newer.and_then(|gate| gate.opened.as_ref()) {
                    Some(opened) => stale(&opened.digest),
                    None => decided(&self.state, id, gate),
                })
            }
            _ => Err(decided(&self.state, id, gate)),
        }
    }
}

fn decided(state: &RunState, id: GateId, gate: &Gate) -> Refusal {
    let outcome = view::outcome(state, id);
    Refusal::AlreadyDecided { environment: gate.environment.clone(), outcome }
}

/// Holds every field of the statement against the gate.
fn check_statement(state: &RunState, id: GateId, opened: &Opened, vote: &Vote) -> Result<(), Refusal> {
    let given = &vote.statement;
    let (voter, comment) = (&vote.voter.email, &given.comment);
    let expected = state.statement(id, given.decision, voter, comment, given.time);
    let expected = expected.ok_or(Refusal::NoSuchGate(id))?;
    let list = |map: &std::collections::BTreeMap<String, String>| {
        let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}={v}")).collect();
        pairs.join(" ")
    };
    let fields = [
        ("format", given.format.clone(), expected.format),
        ("run", given.run.to_string(), expected.run.to_string()),
        ("repository", given.repository.clone(), expected.repository),
        ("environment", given.environment.clone(), expected.environment),
        ("nonce", given.nonce.clone(), opened.nonce.clone()),
        ("artifacts", list(&given.artifacts), list(&expected.artifacts)),
        ("workflow_digest", given.workflow_digest.clone(), expected.workflow_digest),
        ("policy_version", given.policy_version.clone(), expected.policy_version),
        ("voter", given.voter.clone(), expected.voter),
        ("checklist", list(&given.checklist), list(&expected.checklist)),
    ];
    match fields.into_iter().find(|(_, given, expected)| given != expected) {
        None => Ok(()),
        Some((field, given, expected)) => Err(Refusal::Mismatch { field: field.to_owned(), given, expected }),
    }
}
