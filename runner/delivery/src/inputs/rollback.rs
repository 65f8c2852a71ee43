//! `tagline/rollback`: the whole unit back to a release that was live before.

use serde::{Deserialize, Serialize};

use super::deploy::EvidenceHook;
use super::reader::Reader;
use super::units::dns_label;
use super::{Period, Replicas};

/// `tagline/rollback`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollbackInputs {
    /// The unit; the repository's name where it is not given.
    pub name: Option<String>,
    /// A version (`1.2.2`), a release id or an image's digest; the release that was live before where it is not given.
    pub to: Option<String>,
    /// Why, for the record.
    pub reason: Option<String>,
    /// Between the switch and the first pod that ends.
    pub drain: Period,
    /// For each thing that is waited for: pods that get ready or end, an API server that is away.
    pub timeout: Period,
    /// Pods that the old release gets before traffic goes to it.
    pub replicas: Replicas,
    /// Asked of each pod before it is removed.
    pub evidence: Vec<EvidenceHook>,
    /// Restarts the old release's pods before they get traffic.
    pub restart: bool,
}

impl RollbackInputs {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            name: reader.read("name", dns_label),
            to: reader.read("to", release),
            reason: reader.text("reason"),
            drain: reader.period("drain"),
            timeout: reader.period("timeout"),
            replicas: reader.read("replicas", Replicas::parse).unwrap_or(Replicas::Previous),
            evidence: reader.lines("evidence", EvidenceHook::parse),
            restart: reader.flag("restart"),
        }
    }
}

/// A revision's number means another release tomorrow.
fn release(text: &str) -> Result<String, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("\"{text}\" is a revision's number, which changes; give a version, 1.2.2"));
    }
    if text.contains(char::is_whitespace) {
        return Err(format!("\"{text}\" is not a version; 1.2.2"));
    }
    Ok(text.to_owned())
}
