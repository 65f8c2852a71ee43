//! Where the `tagline` under test is.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of the workspace")
}

/// The built `tagline`: `$TAGLINE_BIN`, else the one beside this test's own build.
///
/// `cargo xtask test` builds it first; with `cargo test` alone, run `cargo build` before.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("TAGLINE_BIN") {
        return PathBuf::from(named);
    }
    let test = std::env::current_exe().expect("a test knows its own program");
    // target/PROFILE/deps/test-HASH: the binary is two levels up.
    let profile = test.ancestors().nth(2).expect("a test stands in target/PROFILE/deps");
    let found = profile.join("tagline");
    assert!(found.exists(), "{} is not there; run `cargo build` first", found.display());
    found
}
