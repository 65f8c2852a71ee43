//! The questions at an open gate, on a terminal.
//!
//! Invariants: a vote needs the release's version typed out, or a reason; Ctrl-C and the end of input are `quit` at every
//! question; what was typed before the first question counts for nothing.

use std::io::Write as _;

use tagline_plan::Person;
use tagline_run::{Decision, GateId, GateStatus};

use super::cast::{Ballot, cast, decided, recorded, signing_key};
use super::review::{Review, review};
use super::{detail, open_gates, person_of};
use crate::context::Context;
use crate::failure::Failure;
use crate::live::{Answer, Controls, Followed};
use crate::output::Style;
use crate::words::plain;

/// How the questions are asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asking {
    /// The gate; without it the first that is open.
    pub(crate) gate: Option<GateId>,
    /// An engine drives the run while the person thinks: what others do is seen.
    pub(crate) driven: bool,
    /// After a vote the questions go on as long as the gate waits.
    pub(crate) stay: bool,
    /// Signs instead of Git's key.
    pub(crate) key: Option<std::path::PathBuf>,
}

/// What came of the questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The person voted, and the questions were to end with that.
    Voted(Decision),
    /// The gate no longer waits.
    GoesOn,
    /// The release is left waiting.
    Quit,
    /// The engine that drove the run is gone.
    EngineGone,
}

/// What the person asked for.
enum Step {
    Again,
    Menu,
    Leave(Answered),
}

/// Asks the person at an open gate.
pub(crate) async fn prompt(
    context: &Context,
    followed: &mut Followed,
    controls: &mut Controls,
    asking: &Asking,
) -> Result<Answered, Failure> {
    let Some(gate) = asking.gate.or_else(|| open_gates(&followed.state).next()) else { return Ok(Answered::GoesOn) };
    let person = person_of(&followed.store, &followed.state);
    controls.forget();
    let mut desk = Desk { context, followed, controls, asking, gate, person };
    let mut show = true;
    loop {
        let Some(review) = desk.review() else { return Ok(Answered::GoesOn) };
        if review.view.status != "waiting" {
            return Ok(Answered::GoesOn);
        }
        if show {
            review.lines(context, &context.output.err).iter().for_each(|line| context.output.note(line));
        }
        match desk.turn(&review).await? {
            Step::Again => show = true,
            Step::Menu => show = false,
            Step::Leave(answered) => return Ok(answered),
        }
    }
}

/// One person at one gate.
struct Desk<'d> {
    context: &'d Context,
    followed: &'d mut Followed,
    controls: &'d mut Controls,
    asking: &'d Asking,
    gate: GateId,
    person: Option<Person>,
}

impl Desk<'_> {
    fn review(&self) -> Option<Review> {
        let viewer = self.person.as_ref().map(|person| person.email.as_str());
        review(&self.followed.store, &self.followed.state, self.gate, viewer)
    }

    /// One question and what follows from its answer.
    async fn turn(&mut self, review: &Review) -> Result<Step, Failure> {
        let may = review.view.you.as_ref().is_some_and(|you| you.may_vote);
        self.ask(&self.menu(review, may));
        let answer = tokio::select! {
            biased;
            answer = self.controls.answer() => answer,
            news = self.followed.news(), if self.asking.driven => return Ok(self.others(news?.is_some())),
        };
        let Answer::Line(line) = answer else { return Ok(self.quit()) };
        let (word, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        match word {
            "approve" if may => self.approve(review).await,
            "reject" if may => self.reject().await,
            "approve" | "reject" => {
                self.say(&cannot(review));
                Ok(Step::Menu)
            }
            "diff" => Ok(self.show(&detail::diff(&self.followed.state, review, rest))),
            "sbom" => Ok(self.show(&detail::sbom(review))),
            "log" => Ok(self.show(&detail::log(&self.followed.store, &self.followed.state, rest))),
            "wait" if self.asking.driven => self.wait().await,
            "quit" => Ok(self.quit()),
            "" => Ok(Step::Menu),
            other => {
                self.say(&format!("`{}` is not one of them", plain(other)));
                Ok(Step::Menu)
            }
        }
    }

    fn menu(&self, review: &Review, may: bool) -> String {
        let facts = &self.context.output.err;
        let dot = if facts.symbols { " · " } else { ", " };
        let diff = match detail::count(review) {
            0 | 1 => "diff".to_owned(),
            n => format!("diff 1-{n}|all"),
        };
        let mut words = Vec::new();
        if may {
            words.extend(["approve".to_owned(), "reject".to_owned()]);
        }
        words.push(diff);
        words.extend(review.bill.is_some().then(|| "sbom".to_owned()));
        words.push("log".to_owned());
        words.extend(self.asking.driven.then(|| "wait".to_owned()));
        words.push("quit (leave it waiting)".to_owned());
        format!("{} ", facts.paint(Style::Accent, format!("{} >", words.join(dot))))
    }

    async fn approve(&mut self, review: &Review) -> Result<Step, Failure> {
        let Some(comment) = self.question("  Comment (Enter for none): ").await else { return Ok(self.quit()) };
        let (word, environment) = (review.word().to_owned(), plain(&review.view.environment));
        let Some(typed) = self.question(&format!("  Type {} to approve for {environment}: ", plain(&word))).await
        else {
            return Ok(self.quit());
        };
        if typed.trim() != word {
            self.say(&format!("Not approved: `{}` is not {}", plain(typed.trim()), plain(&word)));
            return Ok(Step::Menu);
        }
        self.vote(Decision::Approve, comment.trim()).await
    }

    async fn reject(&mut self) -> Result<Step, Failure> {
        let Some(reason) = self.question("  Reason (required): ").await else { return Ok(self.quit()) };
        if reason.trim().is_empty() {
            self.say("Not rejected: a reason is required");
            return Ok(Step::Menu);
        }
        self.vote(Decision::Reject, reason.trim()).await
    }

    async fn vote(&mut self, decision: Decision, comment: &str) -> Result<Step, Failure> {
        let Some(person) = self.person.clone() else { return Ok(Step::Menu) };
        let key = signing_key(&self.followed.store, &self.followed.state, self.asking.key.as_deref());
        let ballot = Ballot { decision, comment: comment.to_owned(), key, via: "prompt" };
        // The signer may ask for a passphrase on this terminal.
        self.controls.hands_off(true);
        let cast = cast(self.context, &self.followed.state, self.gate, &person, ballot).await;
        self.controls.hands_off(false);
        let cast = match cast {
            Ok(cast) => cast,
            Err(failure) => {
                failure.report(&self.context.output);
                self.followed.catch_up()?;
                return Ok(Step::Again);
            }
        };
        self.followed.catch_up()?;
        if let Some(review) = self.review() {
            let facts = self.context.output.err;
            let over = self.followed.state.finished.is_some();
            let lines = recorded(&cast, &review.view, over, self.context, &facts);
            // The engine is here: the run goes on before the person's eyes.
            let told = if self.asking.stay { 1 } else { lines.len() };
            lines.iter().take(told).for_each(|line| self.say(line));
        }
        let waits = self.followed.state.gates.get(&self.gate).is_some_and(|gate| gate.status == GateStatus::Open);
        Ok(match (self.asking.stay, waits) {
            (false, _) => Step::Leave(Answered::Voted(decision)),
            (true, true) => Step::Menu,
            (true, false) => Step::Leave(Answered::GoesOn),
        })
    }

    /// Prints votes as they come, until Enter, or the gate no longer waits.
    async fn wait(&mut self) -> Result<Step, Failure> {
        self.say("Waiting for others; Enter: back to the questions");
        loop {
            tokio::select! {
                biased;
                answer = self.controls.answer() => return Ok(match answer {
                    Answer::Line(_) => Step::Menu,
                    Answer::End => self.quit(),
                }),
                news = self.followed.news() => match self.others(news?.is_some()) {
                    Step::Leave(answered) => return Ok(Step::Leave(answered)),
                    Step::Again | Step::Menu => {}
                },
            }
        }
    }

    /// Says what others did meanwhile.
    fn others(&self, engine: bool) -> Step {
        if !engine {
            return Step::Leave(Answered::EngineGone);
        }
        self.say("");
        let gate = self.followed.state.gates.get(&self.gate);
        if gate.is_none_or(|gate| gate.status != GateStatus::Open) {
            self.say(&decided(&self.followed.state, self.gate));
            return Step::Leave(Answered::GoesOn);
        }
        let votes = gate.and_then(|gate| gate.opened.as_ref()).and_then(|opened| opened.votes.last());
        if let Some((at, vote)) = votes {
            let did = if vote.statement.decision == Decision::Approve { "approved" } else { "rejected" };
            self.say(&format!("{} {did} at {}", plain(&vote.voter.email), self.context.time(*at)));
        }
        Step::Menu
    }

    /// Asks for a line; none is the wish to leave.
    async fn question(&mut self, text: &str) -> Option<String> {
        self.ask(text);
        match self.controls.answer().await {
            Answer::Line(line) => Some(line),
            Answer::End => None,
        }
    }

    fn show(&self, lines: &[String]) -> Step {
        for line in lines {
            self.say(line);
        }
        Step::Menu
    }

    fn quit(&self) -> Step {
        self.say("");
        Step::Leave(Answered::Quit)
    }

    fn ask(&self, text: &str) {
        let mut screen = std::io::stderr().lock();
        // A terminal that is gone answers nothing, and its end of input leaves the release waiting.
        let _ = screen.write_all(self.context.output.err.shown(text).as_bytes()).and_then(|()| screen.flush());
    }

    fn say(&self, text: &str) {
        self.context.output.note(text);
    }
}

fn cannot(review: &Review) -> String {
    let can = super::review::can(&review.view.reviewers);
    match &review.view.you {
        Some(you) => format!("You cannot vote: {}. {}", plain(&you.reason), plain(&can)),
        None => "You cannot vote: Git does not say who you are; git config user.email you@example.com".to_owned(),
    }
}
