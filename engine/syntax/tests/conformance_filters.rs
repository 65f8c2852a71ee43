//! Scores the filter and schedule cases of the shared conformance suite: `glob`, `glob-syntax` and `cron`.

#[path = "support/conformance.rs"]
mod conformance;

use conformance::{Case, Score};
use serde_json::Value as Json;
use tagline_syntax::cron::Cron;
use tagline_syntax::filter::{PatternList, Subject};

fn strings(json: &Json) -> Vec<&str> {
    json.as_array().into_iter().flatten().filter_map(Json::as_str).collect()
}

fn glob_case(case: &Case) -> bool {
    let input = &case.json["input"];
    let list = PatternList::parse_ignore(&strings(&input["patterns"]), Subject::Path);
    let list = list.expect("the suite's patterns are valid");
    let names = strings(&input["inputs"]);
    let skip = !names.iter().any(|name| list.included(name));
    let ignored = names.iter().all(|name| list.ignoring(name).is_some());
    case.json["expected"]["skip"] == skip && case.json["expected"]["ignore_filter"] == ignored
}

fn glob_syntax_case(case: &Case) -> bool {
    let input = &case.json["input"];
    let pattern = input["pattern"].as_str().unwrap_or_default();
    let subjects = match input["for"].as_str() {
        Some("ref") => &[Subject::Ref][..],
        Some("path") => &[Subject::Path],
        _ => &[Subject::Ref, Subject::Path],
    };
    let valid = |subject: &Subject| PatternList::parse_ignore(&[pattern], *subject).is_ok();
    subjects.iter().all(|subject| case.json["expected"]["valid"] == valid(subject))
}

fn cron_case(case: &Case) -> bool {
    case.json["expected"]["valid"] == Cron::parse(case.input()).is_ok()
}

#[test]
fn filters_and_schedules_agree_with_github() {
    let Some(cases) = conformance::load(&["glob", "glob-syntax", "cron"]) else {
        return;
    };
    let mut score = Score::default();
    for case in &cases {
        let passed = match case.kind() {
            "glob" => glob_case(case),
            "glob-syntax" => glob_syntax_case(case),
            _ => cron_case(case),
        };
        score.add(case, passed);
    }
    score.print();
    assert!(score.percent() >= 99.0, "{:.1} % of the filter and schedule cases pass", score.percent());
}
