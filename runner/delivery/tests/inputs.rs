//! What a step gives a delivery action: every wrong input says what is wrong, what is allowed and what is nearest.

#[path = "inputs/deploy.rs"]
mod deploy;
#[path = "inputs/others.rs"]
mod others;
#[path = "inputs/properties.rs"]
mod properties;

use indexmap::IndexMap;
use tagline_delivery::inputs::{Action, Problem};

/// Inputs from pairs.
fn with(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Every problem, one a line.
fn problems(uses: &str, pairs: &[(&str, &str)]) -> Vec<String> {
    match Action::read(uses, &with(pairs)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(Problem::to_string).collect(),
    }
}

/// The problems of a step that is right but for these inputs.
fn problems_of(uses: &str, right: &[(&str, &str)], wrong: &[(&str, &str)]) -> Vec<String> {
    let mut pairs: Vec<(&str, &str)> =
        right.iter().filter(|(key, _)| !wrong.iter().any(|(other, _)| other == key)).copied().collect();
    pairs.extend(wrong);
    problems(uses, &pairs)
}
