//! What one container's log holds beyond what was read of it before: pure, over answers of the API server with a time in
//! front of each line.
//!
//! - A log is gone on with behind the last line that was read, found again by its time and how many lines bear that time: the
//!   server gives lines from a whole second on.
//! - Where that line is not there any more the log was rotated, and what was between is a [`LogGap`].
//! - A line that does not end yet is left for the next time.

use jiff::{SignedDuration, Timestamp};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use serde::{Deserialize, Serialize};

use super::{LINE, LogGap, SAMPLES};

/// How far a container's log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// How often the container had been started again: each run has a log of its own.
    pub(super) restarts: i64,
    /// The time of the last line.
    pub(super) at: Timestamp,
    /// How many lines of that very time were read; 0: none of this run, and lines count from that time on.
    pub(super) lines: usize,
}

/// A reading under way of one container's log.
pub(super) struct Tally<'p> {
    /// `shop-1 app`.
    name: String,
    patterns: &'p [Option<PikeVM>],
    pub(super) mark: Mark,
    /// By pattern, how many lines match, and the first of them.
    pub(super) hits: Vec<(u32, Vec<String>)>,
    pub(super) gaps: Vec<LogGap>,
}

impl<'p> Tally<'p> {
    pub(super) fn new(name: &str, patterns: &'p [Option<PikeVM>], mark: Mark) -> Self {
        let hits = vec![(0, Vec::new()); patterns.len()];
        Self { name: name.to_owned(), patterns, mark, hits, gaps: Vec::new() }
    }

    /// The log of a later run is read from here on; what it wrote comes after all that was read.
    pub(super) fn turn_to(&mut self, restarts: i64) {
        if self.mark.restarts != restarts {
            let nanos = i64::from(self.mark.lines > 0);
            let at = self.mark.at.saturating_add(SignedDuration::from_nanos(nanos)).unwrap_or(self.mark.at);
            self.mark = Mark { restarts, at, lines: 0 };
        }
    }

    /// What was written from the mark until then cannot be read.
    pub(super) fn miss(&mut self, until: Timestamp) {
        if until > self.mark.at {
            self.gaps.push(LogGap { container: self.name.clone(), from: self.mark.at, until });
        }
    }

    /// More was written within the mark's second than one answer holds: the rest of that second is passed over.
    pub(super) fn skip(&mut self) {
        let second = Timestamp::from_second(self.mark.at.as_second()).unwrap_or(self.mark.at);
        let next = second.saturating_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
        self.miss(next);
        self.mark = Mark { at: next, lines: 0, ..self.mark };
    }

    /// Takes in an answer: lines from the mark's second on. `cut`: there is more of it. `over`: the run has ended, so its
    /// last line is whole. Whether anything was new.
    pub(super) fn take(&mut self, text: &str, cut: bool, over: bool) -> bool {
        let end = if over && !cut { text.len() } else { text.rfind('\n').map_or(0, |at| at + 1) };
        let lines: Vec<_> = text.get(..end).unwrap_or_default().lines().map(stamped).collect();
        let known = behind(&lines, self.mark);
        let first = known.or_else(|| lines.iter().position(|(at, _)| at.is_some_and(|at| at > self.mark.at)));
        let new = first.and_then(|first| lines.get(first..)).unwrap_or_default();
        if known.is_none()
            && let Some((Some(at), _)) = new.first()
        {
            self.miss(*at);
        }
        self.count(new);
        if let Some(at) = new.iter().rev().find_map(|(at, _)| *at) {
            let same = lines.iter().filter(|(other, _)| *other == Some(at)).count();
            self.mark = Mark { at, lines: same, ..self.mark };
        }
        !new.is_empty()
    }

    fn count(&mut self, lines: &[(Option<Timestamp>, &str)]) {
        for (pattern, (found, samples)) in self.patterns.iter().zip(&mut self.hits) {
            let Some(pattern) = pattern else { continue };
            let mut cache = pattern.create_cache();
            for (_, line) in lines.iter().filter(|(_, line)| pattern.is_match(&mut cache, line.as_bytes())) {
                *found = found.saturating_add(1);
                if samples.len() < SAMPLES {
                    let line: String = line.chars().take(LINE).collect();
                    samples.push(format!("{}: {line}", self.name));
                }
            }
        }
    }
}

/// The number of the first line behind the mark's; None where the mark's is not there.
fn behind(lines: &[(Option<Timestamp>, &str)], mark: Mark) -> Option<usize> {
    let Some(last) = mark.lines.checked_sub(1) else {
        let first = lines.iter().position(|(at, _)| at.is_some_and(|at| at >= mark.at));
        return Some(first.unwrap_or(lines.len()));
    };
    let mut same = lines.iter().enumerate().filter(|(_, (at, _))| *at == Some(mark.at));
    same.nth(last).map(|(number, _)| number + 1)
}

/// A line's time, and what was written.
fn stamped(line: &str) -> (Option<Timestamp>, &str) {
    let (at, text) = line.split_once(' ').unwrap_or((line, ""));
    at.parse().map_or((None, line), |at| (Some(at), text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64, nanos: i32) -> Timestamp {
        Timestamp::new(seconds, nanos).unwrap()
    }

    fn start() -> Mark {
        Mark { restarts: 0, at: at(10, 0), lines: 0 }
    }

    fn patterns() -> Vec<Option<PikeVM>> {
        vec![PikeVM::new("ERROR").ok()]
    }

    fn text(lines: &[(Timestamp, &str)]) -> String {
        lines.iter().map(|(at, line)| format!("{at} {line}\n")).collect::<Vec<_>>().concat()
    }

    /// What the server answers: lines from a whole second on, as many bytes as it may.
    fn answer(log: &[(Timestamp, &str)], from: Timestamp, limit: usize) -> (String, bool) {
        let from = at(from.as_second(), 0);
        let lines: Vec<_> = log.iter().filter(|(at, _)| *at >= from).copied().collect();
        let mut all = text(&lines);
        let cut = all.len() > limit;
        all.truncate(limit);
        (all, cut)
    }

    #[test]
    fn a_line_is_counted_once_though_its_second_is_read_again() {
        let patterns = patterns();
        let mut tally = Tally::new("a app", &patterns, start());
        let log = [(at(11, 5), "ERROR 1"), (at(11, 7), "ERROR 2"), (at(11, 7), "ERROR 3")];
        assert!(tally.take(&text(&log[..2]), false, false));
        assert!(!tally.take(&text(&log[..2]), false, false), "nothing is new");
        assert!(tally.take(&text(&log), false, false));
        assert_eq!((tally.hits[0].0, tally.gaps.len()), (3, 0));
        assert_eq!(tally.hits[0].1[2], "a app: ERROR 3");
    }

    #[test]
    fn a_line_that_does_not_end_yet_is_left_and_the_last_of_an_ended_run_is_not() {
        let patterns = patterns();
        let mut tally = Tally::new("a app", &patterns, start());
        let half = format!("{} ERR", at(11, 0));
        assert!(!tally.take(&half, false, false));
        assert!(tally.take(&format!("{half}OR"), false, true));
        assert_eq!(tally.hits[0].0, 1);
    }

    #[test]
    fn what_was_rotated_away_unread_is_a_gap() {
        let patterns = patterns();
        let mut tally = Tally::new("a app", &patterns, start());
        tally.take(&text(&[(at(11, 5), "ok")]), false, false);
        assert!(!tally.take("", false, false));
        assert_eq!(tally.gaps, [], "nobody knows yet whether anything was written");
        tally.take(&text(&[(at(14, 0), "ERROR")]), false, false);
        let gap = LogGap { container: "a app".to_owned(), from: at(11, 5), until: at(14, 0) };
        assert_eq!((tally.hits[0].0, tally.gaps), (1, vec![gap]));
    }

    #[test]
    fn the_log_of_another_run_is_read_from_its_first_line() {
        let patterns = patterns();
        let mut tally = Tally::new("a app", &patterns, start());
        tally.take(&text(&[(at(11, 5), "ERROR")]), false, false);
        tally.turn_to(1);
        tally.take(&text(&[(at(11, 9), "ERROR")]), false, false);
        assert_eq!((tally.hits[0].0, tally.gaps.len(), tally.mark.restarts), (2, 0, 1));
    }

    #[test]
    fn a_second_of_more_than_an_answer_is_passed_over_and_told() {
        let patterns = patterns();
        let log = [(at(11, 1), "long and longer"), (at(11, 2), "ERROR"), (at(12, 0), "ERROR")];
        let mut tally = Tally::new("a app", &patterns, start());
        let mut rounds = 0;
        loop {
            let (text, cut) = answer(&log, tally.mark.at, 50);
            let new = tally.take(&text, cut, false);
            rounds += 1;
            match (cut, new) {
                (false, _) => break,
                (true, true) => {}
                (true, false) => tally.skip(),
            }
        }
        let gap = LogGap { container: "a app".to_owned(), from: at(11, 1), until: at(12, 0) };
        assert_eq!((tally.hits[0].0, tally.gaps, rounds), (1, vec![gap], 3));
    }

    proptest! {
        /// However the readings fall, and however little one answer holds: each line counts once.
        #[test]
        fn every_line_counts_once(
            steps in prop::collection::vec((0_i64..3, prop::sample::select(vec!["ok", "ERROR x"])), 1..30),
            stops in prop::collection::vec(0_usize..30, 0..6),
            limit in 400_usize..900,
        ) {
            let (mut seconds, mut log) = (10, Vec::new());
            for (number, (step, line)) in steps.iter().enumerate() {
                seconds += step;
                // Two lines in three share their time with the next.
                log.push((at(seconds, i32::try_from(number / 3).unwrap()), *line));
            }
            let patterns = patterns();
            let mut tally = Tally::new("a app", &patterns, start());
            let mut stops: Vec<usize> = stops.into_iter().map(|stop| stop.min(log.len())).collect();
            stops.sort_unstable();
            stops.push(log.len());
            for stop in stops {
                loop {
                    let (text, cut) = answer(&log[..stop], tally.mark.at, limit);
                    let new = tally.take(&text, cut, false);
                    if !cut { break }
                    if !new { tally.skip() }
                }
            }
            let wanted = log.iter().filter(|(_, line)| line.contains("ERROR")).count();
            let found = usize::try_from(tally.hits[0].0).unwrap();
            prop_assert!(found == wanted || !tally.gaps.is_empty() && found < wanted, "{found} of {wanted}");
        }
    }
}
