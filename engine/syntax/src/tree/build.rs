//! From parser events to the arena, with the limits and GitHub's own rules checked on the way.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Tag};

use super::scalar::{Scalar, Style, Typed};
use super::{Content, Data, Item, MAX_DEPTH, MAX_NODES, Tree};
use crate::diagnostic::{Diagnostic, SourceFile, Span};

/// A collection that is still open.
struct Frame {
    id: usize,
    anchor: usize,
    /// Nodes below it, aliases counted with all they stand for.
    size: usize,
    /// The key that waits for its value.
    key: Option<Item>,
    /// Keys by their lower-case text.
    seen: HashMap<String, Span>,
    /// Items of a sequence.
    items: Vec<Item>,
    /// Keys with their values.
    entries: Vec<(Item, Item)>,
    mapping: bool,
    /// The key in hand was refused: its value is read and dropped.
    refused: bool,
}

/// What an anchor stands for: its node and size, or a node that is still open.
#[derive(Clone, Copy)]
enum Anchor {
    Open(Span),
    Done { id: usize, size: usize },
}

pub(super) struct Builder<'s> {
    source: &'s SourceFile,
    text: &'s str,
    nodes: Vec<Data>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Anchor>,
    root: Option<Item>,
    documents: usize,
    /// Nodes so far, aliases expanded.
    total: usize,
    /// End of the last event, from which a block scalar's header is looked for.
    last: usize,
    found: Vec<Diagnostic>,
}

impl<'s> Builder<'s> {
    pub(super) fn new(source: &'s SourceFile) -> Self {
        Self {
            source,
            text: source.text(),
            nodes: Vec::new(),
            frames: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            documents: 0,
            total: 0,
            last: 0,
            found: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> (Option<Tree>, Vec<Diagnostic>) {
        let options = granit_parser::options! { emit_unresolved_aliases: true, emit_comments: false };
        for next in Parser::new_from_str_with_options(self.text, options) {
            let sound = match next {
                Ok((event, span)) => self.event(event, &span),
                Err(error) => {
                    let at = error.marker().byte_offset().unwrap_or(self.last).min(self.text.len());
                    let at = self.text.floor_char_boundary(at);
                    let nested = matches!(error.kind(), ErrorKind::RecursionLimitExceeded);
                    let (code, message) = if nested {
                        ("nested-too-deep", format!("nested deeper than {MAX_DEPTH} levels"))
                    } else {
                        ("yaml", error.info())
                    };
                    // GitHub points at the text before a stray colon, where the mistake mostly is.
                    let from = if self.text[at..].starts_with(':') { self.scalar_before(at) } else { at };
                    self.found.push(Diagnostic::error(code, Span::new(from, self.next_char(at)), message));
                    false
                }
            };
            if !sound {
                return (None, self.found);
            }
        }
        let Some(root) = self.root else {
            let empty = Diagnostic::error("empty-file", Span::default(), "the file is empty");
            self.found.push(empty);
            return (None, self.found);
        };
        (Some(Tree { nodes: self.nodes, root }), self.found)
    }

    /// Takes in one event; false when reading must stop.
    fn event(&mut self, event: Event<'_>, span: &granit_parser::Span) -> bool {
        let range = span.byte_range().unwrap_or(self.last..self.last);
        let (start, end) = (range.start, range.end);
        let tag_at = span.tag_span().and_then(|tag| tag.byte_range());
        let tag_span = tag_at.map_or(Span::new(start, end), |tag| Span::new(tag.start, tag.end));
        let going = match event {
            Event::DocumentStart(..) => self.document(start),
            Event::Scalar(value, style, anchor, tag) => {
                let scalar = self.scalar(&value, style, tag.as_deref(), tag_span, start, end);
                self.leaf(scalar, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => self.open(start, anchor, tag.as_deref(), tag_span, false),
            Event::MappingStart(_, anchor, tag) => self.open(start, anchor, tag.as_deref(), tag_span, true),
            Event::SequenceEnd | Event::MappingEnd => self.close(end),
            Event::Alias(anchor) => self.alias(anchor, Span::new(start, end)),
            Event::UnresolvedAlias(name) => {
                let at = Span::new(start, end);
                let message = format!("the anchor `&{name}` is not defined before this");
                self.found.push(Diagnostic::error("unknown-anchor", at, message));
                self.leaf((Content::Broken, at), 0)
            }
            _ => true,
        };
        self.last = end.max(self.last);
        going
    }

    fn document(&mut self, start: usize) -> bool {
        self.documents += 1;
        if self.documents > 1 {
            let at = Span::new(start, self.next_char(start));
            let message = "a second document begins here, and a file holds one";
            self.found.push(Diagnostic::error("several-documents", at, message));
        }
        self.documents == 1
    }

    fn scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        tag_span: Span,
        start: usize,
        end: usize,
    ) -> (Content, Span) {
        let style = match style {
            ScalarStyle::SingleQuoted => Style::SingleQuoted,
            ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
            ScalarStyle::Plain => Style::Plain,
        };
        // Where nothing is written the parser says `~`.
        let empty = style == Style::Plain && start == end;
        let value = if empty { "" } else { value };
        let span = match style {
            Style::Plain if empty => Span::new(self.after_colon(start), self.after_colon(start)),
            Style::Literal | Style::Folded => {
                Span::new(self.block_header(start), start + self.text[start..end].trim_end().len())
            }
            _ => Span::new(start, end),
        };
        let content = if matches!(style, Style::SingleQuoted | Style::DoubleQuoted) { start + 1 } else { start };
        let typed = self.typed(value, style, tag, tag_span);
        match typed {
            Some(typed) => (Content::Scalar(Scalar { value: value.to_owned(), style, typed, content }), span),
            None => (Content::Broken, span),
        }
    }

    /// The type of a scalar; nothing, and an error, where its tag forbids it.
    fn typed(&mut self, value: &str, style: Style, tag: Option<&Tag>, at: Span) -> Option<Typed> {
        let Some(tag) = tag else {
            return Some(if style == Style::Plain { Typed::of_plain(value) } else { Typed::String });
        };
        // `!` alone means "not resolved": a string.
        if tag.handle().is_empty() && tag.suffix() == "!" {
            return Some(Typed::String);
        }
        let name = tag.original();
        let result = tag.core_suffix().map_or(Err(()), |suffix| Typed::of_tag(suffix, value));
        let message = match result {
            Ok(Some(Typed::String)) => return Some(Typed::String),
            Ok(Some(typed)) if style == Style::Plain => return Some(typed),
            Ok(Some(_)) => format!("the tag `{name}` does not go with quotes or blocks"),
            Ok(None) => format!("`{value}` is not what the tag `{name}` says"),
            Err(()) => format!("the tag `{name}` is not known"),
        };
        let help = "GitHub knows !!str, !!bool, !!int, !!float and !!null";
        self.found.push(Diagnostic::error("bad-tag", at, message).help(help));
        None
    }

    fn leaf(&mut self, (content, span): (Content, Span), anchor: usize) -> bool {
        let id = self.push(content, span);
        if anchor != 0 {
            self.anchors.insert(anchor, Anchor::Done { id, size: 1 });
        }
        self.place(Item { id, alias: None }, 1, span)
    }

    fn open(&mut self, start: usize, anchor: usize, tag: Option<&Tag>, tag_span: Span, mapping: bool) -> bool {
        let span = Span::new(start, self.next_char(start));
        if self.frames.len() >= MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            self.found.push(Diagnostic::error("nested-too-deep", span, message));
            return false;
        }
        let right = if mapping { "map" } else { "seq" };
        if let Some(tag) = tag.filter(|tag| tag.core_suffix() != Some(right)) {
            let message =
                format!("the tag `{}` is not known for {}", tag.original(), if mapping { "mappings" } else { "lists" });
            self.found.push(Diagnostic::error("bad-tag", tag_span, message));
        }
        let id = self.push(Content::Broken, Span::new(start, start));
        if anchor != 0 {
            self.anchors.insert(anchor, Anchor::Open(span));
        }
        self.frames.push(Frame {
            id,
            anchor,
            size: 1,
            key: None,
            seen: HashMap::new(),
            items: Vec::new(),
            entries: Vec::new(),
            mapping,
            refused: false,
        });
        true
    }

    fn close(&mut self, end: usize) -> bool {
        let frame = self.frames.pop().expect("the parser closes only what it opened");
        let inside =
            if frame.mapping { frame.entries.last().map(|(_, value)| *value) } else { frame.items.last().copied() };
        let start = self.nodes[frame.id].span.start;
        // A block collection's end mark stands before whatever comes next; its own end is its last node's.
        let flow = self.text.as_bytes().get(start).is_some_and(|byte| matches!(byte, b'[' | b'{'));
        let last = inside.map_or(end, |item| item.alias.unwrap_or(self.nodes[item.id].span).end);
        let span = Span::new(start, if flow { end } else { last });
        self.nodes[frame.id].span = span;
        self.nodes[frame.id].kind =
            if frame.mapping { Content::Mapping(frame.entries) } else { Content::Sequence(frame.items) };
        if frame.anchor != 0 {
            self.anchors.insert(frame.anchor, Anchor::Done { id: frame.id, size: frame.size });
        }
        self.place(Item { id: frame.id, alias: None }, frame.size, span)
    }

    fn alias(&mut self, anchor: usize, at: Span) -> bool {
        match self.anchors.get(&anchor).copied() {
            Some(Anchor::Done { id, size }) => {
                self.total = self.total.saturating_add(size);
                self.place(Item { id, alias: Some(at) }, size, at)
            }
            Some(Anchor::Open(open)) => {
                let found = Diagnostic::error("recursive-alias", at, "this alias stands inside what it stands for")
                    .label(open, "which begins here");
                self.found.push(found);
                self.leaf((Content::Broken, at), 0)
            }
            None => self.leaf((Content::Broken, at), 0),
        }
    }

    fn push(&mut self, kind: Content, span: Span) -> usize {
        self.total = self.total.saturating_add(1);
        self.nodes.push(Data { span, kind });
        self.nodes.len() - 1
    }

    /// Puts a finished node where it belongs; false when there are too many nodes.
    fn place(&mut self, item: Item, size: usize, span: Span) -> bool {
        if self.total > MAX_NODES {
            let message = format!("more than {MAX_NODES} nodes once aliases are followed");
            self.found.push(Diagnostic::error("too-many-nodes", span, message));
            return false;
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(item);
            return true;
        };
        frame.size = frame.size.saturating_add(size);
        if !frame.mapping {
            frame.items.push(item);
        } else if let Some(key) = frame.key.take() {
            if !std::mem::take(&mut frame.refused) {
                frame.entries.push((key, item));
            }
        } else {
            frame.key = Some(item);
            self.key(item);
        }
        true
    }

    /// Refuses keys said twice and merge keys; their values are left out of the tree.
    fn key(&mut self, item: Item) {
        let Content::Scalar(scalar) = &self.nodes[item.id].kind else { return };
        let span = item.alias.unwrap_or(self.nodes[item.id].span);
        let frame = self.frames.last_mut().expect("a key stands in a mapping");
        if scalar.value == "<<" && scalar.style == Style::Plain {
            frame.refused = true;
            let found =
                Diagnostic::error("merge-key", span, "merge keys (`<<`) are not supported, neither here nor on GitHub")
                    .help("use an alias for the whole mapping, or write the keys out");
            self.found.push(found);
            return;
        }
        if let Some(first) = frame.seen.insert(scalar.value.to_lowercase(), span) {
            frame.refused = true;
            frame.seen.insert(scalar.value.to_lowercase(), first);
            let line = self.source.position(first.start).line;
            let message =
                format!("the key `{}` is there already, on line {line}; case makes no difference", scalar.value);
            let found = Diagnostic::error("duplicate-key", span, message).label(first, "first here");
            self.found.push(found);
        }
    }

    /// The start of the last scalar, where nothing but white space stands between it and `at`.
    fn scalar_before(&self, at: usize) -> usize {
        let last = self.nodes.last().filter(|node| matches!(node.kind, Content::Scalar(_)));
        let gap = last.and_then(|node| self.text.get(node.span.end..at));
        match (last, gap) {
            (Some(node), Some(gap)) if gap.trim().is_empty() => node.span.start,
            _ => at,
        }
    }

    /// The place of a block's `|` or `>`: between the last event and the first line of the block.
    fn block_header(&self, start: usize) -> usize {
        let mut at = self.last;
        while at < start {
            let rest = &self.text[at..start];
            let Some(first) = rest.chars().next() else { break };
            at += match first {
                '|' | '>' => return at,
                '#' => rest.find('\n').unwrap_or(rest.len()),
                '!' | '&' => rest.find(char::is_whitespace).unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
        }
        start
    }

    /// Where nothing is written the parser points at the key's colon; people look behind it.
    fn after_colon(&self, start: usize) -> usize {
        let rest = &self.text[start..];
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        if rest[blank..].starts_with(':') { start + blank + 1 } else { start }
    }

    fn next_char(&self, at: usize) -> usize {
        self.text[at..].chars().next().filter(|next| *next != '\n').map_or(at, |next| at + next.len_utf8())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, parse};
    use super::*;

    fn codes(text: &str) -> Vec<(&'static str, u32, u32)> {
        let source = SourceFile::new("a.yml", text);
        let (_, found) = parse(&source);
        found
            .iter()
            .map(|one| {
                let at = source.position(one.span().start);
                (one.code, at.line, at.column)
            })
            .collect()
    }

    #[test]
    fn spans_are_the_nodes_own() {
        let text = "a: &x |2- # note\n    hi\n\nb: [1, {c: d}]\ne:\nf: 'g'\n";
        let source = SourceFile::new("a.yml", text);
        let tree = parse(&source).0.unwrap();
        let spans: Vec<&str> = tree.root().entries().map(|(_, value)| source.slice(value.span())).collect();
        assert_eq!(spans, ["|2- # note\n    hi", "[1, {c: d}]", "", "'g'"]);
        let (_, nothing) = tree.root().entries().nth(2).unwrap();
        assert_eq!(source.position(nothing.span().start).column, 3);
    }

    #[test]
    fn an_alias_keeps_both_places() {
        let source = SourceFile::new("a.yml", "a: &x {k: v}\nb: *x\n");
        let tree = parse(&source).0.unwrap();
        let (_, b) = tree.root().entries().nth(1).unwrap();
        assert_eq!(source.slice(b.span()), "{k: v}");
        assert_eq!(source.slice(b.alias().unwrap()), "*x");
        assert!(matches!(b.kind(), Kind::Mapping));
    }

    #[test]
    fn every_error_of_the_tree_is_told_at_once() {
        let text = "a: 1\nA: 2\nb: *no\nc: &r [*r]\nd:\n  <<: {}\ne: !!timestamp 1\nf: !!bool maybe\ng: !!int '1'\n";
        let expected = [
            ("duplicate-key", 2, 1),
            ("unknown-anchor", 3, 4),
            ("recursive-alias", 4, 8),
            ("merge-key", 6, 3),
            ("bad-tag", 7, 4),
            ("bad-tag", 8, 4),
            ("bad-tag", 9, 4),
        ];
        assert_eq!(codes(text), expected);
    }

    #[test]
    fn one_document_only() {
        assert_eq!(codes("a: 1\n---\nb: 2\n"), [("several-documents", 2, 1)]);
        assert_eq!(codes("# nothing\n"), [("empty-file", 1, 1)]);
        assert_eq!(codes("a: b: c\n"), [("yaml", 1, 4)]);
    }

    #[test]
    fn an_alias_bomb_is_refused_by_count() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..30 {
            let alias = format!("*a{}", level - 1);
            text = format!("{text}a{level}: &a{level} [{}]\n", vec![alias; 10].join(", "));
        }
        assert_eq!(codes(&text).iter().map(|one| one.0).collect::<Vec<_>>(), ["too-many-nodes"]);
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(codes(&"[".repeat(100_000)).iter().map(|one| one.0).collect::<Vec<_>>(), ["nested-too-deep"]);
        assert!(codes(&format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH))).is_empty());
    }
}
