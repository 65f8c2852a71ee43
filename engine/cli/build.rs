//! Makes what the `tagline` binary carries in itself: the agent of every job, and the example that `tagline demo` releases.

use std::env;
use std::path::PathBuf;

#[path = "build/agent.rs"]
mod agent;
#[path = "build/example.rs"]
mod example;

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let root = here.join("../..").canonicalize().expect("the workspace is two folders up");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    agent::build(&root, &out);
    example::embed(&root.join("examples/storefront"), &out);
}
