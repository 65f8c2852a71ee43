//! `container` and `services` of a job.

use indexmap::IndexMap;

use crate::expression::Availability;
use crate::read::{Entry, Fields, Reader, is_whole_expression};
use crate::tree::{Kind, Node};
use crate::workflow::{Container, Credentials, Service, Text};

const PLACE: Option<&Availability> = Some(&Availability::CONTAINER);
const CREDENTIALS: Option<&Availability> = Some(&Availability::CREDENTIALS);

/// `container`; nothing where its image is empty.
pub(super) fn read(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Container> {
    if matches!(node.kind(), Kind::Scalar(_)) {
        return from_image(reader.text(node, PLACE)?);
    }
    let mut fields = reader.fields(node, "a container")?;
    let container = keys(reader, &mut fields);
    fields.finish(reader);
    container
}

/// `services`, by name.
pub(super) fn services(reader: &mut Reader<'_>, node: Node<'_>) -> IndexMap<String, Service> {
    let Some(fields) = reader.fields(node, "`services`") else { return IndexMap::new() };
    let mut services = IndexMap::new();
    for Entry { key, node, value } in fields.rest() {
        reader.name(node, &key);
        if let Some(service) = service(reader, value) {
            services.insert(key, service);
        }
    }
    services
}

fn service(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Service> {
    if matches!(node.kind(), Kind::Scalar(_)) {
        let container = from_image(reader.word(node, PLACE)?)?;
        return Some(Service { container, command: None, entrypoint: None });
    }
    let mut fields = reader.fields(node, "a service")?;
    let container = keys(reader, &mut fields);
    let command = fields.take("command").and_then(|node| reader.text(node, PLACE));
    let entrypoint = fields.take("entrypoint").and_then(|node| reader.text(node, PLACE));
    fields.finish(reader);
    Some(Service { container: container?, command, entrypoint })
}

fn from_image(image: Text) -> Option<Container> {
    let container = Container {
        image,
        credentials: None,
        env: IndexMap::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        options: None,
    };
    (!container.image.text.is_empty()).then_some(container)
}

fn keys(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Container> {
    let image = fields.require(reader, "image").and_then(|node| reader.text(node, PLACE));
    let credentials = fields.take("credentials").and_then(|node| credentials(reader, node));
    let env = fields.take("env").map(|node| reader.texts(node, "`env`", Some(&Availability::CONTAINER_ENV), true));
    let ports = fields.take("ports").map(|node| reader.list(node, PLACE));
    let volumes = fields.take("volumes").map(|node| reader.list(node, PLACE));
    let options = fields.take("options").and_then(|node| reader.text(node, PLACE));
    Some(Container {
        credentials,
        env: env.unwrap_or_default(),
        ports: ports.unwrap_or_default(),
        volumes: volumes.unwrap_or_default(),
        options: options.filter(|options| !options.text.is_empty()),
        ..from_image(image?)?
    })
}

fn credentials(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Credentials> {
    if node.scalar().is_some_and(|scalar| is_whole_expression(&scalar.value)) {
        reader.text(node, CREDENTIALS);
        reader.beyond(node.span(), "`credentials` as one expression");
        return None;
    }
    let mut fields = reader.fields(node, "`credentials`")?;
    let username = fields.require(reader, "username").and_then(|node| reader.word(node, CREDENTIALS));
    let password = fields.require(reader, "password").and_then(|node| reader.word(node, CREDENTIALS));
    fields.finish(reader);
    Some(Credentials { username: username?, password: password? })
}
