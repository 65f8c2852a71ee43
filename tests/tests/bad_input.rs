//! Bad input gets a clear error: what is wrong and where, that nothing was done, what to do; and nothing was begun.

use std::time::{Duration, Instant};

use tagline_tests::{Outcome, Repo, Scratch, TAG, Tagline, gate};

const WORKFLOW: &str = "on: {push: {tags: ['v*']}}
jobs:
  build:
    runs-on: ubuntu-latest
    steps: [{run: echo built}]
";

/// Releases [`TAG`] of a repository with this workflow.
#[track_caller]
fn release(workflow: impl AsRef<[u8]>) -> (Scratch, Tagline, Outcome) {
    let scratch = Scratch::new();
    let repo = scratch.repo("shop");
    repo.write(".github/workflows/release.yml", workflow).commit("Sell shoes");
    repo.tag(TAG);
    let tagline = scratch.tagline().dir(repo.path());
    let out = tagline.run(["run", "--tag", TAG]);
    (scratch, tagline, out)
}

/// Releases [`TAG`] of a repository with one job that has this environment, under these rules.
#[track_caller]
fn guarded(environment: &str, rules: &str) -> (Scratch, Repo, Tagline) {
    let scratch = Scratch::new();
    let workflow = WORKFLOW.replace("    steps:", &format!("    environment: {environment}\n    steps:"));
    let repo = scratch.guarded_project(&workflow, rules);
    let tagline = scratch.tagline().dir(repo.path());
    (scratch, repo, tagline)
}

#[test]
fn a_folder_that_is_no_repository() {
    let scratch = Scratch::new();
    let tagline = scratch.tagline();
    let here = scratch.path().to_str().unwrap();
    tagline.run(["run", "--tag", TAG]).refused(2, "not-a-repository", here);
    tagline.run(["run", "--repo", "missing", "--tag", TAG]).refused(2, "not-a-repository", "missing");
    tagline.run(["plan", "--tag", TAG]).refused(2, "not-a-repository", here);
    tagline.nothing_began();
}

#[test]
fn a_repository_without_a_commit_or_a_workflow() {
    let scratch = Scratch::new();
    let repo = scratch.repo("shop");
    let tagline = scratch.tagline().dir(repo.path());
    tagline.run(["run", "--tag", TAG]).refused(2, "no-such-tag", TAG);
    repo.commit("Sell nothing");
    repo.tag(TAG);
    tagline.run(["run", "--tag", TAG]).refused(2, "no-workflow", ".github/workflows").stderr_has("tagline init");
    tagline.nothing_began();
}

#[test]
fn tags_that_are_not_there_or_are_no_versions() {
    let scratch = Scratch::new();
    let repo = scratch.project(WORKFLOW);
    let tagline = scratch.tagline().dir(repo.path());
    tagline.run(["run", "--tag", "v9.9.9"]).refused(2, "no-such-tag", "v9.9.9");
    for (tag, why) in [
        ("v1.2", "did you mean `v1.2.0`"),
        ("v01.2.3", "leading zero"),
        ("v1.2.3;rm -rf", "';'"),
        ("v1.2.3-0.01", "leading zero"),
        ("", "empty"),
        ("../v1.2.3", "'/'"),
        ("refs/tags/v1.2.3", "'/'"),
        ("v1.2.3\u{1b}[2J", "not"),
    ] {
        let shown = tag.split('\u{1b}').next().unwrap();
        let out = tagline.run(["run", "--tag", tag]);
        out.refused(2, "bad-tag", shown).stderr_has(why).lacks("\u{1b}");
        tagline.run(["plan", "--tag", tag]).refused(2, "bad-tag", shown);
    }
    tagline.nothing_began();
}

#[test]
fn a_tag_on_no_commit() {
    let scratch = Scratch::new();
    let repo = scratch.project(WORKFLOW);
    repo.git(["tag", "v2.0.0", "HEAD^{tree}"]);
    repo.git(["tag", "--annotate", "--message", "a file", "v2.0.1", "HEAD:.github/workflows/release.yml"]);
    let tagline = scratch.tagline().dir(repo.path());
    tagline.run(["run", "--tag", "v2.0.0"]).refused(2, "tag-without-commit", "v2.0.0").stderr_has("a tree");
    tagline.run(["run", "--tag", "v2.0.1"]).refused(2, "tag-without-commit", "v2.0.1").stderr_has("a blob");
    tagline.nothing_began();
}

#[test]
fn a_workflow_that_cannot_be_read() {
    let jobs = "on: push\njobs:\n  build:\n    runs-on: x\n    steps: [{run: echo}]\n";
    let huge = format!("{jobs}# {}\n", "x".repeat(1 << 20));
    let latin = [jobs.as_bytes(), b"# caf\xe9\n"].concat();
    let cases: [(&[u8], &str); 6] = [
        (b"", "empty"),
        (b"# nothing but a comment\n", "empty"),
        (huge.as_bytes(), "1 MiB"),
        (&latin, "not UTF-8"),
        (b"on: push\njobs: [", "release.yml:2"),
        (&[0; 4096], "release.yml"),
    ];
    for (content, why) in cases {
        let (_scratch, tagline, out) = release(content);
        out.refused(2, "unusable-file", ".github/workflows/release.yml").stderr_has(why);
        tagline.nothing_began();
    }
}

#[test]
fn a_file_that_does_not_start_holds_nobody_up() {
    let scratch = Scratch::new();
    let repo = scratch.project(WORKFLOW);
    let step = "jobs: {a: {runs-on: x, steps: [{uses: actions/setup-node@v4}]}}\n";
    repo.workflow("ci.yml", &format!("on: pull_request\n{step}"));
    repo.workflow("broken.yml", "on: {push: {branches: [main]}}\njobs: {a: {runs-on: x, stps: []}}\n");
    repo.commit("Check what is asked for");
    repo.light_tag("v1.2.4");
    let tagline = scratch.tagline().dir(repo.path());
    tagline.run(["plan", "--tag", "v1.2.4"]).success();
    tagline.run(["run", "--tag", "v1.2.4"]).success();
    // Named, it is asked for.
    tagline.run(["run", "ci.yml", "--tag", "v1.2.4"]).refused(2, "not-carried-out", "ci.yml:2");
    let none = tagline.run(["plan", "--event", "release"]);
    none.refused(2, "nothing-starts", "broken.yml").stderr_has("it does not start on release, and it has errors");
    // What starts, or may start, is refused with everything.
    for (on, code) in [("push", "not-carried-out"), ("[pull_request, pussh]", "unusable-file")] {
        repo.workflow("ci.yml", &format!("on: {on}\n{step}")).commit(on);
        let tag = format!("v1.3.{}", on.len());
        repo.light_tag(&tag);
        tagline.run(["run", "--tag", &tag]).refused(2, code, "ci.yml");
    }
    assert_eq!(tagline.runs().len(), 1);
}

#[test]
fn a_repository_of_somebody_else() {
    if !gate::require_root() {
        return;
    }
    let scratch = Scratch::new();
    let repo = scratch.project(WORKFLOW);
    let tagline = scratch.tagline().dir(repo.path());
    std::os::unix::fs::chown(repo.path(), Some(1000), None).unwrap();
    std::os::unix::fs::chown(repo.path().join(".git"), Some(1000), None).unwrap();
    let out = tagline.run(["run", "--tag", TAG]);
    let next = format!("git config --global --add safe.directory {}", repo.path().display());
    out.refused(2, "not-trusted-repository", repo.path().to_str().unwrap()).stderr_has(&next);
}

#[test]
fn a_clone_that_does_not_reach_the_last_edit_of_the_workflow() {
    let scratch = Scratch::new();
    let workflow = WORKFLOW.replace("    steps:", "    environment: production\n    steps:");
    let rules = "environments: {production: {reviewers: {any-of: [ona@example.com, jonas@example.com]}}}\n";
    let repo = scratch.guarded_project(&workflow, rules);
    repo.commit("Sell boots");
    repo.tag("v1.2.4");
    let (from, to) = (format!("file://{}", repo.path().display()), scratch.join("clone"));
    repo.git(["clone", "--quiet", "--depth", "1", &from, to.to_str().unwrap()]);
    let tagline = scratch.tagline().dir(&to);
    let out = tagline.run(["plan", "--tag", "v1.2.4"]);
    out.refused(2, "editor-unknown", "release.yml").stderr_has("git fetch --unshallow");
    // Where nobody is kept from approving, it is only said.
    let open = rules.replace("jonas@example.com]", "jonas@example.com], prevent-self-review: false");
    repo.environments(&open).commit("Let everybody approve");
    repo.tag("v1.2.5");
    let to = scratch.join("open");
    repo.git(["clone", "--quiet", "--depth", "1", &from, to.to_str().unwrap()]);
    scratch.tagline().dir(&to).run(["plan", "--tag", "v1.2.5"]).success().stderr_has("git fetch --unshallow");
}

/// Nine anchors, each ten times the one before: a thousand million nodes where they are expanded.
#[test]
fn a_bomb_of_aliases_is_answered_at_once() {
    let mut bomb = String::from("on: push\nenv: &a0 {x: y}\n");
    for level in 1..10 {
        let before = format!("*a{}", level - 1);
        bomb += &["x", &level.to_string(), ": &a", &level.to_string(), " [", &[before.as_str(); 10].join(", "), "]\n"]
            .concat();
    }
    bomb.push_str("jobs: {build: {runs-on: x, steps: [{run: echo}]}}\n");
    let nested = format!("on: push\njobs: {}{}\n", "[".repeat(50_000), "]".repeat(50_000));
    for (content, why) in [(bomb.as_str(), "nodes"), (nested.as_str(), "deeper")] {
        let start = Instant::now();
        let (_scratch, tagline, out) = release(content);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        out.refused(2, "unusable-file", "release.yml").stderr_has(why);
        assert!(out.stderr.len() < 10_000, "as long as the bomb: {}", out.stderr.len());
        tagline.nothing_began();
    }
}

#[test]
fn keys_that_stand_twice_or_are_not_known() {
    let (_scratch, tagline, out) = release(WORKFLOW.replace("    steps", "    runs-on: other\n    steps"));
    out.refused(2, "unusable-file", "release.yml:5:5").stderr_has("error[duplicate-key]").stderr_has("runs-on");
    tagline.nothing_began();

    let (_scratch, tagline, out) = release(WORKFLOW.replace("runs-on", "run-on"));
    out.refused(2, "unusable-file", "release.yml:4:5").stderr_has("error[unknown-key]").stderr_has("`runs-on`");
    tagline.nothing_began();
}

#[test]
fn an_image_that_can_be_none() {
    for name in ["Shop/Web", "shop:", "shop@sha256:12", "shop web"] {
        let workflow =
            "on: {push: {tags: ['v*']}}\njobs:\n  build:\n    runs-on: x\n    container: NAME\n    steps: [{run: x}]\n";
        let (_scratch, tagline, out) = release(workflow.replace("NAME", &format!("'{name}'")));
        out.code(2).stderr_has(&format!("`{name}` is not the name of an image")).stderr_has("release.yml:5");
        tagline.nothing_began();
    }
}

#[test]
fn needs_in_a_circle_name_every_job_of_it() {
    let job = |name: &str, needs: &str| format!("  {name}: {{needs: {needs}, runs-on: x, steps: [{{run: echo}}]}}\n");
    let jobs = [job("lint", "pack"), job("build", "lint"), job("pack", "build"), job("last", "pack")].concat();
    let (_scratch, tagline, out) = release(format!("on: push\njobs:\n{jobs}"));
    out.refused(2, "unusable-file", "release.yml:3");
    let line = out.stderr.lines().find(|line| line.starts_with("error[") && line.contains('→'));
    let line = line.or_else(|| out.stderr.lines().find(|line| line.starts_with("error[") && line.contains("->")));
    let line = line.unwrap_or_else(|| panic!("no circle is drawn\n{out}"));
    assert!(["lint", "build", "pack"].iter().all(|job| line.contains(job)), "{line}");
    assert!(!line.contains("last"), "a job that is not in the circle: {line}");
    tagline.nothing_began();
}

#[test]
fn an_environment_that_is_not_in_the_file() {
    let rules = "environments: {production: {}, staging: {}}\n";
    let (_scratch, _repo, tagline) = guarded("prodution", rules);
    let out = tagline.run(["run", "--tag", TAG]);
    out.refused(2, "unknown-environment", "release.yml:5:18").stderr_has("`production`").stderr_has("prodution");
    tagline.run(["plan", "--tag", TAG]).refused(2, "unknown-environment", "release.yml:5:18");
    tagline.nothing_began();
}

/// A tag may not release into an environment nobody wrote rules for.
#[test]
fn an_environment_without_a_file() {
    let scratch = Scratch::new();
    let repo = scratch.project(&WORKFLOW.replace("    steps:", "    environment: production\n    steps:"));
    let tagline = scratch.tagline().dir(repo.path());
    tagline.run(["run", "--tag", TAG]).refused(2, "unknown-environment", "production");
    tagline.nothing_began();
}

#[test]
fn an_environments_file_that_cannot_be_used() {
    for (rules, why) in [
        ("environments: {production: {windows: []}}\n", "not enforced yet"),
        ("environments: {production: {reviewer: {any-of: [ona@example.com]}}}\n", "`reviewers`"),
        ("environments: {production: {reviewers: {any-of: [opps]}}}\nteams: {ops: [ona@example.com]}\n", "ops"),
        ("environments: {production: {}, production: {}}\n", "duplicate-key"),
        ("environments: [", "environments.yml"),
        ("environments: {production: {tags: '>=x'}}\n", "x"),
    ] {
        let (_scratch, _repo, tagline) = guarded("production", rules);
        let out = tagline.run(["run", "--tag", TAG]);
        out.refused(2, "unusable-file", ".tagline/environments.yml").stderr_has(why);
        tagline.nothing_began();
    }
}

#[test]
fn the_case_of_an_environments_name_does_not_matter() {
    let rules = "environments: {production: {reviewers: {any-of: [ona@example.com]}}}\n";
    let (_scratch, _repo, tagline) = guarded("PRODUCTION", rules);
    tagline.run(["run", "--tag", TAG]).code(3).stdout_has("tagline approve 1 --environment ");
    assert!(tagline.log_is_missing(1, "build"), "it ran without its rules");
}

#[test]
fn a_secret_that_is_missing_stops_before_the_first_step() {
    let rules = "environments: {production: {secrets: [DATABASE_URL]}}\n";
    let (scratch, repo, tagline) = guarded("production", rules);
    let first = "  first: {runs-on: x, steps: [{run: echo first}]}\n";
    let workflow = std::fs::read_to_string(repo.path().join(".github/workflows/release.yml")).unwrap();
    repo.workflow("release.yml", &format!("{workflow}{first}")).commit("Do more");
    repo.tag("v1.2.4");
    let run = |extra: &[&str]| tagline.run([&["run", "--tag", "v1.2.4"], extra].concat());
    run(&[]).refused(2, "missing-secret", "`production`").stderr_has("tagline secret set DATABASE_URL");
    let file = scratch.write("secrets", "DATABASE_URL=\n");
    run(&["--secrets", file.to_str().unwrap()]).code(2);
    let file = scratch.write("secrets", "OTHER=postgres\n");
    run(&["--secrets", file.to_str().unwrap()]).refused(2, "missing-secret", "DATABASE_URL");
    tagline.nothing_began();
    let file = scratch.write("secrets", "DATABASE_URL=postgres://here\n");
    run(&["--secrets", file.to_str().unwrap()]).success();
}

#[test]
fn a_variable_that_is_missing_stops_before_the_first_step() {
    let rules = "environments: {production: {required-variables: [REGISTRY]}}\n";
    let (_scratch, repo, tagline) = guarded("production", rules);
    tagline.run(["run", "--tag", TAG]).refused(2, "missing-variable", "REGISTRY").stderr_has("`production`");
    tagline.nothing_began();
    repo.environments("variables: {REGISTRY: r}\nenvironments: {production: {required-variables: [REGISTRY]}}\n");
    repo.commit("Name the registry");
    tagline.run(["run", "--tag", TAG]).success();
}

#[test]
fn files_the_command_names_and_cannot_read() {
    let scratch = Scratch::new();
    let repo = scratch.project(WORKFLOW);
    let tagline = scratch.tagline().dir(repo.path());
    tagline.run(["run", "--tag", TAG, "--secrets", "nowhere"]).code(2).stderr_has("error[no-such-file]");
    tagline.run(["run", "other.yml", "--tag", TAG]).refused(2, "no-such-workflow", "other.yml");
    let file = scratch.write("payload.json", "{");
    let file = file.to_str().unwrap();
    tagline.run(["run", "release.yml", "--event", "push", "--payload", file]).refused(2, "bad-payload", file);
    tagline.run(["run", "--tag", TAG, "--store", "postgres://here"]).refused(2, "bad-store", "postgres");
    tagline.run(["resume", "7"]).code(2).stderr_has("error[");
    tagline.nothing_began();
}
