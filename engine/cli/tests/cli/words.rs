//! The form of all output: streams, colours, hostile text, closed pipes.

use std::io::Read as _;
use std::process::Stdio;

use crate::place::Place;

#[test]
fn help_version_and_wrong_use() {
    let place = Place::new();
    let version = place.run(&["--version"]).exits(0);
    assert_eq!(
        (version.out.as_str(), version.err.as_str()),
        (concat!("tagline ", env!("CARGO_PKG_VERSION"), "\n"), "")
    );
    assert!(place.run(&["--help"]).exits(0).out.contains("Usage: tagline"));
    assert!(place.run(&["approve", "--help"]).exits(0).out.contains("--environment"));
    for wrong in
        [&["frobnicate"][..], &[], &["show"], &["show", "abc"], &["show", "1", "--since", "aa"], &["plan", "--tag"]]
    {
        let said = place.run(wrong).exits(2);
        assert_eq!(said.out, "", "{wrong:?}");
        assert!(!said.err.is_empty(), "{wrong:?}");
    }
}

#[test]
fn completions_know_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.run(&["completions", shell]).exits(0).out.contains("approve"), "{shell}");
    }
}

#[test]
fn names_from_outside_do_nothing_to_a_terminal() {
    let place = Place::repository(&[]);
    let hostile = "on: push\nname: \"a\\e]0;owned\\a\\u202Eb\"\njobs:\n  a:\n    name: \"x\\e[2J\\u202Ey\"\n    runs-on: x\n    needs: \"\\e[31mnope\"\n    steps: [{ run: \"true\" }]\n";
    place.write(".github/workflows/a.yml", hostile);
    for args in [&["lint"][..], &["plan", "a"], &["graph", "a"]] {
        let said = place.run(args);
        let all = format!("{}{}", said.out, said.err);
        assert!(
            !all.chars().any(|c| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c)),
            "{args:?}: {all:?}"
        );
    }
}

#[test]
fn a_closed_pipe_ends_the_writing_quietly() {
    let place = Place::new();
    let mut command = place.command(&["completions", "bash"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(child.wait().unwrap().code().is_some(), "no signal ended it");
    assert_eq!(err, "");
}

#[test]
fn an_sbom_lists_what_a_lock_file_names() {
    let place = Place::new();
    place.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.200\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"00\"\n");
    let bom = place.run(&["sbom", "."]).exits(0).json();
    assert_eq!(bom["bomFormat"], "CycloneDX");
    assert_eq!(bom["components"][0]["purl"], "pkg:cargo/serde@1.0.200");
    assert_eq!(place.run(&["sbom", ".", "--format", "spdx"]).exits(0).json()["spdxVersion"], "SPDX-2.3");
    place.run(&["sbom", "missing"]).exits(2);
}
