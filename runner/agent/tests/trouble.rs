//! Trouble: a disk that is full, a kernel without namespaces, an agent that is not alone in a container.
#![allow(clippy::allow_attributes, clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};

use rustix::mount::{MountFlags, UnmountFlags};
use serde_json::json;
use support::{AGENT, Engine, Sandbox, Starter, Story, TOKEN, config, job, job_with};
use tagline_protocol::{Command, Conclusion, Launch, Notice, VERSION};

/// A file system that fills up, gone when dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(options: &std::ffi::CStr) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = rustix::mount::mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), options);
        mounted.ok().map(|()| Self(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_fails_the_step_and_is_reported() {
    let Some(small) = Small::mount(c"size=4m,mode=0755") else {
        return; // Only root may mount.
    };
    for steps in [
        json!(["seq 1 10000000", {"if": "always()", "run": "echo never"}]),
        json!(["dd if=/dev/zero of=$HOME/fill bs=64k 2>/dev/null || true; seq 1 10000000", "echo never"]),
    ] {
        let sandbox = Sandbox::launch_with(Starter::Own, |config| {
            let job = small.0.path().join("job");
            let _ = fs::remove_dir_all(&job);
            fs::create_dir(&job).unwrap();
            config.job_folder = job.to_str().unwrap().into();
        });
        let job_folder = small.0.path().join("job");
        sandbox.pid();
        let mut engine = greet(&job_folder);
        engine.send(&Command::Start(Box::new(job(steps))));
        engine.wait_for_end();
        sandbox.wait_for_exit();
        let story = Story::read(&job_folder.join("spool.jsonl"));
        assert_eq!(story.result().conclusion, Conclusion::Failure);
        assert!(story.result().why.contains("No space left"), "{}", story.result().why);
        assert_eq!(story.end(0).0, Conclusion::Failure);
        assert!(story.end(0).2.contains("No space left"), "{:?}", story.end(0));
        assert_eq!(story.end(1).0, Conclusion::Skipped);
    }
}

fn greet(folder: &Path) -> Engine {
    let mut engine = Engine::open(folder);
    engine.send(&Command::Hello { version: VERSION, token: TOKEN.into() });
    assert!(matches!(engine.notice(), Some(Notice::Hello { .. })));
    engine
}

/// Runs a job in an agent that listens in a folder.
fn run(folder: &Path, spec: tagline_protocol::JobSpec) -> Story {
    let mut engine = greet(folder);
    engine.send(&Command::Start(Box::new(spec)));
    engine.wait_for_end();
    Story::read(&folder.join("spool.jsonl"))
}

#[test]
fn without_namespaces_it_is_a_plain_process_that_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    // The steps' user must get to its folders.
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    for name in ["work", "home", "temp", "tmp", "inbox", "outbox"] {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    // What the launcher does when the kernel refuses it namespaces.
    let mut gate = Process::new(AGENT).arg("gate-plain").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let order = json!({"config": config(folder.path()), "plain": true});
    let mut input = gate.stdin.take().unwrap();
    writeln!(input, "\n{order}").unwrap();
    let mut words = BufReader::new(gate.stdout.take().unwrap()).lines();
    let heard = [words.next().unwrap().unwrap(), words.next().unwrap().unwrap()];
    assert!(heard.iter().any(|word| word == "\"listening\""), "{heard:?}");
    gate.wait().unwrap();
    let story = run(
        folder.path(),
        job(json!([
            "echo $HOME; (setsid sleep 600 & echo $! > $HOME/pid); echo x >> $GITHUB_STEP_SUMMARY; cat $HOME/pid"
        ])),
    );
    assert_eq!(story.result().conclusion, Conclusion::Success, "{}", story.text());
    let output = story.output(0);
    let mut lines = output.lines();
    assert_eq!(lines.next(), folder.path().join("home").to_str());
    let pid = lines.next().unwrap();
    assert!(!Path::new("/proc").join(pid).exists(), "process {pid} is left");
}

#[test]
fn what_the_kernel_refuses_is_left_out_only_where_that_is_allowed_and_is_said() {
    let sandbox = Sandbox::launch(Starter::WithoutNamespaces);
    let Launch::Refused { why } = &sandbox.launch else { panic!("{:?}", sandbox.launch) };
    assert!(why.contains("the kernel refuses namespaces"), "{why}");
    let sandbox = Sandbox::launch_with(Starter::WithoutNamespaces, |config| config.allow_plain_process = true);
    let Launch::Up { isolation, .. } = &sandbox.launch else { panic!("{:?}", sandbox.launch) };
    assert!(isolation.is_empty(), "{isolation:?}");
    let story = sandbox.run(job(json!(["ulimit -u; pwd"])));
    let warning = &story.annotations()[0];
    assert!(warning.starts_with("no isolation: the kernel refuses namespaces"), "{warning}");
    assert!(story.text().contains("Warning: no isolation: "), "it is a line of the log as well");
    let output = story.output(0);
    let (limit, folder) = output.trim().split_once('\n').unwrap();
    assert!(limit.parse::<u64>().unwrap() <= 4096, "{limit}");
    assert_eq!(Path::new(folder), sandbox.folder.path().join("work"));
}

#[test]
fn no_other_trouble_takes_the_isolation_away() {
    let sandbox = Sandbox::launch_with(Starter::Own, |config| {
        config.allow_plain_process = true;
        config.expose = vec!["/no/such/folder".into()];
    });
    let Launch::Failed { why } = &sandbox.launch else { panic!("{:?}", sandbox.launch) };
    assert!(why.contains("/no/such/folder"), "{why}");
}

/// As Docker does: the agent is process 1 of a container whose folders it finds.
fn container(folder: &Path) -> Option<Child> {
    let mut command = Process::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", AGENT, "run", "--base-env", "FROM=image", "--job"]).arg(folder);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("TAGLINE_TOKEN", TOKEN).stdout(Stdio::null());
    rustix::process::geteuid().is_root().then(|| command.spawn().unwrap())
}

#[test]
fn as_the_first_process_of_a_container_it_buries_and_kills() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["work", "home", "temp", "inbox", "outbox"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let Some(mut child) = container(folder.path()) else { return };
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // The socket appears when the agent listens; until then the folder is all there is to look at.
    while !folder.path().join("control.sock").exists() {
        std::thread::yield_now();
    }
    let paths = json!({"workspace": at("work"), "temp": at("temp"), "home": at("home"), "tool_cache": "/opt"});
    let story = run(
        folder.path(),
        job_with(
            json!(["echo $FROM $TAGLINE_TOKEN; (true &); setsid sleep 600 & echo $$ > $HOME/pid; ps -eo pid= | wc -l"]),
            json!({"paths": paths, "in_container": true}),
        ),
    );
    assert_eq!(story.result().conclusion, Conclusion::Success, "{}", story.text());
    assert!(story.output(0).starts_with("image\n"), "{}", story.output(0));
    assert!(child.wait().unwrap().success());
}
