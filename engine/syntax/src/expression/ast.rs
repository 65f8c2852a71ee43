//! The tree of an expression, with the place of every node, and what can be read from it without values.

use super::function::Function;
use super::value::Value;
use std::fmt;

/// An expression, or a part of one. `start` and `end` are byte offsets.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What the node is.
    pub kind: ExprKind,
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// How many levels the tree has from here down; a leaf has one.
    pub(super) height: usize,
}

/// The kinds of node.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `null`, `true`, a number or a string.
    Literal(Value),
    /// A context by its name as written: `github`.
    Context(String),
    /// `object.name` and `object[index]`; a name is a literal string.
    Index(Box<Expr>, Box<Expr>),
    /// `object.*` and `object[*]`.
    Star(Box<Expr>),
    /// `!operand`.
    Not(Box<Expr>),
    /// Two operands compared.
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// `a && b && …`, two operands or more.
    And(Vec<Expr>),
    /// `a || b || …`, two operands or more.
    Or(Vec<Expr>),
    /// A function and its arguments.
    Call(Function, Vec<Expr>),
}

/// How two operands are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
}

/// A use of a context: `needs.build.outputs.x` is `needs` and three keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The context in lower case.
    pub context: String,
    /// What is taken from it, in order; empty where the whole context is used.
    pub path: Vec<Step>,
    /// Where the use begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// One step of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key or number known from the text, as written.
    Key(String),
    /// `.*`: all of them.
    Star,
    /// A key known only when values are: `secrets[matrix.name]`.
    Dynamic,
}

impl Reference {
    /// The keys, as far as they are known: `["build", "outputs", "x"]`.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.path.iter().map_while(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Star | Step::Dynamic => None,
        })
    }

    /// Whether only values can tell all that is used: a `*`, a computed key, or the context as a whole.
    pub fn is_dynamic(&self) -> bool {
        self.path.is_empty() || self.keys().count() < self.path.len()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        for step in &self.path {
            match step {
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Star => f.write_str(".*")?,
                Step::Dynamic => f.write_str("[…]")?,
            }
        }
        Ok(())
    }
}

impl Expr {
    pub(super) fn new(kind: ExprKind, start: usize, end: usize) -> Self {
        let mut height = 0;
        kind.for_each_child(&mut |child| height = height.max(child.height));
        Self { kind, start, end, height: height + 1 }
    }

    /// Calls `visit` for this node and every node below, parents first.
    pub fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        visit(self);
        self.kind.for_each_child(&mut |child| child.walk(visit));
    }

    /// Every use of a context, in the order of the text.
    pub fn references(&self) -> Vec<Reference> {
        let mut found = Vec::new();
        self.collect_references(&mut found);
        found.sort_by_key(|reference| reference.start);
        found
    }

    /// Whether `success`, `failure`, `always` or `cancelled` is called anywhere.
    pub fn calls_status_function(&self) -> bool {
        let mut called = false;
        self.walk(&mut |expr| {
            called |= matches!(expr.kind, ExprKind::Call(function, _) if function.is_status());
        });
        called
    }

    fn collect_references(&self, found: &mut Vec<Reference>) {
        let mut steps = Vec::new();
        let mut node = self;
        loop {
            match &node.kind {
                ExprKind::Index(object, index) => {
                    if let ExprKind::Literal(key) = &index.kind {
                        steps.push(Step::Key(key.to_text().into_owned()));
                    } else {
                        steps.push(Step::Dynamic);
                        index.collect_references(found);
                    }
                    node = object;
                }
                ExprKind::Star(object) => {
                    steps.push(Step::Star);
                    node = object;
                }
                ExprKind::Context(name) => {
                    steps.reverse();
                    found.push(Reference {
                        context: name.to_ascii_lowercase(),
                        path: steps,
                        start: self.start,
                        end: self.end,
                    });
                    return;
                }
                other => {
                    other.for_each_child(&mut |child| child.collect_references(found));
                    return;
                }
            }
        }
    }

    /// Moves every offset by `by` bytes.
    pub(super) fn shift(&mut self, by: usize) {
        self.start += by;
        self.end += by;
        match &mut self.kind {
            ExprKind::Literal(_) | ExprKind::Context(_) => {}
            ExprKind::Star(operand) | ExprKind::Not(operand) => operand.shift(by),
            ExprKind::Index(left, right) | ExprKind::Compare(_, left, right) => {
                left.shift(by);
                right.shift(by);
            }
            ExprKind::And(operands) | ExprKind::Or(operands) | ExprKind::Call(_, operands) => {
                for operand in operands {
                    operand.shift(by);
                }
            }
        }
    }
}

impl ExprKind {
    fn for_each_child<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        match self {
            Self::Literal(_) | Self::Context(_) => {}
            Self::Star(operand) | Self::Not(operand) => visit(operand),
            Self::Index(left, right) | Self::Compare(_, left, right) => {
                visit(left);
                visit(right);
            }
            Self::And(operands) | Self::Or(operands) | Self::Call(_, operands) => {
                operands.iter().for_each(visit);
            }
        }
    }
}
