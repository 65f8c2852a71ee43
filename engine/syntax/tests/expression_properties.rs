//! What holds of every expression, whatever its text.

use proptest::prelude::*;
use tagline_syntax::expression::{
    Availability, Environment, EvalError, Function, Template, Value, check, convert_if, evaluate, parse,
};

struct Fixed;

impl Environment for Fixed {
    fn context(&self, name: &str) -> Option<Value> {
        let json = serde_json::json!({ "a": [1, "x", { "b": null }], "c": "text", "d": { "e": [[true], [0]] } });
        (name == "github").then(|| Value::from_json(&json))
    }

    fn call(&self, function: Function, _: &[Value]) -> Option<Result<Value, EvalError>> {
        (function == Function::Always).then_some(Ok(Value::Bool(true)))
    }
}

fn judge(text: &str) {
    if let Ok(expr) = parse(text) {
        let _ = evaluate(&expr, &Fixed);
        let _ = check(&expr, &Availability::STEP);
        expr.walk(&mut |node| {
            assert!(node.start <= node.end && node.end <= text.len());
            assert!(text.is_char_boundary(node.start) && text.is_char_boundary(node.end));
        });
    }
}

/// Texts made of the language's own pieces get further than random ones.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "github",
        ".a",
        ".*",
        "[0]",
        "[*]",
        "(",
        ")",
        "'x'",
        "''",
        ",",
        " && ",
        " || ",
        "!",
        " == ",
        " <= ",
        "1.5",
        "-0",
        "NaN",
        "null",
        "true",
        "format(",
        "join(",
        "fromJSON(",
        "toJSON(",
        "contains(",
        "case(",
        "always()",
        "'{0}'",
        "'[1]'",
        " ",
        "${{",
        "}}",
        "é",
    ]);
    prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

/// Expressions of `&&`, `||`, `!`, comparison and literals, fully parenthesised.
fn logic() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["true", "false", "null", "0", "1", "''", "'a'", "NaN", "github.c"]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 32, 2, |inner| {
        let operator = prop::sample::select(vec!["&&", "||", "==", "!=", "<", ">="]);
        prop_oneof![
            (inner.clone(), operator, inner.clone())
                .prop_map(|(left, operator, right)| format!("({left} {operator} {right})")),
            inner.prop_map(|operand| format!("!({operand})")),
        ]
    })
}

fn value(text: &str) -> Value {
    let expr = parse(text).expect("the text is an expression");
    evaluate(&expr, &Fixed).expect("the expression has a value")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_judged_without_panic(text in "\\PC{0,60}") {
        judge(&text);
        let _ = Template::parse(&text).map(|template| template.evaluate(&Fixed));
        let _ = convert_if(&text).map(|condition| condition.evaluate(&Fixed));
    }

    #[test]
    fn any_pieces_are_judged_without_panic(text in pieces()) {
        judge(&text);
        let _ = Template::parse(&text).map(|template| template.evaluate(&Fixed));
        let _ = convert_if(&text).map(|condition| condition.evaluate(&Fixed));
    }

    #[test]
    fn logic_is_that_of_its_truth(left in logic(), right in logic()) {
        let truth = |text: &str| value(text).is_truthy();
        prop_assert_eq!(truth(&format!("{left} && {right}")), truth(&left) && truth(&right));
        prop_assert_eq!(truth(&format!("{left} || {right}")), truth(&left) || truth(&right));
        prop_assert_eq!(truth(&format!("!{left}")), !truth(&left));
        prop_assert_eq!(truth(&format!("{left} == {right}")), !truth(&format!("{left} != {right}")));
    }

    #[test]
    fn strings_stand_for_themselves(text in "\\PC{0,30}") {
        let quoted = format!("'{}'", text.replace('\'', "''"));
        prop_assert_eq!(value(&quoted), Value::from(text.as_str()));
        prop_assert_eq!(value(&format!("fromJSON(toJSON({quoted}))")), Value::from(text.as_str()));
        let escaped = quoted.replace('{', "{{").replace('}', "}}");
        prop_assert_eq!(value(&format!("format({escaped})")), Value::from(text.as_str()));
        let template = Template::parse(&format!("<${{{{ {quoted} }}}}>")).unwrap();
        prop_assert_eq!(template.evaluate(&Fixed).unwrap(), Value::from(format!("<{text}>")));
    }
}
