//! What delivery steps are given, as far as it is known before their stage begins.
#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod common;

use common::{plan_with, rules};
use indexmap::IndexMap;
use tagline_plan::{DeliveryStep, Facts, FinishedJob, NeedResult, delivery_steps};

const RELEASE: &str = r#"
on: push
env: { REGISTRY: "${{ vars.REGISTRY }}", OUTSIDE: "${{ secrets.TOKEN }}" }
jobs:
  build: {runs-on: x, outputs: {image: y}, steps: [{run: echo}]}
  check: {runs-on: x, environment: production, steps: [{run: echo}]}
  deploy:
    runs-on: x
    needs: [build, check]
    environment: production
    strategy: { matrix: { tenant: [a, b] } }
    env: { IMAGE: "${{ vars.REGISTRY }}/shop@${{ needs.build.outputs.image }}" }
    steps:
      - { id: first, run: make }
      - uses: tagline/deploy@v1
        env: { MODE: blue-green }
        with:
          name: shop-${{ matrix.tenant }}
          images: shop=${{ env.IMAGE }}
          strategy: ${{ env.MODE }}
          manifests: k8s/${{ github.ref_name }}
      - name: Probe
        if: always()
        uses: tagline/smoke-test@v1
        with:
          path: ${{ steps.first.outputs.path }}
          header: ${{ env.OUTSIDE }}${{ env.SET_BY_A_STEP }}
          service: ${{ github.workspace }}
          status: ${{ needs.check.result }}
          json: ${{ hashFiles('*') }}
          targets: ${{ env.MODE }}
          both: ${{ matrix.tenant }} at ${{ needs.build.outputs.image }}
"#;

fn steps(finished: &[&str]) -> Vec<DeliveryStep> {
    let environments = rules("environments: {production: {variables: {REGISTRY: prod.example}}}");
    let plan = plan_with(RELEASE, Some(&environments), "jonas").unwrap();
    let outputs = IndexMap::from([("image".to_owned(), "sha256:1".to_owned())]);
    let finished = finished
        .iter()
        .map(|id| (id.to_string(), FinishedJob { result: NeedResult::Success, outputs: outputs.clone() }));
    let facts = Facts { run: 1, attempt: 1, finished: finished.collect(), ..Facts::default() };
    let job = &plan.jobs["deploy"];
    delivery_steps(&plan, job, &job.legs.as_ref().unwrap()[1], 2, &facts).unwrap()
}

#[test]
fn what_is_known_before_the_stage_is_worked_out() {
    let found = steps(&["build"]);
    assert_eq!(found.len(), 2);
    let deploy = &found[0];
    assert_eq!((deploy.step, deploy.uses.as_str(), deploy.conditional), (1, "tagline/deploy@v1", false));
    let with = deploy.with.as_ref().unwrap();
    let values: Vec<&str> = with.values().map(String::as_str).collect();
    assert_eq!(values, ["shop-b", "shop=prod.example/shop@sha256:1", "blue-green", "k8s/v1.2.3"]);
}

#[test]
fn what_is_not_known_is_told_for_each_input() {
    let found = steps(&["build"]);
    let probe = &found[1];
    assert_eq!((probe.name.as_str(), probe.conditional, probe.runs), ("Probe", true, None));
    let expected = [
        "path: it names steps.first.outputs.path, which is not known yet",
        "header: it names env.OUTSIDE and env.SET_BY_A_STEP, which is not known yet",
        "service: it names github.workspace, which is not known yet",
        "status: it names needs.check.result, which is not known yet",
        "json: it names files of the workspace, which is not known yet",
        "targets: it names env.MODE, which is not known yet",
    ];
    assert_eq!(probe.with.as_ref().unwrap_err(), &expected);
}

#[test]
fn a_need_that_has_not_ended_is_not_known() {
    let found = steps(&[]);
    let why = ["images: it names env.IMAGE, which is not known yet"];
    assert_eq!(found[0].with.as_ref().unwrap_err(), &why);
}

#[test]
fn what_is_known_of_an_input_that_is_not_is_worked_out() {
    let so_far = |number: usize, name: &str| steps(&[])[number].so_far[name].clone();
    assert_eq!(so_far(0, "images"), "shop=${{ env.IMAGE }}");
    assert_eq!(so_far(0, "manifests"), "k8s/v1.2.3");
    assert_eq!(so_far(1, "json"), "${{ hashFiles('*') }}");
    assert_eq!(so_far(1, "both"), "b at ${{ needs.build.outputs.image }}");
}

#[test]
fn whether_a_step_runs_is_known_where_nothing_earlier_decides() {
    let runs = |condition: &str| {
        let file = RELEASE.replace("if: always()", &format!("if: {condition}"));
        let environments = rules("environments: {production: {variables: {REGISTRY: prod.example}}}");
        let plan = plan_with(&file, Some(&environments), "jonas").unwrap();
        let job = &plan.jobs["deploy"];
        let facts = Facts { run: 1, attempt: 1, ..Facts::default() };
        delivery_steps(&plan, job, &job.legs.as_ref().unwrap()[1], 2, &facts).unwrap()[1].runs
    };
    assert_eq!(runs("matrix.tenant == 'b'"), Some(true));
    assert_eq!(runs("${{ vars.REGISTRY == 'other' }}"), Some(false));
    for open in ["needs.build.outputs.image != ''", "failure()", "env.SET_BY_A_STEP", "steps.first.outputs.path"] {
        assert_eq!(runs(open), None, "{open}");
    }
}
