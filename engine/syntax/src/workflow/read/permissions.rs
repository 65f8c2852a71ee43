//! `permissions`.

use indexmap::IndexMap;

use crate::diagnostic::Diagnostic;
use crate::expression::nearest;
use crate::read::{Entry, Reader};
use crate::tree::{Kind, Node};
use crate::workflow::Permissions;

const ANY: &[&str] = &["read", "write", "none"];
const READ: &[&str] = &["read", "none"];
const WRITE: &[&str] = &["write", "none"];

/// Every scope with its levels, as in GitHub's published schema.
const SCOPES: &[(&str, &[&str])] = &[
    ("actions", ANY),
    ("artifact-metadata", ANY),
    ("attestations", ANY),
    ("checks", ANY),
    ("code-quality", ANY),
    ("contents", ANY),
    ("copilot-requests", WRITE),
    ("deployments", ANY),
    ("discussions", ANY),
    ("drives", ANY),
    ("id-token", WRITE),
    ("issues", ANY),
    ("models", READ),
    ("packages", ANY),
    ("pages", ANY),
    ("pull-requests", ANY),
    ("repository-projects", ANY),
    ("security-events", ANY),
    ("statuses", ANY),
    ("vulnerability-alerts", READ),
];

pub(super) fn read(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Permissions> {
    if matches!(node.kind(), Kind::Scalar(_)) {
        return match reader.choice(node, "a level for all permissions", &["read-all", "write-all"])? {
            "read-all" => Some(Permissions::ReadAll),
            _ => Some(Permissions::WriteAll),
        };
    }
    let fields = reader.fields(node, "`permissions`")?;
    let mut scopes = IndexMap::new();
    for Entry { key, node, value } in fields.rest() {
        let Some((_, levels)) = SCOPES.iter().find(|(name, _)| *name == key) else {
            let guess = nearest(&key, SCOPES.iter().map(|(name, _)| *name));
            let report = Diagnostic::error("unknown-key", node.span(), format!("there is no permission `{key}`"));
            reader.report(report.suggest(node.span(), guess));
            continue;
        };
        if let Some(level) = reader.choice(value, "a level of this permission", levels) {
            scopes.insert(key, level.to_owned());
        }
    }
    Some(Permissions::Scopes(scopes))
}
