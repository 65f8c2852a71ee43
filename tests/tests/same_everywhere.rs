//! One workflow ends the same in the sandbox and in Docker, and is the same release in both and in `plan`.

use std::process::Command;

use serde_json::{Value, json};
use tagline_tests::{Scratch, TAG, gate};

const WORKFLOW: &str = "name: release
on: {push: {tags: ['v*']}}
env: {SHOP: village}
jobs:
  build:
    runs-on: ubuntu-latest
    outputs:
      version: ${{ steps.version.outputs.version }}
      sum: ${{ steps.sum.outputs.sum }}
    steps:
      - uses: actions/checkout@v4
      - id: version
        run: echo \"version=${GITHUB_REF_NAME#v}\" >> \"$GITHUB_OUTPUT\"
      - run: mkdir -p out/deep && cp shoes.txt out/deep/ && chmod 755 out/deep/shoes.txt
      - id: sum
        run: |
          sum=$(sha256sum shoes.txt | cut -d ' ' -f 1)
          echo \"sum=$sum\" >> \"$GITHUB_OUTPUT\"
      - uses: actions/upload-artifact@v4
        with: {name: shop, path: out}
  test:
    needs: build
    runs-on: ubuntu-latest
    strategy:
      fail-fast: false
      matrix:
        size: [38, 39, 40]
        exclude: [{size: 39}]
        include: [{size: 41, brittle: true}]
    continue-on-error: ${{ matrix.brittle == true }}
    steps:
      - uses: actions/download-artifact@v4
        with: {name: shop, path: in}
      - run: test \"$(cat in/deep/shoes.txt)\" = \"$SHOP shoes\" && test -x in/deep/shoes.txt
      - if: matrix.brittle
        run: exit 9
      - run: echo after
  image:
    needs: build
    runs-on: ubuntu-latest
    container: BASH
    steps:
      - uses: actions/checkout@v4
      - run: test -f shoes.txt && test \"$SHOP\" = village && id -u > /dev/null
  stumble:
    runs-on: ubuntu-latest
    steps:
      - id: fall
        continue-on-error: true
        run: exit 3
      - run: test \"$OUTCOME $CONCLUSION\" = 'failure success'
        env: {OUTCOME: '${{ steps.fall.outcome }}', CONCLUSION: '${{ steps.fall.conclusion }}'}
      - run: exit 4
      - run: echo never
      - if: always()
        run: echo cleaned
  after:
    needs: [build, test, image, stumble]
    if: always()
    runs-on: ubuntu-latest
    steps:
      - run: test \"$R\" = \"success success success failure $V\"
        env:
          V: ${{ needs.build.outputs.version }}
          R: >-
            ${{ needs.build.result }} ${{ needs.test.result }} ${{ needs.image.result }} ${{ needs.stumble.result }}
            ${{ needs.build.outputs.version }}
  never:
    needs: stumble
    runs-on: ubuntu-latest
    steps: [{run: echo never}]
";

/// What must be equal: how every job and step ended, and what was made.
fn ending(run: &Value, artifacts: &Value) -> Value {
    let texts = |value: &Value, keys: &[&str]| -> Value { keys.iter().map(|key| value[*key].clone()).collect() };
    let jobs = run["jobs"].as_array().expect("jobs").iter().map(|job| {
        let steps = job["steps"].as_array().into_iter().flatten();
        json!([
            texts(job, &["id", "status", "attempt", "outputs"]),
            steps.map(|step| texts(step, &["name", "status"])).collect::<Value>()
        ])
    });
    let artifacts = artifacts.as_array().expect("artifacts").iter();
    let artifacts: Value = artifacts.map(|one| texts(one, &["name", "digest", "size"])).collect();
    json!({ "status": run["status"], "jobs": jobs.collect::<Value>(), "artifacts": artifacts })
}

/// The test image with bash in the registry, where both runners can have it from.
fn image() -> Option<String> {
    let (Some(registry), true) = (gate::require_registry(), gate::require_docker()) else { return None };
    let name = format!("{registry}/tagline-test/same:latest");
    for words in [["tag", gate::BASH, &name], ["push", "--quiet", &name]] {
        let out = Command::new("docker").args(words).output().expect("docker is there");
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
    Some(name)
}

#[test]
fn a_workflow_ends_the_same_in_the_sandbox_and_in_docker_as_one_release() {
    let mut runners = vec!["sandbox"];
    runners.extend(gate::require_docker().then_some("docker"));
    let scratch = Scratch::new();
    let repo = scratch.repo("shop");
    // Where there is no image the job runs without.
    let container = image().map_or_else(String::new, |name| format!("    container: {name}\n"));
    let workflow = WORKFLOW.replace("    container: BASH\n", &container);
    repo.workflow("release.yml", &workflow).write("shoes.txt", "village shoes\n").commit("Sell shoes");
    repo.tag(TAG);
    let tagline = scratch.tagline().dir(repo.path());
    scratch.write("home/config/tagline/runner.toml", format!("image = \"{}\"\n", gate::BASH));
    let planned = tagline.run(["plan", "--tag", TAG, "--json"]).success().json();
    let mut ends = Vec::new();
    for runner in &runners {
        // A store of its own for each: in one the second would be the same run.
        let store = format!("sqlite://{}", scratch.join(&format!("store-{runner}")).display());
        let tagline = tagline.clone().env("TAGLINE_STORE", &store);
        let out = tagline.run(["run", "--tag", TAG, "--runner", runner]);
        out.code(1).stdout_has("stumble");
        let shown = tagline.show(1);
        assert_eq!(shown["runner"], *runner);
        let digest = shown["release_digest"].as_str().expect("a release digest").to_owned();
        assert!(planned.to_string().contains(&digest), "{runner}: {digest} is not in {planned}");
        let artifacts = tagline.run(["artifacts", "ls", "1", "--json"]).success().json();
        ends.push((digest, ending(&shown, &artifacts)));
    }
    let (_, first) = &ends[0];
    let status = |id: &str| {
        let jobs = first["jobs"].as_array().unwrap().iter();
        jobs.filter(|job| job[0][0].to_string().contains(id))
            .map(|job| job[0][1].as_str().unwrap().to_owned())
            .collect()
    };
    let cases: [(&str, &[&str]); 5] = [
        ("build", &["success"]),
        ("image", &["success"]),
        ("stumble", &["failure"]),
        ("after", &["success"]),
        ("never", &["skipped"]),
    ];
    for (id, wanted) in cases {
        let found: Vec<String> = status(id);
        assert_eq!(found, wanted, "{id}: {first:#}");
    }
    let tests: Vec<String> = status("test");
    assert_eq!(tests.len(), 3, "{first:#}");
    assert_eq!(first["artifacts"].as_array().unwrap().len(), 1, "{first:#}");
    for other in &ends[1..] {
        assert_eq!(*other, ends[0]);
    }
}
