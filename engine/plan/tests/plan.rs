//! Plans from whole workflows: order, digests, environments, conditions.

mod common;

use std::collections::BTreeMap;

use common::{plan, plan_with, rules};
use indexmap::IndexMap;
use proptest::prelude::*;
use tagline_plan::{Facts, FinishedJob, NeedResult, PlanError, gate_plan, job_condition, legs};

const CHAIN: &str = "
on: push
jobs:
  deploy: {runs-on: x, needs: [build, sbom], environment: production, steps: [{run: echo}]}
  sbom: {runs-on: x, needs: build, steps: [{run: echo}]}
  build: {runs-on: x, outputs: {digest: d}, steps: [{run: echo}]}
  alone: {runs-on: x, steps: [{run: 'echo ${{ secrets.Token }}'}]}
";

#[test]
fn jobs_stand_after_their_needs_else_in_the_files_order() {
    let plan = plan_with(CHAIN, Some(&rules("environments: {production: {}}")), "jonas").unwrap();
    let order: Vec<&str> = plan.jobs.keys().map(String::as_str).collect();
    assert_eq!(order, ["build", "sbom", "deploy", "alone"]);
    assert_eq!(plan.jobs["deploy"].ancestors, ["build", "sbom"]);
    assert_eq!(plan.jobs["alone"].secrets, ["TOKEN"]);
}

#[test]
fn secrets_are_given_wherever_the_syntax_allows_them() {
    let file = "
on: push
jobs:
  build:
    runs-on: x
    outputs: {o: '${{ secrets.OUT }}'}
    steps:
      - {name: 'n ${{ secrets.NAME }}', run: echo, continue-on-error: '${{ secrets.MAY }}', timeout-minutes: '${{ secrets.TIME }}'}
";
    let plan = plan_with(file, None, "jonas").unwrap();
    assert_eq!(plan.jobs["build"].secrets, ["MAY", "NAME", "OUT", "TIME"]);
}

#[test]
fn an_unknown_environment_is_refused_with_the_nearest_name() {
    let errors = plan_with(CHAIN, Some(&rules("environments: {prodution: {}}")), "jonas").unwrap_err();
    let [PlanError::UnknownEnvironment { name, nearest, .. }] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!((name.as_str(), nearest.as_deref()), ("production", Some("prodution")));
    // A tag insists even where there is no file at all.
    assert!(plan_with(CHAIN, None, "jonas").is_err());
}

#[test]
fn a_required_variable_must_be_there_and_not_empty() {
    let text = "environments: {production: {required-variables: [REGISTRY, ZONE], variables: {ZONE: ''}}}";
    let errors = plan_with(CHAIN, Some(&rules(text)), "jonas").unwrap_err();
    let names: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn the_release_digest_binds_the_rules_but_not_who_asked() {
    let one = rules("environments: {production: {url: 'https://a.example'}, staging: {}}");
    let digest = |rules, actor| plan_with(CHAIN, Some(rules), actor).unwrap().release_digest;
    assert_eq!(digest(&one, "jonas"), digest(&one, "ona"));
    let other_rule = rules("environments: {production: {url: 'https://b.example'}, staging: {}}");
    assert_ne!(digest(&one, "jonas"), digest(&other_rule, "jonas"));
    let other_environment = rules("environments: {production: {url: 'https://a.example'}, staging: {tags: '>=1.0.0'}}");
    assert_eq!(
        digest(&one, "jonas"),
        digest(&other_environment, "jonas"),
        "an environment no job names does not count"
    );
}

fn finished(results: &[(&str, NeedResult)]) -> Facts {
    let done = |(id, result): &(&str, NeedResult)| {
        ((*id).to_owned(), FinishedJob { result: *result, outputs: IndexMap::new() })
    };
    Facts { run: 1, attempt: 1, cancelled: false, finished: results.iter().map(done).collect() }
}

#[test]
fn a_skipped_ancestor_makes_the_implicit_success_false() {
    use NeedResult::{Skipped, Success};
    let plan = plan(
        "
on: push
jobs:
  a: {runs-on: x, if: false, steps: [{run: echo}]}
  b: {runs-on: x, needs: a, if: always(), steps: [{run: echo}]}
  c: {runs-on: x, needs: b, steps: [{run: echo}]}
  d: {runs-on: x, needs: b, if: success('b'), steps: [{run: echo}]}
",
    );
    let facts = finished(&[("a", Skipped), ("b", Success)]);
    let verdict = |id: &str| job_condition(&plan, &plan.jobs[id], &facts).unwrap();
    assert!(verdict("b").runs);
    let implied = verdict("c");
    assert!(!implied.runs);
    assert_eq!(implied.why_not(), "success() is false: a was skipped");
    assert!(verdict("d").runs);
}

#[test]
fn a_condition_explains_each_of_its_parts() {
    let plan = plan(
        "on: push\njobs:\n  n: {runs-on: x, if: \"vars.SLACK == 'on' && github.ref_type == 'tag'\", steps: [{run: echo}]}\n",
    );
    let verdict = job_condition(&plan, &plan.jobs["n"], &finished(&[])).unwrap();
    let parts: Vec<(&str, bool, &str)> =
        verdict.clauses.iter().map(|c| (c.text.as_str(), c.holds, c.note.as_str())).collect();
    assert_eq!(
        parts,
        [
            ("success()", true, "nothing comes before it"),
            ("vars.SLACK == 'on'", false, "vars.SLACK is '' (not set)"),
            ("github.ref_type == 'tag'", true, "github.ref_type is 'tag'"),
        ]
    );
}

#[test]
fn a_matrix_from_outputs_is_expanded_when_they_are_there() {
    let plan = plan(
        "
on: push
jobs:
  a: {runs-on: x, outputs: {list: y}, steps: [{run: echo}]}
  b:
    runs-on: x
    needs: a
    strategy: {matrix: {v: '${{ fromJSON(needs.a.outputs.list) }}'}}
    steps: [{run: echo}]
",
    );
    assert!(plan.jobs["b"].legs.is_none());
    assert!(tagline_plan::matrix_from_outside(&plan.jobs["b"]) && !tagline_plan::matrix_from_outside(&plan.jobs["a"]));
    let mut facts = finished(&[("a", NeedResult::Success)]);
    facts.finished.get_mut("a").unwrap().outputs.insert("list".into(), "[1, 2]".into());
    let names: Vec<String> = legs(&plan, &plan.jobs["b"], &facts).unwrap().into_iter().map(|l| l.name).collect();
    assert_eq!(names, ["b (1)", "b (2)"]);
}

#[test]
fn lists_and_mappings_from_expressions_are_put_in_place() {
    let plan = plan(
        r#"
on: push
jobs:
  a:
    runs-on: x
    strategy:
      matrix:
        ${{ format('{0}s', 'os') }}: [linux, "${{ fromJSON('[\"mac\", \"windows\"]') }}"]
        ${{ insert }}: ${{ fromJSON('{"node":[20,22]}') }}
    steps: [{run: 'true'}]
"#,
    );
    let legs = plan.jobs["a"].legs.as_ref().expect("it is static");
    assert_eq!(legs.len(), 6);
    assert_eq!(serde_json::json!(legs[3].matrix), serde_json::json!({"oss": "mac", "node": 22}));
}

#[test]
fn a_gate_binds_what_comes_from_before_the_stage_and_nothing_from_inside_it() {
    let text = "
on: push
jobs:
  build: {runs-on: x, outputs: {d: y}, steps: [{run: echo}]}
  one: {runs-on: x, needs: build, environment: production, outputs: {u: y}, steps: [{run: echo one}]}
  two: {runs-on: x, needs: [build, one], environment: production, steps: [{run: echo two}]}
";
    let plan = plan_with(text, Some(&rules("environments: {production: {}}")), "jonas").unwrap();
    let mut facts = finished(&[("build", NeedResult::Success), ("one", NeedResult::Success)]);
    let stage: Vec<(&str, &tagline_plan::Leg)> =
        ["one", "two"].into_iter().map(|id| (id, &plan.jobs[id].legs.as_ref().unwrap()[0])).collect();
    let digest = |facts: &Facts, artifacts: &[(&str, &str)]| {
        let artifacts: BTreeMap<String, String> =
            artifacts.iter().map(|(n, d)| ((*n).to_owned(), (*d).to_owned())).collect();
        gate_plan(&plan, "production", &stage, facts, &artifacts).digest()
    };
    let first = digest(&facts, &[("app", "sha256:1")]);
    facts.finished.get_mut("one").unwrap().outputs.insert("u".into(), "inside".into());
    assert_eq!(digest(&facts, &[("app", "sha256:1")]), first);
    assert_ne!(digest(&facts, &[("app", "sha256:2")]), first);
    facts.finished.get_mut("build").unwrap().outputs.insert("d".into(), "other".into());
    assert_ne!(digest(&facts, &[("app", "sha256:1")]), first);
}

proptest! {
    /// Any graph of jobs that looks back comes out in an order where needs come first, with each job once.
    #[test]
    fn every_order_is_topological(edges in proptest::collection::vec(proptest::collection::vec(any::<prop::sample::Index>(), 0..4), 1..30)) {
        let mut text = String::from("on: push\njobs:\n");
        for (at, needs) in edges.iter().enumerate().rev() {
            let needs: Vec<String> =
                needs.iter().filter(|_| at > 0).map(|i| format!("j{}", i.index(at.max(1)))).collect();
            let needs = needs.join(", ");
            text.extend([format!("  j{at}: {{runs-on: x, needs: [{needs}], steps: [{{run: echo}}]}}\n")]);
        }
        let plan = plan(&text);
        prop_assert_eq!(plan.jobs.len(), edges.len());
        let place = |id: &str| plan.jobs.get_index_of(id).unwrap();
        for (id, job) in &plan.jobs {
            for need in &job.job.needs {
                prop_assert!(place(need) < place(id));
                prop_assert!(job.ancestors.contains(need));
            }
        }
    }
}
