//! `tagline eval`, run as a command.

use serde_json::json;

use crate::place::{Place, text};

#[test]
fn values_are_json() {
    let place = Place::new();
    let contexts = r#"{"github": {"ref_name": "v1.2.3"}, "inputs": {"n": {"$num": "NaN"}}}"#;
    let eval = |expression: &str| place.run(&["eval", expression, "--context", contexts]).exits(0).json();
    assert_eq!(eval("github.ref_name"), json!("v1.2.3"));
    assert_eq!(eval("github.actor"), json!(null));
    assert_eq!(eval("inputs.n"), json!({"$num": "NaN"}));
    assert_eq!(eval("-1"), json!(-1));
    assert_eq!(eval("fromJSON('[1, true]')"), json!([1, true]));
}

#[test]
fn contexts_come_from_a_file_too() {
    let place = Place::new();
    place.write("contexts.json", r#"{"env": {"Name": "x"}}"#);
    let file = place.repo().join("contexts.json");
    let eval = |args: &[&str]| place.run(&[&["eval", "--context", text(&file)], args].concat());
    assert_eq!(eval(&["--template", "a-${{ env.Name }}"]).exits(0).json(), json!("a-x"));
    assert_eq!(eval(&["--if", "env.Name == 'x'"]).exits(0).json(), json!(true));
    assert_eq!(eval(&["--if", "env.NAME == 'x'"]).exits(0).json(), json!(false));
}

#[test]
fn mistakes_are_shown_in_their_place() {
    let place = Place::new();
    let said = place.run(&["eval", "gihub.ref"]).exits(1);
    assert!(said.err.contains("did you mean `github`?"), "{}", said.err);
    assert!(said.err.contains("| ^^^^^"), "{}", said.err);
    assert_eq!(said.out, "");
    place.run(&["eval", "1 +"]).exits(1);
    place.run(&["eval", "fromJSON('{')"]).exits(1);
    place.run(&["eval", "1", "--context", "missing.json"]).exits(2);
    place.run(&["eval", "1", "--context", "{"]).exits(2);
    place.run(&["eval", "1", "--context", "{}", "--if", "--template"]).exits(2);
}
