//! YAML as a tree in which every node knows its bytes.
//!
//! [`parse`] reads one document with the types of YAML 1.2's core schema, as GitHub does: `on` and `yes` are strings,
//! keys are unique ignoring case, anchors and aliases work, merge keys do not. All that is wrong is reported at once;
//! a tree comes back wherever the text parses at all, so that readers can go on and report their part.
//!
//! Invariants: nodes live in one arena; an alias shares its anchor's nodes and keeps its own place
//! ([`Node::alias`]); walking a tree, aliases followed, visits at most [`MAX_NODES`] nodes.

mod build;
mod scalar;

use crate::diagnostic::{Diagnostic, SourceFile, Span};

pub use scalar::{Scalar, Style, Typed};

/// Largest file, in bytes: GitHub's limit.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Most nodes of a document, each alias counted with all it stands for.
pub const MAX_NODES: usize = 50_000;
/// Deepest nesting: GitHub's limit.
pub const MAX_DEPTH: usize = 50;

/// A parsed document.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Data>,
    root: Item,
}

#[derive(Debug)]
struct Data {
    span: Span,
    kind: Content,
}

#[derive(Debug)]
enum Content {
    Scalar(Scalar),
    Sequence(Vec<Item>),
    Mapping(Vec<(Item, Item)>),
    Broken,
}

/// A node's number in the arena, and the alias by which it is reached.
#[derive(Debug, Clone, Copy)]
struct Item {
    id: usize,
    alias: Option<Span>,
}

/// A node of a tree.
#[derive(Debug, Clone, Copy)]
pub struct Node<'t> {
    tree: &'t Tree,
    item: Item,
}

/// What a node is.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'t> {
    /// A scalar.
    Scalar(&'t Scalar),
    /// A sequence; see [`Node::items`].
    Sequence,
    /// A mapping; see [`Node::entries`].
    Mapping,
    /// Something that was reported already and has no value.
    Broken,
}

impl Tree {
    /// The document's node.
    pub fn root(&self) -> Node<'_> {
        Node { tree: self, item: self.root }
    }
}

impl<'t> Node<'t> {
    /// Where the node is written; for an alias, where its anchor's node is.
    pub fn span(self) -> Span {
        self.data().span
    }

    /// The alias that stands for the node here.
    pub fn alias(self) -> Option<Span> {
        self.item.alias
    }

    /// What the node is.
    pub fn kind(self) -> Kind<'t> {
        match &self.data().kind {
            Content::Scalar(scalar) => Kind::Scalar(scalar),
            Content::Sequence(_) => Kind::Sequence,
            Content::Mapping(_) => Kind::Mapping,
            Content::Broken => Kind::Broken,
        }
    }

    /// The scalar, where it is one.
    pub fn scalar(self) -> Option<&'t Scalar> {
        match &self.data().kind {
            Content::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Whether nothing is written here, or `null`.
    pub fn is_null(self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.typed == Typed::Null)
    }

    /// The items of a sequence; nothing for any other node.
    pub fn items(self) -> impl ExactSizeIterator<Item = Node<'t>> + use<'t> {
        let items: &[Item] = match &self.data().kind {
            Content::Sequence(items) => items,
            _ => &[],
        };
        items.iter().map(move |item| Node { tree: self.tree, item: *item })
    }

    /// Keys and values of a mapping; nothing for any other node.
    pub fn entries(self) -> impl ExactSizeIterator<Item = (Node<'t>, Node<'t>)> + use<'t> {
        let entries: &[(Item, Item)] = match &self.data().kind {
            Content::Mapping(entries) => entries,
            _ => &[],
        };
        let node = move |item: &Item| Node { tree: self.tree, item: *item };
        entries.iter().map(move |(key, value)| (node(key), node(value)))
    }

    /// What the node is, for a message: `a mapping`, `a number`, `nothing`.
    pub fn describe(self) -> &'static str {
        match self.kind() {
            Kind::Scalar(scalar) => scalar.typed.describe(),
            Kind::Sequence => "a list",
            Kind::Mapping => "a mapping",
            Kind::Broken => "an error",
        }
    }

    fn data(self) -> &'t Data {
        &self.tree.nodes[self.item.id]
    }
}

/// Reads a file's one document. Nothing where the text is not YAML, has no document or is past a limit.
pub fn parse(source: &SourceFile) -> (Option<Tree>, Vec<Diagnostic>) {
    if let Some(problem) = source.problem() {
        return (None, vec![problem.clone()]);
    }
    if source.text().len() > MAX_BYTES {
        let message =
            format!("the file has {} bytes, more than the {MAX_BYTES} (1 MiB) that are allowed", source.text().len());
        return (None, vec![Diagnostic::error("file-too-large", Span::default(), message)]);
    }
    build::Builder::new(source).run()
}
