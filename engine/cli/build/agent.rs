//! Builds the agent as a static program and embeds it, deflated.
//!
//! `+crt-static` needs `--target`, or procedural macros break; so the agent has a cargo run and a target folder of its own,
//! whose lock nobody else holds. That run shares the outer one's job tokens, and needs no network where the crates are.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use sha2::{Digest as _, Sha256};

/// What the agent is made of.
const SOURCES: [&str; 7] = [
    "runner/agent",
    "runner/protocol",
    "runner/actions",
    "engine/syntax",
    "engine/evidence",
    "Cargo.lock",
    "Cargo.toml",
];

/// Variables of the outer cargo that would change how the agent is built.
const OUTER: [&str; 5] =
    ["RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_TARGET"];

/// Builds it, copies it to the folder of generated files, and names it and its digest to the compiler.
pub(crate) fn build(root: &Path, out: &Path) {
    for source in SOURCES {
        let path = root.join(source);
        if path.join("src").is_dir() {
            println!("cargo::rerun-if-changed={}", path.join("src").display());
            println!("cargo::rerun-if-changed={}", path.join("Cargo.toml").display());
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let built = compile(root, out);
    let bytes = std::fs::read(&built).expect("cargo has just built it");
    let digest = hex::encode(Sha256::digest(&bytes));
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::best());
    deflated.write_all(&bytes).expect("memory takes it");
    let deflated = deflated.finish().expect("memory takes it");
    std::fs::write(out.join("tagline-agent"), deflated).expect("the folder of generated files can be written");
    println!("cargo::rustc-env=TAGLINE_AGENT={}", out.join("tagline-agent").display());
    println!("cargo::rustc-env=TAGLINE_AGENT_DIGEST={digest}");
    println!("cargo::rustc-env=TAGLINE_AGENT_LENGTH={}", bytes.len());
}

/// Runs cargo; the program's path.
fn compile(root: &Path, out: &Path) -> PathBuf {
    let variable = |name| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let target = variable("TARGET");
    let release = variable("PROFILE") == "release";
    // TARGET_FOLDER/PROFILE/build/PACKAGE/out
    let folder =
        out.ancestors().nth(4).expect("the folder of generated files is deep in the target folder").join("agent");
    let mut cargo = Command::new(variable("CARGO"));
    cargo.current_dir(root).args([
        "build",
        "--quiet",
        "--locked",
        "--package",
        "tagline-agent",
        "--bin",
        "tagline-agent",
    ]);
    cargo.arg("--target").arg(&target).arg("--target-dir").arg(&folder);
    for name in OUTER {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    if release {
        cargo.arg("--release");
    } else {
        // It is embedded in every debug build and test binary: without this it is five times as large.
        cargo.env("CARGO_PROFILE_DEV_STRIP", "debuginfo");
    }
    let status = cargo.status().unwrap_or_else(|error| panic!("cannot start cargo for the agent: {error}"));
    if !status.success() {
        println!("cargo::error=the agent of the jobs could not be built: cargo ended with {status}");
        std::process::exit(1);
    }
    folder.join(target).join(if release { "release" } else { "debug" }).join("tagline-agent")
}
