//! `cluster` of an environment: which context and namespace its delivery steps work in. Both are named, so that nothing
//! is ever delivered to whatever context happens to be the current one.

use super::Cluster;
use crate::read::Reader;
use crate::tree::Node;

/// The longest DNS label, and so the longest name of a namespace.
const MAX_LABEL: usize = 63;

/// Reads `cluster: { context, namespace }`; none where it has errors, which are reported.
pub(super) fn cluster(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Cluster> {
    let mut fields = reader.fields(node, "`cluster`")?;
    let context = fields.require(reader, "context").and_then(|node| context(reader, node));
    let namespace = fields.require(reader, "namespace").and_then(|node| namespace(reader, node));
    fields.finish(reader);
    Some(Cluster { context: context?, namespace: namespace? })
}

fn context(reader: &mut Reader<'_>, node: Node<'_>) -> Option<String> {
    let text = reader.literal(node)?;
    if text.trim().is_empty() {
        reader.error("empty-value", node.span(), "the context of a kubeconfig must be named");
        return None;
    }
    Some(text)
}

fn namespace(reader: &mut Reader<'_>, node: Node<'_>) -> Option<String> {
    let text = reader.literal(node)?;
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = edge(text.bytes().next()) && edge(text.bytes().last()) && text.bytes().all(inner);
    if !label || text.len() > MAX_LABEL {
        let message = format!("`{text}` is no namespace: at most {MAX_LABEL} lower-case letters, digits and `-`");
        reader.error("bad-namespace", node.span(), message);
        return None;
    }
    Some(text)
}
