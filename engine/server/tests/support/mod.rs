//! The crash matrix: what is built once, one release in its own scene, the engine in a process that can be killed, and
//! what a release must have come to.

pub mod built;
pub mod child;
pub mod compare;
pub mod files;
pub mod platform;
pub mod points;
pub mod process;
pub mod scene;
pub mod special;
