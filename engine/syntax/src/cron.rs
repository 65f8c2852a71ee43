//! `schedule.cron`: five POSIX fields.
//!
//! Minute, hour, day of the month, month, day of the week (Sunday is 0, not 7). A field is a list of `*`, a
//! value, or a range, each perhaps with a step. Months and days of the week have names of three letters. There
//! are no `@daily` and the like.

/// The shortest distance GitHub keeps between two scheduled runs, in minutes.
pub const SHORTEST_INTERVAL: u32 = 5;

/// A valid schedule: bit N of a field stands for the value N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cron {
    /// Minutes, 0 to 59.
    pub minutes: u64,
    /// Hours, 0 to 23.
    pub hours: u64,
    /// Days of the month, 1 to 31.
    pub days: u64,
    /// Months, 1 to 12.
    pub months: u64,
    /// Days of the week, 0 (Sunday) to 6.
    pub weekdays: u64,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// There are not five fields.
    #[error("a schedule has five fields (minute, hour, day, month, day of the week), not {0}")]
    Fields(usize),
    /// A part of a field is not what it may be.
    #[error("`{part}` is no {name}: that is a number from {min} to {max}, `*`, a range, or a step such as `*/2`")]
    Part {
        /// The part as written.
        part: String,
        /// The name of the field.
        name: &'static str,
        /// The smallest value.
        min: u32,
        /// The largest value.
        max: u32,
    },
}

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const fn field(name: &'static str, min: u32, max: u32, names: &'static [&'static str]) -> Field {
    Field { name, min, max, names }
}

const FIELDS: [Field; 5] = [
    field("minute", 0, 59, &[]),
    field("hour", 0, 23, &[]),
    field("day of the month", 1, 31, &[]),
    field("month", 1, 12, MONTHS),
    field("day of the week", 0, 6, WEEKDAYS),
];

impl Cron {
    /// Reads a schedule; its fields are parted by spaces.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let parts: Vec<&str> = text.split(' ').filter(|part| !part.is_empty()).collect();
        let [minutes, hours, days, months, weekdays] = parts.as_slice() else {
            return Err(CronError::Fields(parts.len()));
        };
        Ok(Self {
            minutes: FIELDS[0].values(minutes)?,
            hours: FIELDS[1].values(hours)?,
            days: FIELDS[2].values(days)?,
            months: FIELDS[3].values(months)?,
            weekdays: FIELDS[4].values(weekdays)?,
        })
    }

    /// The shortest time between two runs, in minutes; a day at most.
    pub fn shortest_interval(&self) -> u32 {
        let has = |bits: u64, value: u32| bits >> value & 1 == 1;
        let times: Vec<u32> =
            (0..24 * 60).filter(|time| has(self.hours, time / 60) && has(self.minutes, time % 60)).collect();
        let next_day = times.first().map(|first| first + 24 * 60);
        let later = times.iter().copied().skip(1).chain(next_day);
        times.iter().zip(later).map(|(time, next)| next - time).min().unwrap_or(24 * 60)
    }
}

impl Field {
    fn values(&self, text: &str) -> Result<u64, CronError> {
        text.split(',').try_fold(0, |all, part| {
            let values = self.part(part).ok_or_else(|| CronError::Part {
                part: part.to_owned(),
                name: self.name,
                min: self.min,
                max: self.max,
            })?;
            Ok(all | values)
        })
    }

    /// `*`, `3`, `3-9`, each perhaps with `/step`; `3/2` runs from 3 to the end.
    fn part(&self, part: &str) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(self.number(step).filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None if range == "*" => (self.min, self.max),
            None if step.is_some() => (self.value(range)?, self.max),
            None => (self.value(range)?, self.value(range)?),
        };
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        (first <= last).then(|| (first..=last).step_by(step).fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        match named {
            Some(index) => u32::try_from(index).ok().map(|index| index + self.min),
            None => self.number(text),
        }
    }

    fn number(&self, text: &str) -> Option<u32> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok())??;
        (self.min..=self.max).contains(&number).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cron, CronError};
    use proptest::prelude::*;

    #[test]
    fn fields_become_sets() {
        let cron = Cron::parse("*/20 5-7,23 1 jan,DEC SUN-2").unwrap();
        assert_eq!(cron.minutes, 1 | 1 << 20 | 1 << 40);
        assert_eq!(cron.hours, 0b111 << 5 | 1 << 23);
        assert_eq!(cron.months, 1 << 1 | 1 << 12);
        assert_eq!(cron.weekdays, 0b111);
        assert_eq!(Cron::parse("20/15 * * * *").unwrap().minutes, 1 << 20 | 1 << 35 | 1 << 50);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(Cron::parse("@daily"), Err(CronError::Fields(1)));
        let error = Cron::parse("0 24 * * *").unwrap_err().to_string();
        assert!(error.starts_with("`24` is no hour: that is a number from 0 to 23"), "{error}");
        for text in
            ["60 * * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 7", "*/0 * * * *", "+5 * * * *", "0 0 * * MON-SUN"]
        {
            assert!(Cron::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn intervals_reach_over_the_hour_and_the_day() {
        for (text, minutes) in
            [("*/5 * * * *", 5), ("0,58 * * * *", 2), ("0,58 3 * * *", 58), ("0 0 * * *", 1440), ("59,0 23,0 * * *", 1)]
        {
            assert_eq!(Cron::parse(text).unwrap().shortest_interval(), minutes, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic(text in "[0-9*/, A-Z-]{0,40}") {
            if let Ok(cron) = Cron::parse(&text) {
                prop_assert!(cron.minutes > 0 && cron.minutes < 1 << 60);
                prop_assert!((1..=1440).contains(&cron.shortest_interval()));
            }
        }
    }
}
