//! What holds for every text.

use proptest::prelude::*;
use tagline_actions::Delivery;
use tagline_delivery::inputs::analyse::AnalyseCheck;
use tagline_delivery::inputs::rule::{Op, Then};
use tagline_delivery::inputs::smoke::{JsonPath, SmokeCheck, same_value};
use tagline_delivery::inputs::{Action, ImageInput, JobSource, Period, RollbackRule, Share, WorkloadRef};

use super::with;

/// Every default of every action is right: a step that gives what is required only has no problem but what it lacks.
#[test]
fn every_default_can_be_read() {
    for delivery in Delivery::ALL {
        let uses = format!("{}@v1", delivery.name());
        let known: Vec<&str> =
            delivery.inputs().iter().filter(|input| input.default.is_some()).map(|input| input.name).collect();
        for problem in Action::check(&uses, &with(&[])) {
            assert!(!known.contains(&problem.key.as_str()), "{uses}: {problem}");
        }
    }
}

fn rule() -> impl Strategy<Value = String> {
    let signal = prop_oneof![
        (1..=100_u32).prop_map(|percent| format!("error-rate > {percent}%")),
        (1..10_000_u32).prop_map(|ms| format!("p95 >= {}", Period::from(std::time::Duration::from_millis(ms.into())))),
        (1..90_u32).prop_map(|factor| format!("p99 > {factor}x baseline")),
        (1..90_u32).prop_map(|percent| format!("throughput change > {percent}%")),
        (0..900_u32).prop_map(|count| format!("queue-depth{{priority=\"CRITICAL\"}} > {count}")),
    ];
    let then = prop_oneof![Just(""), Just(" then restart"), Just(" then stop"), Just(" then warn")];
    (signal, proptest::option::of(1..60_u64), proptest::option::of(60..90_u64), then).prop_map(
        |(signal, hold, within, then)| {
            let hold = hold.map_or_else(String::new, |seconds| format!(" for {}", Period::from_secs(seconds)));
            let within = within.map_or_else(String::new, |seconds| format!(" within {}", Period::from_secs(seconds)));
            format!("{signal}{hold}{within}{then}")
        },
    )
}

proptest! {
    #[test]
    fn a_rule_says_what_was_written(text in rule()) {
        let rule = RollbackRule::parse(&text, &[]).unwrap();
        prop_assert_eq!(rule.to_string(), text);
        let stored = serde_json::to_string(&rule).unwrap();
        prop_assert_eq!(serde_json::from_str::<RollbackRule>(&stored).unwrap(), rule);
    }

    #[test]
    fn no_text_panics_a_parser(text in "[a-z0-9 <>=%.:/\\-@{}\"'\\[\\]$\n]{0,60}") {
        let _ = RollbackRule::parse(&text, &[]);
        let _ = AnalyseCheck::parse(&text, &[]);
        let _ = SmokeCheck::parse(&text);
        let _ = ImageInput::parse(&text);
        let _ = JobSource::parse(&text);
        let _ = WorkloadRef::parse(&text);
        let _ = JsonPath::parse(&text);
        let _ = Share::parse(&text);
    }

    #[test]
    fn no_step_panics_the_reader(
        which in 0..Delivery::ALL.len(),
        inputs in proptest::collection::vec((any::<proptest::sample::Index>(), "[a-z0-9 >%=/\n${}.-]{0,30}"), 0..8),
    ) {
        let delivery = Delivery::ALL[which];
        let known = delivery.inputs();
        let pairs: Vec<(&str, &str)> =
            inputs.iter().map(|(index, value)| (index.get(known).name, value.as_str())).collect();
        let uses = format!("{}@v1", delivery.name());
        let read = Action::read(&uses, &with(&pairs));
        let checked = Action::check(&uses, &with(&pairs));
        // What holds no expression is the same to both.
        if pairs.iter().all(|(_, value)| !value.contains("${{")) {
            prop_assert_eq!(read.err().unwrap_or_default(), checked);
        }
    }

    #[test]
    fn nan_breaks_no_limit(limit in any::<f64>()) {
        for op in [Op::Above, Op::AtLeast, Op::Below, Op::AtMost] {
            prop_assert!(!op.holds(f64::NAN, limit));
        }
    }

    #[test]
    fn a_texts_own_value_is_the_same(text in "\\PC{0,20}") {
        prop_assert!(same_value(&serde_json::json!(text), &text));
    }
}

#[test]
fn values_are_compared_as_people_mean_them() {
    for (actual, expected, same) in [
        ("\"1.2.3\"", "v1.2.3", true),
        ("\"v1.2.3\"", "1.2.3", true),
        ("\"1.2.3\"", "1.2.30", false),
        ("\"UP\"", "UP", true),
        ("\"very\"", "ery", false),
        ("1", "1.0", true),
        ("true", "true", true),
        ("{\"a\":1,\"b\":[2]}", "{\"b\":[2.0],\"a\":1}", true),
        ("null", "", false),
        ("[1]", "[1,2]", false),
    ] {
        assert_eq!(same_value(&serde_json::from_str(actual).unwrap(), expected), same, "{actual} = {expected}");
    }
    assert_eq!(RollbackRule::parse("restarts > 1", &[]).unwrap().then, Then::Rollback);
}
