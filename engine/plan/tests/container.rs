//! What a leg's container comes to when the leg starts.
#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod common;

use common::{plan_with, rules};
use indexmap::IndexMap;
use tagline_plan::{EvaluationError, Facts, LegContainer, container};

const JOB: &str = r#"
on: push
env: { HOST: db.example }
jobs:
  test:
    runs-on: x
    environment: production
    strategy: { matrix: { tenant: [a, b] } }
    env: { USER: "${{ matrix.tenant }}" }
    container:
      image: shop
      credentials: { username: "${{ env.USER }}@${{ env.HOST }}", password: "${{ secrets.PASSWORD }}" }
      env: { TOKEN: "t:${{ secrets.token }}", TIER: "${{ vars.TIER }}", PLAIN: x, TENANT: "${{ matrix.tenant }}" }
      options: --cpus ${{ strategy.job-total }}
    steps: [{run: echo}]
"#;

fn of(workflow: &str) -> Result<LegContainer, EvaluationError> {
    let environments = rules("environments: {production: {variables: {TIER: gold}}}");
    let plan = plan_with(workflow, Some(&environments), "jonas").unwrap();
    let job = &plan.jobs["test"];
    let facts = Facts { run: 1, attempt: 1, ..Facts::default() };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let secrets = IndexMap::from([pair("TOKEN", "hidden"), pair("PASSWORD", "pass:word")]);
    container(&plan, job, &job.legs.as_ref().unwrap()[1], 2, &facts, &secrets)
}

#[test]
fn variables_options_and_login_are_worked_out() {
    let found = of(JOB).unwrap();
    let env: Vec<(&str, &str)> = found.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(env, [("TOKEN", "t:hidden"), ("TIER", "gold"), ("PLAIN", "x"), ("TENANT", "b")]);
    assert_eq!(found.options, "--cpus 2");
    assert_eq!(found.login, Some(("b@db.example".to_owned(), "pass:word".to_owned())));
}

#[test]
fn an_empty_password_is_no_login_and_an_empty_image_no_container() {
    assert_eq!(of(&JOB.replace("secrets.PASSWORD", "secrets.UNSET")).unwrap().login, None);
    assert!(of(&JOB.replace("image: shop", "image: \"${{ vars.UNSET }}\"")).unwrap() == LegContainer::default());
}

#[test]
fn secrets_are_handed_over_by_name_only() {
    for all in ["toJSON(secrets)", "secrets[matrix.tenant]", "join(secrets.*)"] {
        let error = of(&JOB.replace("secrets.token", all)).err().unwrap();
        assert_eq!((error.key, error.line), ("container.env", 13), "{all}");
        assert!(error.why.contains("without naming them"), "{error}");
    }
}
