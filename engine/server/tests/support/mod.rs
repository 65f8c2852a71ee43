//! The crash matrix: what is built once, one release in its own scene, the engine in a process that can be killed, and
//! what a release must have come to.

pub(crate) mod beginning;
pub(crate) mod built;
pub(crate) mod child;
pub(crate) mod compare;
pub(crate) mod files;
pub(crate) mod moments;
pub(crate) mod platform;
pub(crate) mod points;
pub(crate) mod process;
pub(crate) mod scene;
pub(crate) mod sound;
pub(crate) mod special;
