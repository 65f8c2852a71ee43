//! What the tests of checks share.

use indexmap::IndexMap;

use crate::inputs::{Action, AnalyseInputs, MeasureKnobs};

/// The inputs of an analysis, from `key: value` lines.
pub(crate) fn analyse(lines: &[&str]) -> AnalyseInputs {
    let pairs = lines.iter().filter_map(|line| line.split_once(": "));
    let mut with: IndexMap<String, String> =
        pairs.map(|(key, value)| (key.to_owned(), value.replace("; ", "\n"))).collect();
    with.entry("checks".to_owned()).or_insert_with(|| "error-rate < 1%".to_owned());
    match Action::read("tagline/analyse@v1", &with) {
        Ok(Action::Analyse(inputs)) => *inputs,
        other => panic!("{other:?}"),
    }
}

/// How signals are measured.
pub(crate) fn knobs(lines: &[&str]) -> MeasureKnobs {
    analyse(lines).measure
}
