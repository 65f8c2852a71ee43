//! `defaults.run`.

use crate::expression::Availability;
use crate::read::Reader;
use crate::tree::Node;
use crate::workflow::Defaults;

pub(super) fn read(reader: &mut Reader<'_>, node: Node<'_>, place: Option<&Availability>) -> Defaults {
    let Some(mut fields) = reader.fields(node, "`defaults`") else { return Defaults::default() };
    let run = fields.take("run");
    fields.finish(reader);
    let Some(mut fields) = run.and_then(|node| reader.fields(node, "`defaults.run`")) else {
        return Defaults::default();
    };
    let defaults = Defaults {
        shell: fields.take("shell").and_then(|node| reader.word(node, place)),
        working_directory: fields.take("working-directory").and_then(|node| reader.word(node, place)),
    };
    fields.finish(reader);
    defaults
}
