//! Paired timing.

use std::time::{Duration, Instant};

use anyhow::Result;

/// One side of a comparison: does its work once.
pub(super) type Side<'a> = Box<dyn FnMut() -> Result<()> + 'a>;

/// Runs every side once to warm up, then `rounds` times, forwards and backwards in turn; the median of each.
pub(super) fn interleave(sides: &mut [Side<'_>], rounds: usize) -> Result<Vec<Duration>> {
    let mut times = vec![Vec::with_capacity(rounds); sides.len()];
    for side in &mut *sides {
        side()?;
    }
    for round in 0..rounds {
        let forwards = 0..sides.len();
        let order: Vec<usize> = if round % 2 == 0 { forwards.collect() } else { forwards.rev().collect() };
        for index in order {
            let start = Instant::now();
            sides[index]()?;
            times[index].push(start.elapsed());
        }
    }
    Ok(times.into_iter().map(median).collect())
}

/// The middle one; of an even number, the mean of the two in the middle.
pub(super) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    let middle = times.len() / 2;
    match times.len() {
        0 => Duration::ZERO,
        count if count % 2 == 1 => times[middle],
        _ => (times[middle - 1] + times[middle]) / 2,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn sides_run_forwards_and_backwards_in_turn_after_a_warm_up() {
        let order = RefCell::new(String::new());
        let side = |letter| -> Side<'_> {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(letter);
                Ok(())
            })
        };
        interleave(&mut [side('a'), side('b')], 4).unwrap();
        assert_eq!(*order.borrow(), "ababbaabba");
    }

    #[test]
    fn the_median_is_the_middle() {
        let times = |list: &[u64]| list.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
        assert_eq!(median(times(&[9, 1, 5])), Duration::from_millis(5));
        assert_eq!(median(times(&[9, 1, 5, 7])), Duration::from_millis(6));
        assert_eq!(median(Vec::new()), Duration::ZERO);
    }
}
