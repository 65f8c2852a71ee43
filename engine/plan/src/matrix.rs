//! The matrix: cross product, `exclude`, then `include`, as GitHub's runner builds it (actions/runner
//! `MatrixBuilder`, and "Expanding or adding matrix configurations" in GitHub's documentation).
//!
//! Invariants: the last key varies fastest; an `include` never changes a value of the cross product; combinations made
//! by an `include` are not matched by later ones; at most [`MAX_LEGS`] combinations.

use serde_json::{Map, Value as Json};
use tagline_syntax::expression::Value;
use thiserror::Error;

/// GitHub's limit of jobs for each matrix.
pub const MAX_LEGS: usize = 256;

/// One combination.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// `matrix` for this leg.
    pub values: Map<String, Json>,
    /// The scalars that stand in the display name.
    pub shown: Vec<String>,
}

/// Why a matrix cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MatrixError {
    /// The whole is not a mapping.
    #[error("the matrix is {0}, not a mapping of lists")]
    NotAMapping(&'static str),
    /// A key's value is not a list.
    #[error("matrix key `{0}` is not a list")]
    NotAList(String),
    /// A list has no values.
    #[error("matrix key `{0}` has no values")]
    Empty(String),
    /// Neither a key nor an include.
    #[error("the matrix has neither a list of values nor an `include`")]
    NoVectors,
    /// An entry of include or exclude is not a mapping with keys.
    #[error("entry {1} of `{0}` is not a mapping with at least one key")]
    BadEntry(&'static str, usize),
    /// An exclude names a key that is none of the matrix.
    #[error("`exclude` names `{0}`, which is not a key of the matrix")]
    UnknownKey(String),
    /// Too many combinations.
    #[error("the matrix has more than {MAX_LEGS} combinations")]
    TooMany,
}

/// Expands an evaluated matrix.
///
/// # Errors
/// As [`MatrixError`] lists; nothing is expanded then.
pub fn expand(matrix: &Json) -> Result<Vec<Combination>, MatrixError> {
    let Json::Object(map) = matrix else {
        return Err(MatrixError::NotAMapping(kind(matrix)));
    };
    let mut vectors: Vec<(&String, &Vec<Json>)> = Vec::new();
    let (mut include, mut exclude) = (Vec::new(), Vec::new());
    for (key, value) in map {
        if key.eq_ignore_ascii_case("include") {
            include = entries("include", value)?;
        } else if key.eq_ignore_ascii_case("exclude") {
            exclude = entries("exclude", value)?;
        } else {
            let Json::Array(items) = value else {
                return Err(MatrixError::NotAList(key.clone()));
            };
            if items.is_empty() {
                return Err(MatrixError::Empty(key.clone()));
            }
            vectors.push((key, items));
        }
    }
    if vectors.is_empty() && include.is_empty() {
        return Err(MatrixError::NoVectors);
    }
    let mut legs = excluded(product(&vectors)?, &exclude, &vectors)?;
    add_includes(&mut legs, &include, &vectors);
    if legs.len() > MAX_LEGS { Err(MatrixError::TooMany) } else { Ok(legs) }
}

fn entries<'a>(what: &'static str, value: &'a Json) -> Result<Vec<&'a Map<String, Json>>, MatrixError> {
    let Json::Array(items) = value else {
        return Err(MatrixError::NotAList(what.to_owned()));
    };
    let entry = |(i, item): (usize, &'a Json)| match item {
        Json::Object(map) if !map.is_empty() => Ok(map),
        _ => Err(MatrixError::BadEntry(what, i + 1)),
    };
    items.iter().enumerate().map(entry).collect()
}

fn product(vectors: &[(&String, &Vec<Json>)]) -> Result<Vec<Combination>, MatrixError> {
    if vectors.is_empty() {
        return Ok(Vec::new());
    }
    let mut legs = vec![Map::new()];
    for (key, items) in vectors {
        // Exclusions may still bring it below the limit, so only the absurd is refused here.
        if legs.len().saturating_mul(items.len()) > MAX_LEGS * MAX_LEGS {
            return Err(MatrixError::TooMany);
        }
        legs = legs
            .iter()
            .flat_map(|leg| {
                items.iter().map(move |item| {
                    let mut leg = leg.clone();
                    leg.insert((*key).clone(), item.clone());
                    leg
                })
            })
            .collect();
    }
    Ok(legs.into_iter().map(|values| Combination { shown: scalars(&values), values }).collect())
}

fn excluded(
    legs: Vec<Combination>,
    exclude: &[&Map<String, Json>],
    vectors: &[(&String, &Vec<Json>)],
) -> Result<Vec<Combination>, MatrixError> {
    for key in exclude.iter().flat_map(|entry| entry.keys()) {
        if !vectors.iter().any(|(k, _)| k.eq_ignore_ascii_case(key)) {
            return Err(MatrixError::UnknownKey(key.clone()));
        }
    }
    Ok(legs.into_iter().filter(|leg| !exclude.iter().any(|entry| object_matches(entry, &leg.values))).collect())
}

fn add_includes(legs: &mut Vec<Combination>, include: &[&Map<String, Json>], vectors: &[(&String, &Vec<Json>)]) {
    let from_product = legs.len();
    let is_dimension = |key: &str| vectors.iter().any(|(k, _)| k.eq_ignore_ascii_case(key));
    for entry in include {
        let filter: Map<String, Json> =
            entry.iter().filter(|(k, _)| is_dimension(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut matched = false;
        for leg in legs.iter_mut().take(from_product).filter(|leg| object_matches(&filter, &leg.values)) {
            matched = true;
            for (key, value) in entry.iter().filter(|(k, _)| !is_dimension(k)) {
                insert_ignoring_case(&mut leg.values, key, value);
            }
        }
        if !matched {
            legs.push(Combination { values: (*entry).clone(), shown: scalars(entry) });
        }
    }
}

fn insert_ignoring_case(map: &mut Map<String, Json>, key: &str, value: &Json) {
    let existing = map.keys().find(|k| k.eq_ignore_ascii_case(key)).cloned();
    map.insert(existing.unwrap_or_else(|| key.to_owned()), value.clone());
}

/// Each leaf of the filter equals, as `==` of expressions has it, the leaf at the same place; what the filter does not
/// mention matches.
fn matches(filter: &Json, value: &Json) -> bool {
    match (filter, value) {
        (Json::Object(filter), Json::Object(value)) => object_matches(filter, value),
        (Json::Array(filter), Json::Array(value)) => {
            filter.len() <= value.len() && filter.iter().zip(value).all(|(f, v)| matches(f, v))
        }
        (Json::Object(_) | Json::Array(_), _) | (_, Json::Object(_) | Json::Array(_)) => false,
        _ => Value::from_json(filter).loose_eq(&Value::from_json(value)),
    }
}

fn object_matches(filter: &Map<String, Json>, value: &Map<String, Json>) -> bool {
    filter.iter().all(|(key, wanted)| {
        value.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).is_some_and(|(_, found)| matches(wanted, found))
    })
}

/// The scalars of a tree, in order, as they stand in a display name.
fn scalars(map: &Map<String, Json>) -> Vec<String> {
    fn walk(value: &Json, into: &mut Vec<String>) {
        match value {
            Json::Object(map) => map.values().for_each(|v| walk(v, into)),
            Json::Array(items) => items.iter().for_each(|v| walk(v, into)),
            scalar => into.push(Value::from_json(scalar).to_text().into_owned()),
        }
    }
    let mut shown = Vec::new();
    map.values().for_each(|v| walk(v, &mut shown));
    shown
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "empty",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "a mapping",
    }
}
