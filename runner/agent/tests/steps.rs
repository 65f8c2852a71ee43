//! Steps in a real sandbox, started by root and by an unprivileged user.

mod support;

use serde_json::json;
use support::{Sandbox, Starter, job, job_with};
use tagline_protocol::{Conclusion, Record};

use Conclusion::{Failure, Skipped, Success};

#[test]
fn effects_of_a_step_reach_the_next_ones() {
    for starter in Starter::all() {
        let sandbox = Sandbox::launch(starter);
        let story = sandbox.run(job_with(
            json!([
                {"id": "one", "run": "echo A=1 >> $GITHUB_ENV; echo x=hello >> $GITHUB_OUTPUT; mkdir -p ~/bin; printf '#!/bin/sh\\necho tool\\n' > ~/bin/tool; chmod +x ~/bin/tool; echo $HOME/bin >> $GITHUB_PATH; echo '# Sum' >> $GITHUB_STEP_SUMMARY; echo \"[$A]\""},
                "echo $A ${{ env.A }} ${{ steps.one.outputs.x }} ${{ steps.one.outcome }}; tool; pwd; echo $CI $GITHUB_REF_NAME $RUNNER_OS $GITHUB_ACTION; id -u",
                {"run": "echo $A $B $GITHUB_SHA", "env": {"A": "own", "GITHUB_SHA": "forged", "CI": "no"}},
                "echo $A $B; test -s $GITHUB_EVENT_PATH && cat $GITHUB_EVENT_PATH",
            ]),
            json!({"env": [{"A": "workflow", "B": "b"}, {"A": "job"}], "outputs": {"out": "${{ steps.one.outputs.x }}-${{ job.status }}"},
                   "environment_url": "https://shop/${{ steps.one.outputs.x }}"}),
        ));
        assert_eq!(story.result().conclusion, Success, "{}", story.text());
        assert_eq!(story.output(0), "[job]\n");
        assert_eq!(
            story.output(1),
            "1 1 hello success\ntool\n/home/runner/work/shop/shop\ntrue v1.2.3 Linux s1\n1001\n"
        );
        assert_eq!(story.output(2), "own b 0123456789abcdef\n");
        assert_eq!(story.output(3), "1 b\n{}\n");
        assert_eq!(story.result().outputs["out"], "hello-success");
        assert_eq!(story.result().url, "https://shop/hello");
        assert!(story.0.iter().any(|record| matches!(record, Record::Summary { text, .. } if text == "# Sum\n")));
    }
}

#[test]
fn failures_conditions_and_continue_on_error_follow_github() {
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox.run(job(json!([
        {"run": "exit 3", "continue-on-error": "true"},
        {"run": "echo ${{ steps.s0.outcome }} ${{ steps.s0.conclusion }}"},
        {"if": "false", "run": "echo never"},
        {"run": "exit 7"},
        "echo skipped",
        {"if": "failure()", "run": "echo failed"},
        {"if": "always()", "run": "echo ${{ job.status }} ${{ steps.s2.conclusion }}"},
        {"if": "fromJSON('{')", "run": "echo never"},
        {"if": "always()", "env": {"X": "${{ fromJSON('') }}"}, "run": "echo never"},
    ])));
    assert_eq!(story.end(0), (Failure, Success, "its process ended with exit code 3".into()));
    assert_eq!(story.output(1), "failure success\n");
    assert_eq!(story.end(2).0, Skipped);
    assert_eq!(story.end(3).1, Failure);
    assert_eq!(story.end(4).0, Skipped);
    assert_eq!(story.output(5), "failed\n");
    assert_eq!(story.output(6), "failure skipped\n");
    assert_eq!(story.end(7).0, Skipped, "success() is in front and decides first");
    assert_eq!(story.end(8).0, Failure);
    assert_eq!(story.result().conclusion, Failure);
    assert_eq!(story.result().why, "step `Run exit 7` failed: its process ended with exit code 7");
}

#[test]
fn secrets_are_masked_scoped_and_never_leave_by_outputs() {
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox.run(job_with(
        json!([
            {"id": "leak", "env": {"T": "${{ secrets.TOKEN }}"}, "run":
                "echo \"$T\"; echo -n \"$T\" | base64; echo \"$T\" | sed 's/./& /g'; echo \"o=$T\" >> $GITHUB_OUTPUT; echo \"::error::with $T\"; echo \"$T\" >> $GITHUB_STEP_SUMMARY; exit 0"},
            "env | grep -c hunter2 || true",
            {"if": "always()", "run": "echo ${{ toJSON(secrets) }}"},
            {"if": "always()", "run": "echo ${{ secrets[format('{0}', 'TOKEN')] }}"},
            {"if": "always()", "run": "echo '::add-mask::banana99'; echo banana99; printf 'bana'; printf 'na99\\n'"},
        ]),
        json!({"contexts": {"secrets": {"TOKEN": "hunter2-long"}}, "outputs": {"o": "${{ steps.leak.outputs.o }}", "p": "fine"}}),
    ));
    assert!(!story.text().contains("hunter2-long"));
    assert!(story.output(0).starts_with("***\n"));
    assert_eq!(story.output(1), "0\n");
    assert!(story.end(2).2.contains("name the one you need"), "{:?}", story.end(2));
    assert!(story.end(3).2.contains("name the one you need"));
    assert_eq!(story.output(4), "***\n***\n");
    assert!(!story.result().outputs.contains_key("o"));
    assert_eq!(story.result().outputs["p"], "fine");
    assert!(story.annotations().iter().any(|text| text.contains("output `o` is dropped")));
}

#[test]
fn continue_on_error_sees_the_steps_own_variables() {
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox.run(job(json!([
        {"run": "exit 1", "env": {"MAY": "true"}, "continue-on-error": "${{ env.MAY == 'true' }}"},
        {"run": "echo \"[$MAY]\"; exit 1", "continue-on-error": "${{ env.MAY == 'true' }}"},
    ])));
    assert_eq!((story.end(0).0, story.end(0).1), (Failure, Success));
    assert_eq!(story.output(1), "[]\n");
    assert_eq!((story.end(1).0, story.end(1).1), (Failure, Failure), "it was the first step's alone");
}

#[test]
fn a_line_of_a_secret_in_a_command_file_is_not_quoted() {
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----");
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox.run(job_with(
        json!([{"env": {"PEM": "${{ secrets.PEM }}"}, "run": "echo \"KEY=$PEM\" >> $GITHUB_ENV"}]),
        json!({"contexts": {"secrets": {"PEM": pem}}}),
    ));
    assert!(story.end(0).2.contains("line 2 is neither"), "{:?}", story.end(0));
    assert!(!story.text().contains(&line[..20]), "{}", story.text());
}

#[test]
fn commands_are_carried_out_and_dangerous_ones_refused() {
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox.run(job_with(
        json!([
            "echo '::set-output name=a::1'; echo '::group::G'; echo in; echo '::endgroup::'; echo '::stop-commands::tok'; echo '::error::no'; echo '::tok::'; echo '::warning file=a.rs,line=3::careful'",
            "echo ${{ steps.s0.outputs.a }}; echo '::set-env name=EVIL::1'; echo after",
            {"if": "always()", "run": "echo \"[$EVIL]\"; echo 'LD_PRELOAD=x' >> $GITHUB_ENV; echo 'NODE_OPTIONS=x' >> $GITHUB_ENV; echo FINE=1 >> $GITHUB_ENV; echo ENV=test >> $GITHUB_ENV; echo GITHUB_TOKEN=t >> $GITHUB_ENV; echo GITHUB_SHA=x >> $GITHUB_ENV"},
            {"if": "always()", "run": "echo \"[$LD_PRELOAD][$NODE_OPTIONS][$FINE][$ENV][$GITHUB_TOKEN][$GITHUB_SHA]\""},
            {"if": "always()", "env": {"ACTIONS_ALLOW_UNSECURE_COMMANDS": "true"}, "run": "echo '::set-env name=OK::1'"},
            {"if": "always()", "run": "echo $OK"},
            {"if": "always()", "run": "echo 'nonsense' >> $GITHUB_OUTPUT"},
        ]),
        json!({}),
    ));
    assert_eq!(story.output(0), "in\n::error::no\n");
    assert!(story.annotations().contains(&"careful".to_owned()));
    assert!(story.text().contains("\"Warning: careful\""), "an annotation is a line of the log as well");
    assert_eq!(story.end(1).0, Failure);
    assert!(story.end(1).2.contains("GITHUB_ENV"));
    assert_eq!(story.output(1), "1\nafter\n");
    assert_eq!(story.output(2), "[]\n");
    assert_eq!(story.end(2).0, Success);
    assert_eq!(story.output(3), "[][][1][test][t][0123456789abcdef]\n");
    assert_eq!(story.output(5), "1\n");
    assert!(story.end(6).2.contains("GITHUB_OUTPUT"));
}

#[test]
fn problem_matchers_make_annotations_of_later_steps_lines() {
    let config = r#"{"problemMatcher": [{"owner": "cc", "pattern": [{"regexp": "^(.+):(\\d+): (error|warning): (.+)$",
        "file": 1, "line": 2, "severity": 3, "message": 4}]}]}"#;
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox.run(job(json!([
        {"run": "printf '%s' \"$CONFIG\" > cc.json; touch a.c; echo ::add-matcher::cc.json", "env": {"CONFIG": config}},
        "echo 'a.c:3: warning: unused'; echo 'a.c:x: warning: no line'",
        "echo '::remove-matcher owner=CC::'; echo 'a.c:4: error: gone'",
        "echo ::add-matcher::a.c",
    ])));
    let annotations: Vec<_> = story
        .0
        .iter()
        .filter_map(|record| match record {
            Record::Annotation(one) if one.step != Some(3) => Some((one.step, one.message.as_str(), &one.properties)),
            _ => None,
        })
        .collect();
    assert_eq!(annotations.len(), 1, "{annotations:?}");
    assert_eq!((annotations[0].0, annotations[0].1), (Some(1), "unused"));
    assert_eq!((&*annotations[0].2["file"], &*annotations[0].2["line"]), ("a.c", "3"));
    assert!(story.output(1).contains("a.c:3: warning: unused\n"), "the line stays in the log");
    assert_eq!(
        story.end(3),
        (
            Failure,
            Failure,
            "the problem matchers of `a.c` cannot be used: it is no file of problem matchers (line 1, column 0)".into()
        )
    );
}

#[test]
fn what_cannot_run_says_why() {
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox.run(job(json!([
        {"run": "x", "shell": "fish {0}"},
        {"if": "always()", "run": "x", "working-directory": "nowhere"},
        {"if": "always()", "uses": "some/action@v1"},
        {"if": "always()", "run": "echo ${{ nothing.here }}"},
        {"if": "always()", "run": "print('hi')", "shell": "perl -e 'print 1' {0}"},
        {"if": "always()", "run": "print \"$0\\n\" =~ /script/ ? \"yes\\n\" : \"no\\n\";", "shell": "perl {0}"},
        {"if": "always()", "timeout-minutes": "-1", "run": "true"},
    ])));
    assert!(story.end(0).2.contains("`fish` is not in the PATH"), "{:?}", story.end(0));
    assert!(story.end(1).2.contains("nowhere"));
    assert!(story.end(2).2.contains("some/action@v1") && story.end(2).2.contains("actions/checkout"));
    assert_eq!(story.end(3).0, Failure);
    assert_eq!(story.output(5), "yes\n");
    assert!(story.end(6).2.contains("timeout-minutes"));
}

#[test]
fn values_from_outside_are_data() {
    let sandbox = Sandbox::launch(Starter::Own);
    let event = json!({"contexts": {"github": {"event": {"head_commit": {"message": "x\"; touch /tmp/owned; #"}}}}});
    let story = sandbox.run(job_with(
        json!([
            "echo \"${{ github.event.head_commit.message }}\"",
            {"if": "always()", "env": {"M": "${{ github.event.head_commit.message }}"}, "run": "echo \"$M\"; test ! -e /tmp/owned && echo safe"},
            {"if": "always()", "run": "printf 'v=a;b\\n' >> $GITHUB_OUTPUT"},
            {"if": "always()", "run": "echo ${{ steps.s2.outputs.v }}"},
        ]),
        event,
    ));
    assert!(story.end(0).2.contains("env:"), "{:?}", story.end(0));
    assert_eq!(story.output(1), "x\"; touch /tmp/owned; #\nsafe\n");
    assert_eq!(story.end(3).0, Failure);
}

#[test]
fn hash_files_are_hashed_as_the_steps_user() {
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox.run(job(json!([
        "echo a > a.lock; echo b > b.txt",
        "echo '${{ hashFiles('*.lock') }}' '${{ hashFiles('*.none') }}'",
    ])));
    let hash = story.output(1);
    assert_eq!(hash.trim().len(), 64, "{hash}");
}
