//! `environment` of a job.

use crate::expression::Availability;
use crate::read::Reader;
use crate::tree::{Kind, Node};
use crate::workflow::EnvironmentRef;

pub(super) fn read(reader: &mut Reader<'_>, node: Node<'_>) -> Option<EnvironmentRef> {
    let place = Some(&Availability::ENVIRONMENT);
    if matches!(node.kind(), Kind::Scalar(_)) {
        let name = reader.text(node, place)?;
        return (!name.text.is_empty()).then_some(EnvironmentRef { name, url: None, deployment: true });
    }
    let mut fields = reader.fields(node, "`environment`")?;
    let name = fields.require(reader, "name").and_then(|node| reader.text(node, place));
    let url = fields.take("url").and_then(|node| reader.text(node, Some(&Availability::ENVIRONMENT_URL)));
    let deployment = fields.take("deployment").and_then(|node| {
        let text = reader.boolean_text(node, place)?;
        if !matches!(text.text.as_str(), "true" | "false") {
            reader.beyond(node.span(), "`environment.deployment` as an expression");
        }
        Some(text.text != "false")
    });
    fields.finish(reader);
    let name = name.filter(|name| !name.text.is_empty())?;
    Some(EnvironmentRef { name, url: url.filter(|url| !url.text.is_empty()), deployment: deployment.unwrap_or(true) })
}
