//! How long an attendant bears with a job whose link breaks, and with an executor that does not answer.
//!
//! Invariants: links that break one after the other with nothing new in between end a job, any number over its life does
//! not; an executor out of reach says nothing about a job and is asked again for ever.

use std::time::Duration;

/// How often in a row a broken link is made anew before the job counts as gone.
const RECONNECTS: u32 = 5;
/// The first pause after a broken link; each is twice the one before.
const FIRST: Duration = Duration::from_millis(200);
/// The first pause after an executor did not answer, and the longest.
const AWAY: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// What there was to bear so far.
#[derive(Debug, Default)]
pub(super) struct Patience {
    broken: u32,
    away: u32,
}

impl Patience {
    /// Something new came over a link.
    pub(super) fn heard(&mut self) {
        self.broken = 0;
    }

    /// The executor answered.
    pub(super) fn answered(&mut self) {
        self.away = 0;
    }

    /// A link broke. How long to wait before the next; none when it is enough.
    pub(super) fn broke(&mut self) -> Option<Duration> {
        self.broken += 1;
        (self.broken < RECONNECTS).then(|| FIRST * 2_u32.pow(self.broken - 1))
    }

    /// The executor does not answer. How long to wait before it is asked again, and whether this is news.
    pub(super) fn away(&mut self) -> (Duration, bool) {
        self.away += 1;
        let wait = AWAY.saturating_mul(2_u32.saturating_pow(self.away - 1));
        (wait.min(LONGEST), self.away == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_break_now_and_then_are_borne_and_those_that_break_in_a_row_are_not() {
        let mut patience = Patience::default();
        for _ in 0..100 {
            assert_eq!(patience.broke(), Some(FIRST));
            patience.heard();
        }
        let waits: Vec<_> = std::iter::from_fn(|| patience.broke()).collect();
        assert_eq!(waits, [1, 2, 4, 8].map(|times| FIRST * times));
    }

    #[test]
    fn an_executor_is_asked_again_for_ever_and_its_silence_is_news_once() {
        let mut patience = Patience::default();
        let asked: Vec<_> = (0..100).map(|_| patience.away()).collect();
        assert_eq!(asked[..3], [(AWAY, true), (AWAY * 2, false), (AWAY * 4, false)]);
        assert_eq!(asked[99], (LONGEST, false));
        patience.answered();
        assert_eq!(patience.away(), (AWAY, true));
    }
}
