//! The sandbox with the real agent. Every case holds for root and for an ordinary user; the last test runs them all
//! again as uid 1000.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tagline_executor::{
    Environment, Executor, ExecutorError, Exposure, Found, Isolation, JobFolder, Launch, Link, LinkError, PlainProcess,
    Process, Sandbox, propose,
};
use tagline_protocol::{AgentState, Conclusion};
use tagline_tests::gate;

use crate::support::{self, TOKEN, drain, launch, run, spec, until_line};

struct Setting {
    place: tempfile::TempDir,
    executor: Executor,
    launch: Launch,
}

fn setting() -> Setting {
    setting_with(PlainProcess::Never)
}

fn setting_with(plain: PlainProcess) -> Setting {
    let place = tempfile::tempdir().unwrap();
    let environment = Environment::pick(|name| std::env::var(name).ok());
    let sandbox = Sandbox::new(environment, place.path().join("images")).plain_process(plain);
    let executor = Executor::Sandbox(sandbox);
    let launch = launch(&executor, place.path(), support::agent());
    Setting { place, executor, launch }
}

impl Setting {
    async fn run(&self, scripts: &[&str]) -> support::Told {
        run(&self.executor, &self.launch, spec(&self.executor, scripts)).await
    }

    async fn link(&self, from: u64) -> Link {
        Link::connect(&self.launch.folder, TOKEN, from).await.unwrap()
    }

    async fn find(&self) -> Found {
        self.executor.find(&self.launch.folder).await.unwrap()
    }

    fn agent(&self) -> Process {
        let agent = self.launch.folder.agent().unwrap().unwrap();
        Process { pid: agent.pid, start_time: agent.start_time }
    }
}

#[tokio::test]
async fn a_job_runs_and_leaves_its_spool() {
    let setting = setting();
    let told = setting.run(&["echo hello; echo $((6 * 7))", "pwd"]).await;
    assert_eq!(told.result().unwrap().conclusion, Conclusion::Success);
    assert_eq!(told.lines(), ["hello", "42", "/home/runner/work/shop/shop"]);
    setting.agent().ended().await.unwrap();
    assert_eq!(setting.find().await, Found::Dead);
    setting.executor.clean(&setting.launch.folder).await.unwrap();
    assert_eq!(setting.find().await, Found::Never);
    let left: Vec<_> = fs::read_dir(setting.launch.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let mut again = setting.link(0).await;
    assert_eq!(drain(&mut again).await.unwrap().lines(), told.lines());
}

#[tokio::test]
async fn the_other_end_of_a_link_is_the_agent_and_no_other_process() {
    let setting = setting();
    setting.executor.launch(&setting.launch).await.unwrap();
    let peer = setting.link(0).await.peer().unwrap();
    let folder = &setting.launch.folder;
    assert!(setting.executor.is_agent(folder, peer).await.unwrap());
    assert!(!setting.executor.is_agent(folder, std::process::id()).await.unwrap());
    setting.executor.clean(folder).await.unwrap();
}

/// The three things the design names, and what would lead to them.
#[tokio::test]
async fn a_step_reaches_neither_shadow_nor_docker_nor_the_store() {
    let setting = setting();
    let store = setting.place.path().join("secret");
    fs::write(&store, "secret").unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o644)).unwrap();
    let tries = format!(
        "for path in /etc/shadow /var/run/docker.sock /run/docker.sock {} {} /root /proc/1/environ /proc/1/root/etc; do
           if cat $path >/dev/null 2>&1 || ls $path/ >/dev/null 2>&1; then echo \"reached $path\"; fi
         done
         ls /proc | grep -c '^[0-9]*$' >/dev/null
         test $(ls -d /proc/[0-9]* | wc -l) -lt 20 || echo sees the host
         test $(id -u) != 0 || echo is root
         grep -q 'CapEff:.0*$' /proc/self/status || echo has capabilities
         grep -q 'NoNewPrivs:.1' /proc/self/status || echo may gain privileges
         ls /proc/self/fd | wc -l",
        store.display(),
        setting.launch.folder.spool().display(),
    );
    let told = setting.run(&[&tries]).await;
    // 0, 1, 2 and the folder that `ls` reads.
    assert_eq!(told.lines(), ["4"], "{:?}", told.records);
}

#[tokio::test]
async fn only_the_listed_environment_and_what_is_exposed_reach_a_step() {
    let mut setting = setting();
    // Not below `/tmp`, of which every job has its own. Only who may write there can try.
    let Ok(place) = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")) else {
        return;
    };
    let tools = place.path().join("tools/bin");
    fs::create_dir_all(&tools).unwrap();
    fs::write(tools.join("own-tool"), "#!/bin/sh\necho own tool\n").unwrap();
    for path in [tools.join("own-tool"), tools.clone()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    setting.launch.expose = Exposure::of(std::slice::from_ref(&tools), None).unwrap();
    setting.launch.environment = vec![("FROM_CONTAINER".into(), "yes".into())];
    let script = format!(
        "own-tool; echo $FROM_CONTAINER; touch {}/x 2>/dev/null && echo wrote; env | grep -c CARGO_MANIFEST_DIR",
        tools.display()
    );
    let told = setting.run(&[&format!("{script} || true")]).await;
    assert_eq!(told.lines(), ["own tool", "yes", "0"]);
}

#[tokio::test]
async fn the_second_launch_finds_the_first_agent() {
    let setting = setting();
    let first = setting.executor.launch(&setting.launch).await.unwrap();
    assert!(first.new);
    assert!(first.isolation.contains(&"pid".to_owned()), "{:?}", first.isolation);
    let agent = setting.agent();
    assert!(!setting.executor.launch(&setting.launch).await.unwrap().new);
    assert_eq!(setting.agent(), agent);
    assert_eq!(setting.find().await, Found::Alive);
    let other = Launch { token: "another".into(), ..setting.launch.clone() };
    assert!(matches!(setting.executor.launch(&other).await, Err(ExecutorError::Taken { .. })));
    let wrong = Link::connect(&setting.launch.folder, "another", 0).await;
    assert!(matches!(wrong, Err(LinkError::Refused)), "{wrong:?}");
    setting.executor.kill(&setting.launch.folder).await.unwrap();
}

/// The engine died after the agent came up and before it wrote that down.
#[tokio::test]
async fn an_agent_nobody_wrote_down_is_taken_over() {
    let setting = setting();
    setting.executor.launch(&setting.launch).await.unwrap();
    let agent = setting.launch.folder.agent().unwrap().unwrap();
    fs::remove_file(setting.launch.folder.path().join("agent.json")).unwrap();
    assert_eq!(setting.find().await, Found::Never);
    let launched = setting.executor.launch(&setting.launch).await.unwrap();
    assert!(!launched.new);
    assert_eq!(setting.launch.folder.agent().unwrap().unwrap(), agent);
    setting.executor.kill(&setting.launch.folder).await.unwrap();
}

#[tokio::test]
async fn many_launches_at_once_make_one_agent() {
    let setting = setting();
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
    setting.executor.kill(&setting.launch.folder).await.unwrap();
}

#[tokio::test]
async fn a_killed_agent_takes_its_processes_along_and_another_can_start() {
    let setting = setting();
    setting.executor.launch(&setting.launch).await.unwrap();
    let mut link = setting.link(0).await;
    let stubborn = "trap '' TERM INT; (setsid sleep 1000 &) ; touch started; echo up; while :; do sleep 1000; done";
    link.start(spec(&setting.executor, &[stubborn])).await.unwrap();
    let offset = until_line(&mut link, "up").await;
    let agent = setting.agent();
    let below = descendants(agent.pid);
    assert!(below.len() >= 3, "{below:?}");
    setting.executor.kill(&setting.launch.folder).await.unwrap();
    assert_eq!(setting.find().await, Found::Dead);
    for process in below {
        process.ended().await.unwrap();
    }
    let rest = drain(&mut link).await.unwrap();
    assert!(rest.result().is_none());
    // A new agent, in the same folder, under the same token.
    assert!(setting.executor.launch(&setting.launch).await.unwrap().new);
    let mut link = setting.link(offset).await;
    link.start(spec(&setting.executor, &["test -e started && echo again"])).await.unwrap();
    assert_eq!(drain(&mut link).await.unwrap().lines(), ["again"]);
}

/// Every live process below one, as the host sees them.
fn descendants(root: u32) -> Vec<Process> {
    let children = |pid: u32| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut open = vec![root];
    let mut found = Vec::new();
    while let Some(pid) = open.pop() {
        let below = children(pid);
        let below = below.split_whitespace().filter_map(|child| child.parse::<u32>().ok());
        open.extend(below);
        found.extend(Process::of(pid).filter(|_| pid != root));
    }
    found
}

#[tokio::test]
async fn an_engine_that_comes_and_goes_loses_and_doubles_no_line() {
    const COUNT: usize = 3000;
    let setting = setting();
    setting.executor.launch(&setting.launch).await.unwrap();
    let script = format!("i=0; while [ $i -lt {COUNT} ]; do echo line $i; i=$((i+1)); done");
    let link = setting.link(0).await;
    link.start(spec(&setting.executor, &[&script])).await.unwrap();
    drop(link);
    let mut lines = Vec::new();
    let mut offset = 0;
    for stretch in 1.. {
        let mut link = setting.link(offset).await;
        let mut told = support::Told::default();
        let mut closed = false;
        for _ in 0..stretch {
            match link.next().await.unwrap() {
                tagline_executor::LinkEvent::Record(record, end) => {
                    told.records.push(record);
                    offset = end;
                }
                tagline_executor::LinkEvent::Closed => {
                    closed = true;
                    break;
                }
                other => panic!("nothing is asked: {other:?}"),
            }
        }
        lines.extend(told.lines());
        if closed {
            break;
        }
    }
    let wanted: Vec<_> = (0..COUNT).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn two_hundred_thousand_lines_arrive_whole_and_can_be_passed_over() {
    const COUNT: usize = 200_000;
    let setting = setting();
    let told = setting.run(&[&format!("seq {COUNT}")]).await;
    let wanted: Vec<_> = (1..=COUNT).map(|number| number.to_string()).collect();
    assert!(told.lines() == wanted, "lines are lost, doubled or changed");
    let mut again = setting.link(0).await;
    again.show_logs(false);
    let rest = drain(&mut again).await.unwrap();
    assert_eq!(rest.records.len(), 4, "{:?}", rest.records);
    assert_eq!(again.offset(), fs::metadata(setting.launch.folder.spool()).unwrap().len());
}

#[tokio::test]
async fn a_store_deeper_than_a_sockets_address_works() {
    let mut setting = setting();
    let deep = setting.place.path().join("d".repeat(90)).join("e".repeat(90));
    setting.launch.folder = JobFolder::new(deep.join("1"));
    let told = setting.run(&["echo deep"]).await;
    assert_eq!(told.lines(), ["deep"]);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let mut setting = setting();
    setting.launch.agent_binary = "/nowhere/tagline-agent".into();
    let missing = setting.executor.launch(&setting.launch).await.unwrap_err().to_string();
    assert!(missing.contains("cannot start the agent /nowhere/tagline-agent"), "{missing}");
    setting.launch.agent_binary = "/bin/true".into();
    let silent = setting.executor.launch(&setting.launch).await.unwrap_err().to_string();
    assert!(silent.contains("ended without a word"), "{silent}");
    setting.launch.agent_binary = support::agent();
    setting.launch.limits = "--memory 1g".parse().unwrap();
    let limits = setting.executor.launch(&setting.launch).await.unwrap_err();
    assert!(matches!(limits, ExecutorError::Limits));
    assert_eq!(setting.find().await, Found::Never);
}

#[tokio::test]
async fn a_plain_process_is_killed_with_all_below_it() {
    let setting = setting();
    // What the kernel of a machine without namespaces would make of it: the launcher's own way, asked for directly.
    setting.executor.launch(&setting.launch).await.unwrap();
    let mut agent = setting.launch.folder.agent().unwrap().unwrap();
    agent.isolation.clear();
    setting.launch.folder.write_agent(&agent).unwrap();
    let mut link = setting.link(0).await;
    link.start(spec(&setting.executor, &["(sleep 1000 &); echo up; sleep 1000"])).await.unwrap();
    until_line(&mut link, "up").await;
    let below = descendants(agent.pid);
    setting.executor.kill(&setting.launch.folder).await.unwrap();
    for process in below {
        process.ended().await.unwrap();
    }
    assert_eq!(setting.find().await, Found::Dead);
}

/// A program like the agent, in a user namespace that allows no further one; none for root, who has no user to become
/// there.
fn without_namespaces(place: &Path) -> Option<std::path::PathBuf> {
    let agent = support::agent();
    let program = place.join("without-namespaces");
    let refuse =
        "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps=-all --inh-caps=-all -- $0 $1";
    let unshare = "exec unshare --user --map-current-user --keep-caps /bin/sh -c";
    let script = format!("#!/bin/sh\n{unshare} '{refuse}' {} $1\n", agent.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (!rustix::process::geteuid().is_root()).then_some(program)
}

#[tokio::test]
async fn where_the_kernel_refuses_isolation_the_configuration_decides() {
    for (which, has_environment, advice) in [
        (PlainProcess::Never, false, Some("`plain-process = false` in runner.toml lets no job go without")),
        (PlainProcess::WithoutEnvironment, true, Some("only with `plain-process = true` in runner.toml")),
        (PlainProcess::WithoutEnvironment, false, None),
        (PlainProcess::Always, true, None),
    ] {
        let mut setting = setting_with(which);
        let Some(program) = without_namespaces(setting.place.path()) else { return };
        setting.launch.agent_binary = program;
        setting.launch.has_environment = has_environment;
        match (setting.executor.launch(&setting.launch).await, advice) {
            (Ok(launched), None) => assert!(launched.isolation.is_empty(), "{:?}", launched.isolation),
            (Err(error @ ExecutorError::Refused { .. }), Some(advice)) => {
                let error = error.to_string();
                assert!(error.contains("the kernel refuses namespaces") && error.contains(advice), "{error}");
            }
            (other, _) => panic!("{which:?}: {other:?}"),
        }
        setting.executor.kill(&setting.launch.folder).await.unwrap();
    }
}

/// It hides its namespaces like every agent, and is still known for what it is.
#[tokio::test]
async fn a_plain_process_that_is_taken_over_is_killed_with_all_below_it() {
    let mut setting = setting_with(PlainProcess::Always);
    let Some(program) = without_namespaces(setting.place.path()) else { return };
    setting.launch.agent_binary = program;
    setting.executor.launch(&setting.launch).await.unwrap();
    fs::remove_file(setting.launch.folder.path().join("agent.json")).unwrap();
    let launched = setting.executor.launch(&setting.launch).await.unwrap();
    // The user namespace is the test's, which stands for a container that allows none.
    assert!(!launched.new && !launched.isolation.contains(&"pid".to_owned()), "{launched:?}");
    let mut link = setting.link(0).await;
    link.start(spec(&setting.executor, &["(setsid sleep 1000 &); echo up; sleep 1000"])).await.unwrap();
    until_line(&mut link, "up").await;
    let below = descendants(setting.agent().pid);
    assert!(below.len() >= 2, "{below:?}");
    setting.executor.kill(&setting.launch.folder).await.unwrap();
    for process in below {
        process.ended().await.unwrap();
    }
}

#[tokio::test]
async fn a_fork_bomb_of_a_plain_process_is_ended() {
    let setting = setting();
    setting.executor.launch(&setting.launch).await.unwrap();
    let mut agent = setting.launch.folder.agent().unwrap().unwrap();
    agent.isolation.clear();
    setting.launch.folder.write_agent(&agent).unwrap();
    let mut link = setting.link(0).await;
    // Nothing in it ever ends by itself, and what is killed makes room for another one.
    let bomb = "ulimit -u 150; echo up; bomb() { while :; do bomb & done; }; bomb 2>/dev/null";
    let mut job = spec(&setting.executor, &[bomb]);
    let tagline_protocol::StepAction::Run { shell, .. } = &mut job.steps[0].action else { unreachable!() };
    *shell = Some("bash".to_owned());
    link.start(job).await.unwrap();
    until_line(&mut link, "up").await;
    let killed = tokio::time::timeout(Duration::from_mins(1), setting.executor.kill(&setting.launch.folder)).await;
    killed.expect("the bomb is ended").unwrap();
    assert_eq!(setting.find().await, Found::Dead);
}

#[tokio::test]
async fn doctor_sees_what_a_job_would_get() {
    let isolation = Isolation::of_sandbox(&support::agent(), PlainProcess::Never).await;
    assert_eq!(isolation.active, ["user", "mount", "pid", "ipc", "uts"], "{isolation:?}");
    assert_eq!(isolation.problem, None);
    let broken = Isolation::of_sandbox(Path::new("/bin/false"), PlainProcess::Always).await;
    assert!(broken.active.is_empty() && broken.problem.is_some(), "{broken:?}");
}

/// What `doctor` proposes is enough for a tool chain that lives in a home.
#[tokio::test]
async fn the_proposed_folders_make_a_tool_chain_work() {
    let home = std::env::home_dir().unwrap();
    let folders = propose(&std::env::var("PATH").unwrap(), &home);
    if !folders.iter().any(|folder| folder.ends_with(".rustup")) {
        return; // Cargo is of the system here: nothing to propose.
    }
    let mut setting = setting();
    setting.launch.expose = Exposure::of(&folders, Some(&home)).unwrap();
    let told = setting.run(&["cargo --version && rustc --version"]).await;
    assert_eq!(told.result().unwrap().conclusion, Conclusion::Success, "{:?}", told.records);
    assert!(told.lines()[0].starts_with("cargo "), "{:?}", told.lines());
}

/// All of the above, and a job in an image, as somebody without any privilege.
#[test]
fn everything_holds_for_an_ordinary_user() {
    if support::is_again() || !gate::require_root() {
        return;
    }
    let said = support::again(&["--clear-groups"], &["sandbox::", "images::a_job"]);
    assert!(said.contains("a_step_reaches_neither_shadow_nor_docker_nor_the_store ... ok"), "{said}");
    assert!(said.contains("runs_in_an_unpacked_layout_and_leaves_it_as_it_was ... ok"), "{said}");
}
