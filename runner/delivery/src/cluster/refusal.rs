//! What a refusal of the API server means, read from its `Status` body.

use serde_json::Value;

use super::error::{ClusterError, FieldConflict};
use super::http::Answer;

/// What a server's refusal means. `what` names what was asked for; credentials are looked at by the caller.
pub(crate) fn refusal(context: &str, what: &str, answer: &Answer) -> ClusterError {
    let status = answer.json();
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (reason, mut message) = (text("/reason"), text("/message"));
    if message.is_empty() {
        message = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
    }
    let what = what.to_owned();
    let causes = causes(&status);
    let terminating = causes.iter().any(|cause| cause.reason == "NamespaceTerminating");
    match answer.status {
        401 => ClusterError::Unauthorized { context: context.to_owned(), why: message },
        _ if terminating => ClusterError::Terminating(namespace_of(&message)),
        403 => match right(&message) {
            Some((verb, resource)) => ClusterError::Forbidden { verb, resource, message },
            None => ClusterError::Denied { what, why: message },
        },
        404 if message.starts_with("namespaces ") => {
            ClusterError::NotFound(format!("Namespace/{}", namespace_of(&message)))
        }
        404 => ClusterError::NotFound(what),
        409 if reason == "AlreadyExists" => ClusterError::AlreadyExists { what, maybe_ours: answer.lost },
        409 => {
            let conflicts = causes.iter().filter(|cause| cause.reason == "FieldManagerConflict");
            let mut managers: Vec<_> = conflicts.map(Cause::conflict).collect();
            managers.sort();
            if managers.is_empty() {
                ClusterError::Changed { what, why: message }
            } else {
                ClusterError::Conflict { what, managers }
            }
        }
        400 | 422 => ClusterError::Invalid { what, message, fields: causes.into_iter().map(Cause::field).collect() },
        500 if message.contains("failed to create typed") => {
            ClusterError::Invalid { what, message, fields: Vec::new() }
        }
        status => ClusterError::Refused { what, status, message },
    }
}

struct Cause {
    reason: String,
    message: String,
    field: String,
}

fn causes(status: &Value) -> Vec<Cause> {
    let list = status.pointer("/details/causes").and_then(Value::as_array);
    let text = |cause: &Value, key: &str| cause[key].as_str().unwrap_or_default().to_owned();
    let each = list.into_iter().flatten();
    each.map(|cause| Cause {
        reason: text(cause, "reason"),
        message: text(cause, "message"),
        field: text(cause, "field"),
    })
    .collect()
}

impl Cause {
    /// `conflict with "kubectl" using apps/v1`.
    fn conflict(&self) -> FieldConflict {
        let manager = self.message.split('"').nth(1).unwrap_or(&self.message);
        FieldConflict { manager: manager.to_owned(), field: self.field.clone() }
    }

    fn field(self) -> (String, String) {
        (self.field, self.message)
    }
}

/// Verb and resource of `… cannot patch resource "services" in API group …`: how a missing right is told from a quota or
/// policy, which are 403 as well.
fn right(message: &str) -> Option<(String, String)> {
    let (_, rest) = message.split_once(" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    Some((verb.to_owned(), rest.split_once('"')?.0.to_owned()))
}

/// The namespace in `namespaces "x" not found` and `… in namespace x because it is being terminated`.
fn namespace_of(message: &str) -> String {
    let quoted = message.strip_prefix("namespaces \"").and_then(|rest| rest.split('"').next());
    let named = message.split("in namespace ").nth(1).and_then(|rest| rest.split_whitespace().next());
    quoted.or(named).unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        Answer { status, headers: HeaderMap::new(), body, cut: false, rest: None, lost: false }
    }

    #[test]
    fn a_conflict_names_each_manager_and_field() {
        let body = json!({"reason": "Conflict", "details": {"causes": [
            {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using apps/v1", "field": ".spec.replicas"},
            {"reason": "FieldManagerConflict", "message": "conflict with \"helm\" with subresource \"scale\" using v1", "field": ".a"},
        ]}});
        let error = refusal("c", "Deployment/a", &answer(409, &body));
        assert_eq!(error.to_string(), "Deployment/a has fields that others own: .a by helm, .spec.replicas by kubectl");
    }

    #[test]
    fn a_missing_right_is_told_from_a_quota() {
        let right = json!({"message": "services \"s\" is forbidden: User \"u\" cannot patch resource \"services\" in API group \"\" in the namespace \"n\""});
        let error = refusal("c", "Service/s", &answer(403, &right));
        assert!(
            matches!(error, ClusterError::Forbidden { ref verb, ref resource, .. } if verb == "patch" && resource == "services")
        );
        let quota = json!({"message": "pods \"p\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=4, limited: pods=4"});
        assert!(matches!(refusal("c", "Pod/p", &answer(403, &quota)), ClusterError::Denied { .. }));
    }

    #[test]
    fn a_namespace_that_ends_or_is_missing_is_named() {
        let ending = json!({"message": "configmaps \"a\" is forbidden: unable to create new content in namespace shop because it is being terminated",
            "details": {"causes": [{"reason": "NamespaceTerminating"}]}});
        assert_eq!(refusal("c", "a", &answer(403, &ending)), ClusterError::Terminating("shop".to_owned()));
        let none = json!({"message": "namespaces \"shop\" not found"});
        assert_eq!(refusal("c", "a", &answer(404, &none)), ClusterError::NotFound("Namespace/shop".to_owned()));
    }

    #[test]
    fn an_answer_that_is_no_json_is_still_said() {
        let mut odd = answer(502, &Value::Null);
        odd.body = b"<html>bad gateway".to_vec();
        assert_eq!(refusal("c", "a", &odd).to_string(), "a: the cluster answered 502: <html>bad gateway");
    }
}
