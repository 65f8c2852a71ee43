//! Docker with the real agent, a real daemon and the test images of `cargo xtask setup`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use tagline_executor::{
    Environment, Executor, ExecutorError, Found, ImageRef, Isolation, JobFolder, Launch, Link, Orphan,
};
use tagline_protocol::{AgentState, Conclusion};
use tagline_tests::gate;

use crate::support::{self, TOKEN, drain, launch, run, spec, until_line};

struct Setting {
    place: tempfile::TempDir,
    executor: Executor,
    launch: Launch,
}

/// None where no daemon answers.
async fn setting() -> Option<Setting> {
    if !gate::require_docker() {
        return None;
    }
    let place = tempfile::tempdir().unwrap();
    let environment = Environment::pick(|_| None);
    let docker = tagline_executor::Docker::connect(environment, Some(gate::BUSYBOX.to_owned())).await;
    let executor = Executor::Docker(docker.unwrap());
    let launch = launch(&executor, place.path(), support::agent());
    Some(Setting { place, executor, launch })
}

impl Setting {
    async fn link(&self, from: u64) -> Link {
        Link::connect(&self.launch.folder, TOKEN, from).await.unwrap()
    }

    async fn find(&self) -> Found {
        self.executor.find(&self.launch.folder).await.unwrap()
    }

    async fn orphans(&self) -> Vec<Orphan> {
        self.executor.orphans(self.place.path()).await.unwrap()
    }

    async fn clean(&self) {
        self.executor.clean(&self.launch.folder).await.unwrap();
        assert_eq!(self.orphans().await, []);
    }
}

#[tokio::test]
async fn a_job_runs_in_a_container_and_leaves_its_spool() {
    let Some(setting) = setting().await else { return };
    let scripts = ["echo hello > file; pwd", "cat file; ls -d /__w/_temp; id -u"];
    let told = run(&setting.executor, &setting.launch, spec(&setting.executor, &scripts)).await;
    assert_eq!(told.result().unwrap().conclusion, Conclusion::Success, "{:?}", told.records);
    let user = rustix::process::geteuid().as_raw().to_string();
    assert_eq!(told.lines(), ["/__w/shop/shop", "hello", "/__w/_temp", user.as_str()]);
    setting.clean().await;
    let left: Vec<_> = fs::read_dir(setting.launch.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(setting.find().await, Found::Never);
}

#[tokio::test]
async fn the_other_end_of_a_link_is_the_agent_and_no_other_process() {
    let Some(setting) = setting().await else { return };
    setting.executor.launch(&setting.launch).await.unwrap();
    let peer = setting.link(0).await.peer().unwrap();
    let folder = &setting.launch.folder;
    assert!(setting.executor.is_agent(folder, peer).await.unwrap());
    assert!(!setting.executor.is_agent(folder, std::process::id()).await.unwrap());
    setting.executor.clean(folder).await.unwrap();
}

#[tokio::test]
async fn a_step_reaches_neither_the_daemon_nor_the_token() {
    let Some(setting) = setting().await else { return };
    let tries = "ls /var/run/docker.sock /run/docker.sock 2>/dev/null
        cat /proc/1/environ 2>/dev/null | tr '\\0' '\\n' | grep TOKEN
        tr '\\0' ' ' < /proc/1/cmdline | grep 0123456789abcdef
        env | grep TAGLINE_TOKEN
        touch /tagline/agent 2>/dev/null && echo wrote the agent
        grep NoNewPrivs /proc/self/status";
    let job = spec(&setting.executor, &[&format!("set +e\n{tries}")]);
    let told = run(&setting.executor, &setting.launch, job).await;
    assert_eq!(told.lines(), ["NoNewPrivs:\t1"], "{:?}", told.records);
    setting.clean().await;
}

#[tokio::test]
async fn a_container_of_another_token_that_nobody_wrote_down_is_replaced() {
    let Some(setting) = setting().await else { return };
    let other = Launch { token: "other".into(), ..setting.launch.clone() };
    setting.executor.launch(&other).await.unwrap();
    fs::remove_file(setting.launch.folder.path().join("agent.json")).unwrap();
    let told = run(&setting.executor, &setting.launch, spec(&setting.executor, &["echo mine"])).await;
    assert_eq!(told.lines(), ["mine"]);
    setting.clean().await;
}

#[tokio::test]
async fn another_engine_finds_the_container_and_goes_on() {
    let Some(setting) = setting().await else { return };
    assert!(setting.executor.launch(&setting.launch).await.unwrap().new);
    let mut link = setting.link(0).await;
    let script = "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two";
    link.start(spec(&setting.executor, &[script])).await.unwrap();
    let offset = until_line(&mut link, "one").await;
    drop(link);
    // An engine that knows nothing but the folder.
    let environment = Environment::pick(|_| None);
    let docker = tagline_executor::Docker::connect(environment, Some(gate::BUSYBOX.to_owned())).await.unwrap();
    let executor = Executor::Docker(docker);
    assert_eq!(executor.find(&setting.launch.folder).await.unwrap(), Found::Alive);
    assert!(!executor.launch(&setting.launch).await.unwrap().new);
    let mut link = setting.link(offset).await;
    assert_eq!(link.state(), Some(AgentState::Running));
    fs::write(setting.launch.folder.work().join("go"), "").unwrap();
    let told = drain(&mut link).await.unwrap();
    assert_eq!(told.lines(), ["two"]);
    assert!(told.result().is_some());
    setting.clean().await;
}

#[tokio::test]
async fn a_killed_container_closes_its_link_and_another_can_start() {
    let Some(setting) = setting().await else { return };
    setting.executor.launch(&setting.launch).await.unwrap();
    let mut link = setting.link(0).await;
    link.start(spec(&setting.executor, &["trap '' TERM INT; echo up; while :; do sleep 1; done"])).await.unwrap();
    let offset = until_line(&mut link, "up").await;
    setting.executor.kill(&setting.launch.folder).await.unwrap();
    assert_eq!(setting.find().await, Found::Dead);
    assert!(drain(&mut link).await.unwrap().result().is_none());
    assert!(setting.executor.launch(&setting.launch).await.unwrap().new);
    let mut link = setting.link(offset).await;
    link.start(spec(&setting.executor, &["echo again"])).await.unwrap();
    assert_eq!(drain(&mut link).await.unwrap().lines(), ["again"]);
    setting.clean().await;
}

#[tokio::test]
async fn limits_and_the_steps_user_are_carried_out() {
    if !gate::require_root() {
        return;
    }
    let Some(mut setting) = setting().await else { return };
    setting.launch.limits = "--user 1234 --network none --hostname shop --pids-limit 50".parse().unwrap();
    let script = "id -u; id -g; hostname; ls /sys/class/net; touch file && echo wrote";
    setting.executor.launch(&setting.launch).await.unwrap();
    let mut job = spec(&setting.executor, &[script]);
    job.user = setting.executor.step_user(&setting.launch.folder).unwrap();
    let told = run(&setting.executor, &setting.launch, job).await;
    assert_eq!(told.lines(), ["1234", "1234", "shop", "lo", "wrote"], "{:?}", told.records);
    setting.clean().await;
}

#[tokio::test]
async fn an_agent_without_roots_rights_is_told_to_be_nobody_else() {
    // Part of `everything_holds_for_an_ordinary_user_of_docker`.
    if rustix::process::geteuid().is_root() {
        return;
    }
    let Some(mut setting) = setting().await else { return };
    setting.launch.limits = "--user 1234".parse().unwrap();
    let error = setting.executor.launch(&setting.launch).await.unwrap_err();
    assert!(matches!(error, ExecutorError::User { .. }) && !error.is_retryable(), "{error}");
    assert!(error.to_string().contains("`options: --user 1234:1234`: its agent runs as 1000:1000"), "{error}");
    setting.clean().await;
}

/// An image made of the tests' own by lines of a Dockerfile; it goes with this value.
struct Image(String);

impl Image {
    fn of(lines: &str) -> Self {
        let name = format!("tagline-test-{}", std::process::id());
        let mut build = std::process::Command::new("docker");
        build.args(["build", "--quiet", "--tag", &name, "-"]).stdin(std::process::Stdio::piped());
        let mut child = build.stdout(std::process::Stdio::null()).spawn().unwrap();
        let text = format!("FROM {}\n{lines}\n", gate::BUSYBOX);
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
        Self(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = std::process::Command::new("docker").args(["image", "rm", "--force", &self.0]).output();
    }
}

#[tokio::test]
async fn steps_run_as_the_user_of_the_jobs_image() {
    if !gate::require_root() {
        return;
    }
    let Some(mut setting) = setting().await else { return };
    let image = Image::of("USER 4321:4322");
    setting.launch.image = Some(ImageRef::Reference(image.0.clone()));
    setting.executor.launch(&setting.launch).await.unwrap();
    let mut job = spec(&setting.executor, &["id -u; id -g; touch file && echo wrote"]);
    job.user = setting.executor.step_user(&setting.launch.folder).unwrap();
    let told = run(&setting.executor, &setting.launch, job).await;
    assert_eq!(told.lines(), ["4321", "4322", "wrote"], "{:?}", told.records);
    setting.clean().await;
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_named_with_the_daemons_words() {
    let Some(mut setting) = setting().await else { return };
    setting.launch.image = Some(ImageRef::Reference("127.0.0.1:1/no-such/image:1".into()));
    let error = setting.executor.launch(&setting.launch).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot use the image 127.0.0.1:1/no-such/image:1: "), "{error}");
    assert!(error.contains("127.0.0.1:1"), "{error}");
    setting.launch.image = Some(ImageRef::Layout("/nowhere".into()));
    let error = setting.executor.launch(&setting.launch).await.unwrap_err().to_string();
    assert!(error.contains("the sandbox runs a layout"), "{error}");
    assert_eq!(setting.find().await, Found::Never);
}

#[tokio::test]
async fn an_agent_that_does_not_come_up_is_told_with_its_last_words() {
    let Some(mut setting) = setting().await else { return };
    let broken = setting.place.path().join("broken");
    fs::write(&broken, "#!/bin/sh\necho no such luck >&2\nexit 3\n").unwrap();
    fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    setting.launch.agent_binary = broken;
    let error = setting.executor.launch(&setting.launch).await.unwrap_err();
    assert!(matches!(error, ExecutorError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("exit code 3; no such luck"), "{error}");
    setting.clean().await;
}

#[tokio::test]
async fn containers_of_other_stores_are_left_alone() {
    let Some(setting) = setting().await else { return };
    setting.executor.launch(&setting.launch).await.unwrap();
    let elsewhere = setting.executor.orphans(std::path::Path::new("/another/store")).await.unwrap();
    assert_eq!(elsewhere, []);
    setting.executor.clean(&JobFolder::new(setting.place.path().join("runs/1/test/1"))).await.unwrap();
    let [orphan] = setting.orphans().await.try_into().unwrap();
    setting.executor.remove(&orphan).await.unwrap();
    assert_eq!(setting.orphans().await, []);
}

/// A step that is root in its container can write `agent.json`.
#[tokio::test]
async fn a_container_that_another_job_names_is_not_touched() {
    let (Some(setting), Some(other)) = (setting().await, setting().await) else { return };
    setting.executor.launch(&setting.launch).await.unwrap();
    other.executor.launch(&other.launch).await.unwrap();
    let mut agent = setting.launch.folder.agent().unwrap().unwrap();
    agent.container = other.launch.folder.agent().unwrap().unwrap().container;
    setting.launch.folder.write_agent(&agent).unwrap();
    setting.executor.kill(&setting.launch.folder).await.unwrap();
    setting.clean().await;
    assert_eq!(other.find().await, Found::Alive);
    other.clean().await;
}

#[tokio::test]
async fn many_launches_at_once_make_one_container() {
    let Some(setting) = setting().await else { return };
    let launches = (0..4).map(|_| {
        let (executor, launch) = (setting.executor.clone(), setting.launch.clone());
        tokio::spawn(async move { executor.launch(&launch).await.unwrap().new })
    });
    let launches: Vec<_> = launches.collect();
    let mut new = 0;
    for launch in launches {
        new += usize::from(launch.await.unwrap());
    }
    assert_eq!(new, 1);
    assert_eq!(setting.link(0).await.state(), Some(AgentState::Waiting));
    setting.clean().await;
}

#[tokio::test]
async fn doctor_sees_the_daemon() {
    if !gate::require_docker() {
        return;
    }
    let isolation = Isolation::of_docker().await;
    assert_eq!(isolation.active, ["container"], "{isolation:?}");
    assert!(isolation.detail.contains('.'), "{isolation:?}");
}

/// All of the above as somebody who may only use the daemon's socket.
#[test]
fn everything_holds_for_an_ordinary_user_of_docker() {
    if support::is_again() || !gate::require_docker() || !gate::require_root() {
        return;
    }
    let group = fs::metadata("/var/run/docker.sock").map_or(0, |socket| socket.gid());
    let said = support::again(&[&format!("--groups={group}")], &["docker::"]);
    assert!(said.contains("a_job_runs_in_a_container_and_leaves_its_spool ... ok"), "{said}");
}
