//! Built-in actions as functions over folders: checkout, artifacts, image, SBOM; the one extractor.
//!
//! Nothing here knows of runs or engines: functions take paths and plain values and answer with structs.
//! What a step may have prepared (links in the workspace above all) is never trusted.

pub mod artifact;
mod builtin;
pub mod checkout;
mod digest;
pub mod extract;
pub mod glob;
mod hash_files;
pub mod image;
pub mod inputs;
pub mod oci;
pub mod sbom;

pub use builtin::{Builtin, Delivery, Input, Kind, Support};
pub use hash_files::{HashFilesError, hash_files};
