//! What is told of a run that was really made, in the sandbox of this machine.

use serde_json::json;

use crate::place::{Place, text};

const WORKFLOW: &str = "\
on: { push: { tags: ['v*'] } }
jobs:
  build:
    runs-on: x
    outputs: { answer: '${{ steps.a.outputs.answer }}' }
    steps:
      - id: a
        run: |
          echo \"answer=42\" >> \"$GITHUB_OUTPUT\"
          mkdir out && echo hello > out/file.txt
          echo first line
      - uses: actions/upload-artifact@v4
        with: { name: out, path: out }
  broken:
    needs: build
    runs-on: x
    steps:
      - run: echo before
      - run: echo it breaks; exit 7
  after:
    needs: broken
    runs-on: x
    steps: [{ run: echo never }]
";

#[test]
fn a_run_is_told_the_same_by_every_command() {
    let place = Place::repository(&[(".github/workflows/release.yml", WORKFLOW)]);
    place.git(&["tag", "v1.2.3"]);
    let planned = place.run(&["plan", "--tag", "v1.2.3", "--json"]).exits(0).json();
    place.run(&["run", "--tag", "v1.2.3", "--runner", "sandbox"]).exits(1);

    let runs = place.run(&["runs", "--json"]).exits(0).json();
    assert_eq!(runs.as_array().unwrap().len(), 1);
    assert_eq!(
        (&runs[0]["id"], &runs[0]["conclusion"], &runs[0]["tag"]),
        (&json!(1), &json!("failure"), &json!("v1.2.3"))
    );
    assert_eq!(runs[0]["release_digest"], planned["release_digest"], "a dry run and the run agree");

    let show = place.run(&["show", "1", "--json"]).exits(0).json();
    let jobs = show["jobs"].as_array().unwrap().iter().map(|job| json!([job["id"], job["status"], job["attempt"]]));
    assert_eq!(
        jobs.collect::<Vec<_>>(),
        [json!(["build", "success", 1]), json!(["broken", "failure", 1]), json!(["after", "skipped", 1])]
    );
    assert_eq!(show["approvals"], json!([]));
    let text_of = place.run(&["show", "1"]).exits(0).out;
    assert!(text_of.contains("  next    tagline logs 1 --failed"), "{text_of}");

    let failed = place.run(&["logs", "1", "--failed"]).exits(0).out;
    assert!(failed.contains("it breaks\n") && !failed.contains("before") && !failed.contains("first line"), "{failed}");
    let one = place.run(&["logs", "1", "build"]).exits(0).out;
    assert_eq!(one.lines().filter(|line| *line == "first line").count(), 1, "{one}");
    let all = place.run(&["logs", "1"]).exits(0).out;
    assert_eq!(all.lines().filter(|line| line.starts_with("# ")).collect::<Vec<_>>(), ["# build", "# broken"]);
    // A run that is over ends what is followed.
    place.run(&["logs", "1", "-f"]).exits(0);
    place.run(&["logs", "1", "nope"]).exits(2);

    let explained = place.run(&["explain", "1", "after", "--json"]).exits(0).json();
    assert_eq!(explained["clauses"], json!([{"text": "success()", "holds": false, "note": "broken failed"}]));
    let graph = place.run(&["graph", "1"]).exits(0).out;
    let lines: Vec<&str> = graph.lines().map(|line| line.split(" · ").next().unwrap()).collect();
    assert_eq!(lines, ["1  success build", "2  failure broken  after build", "3  skipped after   after broken"]);

    let artifacts = place.run(&["artifacts", "ls", "1", "--json"]).exits(0).json();
    assert_eq!((&artifacts[0]["name"], &artifacts[0]["job"]), (&json!("out"), &json!("build")));
    place.run(&["artifacts", "verify", "1"]).exits(0);
    let folder = place.repo().join("got");
    place.run(&["artifacts", "get", "1", "out", "--output", text(&folder)]).exits(0);
    assert_eq!(std::fs::read_to_string(folder.join("file.txt")).unwrap(), "hello\n");
    damage(&place, artifacts[0]["digest"].as_str().unwrap());
    let verified = place.run(&["artifacts", "verify", "1", "--json"]).exits(1).json();
    assert_eq!(verified[0]["valid"], false);
    assert_ne!(place.run(&["artifacts", "get", "1", "out", "--output", text(&folder)]).code, 0);

    let backup = place.repo().join("backup");
    let verified = place.run(&["store", "verify"]).exits(0).out;
    // The damaged artifact is told; the rest is copied.
    place.run(&["store", "backup", text(&backup)]).exits(1);
    let copied = place.run(&["store", "verify", "--store", text(&backup)]).exits(0).out;
    assert_eq!(copied, verified);
    place.run(&["store", "rebuild"]).exits(0);
    assert_eq!(place.run(&["runs", "--json"]).exits(0).json(), runs, "lists made again are the same");
}

fn damage(place: &Place, digest: &str) {
    let hex = digest.strip_prefix("sha256:").unwrap();
    let blob = place.store().join("blobs/sha256").join(&hex[..2]).join(&hex[2..]);
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[600] ^= 1;
    let mut permissions = std::fs::metadata(&blob).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    std::fs::set_permissions(&blob, permissions).unwrap();
    std::fs::write(&blob, bytes).unwrap();
}
