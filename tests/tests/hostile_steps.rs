//! Steps that misbehave: they end when they are told to, stay within bounds, and find nothing of the host.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tagline_tests::{Background, Scratch, TAG, Tagline, gate, holds, until};

/// A workflow of one job `build` with these steps.
fn job(steps: &str) -> String {
    format!("on: {{push: {{tags: ['v*']}}}}\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n{steps}")
}

/// One step that runs a script.
fn script(lines: &str) -> String {
    let lines = lines.lines().map(|line| format!("          {line}\n"));
    job(&format!("      - run: |\n{}", lines.collect::<String>()))
}

/// Starts the release and waits until its step has printed the line.
#[track_caller]
fn started(tagline: &Tagline, line: &str) -> Background {
    let engine = tagline.spawn(["run", "--tag", TAG]);
    let spool = tagline.spool(1, "build", 1);
    let told = format!("\"{line}\"");
    holds(&spool, &told);
    engine
}

/// The processes of this machine with the word among their arguments.
fn processes(word: &str) -> Vec<String> {
    let ids = fs::read_dir("/proc").expect("proc is mounted").flatten().map(|entry| entry.path());
    let lines = ids.filter_map(|path| fs::read(path.join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.split(' ').any(|one| one == word)).collect()
}

/// A number of seconds that no other test sleeps for.
fn mark(scratch: &Scratch) -> String {
    let letters = scratch.path().to_string_lossy().into_owned();
    let sum = letters.bytes().fold(7_u32, |sum, letter| sum.wrapping_mul(31).wrapping_add(letter.into()));
    format!("98{sum:010}")
}

#[test]
fn a_shell_that_does_not_exist_is_named() {
    let scratch = Scratch::new();
    let repo = scratch.project(&job("      - {run: echo hello, shell: 'nosuchshell {0}'}\n      - run: echo after\n"));
    let tagline = scratch.tagline().dir(repo.path());
    let out = tagline.run(["run", "--tag", TAG]);
    out.code(1).stdout_has("nosuchshell").stdout_has("step 1 of 2").stdout_has("next");
    assert!(!tagline.log(1, "build").contains("after\n"));

    repo.workflow("release.yml", &job("      - {run: echo hello, shell: nosuchshell}\n")).commit("Another shell");
    let out = tagline.run(["run", "release.yml"]);
    assert!([1, 2].contains(&out.code), "{out}");
    assert!(format!("{}{}", out.stdout, out.stderr).contains("nosuchshell"), "{out}");
}

#[test]
fn an_image_that_cannot_be_had_is_named() {
    let steps = "    container: 127.0.0.1:9/nobody/nothing:1\n    steps:";
    let workflow = job("      - run: echo inside\n").replace("    steps:", steps);
    let mut runners = vec!["sandbox"];
    runners.extend(gate::require_docker().then_some("docker"));
    for runner in runners {
        let scratch = Scratch::new();
        let repo = scratch.project(&workflow);
        let tagline = scratch.tagline().dir(repo.path());
        let out = tagline.run(["run", "--tag", TAG, "--runner", runner]);
        out.code(1).stdout_has("127.0.0.1:9/nobody/nothing:1").stdout_has("effect").stdout_has("tagline rerun 1");
        // Each try is told when it fails, with when the next one comes.
        for wait in ["1.0s", "10.0s"] {
            out.stderr_has(&format!("trying again in {wait}"));
        }
        assert!(tagline.log_is_missing(1, "build") || !tagline.log(1, "build").contains("inside"), "{out}");
    }
}

#[test]
fn an_artifact_cannot_be_named_out_of_its_folder() {
    for name in ["../../escape", "a/b", "..", "a\\\\b"] {
        let scratch = Scratch::new();
        let upload = format!("      - {{uses: actions/upload-artifact@v4, with: {{name: \"{name}\", path: x}}}}\n");
        let repo = scratch.project(&job(&format!("      - run: echo x > x\n{upload}")));
        let tagline = scratch.tagline().dir(repo.path());
        let out = tagline.run(["run", "--tag", TAG]);
        out.code(1).stdout_has("step 2 of 2").stdout_has(&name.replace("\\\\", "\\"));
        let events = tagline.run(["run", "--tag", TAG, "--json"]);
        events.code(1).lacks("ArtifactStored");
        assert!(!scratch.join("escape").exists() && !tagline.store().join("escape").exists());
    }
}

/// It takes no signal, and what it started has left its session.
#[test]
fn who_ignores_every_signal_and_leaves_its_session_does_not_outlive_a_cancel() {
    for force in [false, true] {
        let scratch = Scratch::new();
        let mark = mark(&scratch);
        let stubborn = "trap '' TERM INT HUP QUIT\n\
            for i in 1 2 3; do setsid -f sh -c \"trap '' TERM INT HUP; while :; do sleep MARK; done\"; done\n\
            (sleep MARK & sleep MARK) &\nnohup sleep MARK >/dev/null 2>&1 &\necho ready\n\
            while :; do sleep MARK; done";
        let repo = scratch.project(&script(&stubborn.replace("MARK", &mark)));
        let tagline = scratch.tagline().dir(repo.path());
        let engine = started(&tagline, "ready");
        until("the sleepers", || (processes(&mark).len() >= 6).then_some(()));
        let words: &[&str] = if force { &["cancel", "1", "--force"] } else { &["cancel", "1"] };
        tagline.run(words).success();
        assert_eq!(engine.wait(), 130);
        assert_eq!(processes(&mark), Vec::<String>::new(), "force: {force}");
        assert_eq!(tagline.runs()[0]["conclusion"], "cancelled");
    }
}

/// It may not take the machine with it, and cannot outrun its killer.
#[test]
fn a_fork_bomb_is_bounded_and_ends_when_it_is_cancelled() {
    let scratch = Scratch::new();
    let mark = mark(&scratch);
    let bomb = "echo ready\nbomb() { bomb | bomb & sleep MARK; }\nbomb 2>/dev/null\nsleep MARK";
    let repo = scratch.project(&script(&bomb.replace("MARK", &mark)));
    let tagline = scratch.tagline().dir(repo.path());
    let engine = started(&tagline, "ready");
    // Other commands still start beside it.
    assert_eq!(tagline.runs().len(), 1);
    tagline.run(["cancel", "1", "--force"]).success();
    assert_eq!(engine.wait(), 130);
    assert_eq!(processes(&mark), Vec::<String>::new());
}

/// Most memory a process ever had, in KiB.
fn peak(id: u64) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn one_endless_line_needs_no_more_memory_than_a_short_one() {
    // More than they may have, so that nobody can hold it whole.
    let size: usize = if gate::all() { 1 << 30 } else { 192 << 20 };
    let scratch = Scratch::new();
    let steps = format!(
        "      - run: head -c {size} /dev/zero | tr '\\0' x\n      - run: echo printed && sleep 600\n      - run: echo\n"
    );
    let repo = scratch.project(&job(&steps));
    let tagline = scratch.tagline().dir(repo.path());
    let engine = tagline.spawn(["run", "--tag", TAG, "-v"]);
    let spool = tagline.spool(1, "build", 1);
    until("the end of the line", || tail(&spool).contains("\"printed\"").then_some(()));
    let agent: Value = serde_json::from_slice(&fs::read(spool.with_file_name("agent.json")).unwrap()).unwrap();
    let peaks = [peak(agent["pid"].as_u64().unwrap()), peak(engine.id().into())];
    assert!(peaks.iter().all(|peak| *peak <= 128 << 10), "agent and engine: {peaks:?} KiB");
    let length = count(&spool, b'x');
    assert!(length >= size, "lost: {length} of {size}");
    tagline.run(["cancel", "1", "--force"]).success();
    assert_eq!(engine.wait(), 130);
}

/// The last KiB of a file.
fn tail(path: &Path) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let Ok(mut file) = fs::File::open(path) else { return String::new() };
    let length = file.metadata().expect("a file").len();
    file.seek(SeekFrom::Start(length.saturating_sub(1024))).expect("a file");
    let mut text = Vec::new();
    file.read_to_end(&mut text).expect("it can be read");
    String::from_utf8_lossy(&text).into_owned()
}

/// How often a byte stands in a file.
fn count(path: &Path, wanted: u8) -> usize {
    use std::io::Read as _;
    let mut file = fs::File::open(path).expect("the log is there");
    let mut buffer = vec![0; 1 << 20];
    let mut sum = 0;
    loop {
        match file.read(&mut buffer).expect("it can be read") {
            0 => return sum,
            n => sum += buffer[..n].iter().map(|byte| usize::from(*byte == wanted)).sum::<usize>(),
        }
    }
}

/// What a curious step tries; it prints what it could reach.
const CURIOUS: &str = "for f in /var/run/docker.sock /run/docker.sock /etc/shadow /etc/gshadow /etc/ssh /root STORE STORE/key STORE/tagline.db \
SCRATCH /proc/1/root/etc/shadow /proc/1/environ; do\n  if test -e $f && ls -d $f >/dev/null 2>&1 && test -r $f; then echo reached $f; fi\ndone
cat /etc/shadow 2>/dev/null | grep -c . | sed 's/^/shadow lines /'
ls /proc | grep -c '^[0-9]' | awk '{ if ($1 > 20) print \"reached other processes: \" $1 }'
ls /home | grep -v '^runner$' | sed 's/^/reached home of /'
touch /usr/bin/planted /etc/planted 2>/dev/null && echo reached a place to write
(mount -t tmpfs none /mnt) 2>/dev/null && echo reached mount
env | grep -e TAGLINE -e DOCKER_HOST -e XDG -e CARGO | sed 's/^/reached /'
for fd in /proc/self/fd/* /proc/$PPID/fd/*; do readlink $fd; done 2>/dev/null | grep -e STORE -e tagline.db | sed 's/^/reached descriptor /'
id -u | sed 's/^/runs as /'
grep -e CapEff -e NoNewPrivs /proc/self/status
echo done looking";

fn look_around(as_user: bool) {
    let scratch = Scratch::new();
    let store = scratch.tagline().store();
    let curious = CURIOUS
        .replace("STORE", store.to_str().expect("scratch paths are UTF-8"))
        .replace("SCRATCH", scratch.path().to_str().expect("scratch paths are UTF-8"));
    let repo = scratch.project(&script(&curious));
    let mut tagline = scratch.tagline().dir(repo.path());
    if as_user {
        tagline = tagline.as_uid_1000(&scratch);
    }
    tagline.run(["run", "--tag", TAG]).success();
    let log = tagline.log(1, "build");
    // The script itself is in the log as well; what it printed stands at the beginning of a line.
    let found: Vec<&str> = log.lines().filter(|line| line.starts_with("reached ")).collect();
    assert_eq!(found, Vec::<&str>::new(), "as uid 1000: {as_user}\n{log}");
    let has = |line: &str| log.lines().any(|one| one == line);
    assert!(has("done looking") && has("shadow lines 0") && !has("runs as 0"), "{log}");
    assert!(has("CapEff:\t0000000000000000") && has("NoNewPrivs:\t1"), "{log}");
}

#[test]
fn a_curious_step_of_root_finds_nothing_of_the_host() {
    if gate::require_root() {
        look_around(false);
    }
}

#[test]
fn a_curious_step_in_a_container_finds_neither_the_daemon_nor_the_store() {
    if !gate::require_docker() {
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.tagline().store();
    let curious =
        CURIOUS.replace("STORE", store.to_str().unwrap()).replace("SCRATCH", scratch.path().to_str().unwrap());
    let inside = format!("    container: {}\n    steps:", gate::BASH);
    let repo = scratch.project(&script(&curious).replace("    steps:", &inside));
    let tagline = scratch.tagline().dir(repo.path());
    tagline.run(["run", "--tag", TAG, "--runner", "docker"]).success();
    let log = tagline.log(1, "build");
    // The image has files of its own; of the host there is nothing.
    for place in ["docker.sock", scratch.path().to_str().unwrap(), "descriptor", "mount", "other processes"] {
        let found = log.lines().find(|line| line.starts_with("reached ") && line.contains(place));
        assert_eq!(found, None, "{log}");
    }
    assert!(log.lines().any(|line| line == "done looking"), "{log}");
}

#[test]
fn a_curious_step_of_an_ordinary_user_finds_nothing_of_the_host() {
    if gate::require_root() {
        look_around(true);
    }
}
