//! What `diff`, `sbom` and `log` show at the prompt.

use tagline_run::view::{JobView, jobs};
use tagline_run::{JobKey, RunState};
use tagline_store::Store;
use tagline_syntax::workflow::StepAction;

use super::review::Review;
use crate::live::{log_tail, spool_path};
use crate::words::{self, log_line, plain, short_digest};

/// Components and log lines that are printed at most.
const COMPONENTS: usize = 500;
const LOG: usize = 60;

/// The steps of the stage in full: all, or those whose numbers are named, as `2` or `2-4`.
pub(crate) fn diff(state: &RunState, review: &Review, which: &str) -> Vec<String> {
    let all = steps(state, review);
    let Some((from, to)) = range(which, all.len()) else {
        return vec![format!("There are steps 1 to {}; diff all shows every one", all.len())];
    };
    all[from - 1..to].iter().flatten().cloned().collect()
}

/// How many steps the stage has.
pub(crate) fn count(review: &Review) -> usize {
    review.view.jobs.iter().map(|job| job.steps.len()).sum()
}

fn steps(state: &RunState, review: &Review) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for job in &review.view.jobs {
        let planned = state.plan.jobs.get(&job.job).map(|planned| planned.job.steps.as_slice()).unwrap_or_default();
        for step in planned {
            let number = all.len() + 1;
            all.push(match &step.action {
                StepAction::Run { script, .. } => {
                    let digest = tagline_plan::digest::digest_bytes(script.text.as_bytes());
                    let name = step.name.as_ref().map_or_else(String::new, |name| format!("{}  ", name.text));
                    let head = format!("{number} {}: {name}script sha256:{}", job.name, short_digest(&digest));
                    let script = script.text.lines().map(|line| format!("    {}", log_line(line, false)));
                    std::iter::once(plain(&head)).chain(script).collect()
                }
                StepAction::Uses { uses, with } => {
                    let with = with.iter().map(|(name, value)| format!("    {}: {}", plain(name), plain(&value.text)));
                    std::iter::once(plain(&format!("{number} {}: {}", job.name, uses.text))).chain(with).collect()
                }
            });
        }
    }
    all
}

/// `all`, nothing, `2` or `2-4` as a range from 1; none when it is another or not there.
fn range(which: &str, count: usize) -> Option<(usize, usize)> {
    let (from, to) = match which.trim() {
        "" | "all" => (1, count),
        one => match one.split_once('-') {
            Some((from, to)) => (from.trim().parse().ok()?, to.trim().parse().ok()?),
            None => (one.parse().ok()?, one.parse().ok()?),
        },
    };
    (1 <= from && from <= to && to <= count).then_some((from, to))
}

/// The components of the release.
pub(crate) fn sbom(review: &Review) -> Vec<String> {
    let Some(bill) = &review.bill else {
        return vec!["No job of this run stored a bill of materials".to_owned()];
    };
    let mut lines = vec![format!("{}: {}", plain(&bill.artifact), words::count(bill.components.len(), "component"))];
    let shown = bill.components.iter().take(COMPONENTS);
    lines.extend(shown.map(|(name, version)| format!("    {} {}", plain(name), plain(version)).trim_end().to_owned()));
    if bill.components.len() > COMPONENTS {
        lines.push(format!("    and {}", words::count(bill.components.len() - COMPONENTS, "more component")));
    }
    lines
}

/// The end of the log of a job; without a name of the one that ended last before the gate.
pub(crate) fn log(store: &Store, state: &RunState, which: &str) -> Vec<String> {
    let all = jobs(state);
    let ran: Vec<&JobView> = all.iter().filter(|job| job.started_at.is_some()).collect();
    let wanted = which.parse::<JobKey>().ok();
    let found = match which.trim() {
        "" => ran.iter().max_by_key(|job| job.ended_at),
        name => ran.iter().find(|job| job.name == name || Some(&job.id) == wanted.as_ref()),
    };
    let Some(job) = found else {
        let names: Vec<String> = ran.iter().map(|job| job.id.to_string()).collect();
        return vec![format!("No such job has run; there are: {}", names.join(", "))];
    };
    let path = spool_path(store.folder(), state.run, &job.id, job.attempt);
    let tail = log_tail(&path, None, LOG).unwrap_or_default();
    let head = format!("{}, the last {}", plain(&job.name), words::count(tail.lines.len(), "line"));
    std::iter::once(head).chain(tail.lines.iter().map(|line| format!("    | {}", log_line(line, false)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_named_by_number_or_range() {
        assert_eq!(range("", 6), Some((1, 6)));
        assert_eq!(range("all", 6), Some((1, 6)));
        assert_eq!(range("4", 6), Some((4, 4)));
        assert_eq!(range("2-4", 6), Some((2, 4)));
        for wrong in ["0", "7", "4-2", "x", "1-", "-1"] {
            assert_eq!(range(wrong, 6), None, "{wrong}");
        }
        assert_eq!(range("all", 0), None);
    }
}
