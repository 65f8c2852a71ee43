//! What a voter states, in bytes that are signed. **This format never changes**: `docs/approvals.md` describes it for
//! people who verify with other tools, and a golden test pins it.
//!
//! The bytes are one JSON object in UTF-8: keys sorted by their bytes, no white space, no line end; strings escape only
//! `"`, `\` and control characters. They are signed as `ssh-keygen -Y sign -n tagline-vote-v1` does.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tagline_plan::Person;
use tagline_plan::digest::canonical;

use crate::ids::{GateId, RunId};

/// The format's name: first in the statement, and the namespace of SSH signatures.
pub const VOTE_FORMAT: &str = "tagline-vote-v1";

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Yes.
    Approve,
    /// No; one is enough.
    Reject,
}

/// One person's vote on one gate: everything it binds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`VOTE_FORMAT`].
    pub format: String,
    /// The run.
    pub run: RunId,
    /// The repository's name.
    pub repository: String,
    /// The environment.
    pub environment: String,
    /// The gate.
    pub gate: GateId,
    /// Yes or no.
    pub decision: Decision,
    /// The gate digest.
    pub gate_digest: String,
    /// The digest of every artifact, by name.
    pub artifacts: BTreeMap<String, String>,
    /// The digest of the workflow file.
    pub workflow_digest: String,
    /// The version of the rules: digest of the environments file, or `none`.
    pub policy_version: String,
    /// The gate's nonce.
    pub nonce: String,
    /// The voter's e-mail address, lower case.
    pub voter: String,
    /// What they wrote, may be empty.
    pub comment: String,
    /// Checklist items ticked, with their evidence. Empty while environments have no checklist.
    pub checklist: BTreeMap<String, String>,
    /// When, by the voter's clock; cut to whole seconds in the bytes.
    pub time: Timestamp,
}

impl Statement {
    /// The bytes that are signed.
    pub fn bytes(&self) -> Vec<u8> {
        let time = Timestamp::from_second(self.time.as_second()).unwrap_or(Timestamp::UNIX_EPOCH);
        canonical(&serde_json::json!({
            "format": self.format,
            "run": self.run,
            "repository": self.repository,
            "environment": self.environment,
            "gate": self.gate,
            "decision": self.decision,
            "gate_digest": self.gate_digest,
            "artifacts": self.artifacts,
            "workflow_digest": self.workflow_digest,
            "policy_version": self.policy_version,
            "nonce": self.nonce,
            "voter": self.voter,
            "comment": self.comment,
            "checklist": self.checklist,
            "time": time.to_string(),
        }))
    }
}

/// How a statement is known to be its voter's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signature {
    /// An SSH signature over the bytes in the namespace [`VOTE_FORMAT`].
    Ssh {
        /// The armored signature.
        armored: String,
        /// The key: `SHA256:` and its hash in base64, as `ssh-keygen -l` prints it.
        fingerprint: String,
    },
    /// None: only the engine's record says who it was.
    Unsigned,
}

/// A vote as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// What was stated.
    pub statement: Statement,
    /// Its signature.
    pub signature: Signature,
    /// The voter; the statement holds the same address.
    pub voter: Person,
    /// How it came: `cli`, `prompt`, `web`.
    pub via: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn example() -> Statement {
        Statement {
            format: VOTE_FORMAT.into(),
            run: RunId(418),
            repository: "village-storefront".into(),
            environment: "production".into(),
            gate: GateId(2),
            decision: Decision::Approve,
            gate_digest: format!("sha256:{}", "7d".repeat(32)),
            artifacts: BTreeMap::from([
                ("storefront".into(), format!("sha256:{}", "9b".repeat(32))),
                ("sbom".into(), format!("sha256:{}", "01".repeat(32))),
            ]),
            workflow_digest: format!("sha256:{}", "aa".repeat(32)),
            policy_version: format!("sha256:{}", "bb".repeat(32)),
            nonce: "c2f1d4".into(),
            voter: "ona@example.com".into(),
            comment: "Žalia \"šviesa\"\n\u{1}".into(),
            checklist: BTreeMap::new(),
            time: "2026-11-19T14:26:32.987Z".parse().unwrap(),
        }
    }

    /// The golden bytes. If this fails, old signatures no longer verify: undo the change.
    #[test]
    fn the_bytes_are_pinned() {
        let expected = [
            r#"{"artifacts":{"sbom":"sha256:"#,
            &"01".repeat(32),
            r#"","storefront":"sha256:"#,
            &"9b".repeat(32),
            r#""},"checklist":{},"comment":"Žalia \"šviesa\"\n\u0001","decision":"approve","environment":"production","#,
            r#""format":"tagline-vote-v1","gate":"gate-2","gate_digest":"sha256:"#,
            &"7d".repeat(32),
            r#"","nonce":"c2f1d4","policy_version":"sha256:"#,
            &"bb".repeat(32),
            r#"","repository":"village-storefront","run":418,"time":"2026-11-19T14:26:32Z","voter":"ona@example.com","#,
            r#""workflow_digest":"sha256:"#,
            &"aa".repeat(32),
            r#""}"#,
        ]
        .concat();
        assert_eq!(String::from_utf8(example().bytes()).unwrap(), expected);
    }

    #[test]
    fn every_field_is_bound() {
        let base = example();
        let all = serde_json::to_value(&base).unwrap();
        for key in all.as_object().unwrap().keys() {
            let other = match key.as_str() {
                "format" => Statement { format: "x".into(), ..base.clone() },
                "run" => Statement { run: RunId(1), ..base.clone() },
                "repository" => Statement { repository: "x".into(), ..base.clone() },
                "environment" => Statement { environment: "x".into(), ..base.clone() },
                "gate" => Statement { gate: GateId(9), ..base.clone() },
                "decision" => Statement { decision: Decision::Reject, ..base.clone() },
                "gate_digest" => Statement { gate_digest: "x".into(), ..base.clone() },
                "artifacts" => Statement { artifacts: BTreeMap::new(), ..base.clone() },
                "workflow_digest" => Statement { workflow_digest: "x".into(), ..base.clone() },
                "policy_version" => Statement { policy_version: "x".into(), ..base.clone() },
                "nonce" => Statement { nonce: "x".into(), ..base.clone() },
                "voter" => Statement { voter: "x".into(), ..base.clone() },
                "comment" => Statement { comment: "x".into(), ..base.clone() },
                "checklist" => Statement { checklist: BTreeMap::from([("a".into(), "b".into())]), ..base.clone() },
                "time" => Statement { time: Timestamp::UNIX_EPOCH, ..base.clone() },
                other => panic!("`{other}` is not tested"),
            };
            assert_ne!(other.bytes(), base.bytes(), "{key}");
        }
    }
}
