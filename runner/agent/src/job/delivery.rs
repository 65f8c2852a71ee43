//! Delivery steps: the engine carries them out, the agent waits, shows what it says and hands on what comes of it.
//!
//! Invariant: a step whose delivery is under way is not ended at once. By a cancel or a time limit the engine is told; it
//! goes back to a state that is whole and answers, and only then does the step end. An engine that never answers is waited
//! for no longer than [`DELIVERY_GRACE`].

use std::time::Instant;

use indexmap::IndexMap;
use tagline_protocol::{DELIVERY_GRACE, Reply, Request, StepSpec, Stream};

use super::Job;
use super::effects::Effects;
use super::process::Ended;
use super::script::goes_on;
use super::watch::Stop;
use crate::reap::Exit;

/// A delivery that was told to end.
struct Ending {
    why: Stop,
    /// Not waited for beyond this.
    until: Instant,
}

impl Job {
    /// Lets the engine carry out a delivery and waits for its end.
    pub(super) fn deliver(
        &mut self,
        number: u32,
        spec: &StepSpec,
        uses: &str,
        with: IndexMap<String, String>,
        deadline: Option<Instant>,
        effects: &mut Effects,
    ) -> Ended {
        // Its plan is stored, shown and signed: whatever stands in it is known to everybody who may look.
        if let Some((name, _)) = with.iter().find(|(_, value)| self.journal.is_secret(value)) {
            effects.fail(format!(
                "`{name}` holds a value that is masked in this run, and what a delivery is given stands open in its plan; keep \
                 it in a Secret of the environment's namespace and name that one"
            ));
            return Ended { exit: Exit::Code(0), stop: None };
        }
        let id = self.control.request(Request::Deliver { step: number, uses: uses.to_owned(), with });
        let mut ending: Option<Ending> = None;
        let answer = loop {
            self.processes.wake.silence();
            self.show_progress(id);
            self.journal.flush_due();
            if let Some(answer) = self.control.answer(id) {
                break Some(answer);
            }
            if self.watch.is_killed() || ending.as_ref().is_some_and(|ending| Instant::now() >= ending.until) {
                ending.get_or_insert(Ending { why: Stop::Kill, until: Instant::now() });
                break None;
            }
            if ending.is_none()
                && let Some(why) = self.must_end(spec, deadline)
            {
                self.control.withdraw(id, &self.reason(&why));
                ending = Some(Ending { why, until: Instant::now() + DELIVERY_GRACE });
            }
            let moments = match &ending {
                Some(ending) => [Some(ending.until), None, self.journal.due()],
                None => [Some(self.watch.next()), deadline, self.journal.due()],
            };
            self.processes.wait(None, None, moments.into_iter().flatten());
        };
        self.show_progress(id);
        self.control.forget(id);
        match answer {
            Some(Ok(Reply::Delivered { outputs })) => effects.outputs.extend(outputs),
            Some(Ok(_)) => effects.fail("the engine answered something else than a delivery"),
            Some(Err(why)) => effects.fail(why),
            None => effects.fail("the engine did not say what became of the delivery"),
        }
        if ending.is_some() {
            self.watch.renew();
        }
        Ended { exit: Exit::Code(0), stop: ending.map(|ending| ending.why) }
    }

    /// Why the step must end, if it must.
    fn must_end(&mut self, spec: &StepSpec, deadline: Option<Instant>) -> Option<Stop> {
        let just_cancelled = self.watch.look();
        if (just_cancelled && !goes_on(&self.scope, spec)()) || self.watch.is_over() {
            return Some(Stop::Cancel);
        }
        if let Some(why) = self.journal.failure() {
            return Some(Stop::Disk(why.to_owned()));
        }
        deadline.is_some_and(|deadline| Instant::now() >= deadline).then_some(Stop::StepTime)
    }

    /// The same for the engine.
    fn reason(&self, stop: &Stop) -> String {
        match stop {
            Stop::Cancel | Stop::Kill => self.watch.reason().to_owned(),
            Stop::StepTime => "the step ran longer than its limit".to_owned(),
            Stop::Disk(why) => why.clone(),
        }
    }

    fn show_progress(&mut self, id: u64) {
        let progress = self.control.progress(id);
        for text in &progress.lines {
            text.lines().for_each(|line| self.journal.line(Stream::Output, line.as_bytes()));
        }
        for text in &progress.warnings {
            self.journal.warn(text);
        }
    }
}
