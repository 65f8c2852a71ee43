//! The matrix, by the examples of GitHub's documentation and its own rules.

use serde_json::{Value, json};
use tagline_plan::matrix::{MatrixError, expand};

fn combinations(matrix: &Value) -> Vec<Value> {
    expand(matrix).expect("a sound matrix").into_iter().map(|c| Value::Object(c.values)).collect()
}

#[test]
fn the_last_key_varies_fastest() {
    let found = combinations(&json!({"a": [1, 2], "b": ["x", "y"]}));
    let expected = json!([{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]);
    assert_eq!(json!(found), expected);
}

#[test]
fn includes_extend_what_they_match_and_else_stand_alone() {
    let matrix = json!({
        "fruit": ["apple", "pear"],
        "animal": ["cat", "dog"],
        "include": [
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"}
        ]
    });
    let expected = json!([
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"}
    ]);
    assert_eq!(json!(combinations(&matrix)), expected);
}

#[test]
fn excludes_match_in_part_and_as_the_language_compares() {
    let matrix = json!({"os": ["Linux", "mac"], "v": [0, 1], "exclude": [{"os": "LINUX", "v": null}]});
    assert_eq!(combinations(&matrix).len(), 3, "null equals 0 and case does not count");
    let nested = json!({"os": [{"name": "a", "v": 1}, {"name": "a", "v": 2}], "exclude": [{"os": {"v": 2}}]});
    assert_eq!(json!(combinations(&nested)), json!([{"os": {"name": "a", "v": 1}}]));
}

#[test]
fn names_show_scalars_of_the_product_and_not_what_includes_add() {
    let matrix = json!({"os": ["linux"], "node": [{"v": 20}], "include": [{"os": "linux", "extra": 1}, {"os": "mac"}]});
    let shown: Vec<Vec<String>> = expand(&matrix).unwrap().into_iter().map(|c| c.shown).collect();
    assert_eq!(shown, [vec!["linux".to_owned(), "20".to_owned()], vec!["mac".to_owned()]]);
}

#[test]
fn what_makes_no_matrix_is_an_error() {
    let error = |matrix: Value| expand(&matrix).unwrap_err();
    assert_eq!(error(json!("x")), MatrixError::NotAMapping("a string"));
    assert_eq!(error(json!({})), MatrixError::NoVectors);
    assert_eq!(error(json!({"a": []})), MatrixError::Empty("a".into()));
    assert_eq!(error(json!({"a": 1})), MatrixError::NotAList("a".into()));
    assert_eq!(error(json!({"a": [1], "exclude": [{"b": 1}]})), MatrixError::UnknownKey("b".into()));
    assert_eq!(error(json!({"a": [1], "include": [{}]})), MatrixError::BadEntry("include", 1));
    let wide: Vec<u32> = (0..17).collect();
    assert_eq!(error(json!({"a": wide, "b": wide})), MatrixError::TooMany);
    let huge: Vec<u32> = (0..100_000).collect();
    assert_eq!(error(json!({"a": huge, "b": huge, "c": huge})), MatrixError::TooMany);
}
