//! `tagline plan`, run as a command.

use serde_json::json;

use crate::place::Place;

const RELEASE: &str = "\
name: release
on:
  push: { tags: ['v*'] }
jobs:
  quality:
    runs-on: x
    strategy: { matrix: { os: [a, b], level: [1], include: [{ os: c, level: 2 }] } }
    steps: [{ run: make test }]
  deploy:
    needs: quality
    runs-on: x
    environment: production
    steps: [{ run: make deploy }]
  notify:
    needs: deploy
    if: vars.SLACK == 'on'
    runs-on: x
    steps: [{ run: make notify }]
  cleanup:
    needs: deploy
    if: failure()
    runs-on: x
    steps: [{ run: make clean }]
";

const RULES: &str = "\
teams: { ops: [ana@example.com], release-managers: [sam@example.com] }
environments:
  production:
    tags: '>=1.0.0'
    reviewers: { any-of: [ops, release-managers], required: 2, from: { ops: 1 } }
";

fn place() -> Place {
    let place = Place::repository(&[(".github/workflows/release.yml", RELEASE), (".tagline/environments.yml", RULES)]);
    place.git(&["tag", "v1.2.3"]);
    place
}

#[test]
fn the_plan_of_a_tag_reads_in_order() {
    let said = place().run(&["plan", "--tag", "v1.2.3"]).exits(0);
    let mut lines: Vec<&str> = said.out.lines().collect();
    assert!(lines.remove(0).starts_with("Plan for repo v1.2.3, "), "{}", said.out);
    let digest = lines.pop().unwrap();
    assert!(digest.starts_with("6 jobs. Release digest "), "{digest}");
    let expected = [
        "  1 quality   3 legs of its matrix",
        "  = approval  2 of ops, release-managers (1 from ops) (production), not ona@example.com",
        "  2 deploy    after quality · environment production · tags >=1.0.0",
        "  - notify    skipped: vars.SLACK == 'on' is false: vars.SLACK is '' (not set)",
        "  3 cleanup   if failure() · after deploy",
    ];
    assert_eq!(lines, expected);
    assert_eq!(said.err, "");
}

#[test]
fn json_has_the_combinations_and_the_digest_of_the_real_run() {
    let place = place();
    let plan = place.run(&["plan", "release", "--tag", "v1.2.3", "--json"]).exits(0).json();
    let quality = &plan["jobs"]["quality"];
    assert_eq!(quality["matrix"], json!([{"os": "a", "level": 1}, {"os": "b", "level": 1}, {"os": "c", "level": 2}]));
    assert_eq!(plan["jobs"]["deploy"]["matrix"], json!([{}]));
    assert!(plan["release_digest"].as_str().unwrap().starts_with("sha256:"));
    let again = place.run(&["plan", "--tag", "v1.2.3", "--json"]).exits(0).json();
    assert_eq!(again["release_digest"], plan["release_digest"]);
    assert!(!place.store().exists(), "a plan leaves nothing behind");
}

#[test]
fn a_file_anywhere_can_be_planned_in_a_repository_and_outside_of_any() {
    let manual = "on: workflow_dispatch\njobs:\n  a:\n    runs-on: x\n    strategy: { matrix: { n: [1, 2] } }\n    steps: [{ run: x }]\n";
    for place in [Place::new(), place()] {
        place.write("ci/manual.yml", manual);
        let plan = place.run(&["plan", "ci/manual.yml", "--json"]).exits(0).json();
        assert_eq!(plan["jobs"]["a"]["matrix"], json!([{"n": 1}, {"n": 2}]));
        assert_eq!(plan["trigger"]["event"], "workflow_dispatch");
    }
}

#[test]
fn what_cannot_be_planned_says_why_and_that_nothing_was_run() {
    let place = place();
    for (args, code) in [
        (&["plan", "--tag", "v9.9.9"][..], "no-such-tag"),
        (&["plan", "--tag", "v1.2"], "bad-tag"),
        (&["plan", "nope"], "no-such-workflow"),
        (&["plan", "--event", "schedule"], "nothing-starts"),
        (&["plan", "--repo", "/"], "not-a-repository"),
        (&["plan", "--payload", "missing.json"], "no-such-file"),
    ] {
        let said = place.run(args).exits(2);
        assert!(said.err.contains(&format!("error[{code}]: ")), "{args:?}: {}", said.err);
        assert!(said.err.contains("\n  next    "), "{args:?}: {}", said.err);
        assert_eq!(said.out, "");
    }
}

#[test]
fn an_environment_nobody_knows_is_shown_in_its_file() {
    let place = place();
    place.write(".github/workflows/release.yml", &RELEASE.replace("environment: production", "environment: prodution"));
    place.commit();
    place.git(&["tag", "v1.2.4"]);
    let said = place.run(&["plan", "--tag", "v1.2.4"]).exits(2);
    assert!(said.err.contains("--> .github/workflows/release.yml:12:18"), "{}", said.err);
    assert!(said.err.contains("did you mean `production`?"), "{}", said.err);
}

#[test]
fn rules_that_differ_in_the_working_tree_are_named() {
    let place = place();
    place.write(".tagline/environments.yml", &RULES.replace("required: 2", "required: 1"));
    let said = place.run(&["plan", "release"]).exits(0);
    assert!(said.err.contains("warning: .tagline/environments.yml of the working tree differs"), "{}", said.err);
    assert!(said.out.contains("= approval  2 of ops"), "{}", said.out);
}

/// What only the tagged files show of a delivery is told by `plan`, with its place, whether or not a cluster can be asked.
#[test]
fn a_delivery_of_what_is_not_there_is_exit_2_with_its_place() {
    let workflow = "on: push\njobs:\n  build: { runs-on: x, outputs: { image: y }, steps: [{ run: make }] }\n  production:\n    \
                    needs: build\n    runs-on: x\n    environment: production\n    steps:\n      - uses: tagline/deploy@v1\n        \
                    with:\n          manifests: k8s/overlays/prd\n          images: shop=${{ needs.build.outputs.image }}\n";
    let rules = "environments:\n  production:\n    cluster: { context: nowhere, namespace: shop }\n";
    let manifest = "apiVersion: v1\nkind: Service\nmetadata: { name: shop }\n";
    let file = ".github/workflows/release.yml";
    let place = Place::repository(&[
        (file, workflow),
        (".tagline/environments.yml", rules),
        ("k8s/overlays/prod/service.yaml", manifest),
    ]);
    let said = place.run(&["plan"]).exits(2);
    assert!(said.err.contains("error[bad-delivery]: manifests: no kustomization.yaml"), "{}", said.err);
    assert!(said.err.contains("--> .github/workflows/release.yml:11:22"), "{}", said.err);
    assert!(said.err.contains("did you mean prod?"), "{}", said.err);
    assert!(said.out.contains("2 production"), "the plan is shown all the same: {}", said.out);
    // The image that no container uses is the next thing.
    place.write(file, &workflow.replace("prd", "prod"));
    let said = place.run(&["plan"]).exits(2);
    assert!(said.err.contains("images: image \"shop\" replaced 0 containers"), "{}", said.err);
    place.write(
        file,
        &workflow.replace("prd\n", "prod\n").replace("          images: shop=${{ needs.build.outputs.image }}\n", ""),
    );
    let said = place.run(&["plan"]).exits(0);
    assert!(said.err.contains("warning: the cluster of production is not asked"), "{}", said.err);
}
