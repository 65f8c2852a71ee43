//! `tagline run` and its kin: what is shown, what ends how, with which exit code.

use std::path::Path;

use tagline_tests::{Repo, Scratch, Tagline, gate, until};

/// A repository with one workflow on `push` of tags `v*`, tagged v1.2.3.
fn repository(scratch: &Scratch, jobs: &str) -> Repo {
    let repo = scratch.repo("shop");
    repo.workflow("release.yml", &format!("name: release\non: {{ push: {{ tags: ['v*'] }} }}\njobs:\n{jobs}"));
    repo.commit("Fix tenant cache");
    repo.tag("v1.2.3");
    repo
}

fn tagline(scratch: &Scratch, repo: &Repo) -> Tagline {
    scratch.tagline().dir(repo.path())
}

const FAILING: &str = "
  build:
    runs-on: ubuntu-latest
    steps:
      - run: for n in $(seq 30); do echo \"line $n\"; done
      - name: Compile
        run: |
          for n in $(seq 40); do echo \"object $n\"; done
          echo 'cannot find crate serde'
          exit 7
  deploy: { needs: build, runs-on: ubuntu-latest, steps: [{ run: echo never }] }
";

#[test]
fn a_failure_is_explained_with_its_log_and_again_at_the_end() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, FAILING);
    let tagline = tagline(&scratch, &repo);
    let outcome = tagline.run(["run", "--tag", "v1.2.3"]);
    outcome.code(1).stderr_has("Run 1  shop v1.2.3").stderr_has("\"Fix tenant cache\"  release.yml");
    let head = "build failed in step 2 of 2 (Compile) after ";
    outcome
        .stderr_has(head)
        .stderr_has("    | object 40")
        .stderr_has("    | cannot find crate serde")
        .lacks("object 20");
    outcome.lacks("line 30");
    let last: Vec<&str> = outcome.stdout.lines().rev().take(4).collect();
    assert!(last[0].starts_with("  next    ") && last[0].ends_with("tagline rerun 1 --from build"), "{outcome}");
    assert!(last[1].contains("effect  nothing was deployed"), "{outcome}");
    assert!(last[2].contains("why     cannot find crate serde"), "{outcome}");
    assert!(last[3].starts_with(head), "{outcome}");
    outcome.stdout_has("Run 1 failed");
    tagline.run(["resume", "1"]).code(1).stdout_has(head);
}

#[test]
fn failed_jobs_run_again_and_the_others_stand() {
    let scratch = Scratch::new();
    let jobs = "
  good: { runs-on: ubuntu-latest, steps: [{ run: echo good }] }
  moody:
    needs: good
    runs-on: ubuntu-latest
    steps:
      - run: test \"$GITHUB_RUN_ATTEMPT\" -gt 1
";
    let repo = repository(&scratch, jobs);
    let tagline = tagline(&scratch, &repo);
    tagline.run(["run", "--tag", "v1.2.3"]).code(1);
    let again = tagline.run(["rerun", "1", "--failed"]);
    again.success().stderr_has("attempt 2").stdout_has("Run 1 succeeded").lacks("good | in progress");
    tagline.run(["rerun", "1", "--failed"]).code(1).stderr_has("nothing failed");
    tagline.run(["rerun", "1", "--from", "nobody"]).code(2).stderr_has("good, moody");
    tagline.run(["rerun", "1", "--from", "moody"]).success().stderr_has("attempt 3");
}

#[test]
fn events_come_one_a_line_and_nothing_else_on_standard_output() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, "  build: { runs-on: ubuntu-latest, steps: [{ run: echo built }] }\n");
    let tagline = tagline(&scratch, &repo);
    let outcome = tagline.run(["run", "--tag", "v1.2.3", "--json"]);
    let events = outcome.success().json_lines();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names.first(), Some(&"RunCreated"));
    assert_eq!(names.last(), Some(&"RunFinished"));
    for (number, event) in (1..).zip(&events) {
        assert_eq!((event["run"].as_u64(), event["number"].as_u64()), (Some(1), Some(number)), "{event}");
        assert!(event["at"].as_str().unwrap().ends_with('Z'), "{event}");
        assert!(event.get("token").is_none(), "an agent's secret: {event}");
    }
    let step = events.iter().find(|event| event["event"] == "StepStarted").expect("the step");
    assert_eq!(step["step"], 1, "steps are numbered from 1 as in every text");
    assert_eq!(tagline.show(1)["jobs"][0]["steps"][0]["number"], 1);
    let again = tagline.run(["run", "--tag", "v1.2.3", "--json"]);
    assert_eq!(again.success().json_lines(), events, "the same tag repeats its outcome");
}

#[test]
fn summaries_of_steps_are_shown_made_harmless() {
    let scratch = Scratch::new();
    let jobs = "
  build:
    runs-on: ubuntu-latest
    steps:
      - run: echo plain
      - name: Sum up
        run: printf '## 12 tests\\n\\033]0;title\\007all passed\\n' >> $GITHUB_STEP_SUMMARY
";
    let repo = repository(&scratch, jobs);
    let tagline = tagline(&scratch, &repo);
    tagline.run(["run", "--tag", "v1.2.3"]).success();
    let shown = tagline.run(["show", "1", "--summary"]);
    shown.success();
    assert_eq!(shown.stdout, "# build / Sum up\n## 12 tests\nall passed\n", "{shown}");
    tagline.run(["show", "1", "--summary", "--json"]).success().stdout_has("\"step\": \"Sum up\"");
}

#[test]
fn verbose_shows_every_line_of_the_logs_made_harmless() {
    let scratch = Scratch::new();
    let jobs = "
  build:
    runs-on: ubuntu-latest
    steps:
      - run: |
          for n in $(seq 300); do echo \"line $n\"; done
          printf '\\033]0;title\\007\\033[2Jwiped\\n'
";
    let repo = repository(&scratch, jobs);
    let outcome = tagline(&scratch, &repo).run(["run", "--tag", "v1.2.3", "--verbose"]);
    outcome.success().stderr_has(" build | line 1\n").stderr_has(" build | line 300\n").stderr_has(" build | wiped\n");
    outcome.lacks("\x1b").lacks("title");
}

#[test]
fn ctrl_c_cancels_and_lets_jobs_clean_up() {
    let scratch = Scratch::new();
    let jobs = "
  build:
    runs-on: ubuntu-latest
    steps:
      - run: echo started; sleep 600
      - if: always()
        run: echo cleaned
";
    let repo = repository(&scratch, jobs);
    let tagline = tagline(&scratch, &repo);
    let mut terminal = tagline.terminal(["run", "--tag", "v1.2.3"]);
    terminal.expect("step 1 of 2");
    terminal.keys("\x03");
    terminal.expect("being cancelled by jonas@example.com: Ctrl-C");
    let (code, text) = terminal.end();
    assert_eq!(code, 130, "{text}");
    assert!(text.contains("Run 1 was cancelled by jonas@example.com"), "{text}");
    tagline.run(["logs", "1"]).success().stdout_has("cleaned");
    tagline.run(["resume", "1"]).code(130);
}

#[test]
fn a_second_ctrl_c_kills() {
    let scratch = Scratch::new();
    let jobs = "
  build:
    runs-on: ubuntu-latest
    steps:
      - run: trap '' TERM INT; echo started; while :; do sleep 1; done
      - if: always()
        run: sleep 600
";
    let repo = repository(&scratch, jobs);
    let mut terminal = tagline(&scratch, &repo).terminal(["run", "--tag", "v1.2.3"]);
    terminal.expect("step 1 of 2");
    terminal.keys("\x03");
    terminal.expect("Ctrl-C again within 5s kills it");
    terminal.keys("\x03");
    terminal.expect("Killing what runs");
    assert_eq!(terminal.end().0, 130);
}

/// Whether a small file somewhere in a folder has this text.
fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => holds(&entry.path(), text),
        Ok(kind) if kind.is_file() && entry.metadata().is_ok_and(|file| file.len() < 1 << 20) => {
            std::fs::read(entry.path()).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
        }
        _ => false,
    })
}

#[test]
fn enter_shows_the_output_and_nothing_that_is_typed_shows() {
    let scratch = Scratch::new();
    let jobs = "
  build:
    runs-on: ubuntu-latest
    steps:
      - run: |
          for n in $(seq 30); do echo \"line $n\"; done
          while ! test -e \"$GITHUB_WORKSPACE/../../done\"; do sleep 0.05; test $SECONDS -lt 8 || exit 0; done
";
    let repo = repository(&scratch, jobs);
    let mut terminal = tagline(&scratch, &repo).terminal(["run", "--tag", "v1.2.3"]);
    terminal.expect("step 1 of 1");
    until("the output in the spool", || holds(scratch.path(), "line 30").then_some(()));
    terminal.keys("zqx\r");
    terminal.expect("    | line 30");
    let (code, text) = terminal.end();
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("line 20\n") && text.contains("line 21\n"), "the last ten: {text}");
    assert!(!text.contains("zqx"), "{text}");
    assert!(text.contains("✓ build") && text.contains("1 job · "), "{text}");
}

#[test]
fn one_job_runs_with_what_it_needs_and_is_no_release() {
    let scratch = Scratch::new();
    let jobs = "
  one: { runs-on: ubuntu-latest, steps: [{ run: echo 1 }] }
  two: { needs: one, runs-on: ubuntu-latest, steps: [{ run: echo 2 }] }
  three: { needs: two, runs-on: ubuntu-latest, steps: [{ run: echo 3 }] }
  other: { runs-on: ubuntu-latest, steps: [{ run: echo 4 }] }
";
    let repo = repository(&scratch, jobs);
    let tagline = tagline(&scratch, &repo);
    let part = tagline.run(["run", "--tag", "v1.2.3", "--job", "two"]);
    part.success().stderr_has("one | success").stderr_has("two | success").lacks("three").lacks("other |");
    tagline.run(["run", "--tag", "v1.2.3", "--job", "four"]).code(2).stderr_has("one, two, three, other");
    // The release itself is still to be run.
    tagline.run(["run", "--tag", "v1.2.3"]).success().stdout_has("Run 2 succeeded").stderr_has("three | success");
}

#[test]
fn an_event_and_its_payload_need_no_tag() {
    let scratch = Scratch::new();
    let repo = scratch.repo("shop");
    let workflow = "
on: { workflow_dispatch: { inputs: { who: { type: string, required: true } } } }
jobs:
  greet:
    runs-on: ubuntu-latest
    steps: [{ run: 'echo \"hello $WHO\"', env: { WHO: '${{ inputs.who }}' } }]
";
    repo.workflow("greet.yml", workflow);
    repo.commit("First");
    let payload = scratch.write("payload.json", r#"{"inputs": {"who": "world"}}"#);
    let tagline = tagline(&scratch, &repo);
    let words = ["run", "greet.yml", "--event", "workflow_dispatch", "--payload", payload.to_str().unwrap(), "-v"];
    tagline.run(words).success().stderr_has("hello world");
    let bad = scratch.write("bad.json", "nonsense");
    let words = ["run", "greet.yml", "--event", "workflow_dispatch", "--payload", bad.to_str().unwrap()];
    tagline.run(words).code(2).stderr_has("error[bad-payload]");
}

#[test]
fn a_missing_secret_stops_before_the_first_step_and_a_given_one_is_masked() {
    let scratch = Scratch::new();
    let repo = scratch.repo("shop");
    repo.workflow(
        "release.yml",
        "
on: { push: { tags: ['v*'] } }
jobs:
  deploy:
    environment: production
    runs-on: ubuntu-latest
    steps: [{ run: 'echo \"url $DATABASE_URL\"', env: { DATABASE_URL: '${{ secrets.DATABASE_URL }}' } }]
",
    );
    repo.environments("environments: { production: { secrets: [DATABASE_URL] } }\n");
    repo.commit("First");
    repo.tag("v1.2.3");
    let tagline = tagline(&scratch, &repo);
    tagline.run(["run", "--tag", "v1.2.3"]).code(2).stderr_has("error[missing-secret]").stderr_has("DATABASE_URL");
    assert_eq!(tagline.run(["runs", "--json"]).json().as_array().map(Vec::len), Some(0));
    let secrets = scratch.write("secrets", "DATABASE_URL=postgres://hidden\n");
    let outcome = tagline.run(["run", "--tag", "v1.2.3", "--secrets", secrets.to_str().unwrap(), "-v"]);
    outcome.success().stderr_has("url ***").lacks("hidden");
}

/// A build and a gated deployment that both name a secret of the environment; the deployment's last step fails once.
const WITH_SECRETS: &str = "
  build:
    runs-on: ubuntu-latest
    steps:
      - run: 'echo \"build url [$URL] [$OTHER]\"'
        env: { URL: '${{ secrets.DATABASE_URL }}', OTHER: '${{ secrets.OTHER }}' }
  deploy:
    needs: build
    environment: production
    runs-on: ubuntu-latest
    steps:
      - run: 'echo \"deploy url [$URL]\"'
        env: { URL: '${{ secrets.DATABASE_URL }}' }
      - run: test \"$GITHUB_RUN_ATTEMPT\" -gt 1
";

#[test]
fn given_secrets_reach_the_environment_that_lists_them_and_a_rerun_needs_them_again() {
    let scratch = Scratch::new();
    let repo = scratch.repo("shop");
    repo.workflow("release.yml", &format!("on: {{ push: {{ tags: ['v*'] }} }}\njobs:\n{WITH_SECRETS}"));
    repo.environments("environments: { production: { secrets: [DATABASE_URL] } }\n");
    repo.commit("First");
    repo.tag("v1.2.3");
    let tagline = tagline(&scratch, &repo);
    let file = scratch.write("secrets", "DATABASE_URL=postgres://hidden\nOTHER=an other one\n");
    let file = file.to_str().unwrap();
    let outcome = tagline.run(["run", "--tag", "v1.2.3", "--secrets", file, "-v"]);
    outcome.code(1).stderr_has("build url [] [***]").stderr_has("deploy url [***]").lacks("hidden");

    let rerun = tagline.run(["rerun", "1", "--failed"]);
    rerun.code(2).stderr_has("error[missing-secret]").stderr_has("tagline secret set DATABASE_URL");
    rerun.lacks("attempt 2");
    let outcome = tagline.run(["rerun", "1", "--failed", "--secrets", file, "-v"]);
    outcome.success().stderr_has("attempt 2").stderr_has("deploy url [***]");
}

#[test]
fn a_run_that_does_not_go_on_keeps_no_secrets() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, "  build: { runs-on: ubuntu-latest, steps: [{ run: echo built }] }\n");
    let tagline = tagline(&scratch, &repo);
    let file = scratch.write("secrets", "TOKEN=s3cret-value\n");
    let file = file.to_str().unwrap();
    tagline.run(["run", "--tag", "v1.2.3"]).success();
    tagline.run(["rerun", "1", "--from", "typo", "--secrets", file]).code(2).stderr_has("build");
    tagline.run(["resume", "1", "--secrets", file]).success().stderr_has("Run 1 has ended: it takes no more secrets");
    // The key is made when the first secret is sealed.
    assert!(!tagline.store().join("key").exists());
}

#[test]
fn a_killed_engine_loses_nothing() {
    let scratch = Scratch::new();
    let jobs = "
  build:
    runs-on: ubuntu-latest
    steps: [{ run: 'echo before; sleep 3; echo after' }]
  next: { needs: build, runs-on: ubuntu-latest, steps: [{ run: echo next }] }
";
    let repo = repository(&scratch, jobs);
    let tagline = tagline(&scratch, &repo);
    let mut run = tagline.spawn(["run", "--tag", "v1.2.3", "--verbose"]);
    run.line_with("before");
    run.kill();
    let resumed = tagline.run(["resume", "--verbose"]);
    resumed.success().stdout_has("Run 1 succeeded").stderr_has("after").stderr_has("next | success");
    let logs = tagline.run(["logs", "1"]);
    assert_eq!(logs.success().stdout.lines().filter(|line| *line == "before").count(), 1, "{logs}");
}

#[test]
fn cancel_ends_a_run_of_another_command() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, "  build: { runs-on: ubuntu-latest, steps: [{ run: echo started; sleep 600 }] }\n");
    let tagline = tagline(&scratch, &repo);
    let mut run = tagline.spawn(["run", "--tag", "v1.2.3", "--verbose"]);
    run.line_with("started");
    tagline.run(["cancel", "1", "--comment", "wrong day"]).success().stdout_has("Run 1");
    run.line_with("Run 1 was cancelled by jonas@example.com: wrong day");
    assert_eq!(run.wait(), 130);
    tagline.run(["cancel", "1"]).code(1).stderr_has("the run has ended");
}

#[test]
fn without_docker_its_runner_is_out_of_reach() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, "  build: { runs-on: ubuntu-latest, steps: [{ run: echo built }] }\n");
    let tagline = tagline(&scratch, &repo).env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    tagline.run(["run", "--tag", "v1.2.3", "--runner", "docker"]).code(5).stderr_has("error[no-docker]");
    tagline.run(["run", "--tag", "v1.2.3"]).success();
}

#[test]
fn two_runs_of_one_store_share_an_engine() {
    let scratch = Scratch::new();
    let repo = repository(&scratch, "  build: { runs-on: ubuntu-latest, steps: [{ run: echo started; sleep 2 }] }\n");
    repo.commit("Second");
    repo.tag("v1.2.4");
    let tagline = tagline(&scratch, &repo);
    let mut first = tagline.spawn(["run", "--tag", "v1.2.3", "--verbose"]);
    first.line_with("started");
    // It outlives the engine it was handed to.
    tagline.run(["run", "--tag", "v1.2.4"]).success().stdout_has("Run 2 succeeded");
    assert_eq!(first.wait(), 0);
    until("no engine", || (!tagline.store().join("tagline.sock").exists()).then_some(()));
}

#[test]
fn a_pipe_gets_a_line_at_least_every_minute() {
    if !gate::all() {
        return;
    }
    let scratch = Scratch::new();
    let jobs = "  build: { runs-on: ubuntu-latest, steps: [{ name: Long, run: sleep 65 }] }\n";
    let repo = repository(&scratch, jobs);
    let outcome = tagline(&scratch, &repo).run(["run", "--tag", "v1.2.3"]);
    outcome.success().stderr_has("01:00 build | 1/1 Long: still running, silent for ");
}
