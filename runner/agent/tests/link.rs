//! The control socket and the spool, without an engine, with a wrong one, and with one that comes back.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic and say why it skips"
)]

mod support;

use std::fs;

use serde_json::json;
use support::{Engine, Sandbox, Starter, TOKEN, job};
use tagline_protocol::{AgentState, Command, Conclusion, Notice, Reply, Request, VERSION};

#[test]
fn a_wrong_token_or_version_is_refused() {
    let sandbox = Sandbox::launch(Starter::Own);
    for (version, token) in [(VERSION, "wrong"), (VERSION + 1, TOKEN), (VERSION, "")] {
        let mut engine = Engine::open(sandbox.folder.path());
        engine.send(&Command::Hello { version, token: token.into() });
        assert_eq!(engine.notice(), None);
    }
    let mut engine = Engine::open(sandbox.folder.path());
    engine.send(&Command::Kill);
    assert_eq!(engine.notice(), None);
    // None of them has done any harm.
    assert_eq!(sandbox.run(job(json!(["echo fine"]))).output(0), "fine\n");
}

#[test]
fn a_job_runs_on_without_an_engine_and_starts_once() {
    let sandbox = Sandbox::launch(Starter::Own);
    let mut engine = sandbox.connect();
    engine.send(&Command::Start(Box::new(job(json!(["mkfifo $HOME/go; echo ready; cat $HOME/go; echo done"])))));
    engine.send(&Command::Start(Box::new(job(json!(["echo other"])))));
    while !sandbox.story().text().contains("\"ready\"") {
        engine.notice().unwrap();
    }
    drop(engine);
    let fifo = sandbox.folder.path().join("home/go");
    fs::write(&fifo, "go\n").unwrap();
    sandbox.wait_for_exit();
    let story = sandbox.story();
    assert_eq!(story.output(0), "ready\ngo\ndone\n");
    assert_eq!(story.result().conclusion, Conclusion::Success);
}

#[test]
fn a_newer_engine_takes_the_place_of_the_older_and_hears_what_is_open() {
    let sandbox = Sandbox::launch(Starter::Own);
    let mut older = sandbox.connect();
    older.send(&Command::Start(Box::new(job(json!([{"uses": "actions/checkout@v4"}])))));
    let request = loop {
        if let Notice::Request { id, body } = older.notice().unwrap() {
            break (id, body);
        }
    };
    let mut newer = Engine::open(sandbox.folder.path());
    newer.send(&Command::Hello { version: VERSION, token: TOKEN.into() });
    assert_eq!(newer.notice(), Some(Notice::Hello { version: VERSION, state: AgentState::Running }));
    assert_eq!(newer.notice(), Some(Notice::Request { id: request.0, body: request.1 }));
    older.wait_for_end();
    newer.send(&Command::Reply { id: request.0, result: Err("the source is gone".into()) });
    newer.wait_for_end();
    assert!(sandbox.story().end(0).2.contains("the source is gone"));
}

#[test]
fn actions_get_and_give_their_files() {
    for starter in Starter::all() {
        let sandbox = Sandbox::launch(starter);
        let mut engine = sandbox.connect();
        engine.send(&Command::Start(Box::new(job(json!([
            {"id": "co", "uses": "actions/checkout@v4"},
            "cat README; ls -ln README | awk '{print $3}'; mkdir dist; echo built > dist/app; ln -s /etc/passwd dist/link; rm dist/link",
            {"id": "up", "uses": "actions/upload-artifact@v4", "with": {"name": "app", "path": "dist"}},
            "echo ${{ steps.co.outputs.commit }} ${{ steps.up.outputs.artifact-id }} ${{ steps.up.outputs.artifact-digest }}",
            {"uses": "actions/download-artifact@v4", "with": {"name": "app", "path": "got"}},
            "cat got/app",
            {"id": "img", "uses": "tagline/image@v1", "with": {"files": "dist/app:/app", "push": "localhost:5000/app:1"}},
            "echo ${{ steps.img.outputs.digest }}; test -f ${{ steps.img.outputs.layout }}/index.json && echo layout",
            {"uses": "tagline/sbom@v1"},
            "head -c 1 sbom.cdx.json",
        ])))));
        let inbox = sandbox.folder.path().join("inbox");
        let outbox = sandbox.folder.path().join("outbox");
        while let Some(notice) = engine.notice() {
            let Notice::Request { id, body } = notice else { continue };
            let reply = match body {
                Request::Source { .. } => {
                    source(&inbox.join("source.tar"));
                    Reply::Source {
                        file: "source.tar".into(),
                        commit: "c0ffee".into(),
                        reference: "refs/tags/v1.2.3".into(),
                    }
                }
                Request::Upload { file, digest, size, .. } => {
                    assert_eq!(fs::metadata(outbox.join(&file)).unwrap().len(), size);
                    fs::copy(outbox.join(&file), inbox.join("app.tar")).unwrap();
                    Reply::Uploaded { id: 7, digest }
                }
                Request::Download { .. } => Reply::Downloaded {
                    artifacts: vec![("app".into(), "app.tar".into())],
                    left_out: vec!["artifact `patch` was made after production's plan was approved".into()],
                },
                Request::Push { layout, digest, .. } => {
                    assert!(outbox.join(&layout).join("index.json").exists(), "{layout}");
                    Reply::Pushed { reference: format!("localhost:5000/app@{digest}") }
                }
                Request::Image { .. } => unreachable!("the image has no base"),
                Request::Deliver { .. } => unreachable!("nothing is delivered"),
            };
            // The engine is the starter's own.
            if starter == Starter::Unprivileged {
                for entry in fs::read_dir(&inbox).unwrap() {
                    std::os::unix::fs::chown(entry.unwrap().path(), Some(1000), Some(1000)).unwrap();
                }
            }
            engine.send(&Command::Reply { id, result: Ok(reply) });
        }
        let story = sandbox.story();
        assert_eq!(story.result().conclusion, Conclusion::Success, "{}", story.text());
        assert_eq!(story.output(1), "# Shop\n1001\n");
        assert!(story.output(3).starts_with("c0ffee 7 "), "{}", story.output(3));
        assert!(
            story.annotations().iter().any(|said| said.contains("artifact `patch` was made after")),
            "{}",
            story.text()
        );
        assert_eq!(story.output(5), "built\n");
        assert!(story.output(7).starts_with("sha256:") && story.output(7).ends_with("layout\n"));
        assert_eq!(story.output(9), "{\n");
    }
}

fn source(path: &std::path::Path) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    fs::write(folder.path().join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(folder.path().join("README"), "# Shop\n").unwrap();
    let made = std::process::Command::new("tar").arg("-cf").arg(path).arg("-C").arg(folder.path()).arg(".").status();
    assert!(made.unwrap().success());
}

#[test]
fn many_lines_and_long_lines_are_complete() {
    let sandbox = Sandbox::launch(Starter::Own);
    let story = sandbox.run(job(json!([
        "seq 1 200000",
        "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end",
        "printf 'no end'",
        "printf 'a\\033[2J\\033[31mred\\033[0m\\033]0;t\\007\\rb\\n' ",
    ])));
    let numbers = story.output(0);
    assert!(numbers.lines().enumerate().all(|(place, line)| line == (place + 1).to_string()));
    assert_eq!(numbers.lines().count(), 200_000);
    let long = story.output(1);
    assert_eq!(long.len(), 3_000_000 + 1 + 4);
    assert!(long.ends_with("x\nend\n"));
    assert_eq!(story.output(2), "no end\n");
    assert_eq!(story.output(3), "a\u{1b}[31mred\u{1b}[0m\nb\n");
}
