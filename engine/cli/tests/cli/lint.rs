//! `tagline lint`, run as a command.

use serde_json::json;

use crate::place::Place;

const FILE: &str = ".github/workflows/ci.yml";
const GOOD: &str = "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps: [{ run: make }]\n";
const TYPO: &str = "on: push\njobs:\n  build:\n    runs-on: x\n    steps: [{ run: make }]\n  deploy:\n    needs: [biuld]\n    runs-on: x\n    steps: [{ run: make }]\n";

#[test]
fn a_good_file_is_exit_0_and_a_bad_one_exit_1_without_any_repository() {
    let place = Place::new();
    place.write(FILE, GOOD);
    let said = place.run(&["lint"]).exits(0);
    assert!(said.out.starts_with("0 errors in 1 file, "), "{}", said.out);
    place.write(FILE, TYPO);
    let said = place.run(&["lint"]).exits(1);
    assert!(said.out.contains("error[unknown-job]: job `deploy` needs `biuld`"), "{}", said.out);
    assert!(said.out.contains("--> .github/workflows/ci.yml:7:13"), "{}", said.out);
    assert!(said.out.contains("help: did you mean `build`?  fix: tagline lint --fix"), "{}", said.out);
    assert!(said.out.contains("1 error in 1 file, "), "{}", said.out);
}

#[test]
fn json_is_the_documented_array() {
    let place = Place::new();
    place.write("wf.yml", TYPO);
    let said = place.run(&["lint", "wf.yml", "--format", "json"]).exits(1);
    let list = said.json();
    let expected = json!({
        "file": "wf.yml", "line": 7, "column": 13, "endLine": 7, "endColumn": 18,
        "severity": "error", "code": "unknown-job", "message": list[0]["message"],
    });
    assert_eq!(list, json!([expected]));
    place.write("wf.yml", GOOD);
    assert_eq!(place.run(&["lint", "wf.yml", "--format", "json"]).exits(0).json(), json!([]));
    let sarif = place.run(&["lint", "wf.yml", "--format", "sarif"]).exits(0).json();
    assert_eq!(sarif["version"], "2.1.0");
}

#[test]
fn what_has_one_remedy_is_mended() {
    let place = Place::new();
    place.write(FILE, TYPO);
    let said = place.run(&["lint", "--fix"]).exits(0);
    assert!(said.err.contains("fixed 1 mistake in .github/workflows/ci.yml"), "{}", said.err);
    assert_eq!(place.read(FILE), TYPO.replace("biuld", "build"));
    place.run(&["lint", "--fix"]).exits(0);
}

#[test]
fn nothing_to_check_is_exit_2() {
    let place = Place::new();
    let said = place.run(&["lint"]).exits(2);
    assert!(said.err.contains("error[no-workflow]"), "{}", said.err);
    assert!(said.err.contains("next    tagline init"), "{}", said.err);
    place.run(&["lint", "missing.yml"]).exits(2);
}

#[test]
fn the_rules_of_the_default_branch_are_known() {
    let deploy = GOOD.replace("    steps", "    environment: prodution\n    steps");
    let rules = "environments: { production: }\n";
    let place = Place::repository(&[(FILE, &deploy), (".tagline/environments.yml", rules)]);
    let said = place.run(&["lint", "--format", "json"]).exits(1);
    assert_eq!(said.json()[0]["code"], "unknown-environment");
    // GitHub has no such file, and makes the environment.
    let said = place.run(&["lint", "--github", "--format", "json"]).exits(0);
    assert_eq!(
        (&said.json()[0]["code"], &said.json()[0]["severity"]),
        (&json!("differs-on-github"), &json!("warning"))
    );
}

#[test]
fn a_folder_that_is_no_repository_has_its_rules_too() {
    let deploy = GOOD.replace("    steps", "    environment: production\n    steps");
    let place = Place::new();
    place.write(FILE, &deploy);
    place.write(".tagline/environments.yml", "environments: { production: }\n");
    assert_eq!(place.run(&["lint", "--format", "json"]).exits(0).json(), json!([]));
    place.write(FILE, &deploy.replace("production", "prodution"));
    assert_eq!(place.run(&["lint", "--format", "json"]).exits(1).json()[0]["code"], "unknown-environment");
}

#[test]
fn what_is_not_carried_out_yet_is_a_warning_and_none_for_github() {
    let place = Place::new();
    place.write(FILE, &GOOD.replace("{ run: make }", "{ uses: some/action@v1 }"));
    let said = place.run(&["lint", "--format", "json"]).exits(0);
    assert_eq!(said.json()[0]["code"], "not-carried-out");
    assert_eq!(said.json()[0]["severity"], "warning");
    assert_eq!(place.run(&["lint", "--format", "json", "--github"]).exits(0).json(), json!([]));
}

/// Whatever `run` refuses of a delivery step, lint says first.
#[test]
fn inputs_of_a_delivery_step_are_read() {
    let place = Place::new();
    let step = "{ uses: tagline/rotate-secret@v1, with: { secret: db, generate: password=24 } }";
    let file = format!("on: push\njobs:\n  rotate:\n    runs-on: x\n    environment: prod\n    steps: [{step}]\n");
    place.write(FILE, &file);
    place.write(".tagline/environments.yml", "environments:\n  prod: {}\n");
    let said = place.run(&["lint"]).exits(1);
    assert!(
        said.out.contains("error[bad-delivery]: generate: \"password=24\" is not KEY or KEY LENGTH"),
        "{}",
        said.out
    );
    assert!(said.out.contains("error[no-cluster]: environment `prod` has no `cluster:`"), "{}", said.out);
}

/// Every step that could be read is checked, whatever else is wrong in the file.
#[test]
fn a_delivery_step_is_read_beside_other_mistakes() {
    let place = Place::new();
    let deploy = "      - uses: tagline/deploy@v1\n        with: { manifests: k8s, strategy: bluegreen }\n";
    let broken = "      - uses: tagline/deploy@v1\n        with: { manifests: [k8s], strategy: bluegren }\n";
    let file = format!(
        "on: push\njobs:\n  build:\n    runs-on: x\n    needs: nobody\n    steps: [{{ run: make }}]\n  prod:\n    \
         runs-on: x\n    environment: prod\n    steps:\n{broken}{deploy}  last:\n    runs-on: x\n    stps: 1\n"
    );
    place.write(FILE, &file);
    place.write(".tagline/environments.yml", "environments:\n  prod: {}\n");
    let said = place.run(&["lint"]).exits(1);
    assert!(said.out.contains("error[unknown-job]: job `build` needs `nobody`"), "{}", said.out);
    assert!(said.out.contains("error[bad-delivery]: strategy: \"bluegreen\" is not a strategy"), "{}", said.out);
    assert!(!said.out.contains("bluegren\" is not"), "the step is not read whole: {}", said.out);
}

#[test]
fn a_secret_does_not_reach_a_delivery_through_a_variable() {
    let place = Place::new();
    let file = "on: push\nenv: { OPEN: x }\njobs:\n  prod:\n    runs-on: x\n    environment: prod\n    env:\n      \
                TOKEN: ${{ secrets.T }}\n      OPEN: ${{ secrets.T }}\n    steps:\n      - uses: tagline/smoke-test@v1\n        \
                env: { BEARER: 'Bearer ${{ env.TOKEN }}', OPEN: y }\n        with:\n          path: /${{ env.OPEN }}\n          \
                headers: 'Authorization: ${{ env.BEARER }}'\n";
    place.write(FILE, file);
    place.write(".tagline/environments.yml", "environments:\n  prod: { cluster: { context: a, namespace: b } }\n");
    let said = place.run(&["lint"]).exits(1);
    assert!(said.out.contains("error[secret-in-delivery]: `headers` holds a secret"), "{}", said.out);
    assert!(!said.out.contains("`path` holds"), "the step's own variable counts: {}", said.out);
}

/// Examples are read before they are run.
#[test]
fn the_examples_have_no_mistakes() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for example in ["storefront", "village-storefront", "retail"] {
        let place = Place::new();
        for folder in [".github/workflows", ".tagline"] {
            for entry in std::fs::read_dir(root.join(example).join(folder)).unwrap().flatten() {
                let text = std::fs::read_to_string(entry.path()).unwrap();
                place.write(&format!("{folder}/{}", entry.file_name().to_str().unwrap()), &text);
            }
        }
        place.run(&["lint"]).exits(0);
    }
}

#[test]
fn unusable_bytes_are_findings_not_crashes() {
    let place = Place::new();
    std::fs::write(place.repo().join("wf.yml"), b"on: push\n\xff\xfe").unwrap();
    assert_eq!(place.run(&["lint", "wf.yml", "--format", "json"]).exits(1).json()[0]["code"], "not-utf8");
    place.write("wf.yml", &"# a comment\n".repeat(200_000));
    place.run(&["lint", "wf.yml"]).exits(1);
    place.write("wf.yml", "");
    place.run(&["lint", "wf.yml"]).exits(1);
    place.run(&["lint", "."]).exits(2);
}
