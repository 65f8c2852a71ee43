//! Bills of materials: a catalog written as CycloneDX 1.6 or SPDX 2.3, JSON. The same catalog and
//! subject give the same bytes; the only clock is the one the caller passes in.

mod cyclonedx;
mod spdx;

use crate::catalog::Catalog;
use sha2::{Digest, Sha256};

/// What a bill of materials is about, and when it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Name of the thing described.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// RFC 3339 in UTC; leave it out where equal input must give equal bytes.
    pub timestamp: Option<String>,
}

/// The formats written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// CycloneDX 1.6.
    CycloneDx,
    /// SPDX 2.3.
    Spdx,
}

/// Writes a bill of materials, pretty-printed, with a newline at its end.
pub fn write(catalog: &Catalog, subject: &Subject, format: Format) -> String {
    let document = match format {
        Format::CycloneDx => cyclonedx::document(catalog, subject),
        Format::Spdx => spdx::document(catalog, subject),
    };
    format!("{document:#}\n")
}

/// A UUID (version 8: made of a digest) of what a document says.
fn uuid(content: &serde_json::Value) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(content.to_string())[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
