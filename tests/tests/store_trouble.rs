//! The store in trouble: full, newer, taken, by a clock that jumps. Nothing that was told is lost, and it goes on after.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use tagline_tests::{Repo, Scratch, TAG, Tagline, gate, holds, until};

const RULES: &str = "environments: {production: {reviewers: {any-of: [ona@example.com]}}}\n";

/// A release of a build and a deployment that must be approved.
fn workflow(build: &str) -> String {
    format!(
        "on: {{push: {{tags: ['v*']}}}}
jobs:
  build:
    runs-on: ubuntu-latest
    steps: [{{run: '{build}'}}]
  deploy:
    needs: build
    runs-on: ubuntu-latest
    environment: production
    steps: [{{run: echo deployed}}]
"
    )
}

fn project(scratch: &Scratch, build: &str) -> (Repo, Tagline) {
    let repo = scratch.guarded_project(&workflow(build), RULES);
    let tagline = scratch.tagline().dir(repo.path());
    (repo, tagline)
}

#[track_caller]
fn approve(repo: &Repo, tagline: &Tagline) -> tagline_tests::Outcome {
    let plan = tagline.plan(1, "production");
    repo.user("ona@example.com");
    tagline.run(["approve", "1", "--environment", "production", "--plan", &plan])
}

/// A small disk at the place of the store.
struct Disk {
    place: PathBuf,
}

impl Disk {
    /// None where mounting is not allowed; then the skip is noted.
    #[track_caller]
    fn mount(place: PathBuf, size: &str) -> Option<Self> {
        if !gate::require_root() {
            return None;
        }
        fs::create_dir_all(&place).expect("a folder in the scratch");
        let mut mount = Command::new("mount");
        let out = mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "none"]).arg(&place).output();
        match out {
            Ok(out) if out.status.success() => Some(Self { place }),
            Ok(out) => {
                gate::skip("mount", String::from_utf8_lossy(&out.stderr).trim());
                None
            }
            Err(error) => {
                gate::skip("mount", &error.to_string());
                None
            }
        }
    }

    /// Takes all that is free, to the last byte.
    fn fill(&self) {
        let mut file = File::create(self.place.join("filler")).expect("a place for a file's name");
        for size in [1 << 20, 4096, 1] {
            let block = vec![0; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.place.join("filler")).expect("it was filled");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: an engine that a failed test left behind may be in it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.place).status();
    }
}

#[test]
fn a_full_disk_loses_no_vote_that_was_told_and_the_release_goes_on_after() {
    let scratch = Scratch::new();
    let Some(disk) = Disk::mount(scratch.tagline().store(), "64m") else { return };
    let (repo, tagline) = project(&scratch, "echo built");
    tagline.run(["run", "--tag", TAG]).code(3);
    let plan = tagline.plan(1, "production");
    repo.user("ona@example.com");
    // The next command has to make it again.
    fs::remove_file(tagline.store().join("tagline.db-shm")).unwrap();
    disk.fill();
    for words in [&["runs"][..], &["show", "1"]] {
        tagline.run(words).success();
    }
    let full = tagline.run(["approve", "1", "--environment", "production", "--plan", &plan]);
    let told = full.code == 0;
    if !told {
        full.refused(5, "disk-full", "full").stderr_has("tagline resume");
    }
    let resumed = tagline.run(["resume", "1"]);
    assert!([3, 5].contains(&resumed.code), "{resumed}");
    let other = tagline.run(["run", "release.yml"]);
    assert!(other.code == 5, "{other}");
    disk.free();
    assert_eq!(tagline.show(1)["approvals"].as_array().unwrap().len(), usize::from(told), "told and stored differ");
    if !told {
        tagline.run(["approve", "1", "--environment", "production", "--plan", &plan]).success();
    }
    tagline.run(["resume", "1"]).success();
    tagline.run(["store", "verify"]).success();
}

#[test]
fn a_serving_engine_outlives_a_full_disk() {
    let scratch = Scratch::new();
    let Some(disk) = Disk::mount(scratch.tagline().store(), "64m") else { return };
    let (repo, tagline) = project(&scratch, "echo built");
    tagline.run(["run", "--tag", TAG]).code(3);
    let plan = tagline.plan(1, "production");
    let mut engine = tagline.spawn(["serve", "--headless"]);
    engine.line_with("the engine serves this store");
    repo.user("ona@example.com");
    disk.fill();
    let full = tagline.run(["approve", "1", "--environment", "production", "--plan", &plan]);
    let told = full.code == 0;
    assert!(told || full.code == 5, "{full}");
    assert_eq!(tagline.show(1)["approvals"].as_array().unwrap().len(), usize::from(told), "told and stored differ");
    disk.free();
    // Served by that engine, or by the next one where it gave up; either way nothing is lost.
    let answers = tagline.run(["approve", "1", "--environment", "production", "--plan", &plan]);
    assert_eq!(answers.code, i32::from(told), "{answers}");
    let end = || tagline.runs()[0]["conclusion"].as_str().map(str::to_owned);
    assert_eq!(until("the end of the release", end), "success");
    assert_eq!(engine.terminate(), 0, "the engine was there all the time");
    tagline.run(["store", "verify"]).success();
}

#[test]
fn a_step_that_fills_the_disk_fails_and_the_store_stays_usable() {
    let scratch = Scratch::new();
    let Some(_disk) = Disk::mount(scratch.tagline().store(), "64m") else { return };
    let (_repo, tagline) = project(&scratch, "test -e /tmp/never || cat /dev/zero > filler");
    let out = tagline.run(["run", "--tag", TAG]);
    // The job fails for the disk; where not even that could be stored the command says so.
    assert!([1, 5].contains(&out.code), "{out}");
    assert!(format!("{}{}", out.stdout, out.stderr).contains("o space left"), "{out}");
    // The job's folder is gone with what filled it, at once or by the next engine.
    let resumed = tagline.run(["resume", "1"]);
    assert_eq!(resumed.code, 1, "{resumed}");
    let again = tagline.run(["rerun", "1", "--failed"]);
    assert_eq!(again.code, 1, "{again}");
    tagline.run(["store", "verify"]).success();
    assert_eq!(tagline.show(1)["attempt"], 2);
}

/// The number of migrations in a database's header; the file must not be open.
fn set_version(database: &Path, version: u32) {
    let mut file = File::options().read(true).write(true).open(database).expect("the database");
    let mut magic = [0; 16];
    file.read_exact(&mut magic).expect("it has a header");
    assert_eq!(&magic, b"SQLite format 3\0");
    file.seek(SeekFrom::Start(60)).expect("a file");
    file.write_all(&version.to_be_bytes()).expect("a place in the header");
}

#[test]
fn a_store_of_a_newer_version_is_not_touched() {
    let scratch = Scratch::new();
    let (_repo, first) = project(&scratch, "echo built");
    first.run(["run", "--tag", TAG]).code(3);
    // A backup is one file, without a log that has pages of its own.
    let copy = scratch.join("copy");
    first.run(["store", "backup", copy.to_str().unwrap()]).success();
    let tagline = first.env("TAGLINE_STORE", &format!("sqlite://{}", copy.display()));
    let database = copy.join("tagline.db");
    set_version(&database, 999);
    let before = fs::read(&database).unwrap();
    for words in [&["runs"][..], &["show", "1"], &["run", "--tag", TAG], &["resume", "1"], &["serve", "--headless"]] {
        let out = tagline.run(words);
        out.refused(5, "newer-store", copy.to_str().unwrap()).stderr_has("newer");
    }
    assert!(fs::read(&database).unwrap() == before, "it was written");
}

#[test]
fn a_file_that_is_no_store_is_not_touched() {
    let scratch = Scratch::new();
    let (_repo, tagline) = project(&scratch, "echo built");
    scratch.write("home/data/tagline/tagline.db", "this is a letter to my aunt, not a database\n".repeat(200));
    let before = fs::read(tagline.store().join("tagline.db")).unwrap();
    for words in [&["runs"][..], &["run", "--tag", TAG]] {
        let out = tagline.run(words);
        out.code(5).stderr_has("error[").stderr_has("next").lacks("panicked");
    }
    assert!(fs::read(tagline.store().join("tagline.db")).unwrap() == before, "it was written");
}

#[test]
fn lists_are_made_again_once_a_passing_command_has_left_the_store() {
    let scratch = Scratch::new();
    let (_repo, tagline) = project(&scratch, "echo built");
    tagline.run(["run", "--tag", TAG]).code(3);
    let path = tagline.store().join("tagline.lock");
    let mut lock = File::options().read(true).write(true).open(&path).expect("the lock's file");
    lock.lock().expect("nobody has it");
    write!(lock, "process {} (a command)", std::process::id()).expect("the holder's name");
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).expect("inotify");
    inotify::add_watch(&watch, &path, inotify::WatchFlags::ACCESS).expect("the file is there");
    let rebuild = tagline.spawn(["store", "rebuild"]);
    // It has tried in vain and reads who has it.
    inotify::Reader::new(&watch, &mut [MaybeUninit::uninit(); 512]).next().expect("an event");
    drop(lock);
    assert_eq!(rebuild.wait(), 0);
}

#[test]
fn a_second_engine_is_refused_within_a_second_and_told_of_the_first() {
    let scratch = Scratch::new();
    let (_repo, tagline) = project(&scratch, "echo built");
    let mut engine = tagline.spawn(["serve", "--headless"]);
    engine.line_with("the engine serves this store");
    let start = Instant::now();
    let out = tagline.run(["serve", "--headless"]);
    let took = start.elapsed();
    out.refused(5, "store-busy", &engine.id().to_string()).stderr_has("tagline serve");
    assert!(took < Duration::from_secs(1), "{took:?}");
    // Everything else works beside it.
    tagline.run(["run", "--tag", TAG]).code(3);
    assert_eq!(tagline.runs().len(), 1);
    // A crash frees the store at once.
    engine.kill();
    let mut next = tagline.spawn(["serve", "--headless"]);
    next.line_with("the engine serves this store");
    assert_eq!(next.terminate(), 0);
    tagline.run(["resume", "1"]).code(3);
}

#[test]
fn a_run_at_hand_is_an_engine_as_well() {
    let scratch = Scratch::new();
    let (_repo, tagline) = project(&scratch, "echo ready && sleep 600");
    let engine = tagline.spawn(["run", "--tag", TAG]);
    let spool = tagline.spool(1, "build", 1);
    holds(&spool, "\"ready\"");
    tagline.run(["serve", "--headless"]).refused(5, "store-busy", &engine.id().to_string());
    tagline.run(["cancel", "1", "--force"]).success();
    assert_eq!(engine.wait(), 130);
}

/// Where Debian's package `faketime` puts it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// The command by a clock that is wrong.
fn at(tagline: &Tagline, offset: &str) -> Tagline {
    let wrong = tagline.clone().env("LD_PRELOAD", FAKETIME).env("FAKETIME", offset);
    wrong.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1")
}

#[test]
fn a_clock_that_jumps_expires_nothing_at_once_and_extends_nothing() {
    if !Path::new(FAKETIME).exists() {
        gate::skip("faketime", "Debian's package is not installed; the core has tests with a clock of its own");
        return;
    }
    let scratch = Scratch::new();
    let (repo, tagline) = project(&scratch, "echo built");
    tagline.run(["run", "--tag", TAG]).code(3);
    let deadline = tagline.show(1).to_string();
    // A month ahead for a moment: silence is looked at once more before it counts as a no.
    let mut engine = at(&tagline, "+30d").spawn(["serve", "--headless"]);
    engine.line_with("the engine serves this store");
    let events = || tagline.run(["run", "--tag", TAG, "--json"]);
    until("the second look", || events().code(3).stdout.contains("TimerHeld").then_some(()));
    assert_eq!(engine.terminate(), 0);
    assert_eq!(tagline.runs()[0]["status"], "waiting");
    // Ten days back: the deadline does not move, a vote counts, and the run goes on.
    at(&tagline, "-10d").run(["resume", "1"]).code(3);
    let digest = tagline.plan(1, "production");
    assert!(deadline.contains(&digest));
    repo.user("ona@example.com");
    let words = ["approve", "1", "--environment", "production", "--plan", &digest];
    at(&tagline, "-10d").run(words).success();
    at(&tagline, "-10d").run(["resume", "1"]).success();
    tagline.run(["store", "verify"]).success();
    // Time in the journal never goes back; what was only looked at by the wrong clock moves nothing.
    let events = events().code(0).json_lines();
    let times = events.iter().filter(|event| event["event"] != "TimerHeld");
    let times: Vec<&str> = times.filter_map(|event| event["at"].as_str()).collect();
    assert!(times.len() > 5 && times.is_sorted(), "{times:?}");
}

#[test]
fn silence_past_the_deadline_is_a_no_when_an_engine_comes_late() {
    // The second look is a minute later, by a clock nobody can set.
    if !gate::all() || !Path::new(FAKETIME).exists() {
        return;
    }
    let scratch = Scratch::new();
    let (repo, tagline) = project(&scratch, "echo built");
    tagline.run(["run", "--tag", TAG]).code(3);
    let digest = tagline.plan(1, "production");
    at(&tagline, "+30d").run(["resume", "1"]).code(4);
    repo.user("ona@example.com");
    let words = ["approve", "1", "--environment", "production", "--plan", &digest];
    tagline.run(words).refused(1, "already-decided", "expired");
    assert!(tagline.log_is_missing(1, "deploy"));
}

#[test]
fn a_release_is_approved_and_goes_on() {
    // What the tests above lean on, without trouble.
    let scratch = Scratch::new();
    let (repo, tagline) = project(&scratch, "echo built");
    tagline.run(["run", "--tag", TAG]).code(3);
    approve(&repo, &tagline).success();
    tagline.run(["resume", "1"]).success();
}
