//! The expression language by example: what other crates rely on.

use std::cell::RefCell;
use tagline_syntax::expression::{
    Environment, EvalError, ExprError, Function, Reference, Template, Value, convert_if, evaluate, parse,
};

/// An environment that holds one context and remembers what it was asked.
struct Recorder {
    github: Value,
    asked: RefCell<Vec<&'static str>>,
}

impl Recorder {
    fn new(github: &serde_json::Value) -> Self {
        Self { github: Value::from_json(github), asked: RefCell::default() }
    }
}

impl Environment for Recorder {
    fn context(&self, name: &str) -> Option<Value> {
        (name == "github").then(|| self.github.clone())
    }

    fn call(&self, function: Function, arguments: &[Value]) -> Option<Result<Value, EvalError>> {
        self.asked.borrow_mut().push(function.name());
        match function {
            Function::HashFiles if arguments.is_empty() => None,
            Function::HashFiles => Some(Err(EvalError::new("no files"))),
            _ => Some(Ok(Value::Bool(function == Function::Success))),
        }
    }
}

fn eval(text: &str, github: &serde_json::Value) -> Result<Value, EvalError> {
    evaluate(&parse(text).expect("the text is an expression"), &Recorder::new(github))
}

fn text(expression: &str) -> String {
    let value = eval(expression, &serde_json::Value::Null).expect("the expression has a value");
    value.to_text().into_owned()
}

fn error(text: &str) -> ExprError {
    parse(text).expect_err("the text is no expression")
}

#[test]
fn references_name_what_is_used() {
    let references =
        |text: &str| -> Vec<String> { parse(text).unwrap().references().iter().map(Reference::to_string).collect() };
    assert_eq!(references("secrets.TOKEN && needs['build'].outputs.x"), ["secrets.TOKEN", "needs.build.outputs.x"]);
    assert_eq!(references("secrets[matrix.name]"), ["secrets[…]", "matrix.name"]);
    assert_eq!(references("toJSON(Secrets)"), ["secrets"]);
    assert_eq!(references("github.event.commits.*.author[0]"), ["github.event.commits.*.author.0"]);
    assert_eq!(references("fromJSON(env.A).b"), ["env.A"]);

    let dynamic = |text: &str| parse(text).unwrap().references()[0].is_dynamic();
    assert!(!dynamic("secrets.TOKEN"));
    assert!(dynamic("secrets[matrix.name]") && dynamic("secrets.*") && dynamic("secrets"));
}

#[test]
fn errors_say_where_and_what_else() {
    for (text, message, start, end) in [
        ("github.ref = 'x'", "unexpected `=`; equality is `==`", 11, 12),
        ("\"x\"", "unexpected `\"x\"`; strings stand in single quotes", 0, 3),
        ("1+2", "unexpected `1+2`; there is no arithmetic and no `?:`", 0, 3),
        ("startWith('a', 'b')", "unknown function `startWith`; did you mean `startsWith`?", 0, 9),
        ("contains('a')", "`contains` takes 2 arguments, not 1", 0, 13),
        ("format()", "`format` takes at least 1 argument, not 0", 0, 8),
        ("a &&", "the expression ends too early", 4, 4),
        ("(a", "the expression ends too early", 2, 2),
        ("a b", "unexpected `b`", 2, 3),
        ("format('x',)", "unexpected `)`", 11, 12),
    ] {
        assert_eq!(error(text), ExprError::new(message, start, end), "{text}");
    }
    assert!(error("case(true, 1, 2, 3)").message.contains("odd number"));
    assert!(error("a['x").message.contains("not closed"));
}

#[test]
fn size_and_depth_are_bounded() {
    assert!(parse(&"!".repeat(49)).is_err());
    assert!(parse(&format!("{}true", "!".repeat(49))).is_ok());
    assert!(parse(&format!("{}true", "!".repeat(50))).is_err());
    assert!(parse(&format!("{}1{}", "(".repeat(2000), ")".repeat(2000))).is_err());
    assert!(parse(&vec!["1"; 60].join(" == ")).is_err());
    assert!(parse(&vec!["1"; 4000].join(" && ")).is_ok());
    assert!(parse(&"a".repeat(21_000)).is_ok());
    assert!(parse(&"a".repeat(21_001)).is_err());
    assert!(Template::parse(&format!("{}${{{{ a }}}}", "x".repeat(21_000))).is_err());
    assert!(Template::parse(&"x".repeat(50_000)).is_ok());
}

#[test]
fn text_that_grows_without_end_is_stopped() {
    let big = Value::from("x".repeat(1024 * 1024));
    let github = serde_json::json!({ "big": big.to_json() });
    let ten = "{0}".repeat(10);
    assert_eq!(eval(&format!("format('{ten}', github.big)"), &github).unwrap().to_text().len(), 10 * 1024 * 1024);
    let text = format!("format('{ten}', format('{ten}', github.big))");
    let grown = eval(&text, &github).unwrap_err();
    assert_eq!(grown.message, "the expression makes more than 64 MiB of text");
    assert_eq!(grown.span, Some((0, text.len())));
}

#[test]
fn large_json_is_read_and_shared() {
    let items: Vec<String> = (0..300_000).map(|index| format!(r#"{{"id":{index},"name":"n{index}"}}"#)).collect();
    let json = format!("[{}]", items.join(","));
    let github = serde_json::json!({ "json": json });
    let joined = eval("join(fromJSON(github.json).*.id, '')", &github).unwrap();
    let digits: usize = (0..300_000).map(|index: u32| index.to_string().len()).sum();
    assert_eq!(joined.to_text().len(), digits);
    assert_eq!(eval("fromJSON(github.json)[299999].name", &github).unwrap(), Value::from("n299999"));
}

#[test]
fn operands_that_do_not_decide_are_not_evaluated() {
    for lazy in
        ["false && fromJSON('')", "true || fromJSON('')", "case(true, 1, fromJSON(''))", "case(false, fromJSON(''), 1)"]
    {
        assert!(eval(lazy, &serde_json::Value::Null).is_ok(), "{lazy}");
    }
    assert!(eval("true && fromJSON('')", &serde_json::Value::Null).is_err());
}

#[test]
fn the_environment_supplies_contexts_and_special_functions() {
    let null = serde_json::Value::Null;
    assert_eq!(eval("GitHub == github", &null).unwrap(), Value::Bool(true));
    assert_eq!(eval("nothing", &null).unwrap_err().message, "there is no context `nothing` here");
    assert_eq!(eval("hashFiles('a')", &null).unwrap_err().message, "no files");
    let github = serde_json::json!({ "a": {} });
    assert_eq!(eval("github.a == github.a", &github).unwrap(), Value::Bool(true));
}

#[test]
fn numbers_and_formats_print_as_on_github() {
    assert_eq!(
        text("format('{0} {1} {0}', 12345678901234567890, -0.0)"),
        "1.23456789012346E+19 0 1.23456789012346E+19"
    );
    assert_eq!(text("format('{{{0}}} {1}', '{1}', 'x')"), "{{1}} x");
    assert_eq!(text("'it''s ''quoted'''"), "it's 'quoted'");
    assert_eq!(text("join(fromJSON('[1, null, [], true]'), '-')"), "1--Array-true");
    for bad in ["{", "}", "{}", "{x}", "{0:N}", "{1}", "{256}", "{-1}"] {
        assert!(eval(&format!("format('{bad}', 'a')"), &serde_json::Value::Null).is_err(), "{bad}");
    }
}

#[test]
fn a_template_of_one_expression_keeps_its_type() {
    let environment = Recorder::new(&serde_json::json!({ "n": 5, "list": [1] }));
    let value = |text: &str| Template::parse(text).unwrap().evaluate(&environment).unwrap();
    assert_eq!(value("${{ github.n }}"), Value::Number(5.0));
    assert_eq!(value(" ${{ github.n }}"), Value::from(" 5"));
    assert_eq!(value("${{ github.n }}${{ github.list }}"), Value::from("5Array"));
    assert_eq!(value("${{ '}}' }}}"), Value::from("}}}"));
    assert_eq!(value("$ {{ }} $${"), Value::from("$ {{ }} $${"));
    assert_eq!(Template::parse("plain").unwrap().as_literal(), Some("plain"));
    assert_eq!(Template::parse("").unwrap().as_literal(), Some(""));
}

#[test]
fn a_template_reports_every_error_at_its_place() {
    let errors = Template::parse("é ${{ }} ${{ a b }} ${{ x").unwrap_err().errors;
    let places: Vec<_> = errors.iter().map(|error| (error.start, error.end, error.message.as_str())).collect();
    assert_eq!(
        places,
        [
            (6, 7, "an expression is expected in `${{ }}`"),
            (16, 17, "unexpected `b`"),
            (21, 26, "the expression is not closed: `}}` is missing"),
        ]
    );
    let template = Template::parse("é ${{ github.n }}").unwrap();
    let reference = &template.references()[0];
    assert_eq!((reference.start, reference.end), (7, 15));
}

#[test]
fn conditions_get_an_implicit_success() {
    let holds = |text: &str| {
        let environment = Recorder::new(&serde_json::Value::Null);
        let holds = convert_if(text).unwrap().evaluate(&environment).unwrap();
        (holds, environment.asked.into_inner())
    };
    assert_eq!(holds(""), (true, vec!["success"]));
    assert_eq!(holds("true"), (true, vec!["success"]));
    assert_eq!(holds("${{ false }}"), (false, vec!["success"]));
    assert_eq!(holds("failure() || true"), (true, vec!["failure"]));
    assert_eq!(holds("!Cancelled()"), (true, vec!["cancelled"]));
    assert_eq!(holds("false || ${{ false }}"), (true, vec!["success"]));
    assert!(convert_if("false || ${{ false }}").unwrap().text_around_expression);
    assert!(!convert_if(" false ").unwrap().text_around_expression);
    assert!(convert_if("${{ false }}\n").unwrap().text_around_expression);
    assert!(convert_if("a b").is_err());
}
