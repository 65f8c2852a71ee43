//! SBOM catalogers and documents, and SSH signatures.
//!
//! Catalogers and documents are pure functions; files come in through [`tree::FileTree`].

pub mod catalog;
mod purl;
pub mod sbom;
#[cfg(feature = "ssh")]
pub mod ssh;
pub mod tree;

pub use purl::purl;
