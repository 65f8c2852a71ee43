//! Where things are: the repository, Cargo's target folder, and the cache the chores keep outside the repository.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask is a folder of the workspace").to_path_buf()
}

/// Cargo's target folder, as the environment or the default says.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// A `tagline` made elsewhere, to be looked at instead of one built here: `$TAGLINE_BIN`.
pub(crate) fn named_binary() -> Option<PathBuf> {
    std::env::var_os("TAGLINE_BIN").map(PathBuf::from)
}

/// The conformance cases, a sibling of the repository; not part of it.
pub(crate) fn conformance() -> PathBuf {
    root().join("../shared/conformance")
}

/// The cache for tools, images and daemons: `$TAGLINE_XTASK_CACHE`, else `tagline-xtask` in the user's cache folder.
pub(crate) fn cache() -> Result<PathBuf> {
    let folder = if let Some(named) = std::env::var_os("TAGLINE_XTASK_CACHE") {
        PathBuf::from(named)
    } else if let Some(base) = std::env::var_os("XDG_CACHE_HOME") {
        Path::new(&base).join("tagline-xtask")
    } else if let Some(home) = std::env::var_os("HOME") {
        Path::new(&home).join(".cache/tagline-xtask")
    } else {
        PathBuf::from("/var/cache/tagline-xtask")
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the cache {}", folder.display()))?;
    Ok(folder)
}

/// Whether this is a CI run, where nothing may be skipped.
pub(crate) fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}
