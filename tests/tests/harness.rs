//! The acceptance tests stand on this support, so it is tested itself.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;

use tagline_tests::{Scratch, gate};

#[test]
fn the_binary_runs_shut_off_from_the_home_of_who_runs_it() {
    let scratch = Scratch::new();
    scratch.tagline().run(["--version"]).success().stdout_has("tagline ").lacks("\x1b");
    let command = scratch.tagline().command(["--version"]);
    let home = command.get_envs().find(|(name, _)| *name == "HOME").and_then(|(_, value)| value);
    assert_eq!(home, Some(scratch.join("home").as_os_str()));
    assert!(command.get_envs().all(|(name, _)| name != "USER"));
}

#[test]
fn the_binary_runs_as_somebody_without_rights() {
    if !gate::require_root() {
        return;
    }
    let scratch = Scratch::new();
    scratch.repo("project").write("file", "text").commit("First");
    let tagline = scratch.tagline().as_uid_1000(&scratch);
    tagline.run(["--version"]).success();
    let mut id = std::process::Command::new("id");
    let groups = id.arg("-G").uid(1000).gid(1000).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&groups.stdout).trim(), "1000", "no further groups");
    assert_eq!(scratch.join("project/file").metadata().unwrap().uid(), 1000);
}

#[test]
fn the_test_images_run() {
    if !gate::require_docker() {
        return;
    }
    for (image, shell) in [(gate::BUSYBOX, "sh"), (gate::BASH, "bash")] {
        let mut docker = std::process::Command::new("docker");
        let out = docker.args(["run", "--rm", image, shell, "-c", "echo from $0 && test -w /tmp"]).output().unwrap();
        assert!(out.status.success(), "{image}: {}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), format!("from {shell}"));
    }
}

#[test]
fn the_registry_takes_an_image_and_gives_it_back_by_digest() {
    let (Some(registry), true) = (gate::require_registry(), gate::require_docker()) else {
        return;
    };
    let docker = |args: &[&str]| {
        let out = std::process::Command::new("docker").args(args).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let name = format!("{registry}/tagline-test/harness:latest");
    docker(&["tag", gate::BUSYBOX, &name]);
    docker(&["push", &name]);
    // The image may still be known by the digests of other registries.
    let digests = docker(&["image", "inspect", "--format", "{{join .RepoDigests \"\\n\"}}", &name]);
    let repository = name.trim_end_matches(":latest");
    let digest = digests.lines().find(|digest| digest.starts_with(repository)).expect("the push gave it a digest");
    docker(&["pull", digest]);
    docker(&["image", "rm", &name]);
}

#[test]
fn a_repository_has_its_own_author_and_tags_and_an_origin() {
    let scratch = Scratch::new();
    let repo = scratch.repo("project");
    repo.workflow("release.yml", "on: push\n").user("marta@example.com");
    let commit = repo.commit("First");
    assert_eq!(commit.len(), 40);
    repo.tag("v1.0.0").light_tag("v1.0.1").bare_origin(&scratch.join("origin.git"));
    assert_eq!(repo.git(["log", "-1", "--format=%an %ae"]), "marta marta@example.com");
    assert_eq!(repo.git(["cat-file", "-t", "v1.0.0"]), "tag");
    assert_eq!(repo.git(["cat-file", "-t", "v1.0.1"]), "commit");
    assert_eq!(repo.git(["ls-remote", "origin", "main"]).split('\t').next(), Some(commit.as_str()));
}
