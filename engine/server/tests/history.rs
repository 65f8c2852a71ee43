//! Who edited a workflow last: as far as the history tells, and never nobody because it cannot be read.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use std::path::Path;
use std::process::Command;

use tagline_plan::Person;
use tagline_server::repository::{LastEditor, Repository};

const FILE: &str = ".github/workflows/release.yml";

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    let output = command.args(arguments).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A commit of somebody at a time, with a file as they left it; its id.
fn commit(folder: &Path, who: &str, time: u32, file: &str, text: &str) -> String {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    git(folder, &["add", "."]);
    let date = format!("{} +0000", 1_700_000_000 + time);
    let (name, email) = (format!("user.name={who}"), format!("user.email={who}@example.com"));
    let mut command = Command::new("git");
    command.args(["-c", &name, "-c", &email, "commit", "--quiet", "--message", file]).current_dir(folder);
    command.env("GIT_AUTHOR_DATE", &date).env("GIT_COMMITTER_DATE", &date);
    assert!(command.status().unwrap().success());
    git(folder, &["rev-parse", "HEAD"])
}

/// Marta wrote the workflow, and Jonas something else after it; his commit.
fn shop(folder: &Path) -> String {
    git(folder, &["init", "--quiet", "--initial-branch=main"]);
    commit(folder, "marta", 1, FILE, "on: push");
    commit(folder, "jonas", 2, "shop", "shoes")
}

fn known(who: &str) -> LastEditor {
    LastEditor::Known(Person { name: who.to_owned(), email: format!("{who}@example.com") })
}

#[test]
fn it_is_who_changed_the_file_and_not_who_came_after() {
    let scratch = tempfile::tempdir().unwrap();
    let head = shop(scratch.path());
    let repository = Repository::open(scratch.path()).unwrap();
    assert_eq!(repository.last_editor(&head, FILE).unwrap(), known("marta"));
    assert_eq!(repository.last_editor(&head, "tagline/rollback").unwrap(), LastEditor::NotCommitted);
}

#[test]
fn an_edit_that_a_merge_left_out_does_not_hide_the_one_that_counts() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    shop(folder);
    git(folder, &["checkout", "--quiet", "-b", "side"]);
    commit(folder, "tom", 9, FILE, "on: pull_request");
    git(folder, &["checkout", "--quiet", "main"]);
    let merge = ["-c", "user.name=ina", "-c", "user.email=ina@example.com", "merge", "--quiet", "-s", "ours", "side"];
    git(folder, &[&merge[..], &["--message", "Merge"]].concat());
    let head = git(folder, &["rev-parse", "HEAD"]);
    assert_eq!(Repository::open(folder).unwrap().last_editor(&head, FILE).unwrap(), known("marta"));
}

#[test]
fn whose_edit_a_shallow_clone_left_out_is_not_known() {
    let scratch = tempfile::tempdir().unwrap();
    let (whole, clone) = (scratch.path().join("whole"), scratch.path().join("clone"));
    std::fs::create_dir(&whole).unwrap();
    let head = shop(&whole);
    let from = format!("file://{}", whole.display());
    git(&whole, &["clone", "--quiet", "--depth", "1", &from, clone.to_str().unwrap()]);
    let repository = Repository::open(&clone).unwrap();
    assert_eq!(repository.last_editor(&head, FILE).unwrap(), LastEditor::CutOff(head));
    let head = commit(&clone, "tom", 9, FILE, "on: pull_request");
    assert_eq!(repository.last_editor(&head, FILE).unwrap(), known("tom"), "this edit is within reach");
}

#[test]
fn a_history_that_cannot_be_read_is_an_error() {
    for missing in ["HEAD~1", "HEAD~1^{tree}", "HEAD~1:.github/workflows"] {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        git(folder, &["init", "--quiet", "--initial-branch=main"]);
        commit(folder, "marta", 1, FILE, "on: push");
        let head = commit(folder, "jonas", 2, FILE, "on: pull_request");
        let object = git(folder, &["rev-parse", missing]);
        std::fs::remove_file(folder.join(".git/objects").join(&object[..2]).join(&object[2..])).unwrap();
        let told = Repository::open(folder).unwrap().last_editor(&head, FILE);
        assert!(told.is_err(), "{missing}: {told:?}");
    }
}
