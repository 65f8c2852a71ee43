//! How long the API server may be away before a call gives up, the one message that says so, and time that counts only while
//! the server answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Cluster;
use crate::Progress;

/// How long a call waits for a server that is away, unless the caller says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);
/// An absence shorter than this is not worth a message.
const WORTH_SAYING: Duration = Duration::from_secs(3);

/// A server that was away until a moment ago is new: for so long its refusals are asked about again.
pub(crate) const FRESH: Duration = Duration::from_secs(5);

/// What people are told about the server's absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// It is out of reach; said once per absence.
    Away {
        /// The context.
        context: String,
        /// For how long so far.
        since: Duration,
        /// `connection refused`.
        why: String,
    },
    /// It answers again; said only where its absence was.
    Back {
        /// The context.
        context: String,
        /// How long it was away.
        after: Duration,
    },
}

impl Notice {
    /// The sentence for people; `now` by the engine's clock.
    pub fn text(&self, now: Timestamp) -> String {
        match self {
            Self::Away { context, since, why } => {
                let since = SignedDuration::try_from(*since).unwrap_or(SignedDuration::ZERO);
                let at = now.checked_sub(since).unwrap_or(now).strftime("%H:%M:%S");
                format!(
                    "API server of context {context} is out of reach since {at} UTC ({why}); nothing is changed meanwhile"
                )
            }
            Self::Back { context, after } => {
                format!("API server of context {context} answers again after {}", short(*after))
            }
        }
    }
}

/// Who is told.
pub type Hook = Arc<dyn Fn(Notice) + Send + Sync>;

/// Whether the server answers, shared by all clones of a cluster: an absence is told once, however many calls wait.
#[derive(Default)]
pub(crate) struct Reach(Mutex<Known>);

#[derive(Default)]
struct Known {
    absence: Option<Absence>,
    /// All absences before it, together.
    away: Duration,
    /// When it was last missed.
    missed: Option<Instant>,
}

struct Absence {
    since: Instant,
    told: bool,
}

impl Reach {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call got no answer: what is to be told, if anything.
    pub(crate) fn missed(&self, context: &str, why: &str, now: Instant) -> Option<Notice> {
        let mut known = self.known();
        known.missed = Some(now);
        let absence = known.absence.get_or_insert(Absence { since: now, told: false });
        let since = now.duration_since(absence.since);
        if absence.told || since < WORTH_SAYING {
            return None;
        }
        absence.told = true;
        Some(Notice::Away { context: context.to_owned(), since, why: why.to_owned() })
    }

    /// A call was answered.
    pub(crate) fn answered(&self, context: &str, now: Instant) -> Option<Notice> {
        let mut known = self.known();
        let absence = known.absence.take()?;
        let after = now.duration_since(absence.since);
        known.away += after;
        absence.told.then(|| Notice::Back { context: context.to_owned(), after })
    }

    /// For how long it was away so far, and whether it is now.
    fn away(&self, now: Instant) -> (Duration, bool) {
        let known = self.known();
        let absence = known.absence.as_ref().map(|absence| now.duration_since(absence.since));
        (known.away + absence.unwrap_or_default(), absence.is_some())
    }

    /// The server was missed less than [`FRESH`] ago.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        self.known().missed.is_some_and(|missed| now.duration_since(missed) < FRESH)
    }
}

/// How often it is looked whether an absence is over.
const LOOK: Duration = Duration::from_secs(1);

impl Cluster {
    /// Waits until so much time is over in which the server answered, by the engine's clock: nothing can be seen to have
    /// arrived while it is away, so nothing is late by that.
    pub(crate) async fn answering(&self, time: Duration, progress: &dyn Progress) {
        let reach = &self.shared.reach;
        let (start, (before, _)) = (progress.now(), reach.away(Instant::now()));
        loop {
            let (away, is_away) = reach.away(Instant::now());
            let over = Duration::try_from(progress.now().duration_since(start)).unwrap_or_default();
            let left = left(time, over, away.saturating_sub(before));
            if left.is_zero() && !is_away {
                return;
            }
            progress.sleep(if is_away { left.max(LOOK) } else { left }).await;
        }
    }
}

/// What is left of a time, where `over` has passed and the server was away for some of it.
fn left(time: Duration, over: Duration, away: Duration) -> Duration {
    time.saturating_sub(over.saturating_sub(away))
}

/// The pause before the next try: doubles from 0.25 s, to 1 s where nobody listens (asking costs nothing), to 5 s where
/// somebody is busy, or what the server asked for, at most 30 s.
pub(crate) fn pause(tries: u32, listens: bool, asked: Option<Duration>) -> Duration {
    let most = Duration::from_secs(if listens { 5 } else { 1 });
    let own = Duration::from_millis(250 << tries.min(5)).min(most);
    asked.map_or(own, |asked| asked.clamp(own, Duration::from_secs(30)))
}

/// A duration as people write it: `0.3s`, `31s`, `2m 5s`, `5m`.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 10 && duration.subsec_millis() >= 50 {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, 0) => format!("{minutes}m"),
        (minutes, seconds) => format!("{minutes}m {seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_is_told_once_and_its_end_only_where_it_was_told() {
        let (reach, start) = (Reach::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(reach.missed("prod", "connection refused", start), None);
        assert_eq!(reach.answered("prod", after(1)), None);
        assert_eq!(reach.missed("prod", "connection refused", after(2)), None);
        let away = reach.missed("prod", "connection refused", after(6)).expect("told");
        assert_eq!(reach.missed("prod", "connection refused", after(9)), None);
        let now: Timestamp = "2026-11-19T14:02:15Z".parse().unwrap();
        assert_eq!(
            away.text(now),
            "API server of context prod is out of reach since 14:02:11 UTC (connection refused); nothing is changed meanwhile"
        );
        let back = reach.answered("prod", after(33)).expect("told");
        assert_eq!(back.text(now), "API server of context prod answers again after 31s");
        assert_eq!(reach.answered("prod", after(34)), None);
    }

    #[test]
    fn time_in_which_the_server_is_away_does_not_count() {
        let (reach, start) = (Reach::default(), Instant::now());
        let seconds = Duration::from_secs;
        let _ = reach.missed("prod", "connection refused", start + seconds(10));
        let _ = reach.answered("prod", start + seconds(40));
        assert_eq!(reach.away(start + seconds(50)), (seconds(30), false));
        let _ = reach.missed("prod", "connection refused", start + seconds(60));
        assert_eq!(reach.away(start + seconds(65)), (seconds(35), true));
        assert_eq!(left(seconds(60), seconds(65), seconds(35)), seconds(30));
        assert_eq!(left(seconds(60), seconds(95), seconds(35)), seconds(0));
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let pauses = |listens| (0..7).map(|tries| pause(tries, listens, None).as_millis()).collect::<Vec<_>>();
        assert_eq!(pauses(true), [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(pauses(false), [250, 500, 1000, 1000, 1000, 1000, 1000]);
        assert_eq!(pause(0, true, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(pause(0, true, Some(Duration::from_hours(1))), Duration::from_secs(30));
    }
}
