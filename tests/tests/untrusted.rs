//! What comes from outside is data, and secrets stay secret: in scripts, logs, outputs, on screens and on disk.

use std::fs;
use std::path::{Path, PathBuf};

use tagline_tests::{Outcome, Scratch, TAG, Tagline, gate};

/// A workflow of one job `build` with these steps.
fn job(steps: &str) -> String {
    format!("on: {{push: {{tags: ['v*']}}}}\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n{steps}")
}

/// Asserts that the run failed because a script would have taken a value from outside as program text.
#[track_caller]
fn stopped(out: &Outcome, expression: &str) {
    out.code(1).stdout_has(expression).stdout_has("`env:").stdout_has("comes from outside");
}

/// As on GitHub the message is the commit's, whole, without the line end at its end.
#[test]
fn a_commits_message_is_no_program_text() {
    let scratch = Scratch::new();
    let repo = scratch.repo("shop");
    let message = "${{ github.event.head_commit.message }}";
    let env = format!("      - {{run: 'echo \"kept $MSG\"', env: {{MSG: '{message}'}}}}\n");
    repo.workflow("release.yml", &job(&(env + &format!("      - run: echo \"{message}\"\n"))));
    let evil = "Fix it\"; touch pwned; echo pwned-$(id -u) #";
    repo.commit(evil);
    repo.tag(TAG);
    let tagline = scratch.tagline().dir(repo.path());
    stopped(&tagline.run(["run", "--tag", TAG]), "github.event.head_commit.message");
    let log = tagline.log(1, "build");
    assert!(log.lines().any(|line| line == format!("kept {evil}")), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("pwned-")), "{log}");

    repo.commit("Mend the shop");
    repo.tag("v1.2.4");
    tagline.run(["run", "--tag", "v1.2.4"]).success();
    assert!(tagline.log(2, "build").lines().any(|line| line == "Mend the shop"));
}

#[test]
fn the_payload_of_an_event_is_no_program_text() {
    let scratch = Scratch::new();
    let steps =
        job("      - run: echo \"${{ github.event.issue.title }}\"\n").replace("push: {tags: ['v*']}", "issues: {}");
    let repo = scratch.project(&steps);
    let payload = scratch.write("event.json", r#"{"action": "opened", "issue": {"title": "a`touch pwned`"}}"#);
    let tagline = scratch.tagline().dir(repo.path());
    let words = ["run", "release.yml", "--event", "issues", "--payload", payload.to_str().unwrap()];
    stopped(&tagline.run(words), "github.event.issue.title");
}

#[test]
fn outputs_of_steps_and_jobs_are_no_program_text() {
    let make = "      - id: make\n        run: echo 'value=$(touch pwned)' >> \"$GITHUB_OUTPUT\"\n";
    let scratch = Scratch::new();
    let repo = scratch.project(&job(&format!("{make}      - run: echo ${{{{ steps.make.outputs.value }}}}\n")));
    let tagline = scratch.tagline().dir(repo.path());
    stopped(&tagline.run(["run", "--tag", TAG]), "steps.make.outputs.value");

    let scratch = Scratch::new();
    let outputs = "    outputs: {value: '${{ steps.make.outputs.value }}'}\n    steps:\n";
    let next = "  next:\n    needs: build\n    runs-on: x\n    steps:\n";
    let uses = "      - {run: 'test \"$V\" = ''$(touch pwned)''', env: {V: '${{ needs.build.outputs.value }}'}}\n";
    let workflow = job(make).replace("    steps:\n", outputs) + next + uses;
    let repo = scratch.project(&format!("{workflow}      - run: echo ${{{{ needs.build.outputs.value }}}}\n"));
    let tagline = scratch.tagline().dir(repo.path());
    let out = tagline.run(["run", "--tag", TAG]);
    stopped(&out, "needs.build.outputs.value");
    out.stdout_has("step 2 of 2");
}

/// By way of `env` and of a matrix.
#[test]
fn the_way_a_value_takes_does_not_make_it_trusted() {
    let steps = "      - {run: 'echo ${{ env.MSG }}', env: {MSG: '${{ github.event.head_commit.message }}'}}\n";
    let scratch = Scratch::new();
    let repo = scratch.repo("shop");
    repo.workflow("release.yml", &job(steps)).commit("$(touch pwned)");
    repo.tag(TAG);
    stopped(&scratch.tagline().dir(repo.path()).run(["run", "--tag", TAG]), "env.MSG");
}

#[test]
fn commands_that_set_variables_by_standard_output_fail_the_step() {
    for (line, name) in [("::set-env name=LD_PRELOAD::x", "set-env"), ("::add-path::/tmp/evil", "add-path")] {
        let scratch = Scratch::new();
        let repo = scratch.project(&job(&format!("      - run: echo \"{line}\"\n      - run: echo after\n")));
        let tagline = scratch.tagline().dir(repo.path());
        tagline.run(["run", "--tag", TAG]).code(1).stdout_has(name).stdout_has("step 1 of 2");

        // The file may allow it, but not for a job that deploys.
        let allowed =
            job(&format!("      - run: echo \"{line}\"\n")) + "env: {ACTIONS_ALLOW_UNSECURE_COMMANDS: true}\n";
        repo.workflow("release.yml", &allowed).commit("Allow it");
        tagline.run(["run", "release.yml"]).success();
        let deploys = allowed.replace("    steps:", "    environment: production\n    steps:");
        repo.workflow("release.yml", &deploys).environments("environments: {production: {}}\n").commit("Deploy");
        tagline.run(["run", "release.yml"]).code(1).stdout_has(name);
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

/// Asserts that no file of the store but those named holds any of the texts.
#[track_caller]
fn not_in_store(tagline: &Tagline, texts: &[&str]) {
    for path in files(&tagline.store()) {
        let bytes = fs::read(&path).expect("a file of the store");
        for text in texts {
            let there = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!there, "{} holds {text}", path.display());
        }
    }
}

const SECRET: &str = "s3cr3t/pass word+42";
/// The same by `base64`, in a URL, and as it is.
const ENCODED: [&str; 3] = ["czNjcjN0L3Bhc3Mgd29yZCs0Mg", "s3cr3t%2Fpass%20word%2B42", "s3cr3t/pass word+42"];

const SECRETIVE: &str = "
      - name: named
        env: {TOKEN: '${{ secrets.TOKEN }}'}
        run: |
          echo \"raw $TOKEN end\"
          printf %s \"$TOKEN\" | base64
          echo \"url $(printf %s \"$TOKEN\" | sed 's,/,%2F,g; s, ,%20,g; s,+,%2B,g')\"
          echo \"::notice title=x::$TOKEN\"
          echo \"# $TOKEN\" >> \"$GITHUB_STEP_SUMMARY\"
          echo \"$TOKEN\" >&2
          set -x; : \"$TOKEN\"
      - name: unnamed
        run: |
          env | sort
          test -z \"$TOKEN\"
          env | grep -c 's3cr3t' || true
          cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c 's3cr3t' || true
          echo finished
";

#[test]
fn secrets_are_in_no_log_no_output_and_no_file() {
    let scratch = Scratch::new();
    let repo = scratch.project(&job(SECRETIVE));
    let file = scratch.write("secrets.env", format!("TOKEN={SECRET}\nUNUSED=never-given-out-77\n"));
    let tagline = scratch.tagline().dir(repo.path());
    let out = tagline.run(["run", "--tag", TAG, "-v", "--secrets", file.to_str().unwrap()]);
    out.success().stdout_has("Run 1");
    let log = tagline.log(1, "build");
    assert!(log.contains("raw *** end") && log.lines().any(|line| line == "finished"), "{log}");
    for text in ENCODED {
        out.lacks(text);
        tagline.run(["logs", "1"]).success().lacks(text);
        tagline.run(["show", "1", "--json"]).success().lacks(text);
        tagline.run(["run", "--tag", TAG, "--json"]).success().lacks(text);
    }
    not_in_store(&tagline, &ENCODED);
    not_in_store(&tagline, &["never-given-out-77", "bmV2ZXItZ2l2ZW4tb3V0LTc3"]);
}

#[test]
fn stored_secrets_are_sealed_and_given_only_to_their_environment() {
    let scratch = Scratch::new();
    let deploy = "  deploy:\n    needs: build\n    runs-on: x\n    environment: production\n    steps:\n";
    let uses = "      - {run: 'test \"$KEY\" = production-key-1 && echo right', env: {KEY: '${{ secrets.KEY }}'}}\n";
    let without = "      - {run: 'test -z \"$KEY\" && echo none', env: {KEY: '${{ secrets.KEY }}'}}\n";
    let repo = scratch.guarded_project(&(job(without) + deploy + uses), "environments: {production: {}}\n");
    let tagline = scratch.tagline().dir(repo.path());
    let file = scratch.write("value", "production-key-1");
    let mut set = tagline.command(["secret", "set", "KEY", "--environment", "production"]);
    let set = set.stdin(fs::File::open(file).unwrap()).output().unwrap();
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    tagline.run(["secret", "ls", "--environment", "production"]).success().stdout_has("KEY").lacks("production-key-1");
    tagline.run(["run", "--tag", TAG]).success().lacks("production-key-1");
    assert!(tagline.log(1, "build").lines().any(|line| line == "none"));
    assert!(tagline.log(1, "deploy").lines().any(|line| line == "right"));
    // The steps' own texts hold it: the workflow names it in the clear. What is sealed holds it nowhere else.
    let sealed: Vec<_> = files(&tagline.store()).into_iter().filter(|path| path.ends_with("key")).collect();
    let mode = fs::metadata(&sealed[0]).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
}

/// GitHub drops it, as the next job's log would not mask it.
#[test]
fn an_output_that_holds_a_secret_is_dropped() {
    let scratch = Scratch::new();
    let make = "
      - id: make
        env: {TOKEN: '${{ secrets.TOKEN }}'}
        run: |
          echo \"leak=x$TOKEN\" >> \"$GITHUB_OUTPUT\"
          echo \"fine=y\" >> \"$GITHUB_OUTPUT\"
";
    let outputs =
        "    outputs: {leak: '${{ steps.make.outputs.leak }}', fine: '${{ steps.make.outputs.fine }}'}\n    steps:\n";
    let next = "  next:\n    needs: build\n    runs-on: x\n    steps:\n      - {run: 'echo \"[$L][$F]\"', env: \
        {L: '${{ needs.build.outputs.leak }}', F: '${{ needs.build.outputs.fine }}'}}\n";
    let repo = scratch.project(&(job(make).replace("    steps:\n", outputs) + next));
    let file = scratch.write("secrets.env", format!("TOKEN={SECRET}\n"));
    let tagline = scratch.tagline().dir(repo.path());
    let out = tagline.run(["run", "--tag", TAG, "-v", "--secrets", file.to_str().unwrap()]);
    out.success().lacks(SECRET);
    let log = tagline.log(1, "next");
    assert!(log.lines().any(|line| line == "[][y]"), "{log}");
    not_in_store(&tagline, &ENCODED);
}

/// A window title, a cursor that goes back, a cleared screen, a link, right-to-left text, an 8-bit CSI.
const SEQUENCES: &str =
    r"\033]0;owned\007A\033[2J\033[1;1HB\033]8;;http://evil\033\\C\342\200\256D\302\2332JE\033[31mred\033[0m\bF";

#[test]
fn control_sequences_reach_no_screen() {
    let scratch = Scratch::new();
    let repo = scratch.repo("shop");
    repo.workflow(
        "release.yml",
        &job(&format!("      - run: \"printf '{}\\\\n'; exit 3\"\n", SEQUENCES.replace('\\', "\\\\"))),
    );
    repo.commit("Sub\u{1b}]0;owned\u{7}ject \u{202e}tcejbus");
    repo.tag(TAG);
    let tagline = scratch.tagline().dir(repo.path());
    let mut terminal = tagline.terminal(["run", "--tag", TAG, "-v"]);
    terminal.expect("next");
    let raw = terminal.raw().to_owned();
    let outs = [
        tagline.run(["run", "--tag", TAG, "-v"]),
        tagline.run(["logs", "1"]),
        tagline.run(["show", "1"]),
        tagline.run(["runs"]),
    ];
    let printed = outs.iter().map(|out| format!("{}{}", out.stdout, out.stderr));
    for text in printed.chain([raw]) {
        for bad in ["\u{1b}]", "\u{202e}", "\u{9b}", "\u{8}", "\u{7}", "\u{1b}[1;1H"] {
            assert!(!text.contains(bad), "{bad:?} is printed: {text:?}");
        }
    }
    let log = tagline.log(1, "build");
    let line = log.lines().find(|line| line.starts_with('A')).unwrap();
    assert!(
        line.starts_with("AB") && line.contains("red") && !line.contains("owned") && !line.contains("evil"),
        "{line:?}"
    );
}

#[test]
fn a_secret_is_masked_in_a_container_as_well() {
    if !gate::require_docker() {
        return;
    }
    let scratch = Scratch::new();
    let inside = format!("    container: {}\n    steps:", gate::BASH);
    let repo = scratch.project(&job(SECRETIVE).replace("    steps:", &inside));
    let file = scratch.write("secrets.env", format!("TOKEN={SECRET}\n"));
    let tagline = scratch.tagline().dir(repo.path());
    let out = tagline.run(["run", "--tag", TAG, "-v", "--secrets", file.to_str().unwrap(), "--runner", "docker"]);
    out.success();
    for text in ENCODED {
        out.lacks(text);
    }
    not_in_store(&tagline, &ENCODED);
}
