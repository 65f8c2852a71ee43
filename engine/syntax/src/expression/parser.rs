//! From tokens to a tree, by operator precedence.
//!
//! Loose to tight: `||`, `&&`, `== !=`, `< <= > >=`, `!`, then `.`, `[]` and calls. A parsed tree is at
//! most [`MAX_DEPTH`] levels high, so walking it needs little stack.

use super::ast::{Comparison, Expr, ExprKind};
use super::error::ExprError;
use super::function::Function;
use super::lexer::{Operator, Token, TokenKind, lex};
use super::suggest::did_you_mean;
use super::value::Value;

/// The longest expression, in UTF-16 units as GitHub counts.
pub const MAX_LENGTH: usize = 21_000;

/// The deepest nesting of an expression.
pub const MAX_DEPTH: usize = 50;

/// Parses an expression without its `${{ }}`. Names of contexts are not checked here, see
/// [`check`](super::check). A blank text is null, as GitHub's evaluator has it.
pub fn parse(source: &str) -> Result<Expr, ExprError> {
    if source.encode_utf16().count() > MAX_LENGTH {
        let message = format!("the expression is longer than {MAX_LENGTH} characters");
        return Err(ExprError::new(message, 0, source.len()));
    }
    let tokens = lex(source)?;
    if tokens.is_empty() {
        return Ok(Expr::new(ExprKind::Literal(Value::Null), 0, source.len()));
    }
    let mut parser = Parser { source, tokens: &tokens, next: 0, depth: 0 };
    let expr = parser.expression()?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.unexpected()),
    }
}

struct Parser<'s> {
    source: &'s str,
    tokens: &'s [Token],
    next: usize,
    depth: usize,
}

impl<'s> Parser<'s> {
    fn peek(&self) -> Option<&'s TokenKind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn take(&mut self, kind: &TokenKind) -> bool {
        let found = self.peek() == Some(kind);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, kind: &TokenKind) -> Result<(), ExprError> {
        if self.take(kind) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Where the token that comes next begins, and the one before it ended.
    fn start(&self) -> usize {
        self.tokens.get(self.next).map_or(self.source.len(), |token| token.start)
    }

    fn end(&self) -> usize {
        self.next.checked_sub(1).map_or(0, |last| self.tokens[last].end)
    }

    fn unexpected(&self) -> ExprError {
        match self.tokens.get(self.next) {
            Some(token) => {
                let text = &self.source[token.start..token.end];
                ExprError::new(format!("unexpected `{text}`"), token.start, token.end)
            }
            None => ExprError::new("the expression ends too early", self.end(), self.end()),
        }
    }

    fn deeper(&mut self) -> Result<(), ExprError> {
        self.depth += 1;
        self.check_depth(self.depth, self.start(), self.source.len())
    }

    fn check_depth(&self, depth: usize, start: usize, end: usize) -> Result<(), ExprError> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        let message = format!("the expression is nested deeper than {MAX_DEPTH} levels");
        Err(ExprError::new(message, start.min(self.source.len()), end))
    }

    fn node(&self, kind: ExprKind, start: usize) -> Result<Expr, ExprError> {
        let expr = Expr::new(kind, start, self.end());
        self.check_depth(expr.height, expr.start, expr.end)?;
        Ok(expr)
    }

    /// A whole expression: the text, an argument, an index or what stands in parentheses.
    fn expression(&mut self) -> Result<Expr, ExprError> {
        self.deeper()?;
        let expr = self.operators(0);
        self.depth -= 1;
        expr
    }

    /// Operands joined by operators that bind tighter than `floor`.
    fn operators(&mut self, floor: u8) -> Result<Expr, ExprError> {
        let start = self.start();
        let mut left = self.unary()?;
        while let Some(TokenKind::Operator(operator)) = self.peek() {
            let power = power(*operator);
            if power <= floor {
                break;
            }
            self.next += 1;
            let right = self.operators(power)?;
            left = self.node(join(*operator, left, right), start)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, ExprError> {
        let start = self.start();
        if !self.take(&TokenKind::Not) {
            return self.postfix();
        }
        self.deeper()?;
        let operand = self.unary()?;
        self.depth -= 1;
        self.node(ExprKind::Not(Box::new(operand)), start)
    }

    /// An operand and what is taken from it by `.` and `[]`. Literals have nothing to take.
    fn postfix(&mut self) -> Result<Expr, ExprError> {
        let start = self.start();
        let indexable = matches!(self.peek(), Some(TokenKind::Name | TokenKind::LeftParen));
        let mut expr = self.primary()?;
        if !indexable {
            return Ok(expr);
        }
        loop {
            if self.take(&TokenKind::Dot) {
                expr = self.property(expr, start)?;
            } else if self.take(&TokenKind::LeftBracket) {
                expr = self.index(expr, start)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn property(&mut self, object: Expr, start: usize) -> Result<Expr, ExprError> {
        if self.take(&TokenKind::Star) {
            return self.node(ExprKind::Star(Box::new(object)), start);
        }
        let at = self.start();
        self.expect(&TokenKind::Name)?;
        let name = Value::from(&self.source[at..self.end()]);
        let name = self.node(ExprKind::Literal(name), at)?;
        self.node(ExprKind::Index(Box::new(object), Box::new(name)), start)
    }

    fn index(&mut self, object: Expr, start: usize) -> Result<Expr, ExprError> {
        if self.take(&TokenKind::Star) {
            self.expect(&TokenKind::RightBracket)?;
            return self.node(ExprKind::Star(Box::new(object)), start);
        }
        let index = self.expression()?;
        self.expect(&TokenKind::RightBracket)?;
        self.node(ExprKind::Index(Box::new(object), Box::new(index)), start)
    }

    fn primary(&mut self) -> Result<Expr, ExprError> {
        let start = self.start();
        let Some(token) = self.peek() else {
            return Err(self.unexpected());
        };
        let literal = match token {
            TokenKind::Null => Value::Null,
            TokenKind::Bool(value) => Value::Bool(*value),
            TokenKind::Number(number) => Value::Number(*number),
            TokenKind::String(text) => Value::string(text.as_str()),
            TokenKind::Name => return self.name(),
            TokenKind::LeftParen => {
                self.next += 1;
                let inner = self.expression()?;
                self.expect(&TokenKind::RightParen)?;
                return Ok(Expr { start, end: self.end(), ..inner });
            }
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        self.node(ExprKind::Literal(literal), start)
    }

    /// A context, or the call of a function.
    fn name(&mut self) -> Result<Expr, ExprError> {
        let start = self.start();
        self.next += 1;
        let end = self.end();
        let name = &self.source[start..end];
        if !self.take(&TokenKind::LeftParen) {
            return self.node(ExprKind::Context(name.to_owned()), start);
        }
        let Some(function) = Function::named(name) else {
            let hint = did_you_mean(name, Function::ALL.iter().map(|function| function.name()));
            return Err(ExprError::new(format!("unknown function `{name}`{hint}"), start, end));
        };
        let arguments = self.arguments()?;
        if let Some(message) = function.arity_error(arguments.len()) {
            return Err(ExprError::new(message, start, self.end()));
        }
        self.node(ExprKind::Call(function, arguments), start)
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, ExprError> {
        let mut arguments = Vec::new();
        if self.take(&TokenKind::RightParen) {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if !self.take(&TokenKind::Comma) {
                self.expect(&TokenKind::RightParen)?;
                return Ok(arguments);
            }
        }
    }
}

fn power(operator: Operator) -> u8 {
    match operator {
        Operator::Or => 1,
        Operator::And => 2,
        Operator::Equal | Operator::NotEqual => 3,
        Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => 4,
    }
}

fn join(operator: Operator, left: Expr, right: Expr) -> ExprKind {
    let comparison = match operator {
        Operator::Or => {
            return ExprKind::Or(chain(left, right, |kind| match kind {
                ExprKind::Or(operands) => Ok(operands),
                other => Err(other),
            }));
        }
        Operator::And => {
            return ExprKind::And(chain(left, right, |kind| match kind {
                ExprKind::And(operands) => Ok(operands),
                other => Err(other),
            }));
        }
        Operator::Equal => Comparison::Equal,
        Operator::NotEqual => Comparison::NotEqual,
        Operator::Less => Comparison::Less,
        Operator::LessEqual => Comparison::LessEqual,
        Operator::Greater => Comparison::Greater,
        Operator::GreaterEqual => Comparison::GreaterEqual,
    };
    ExprKind::Compare(comparison, Box::new(left), Box::new(right))
}

/// `a && b && c` is one level of three operands: a chain does not count as nesting.
fn chain(left: Expr, right: Expr, open: fn(ExprKind) -> Result<Vec<Expr>, ExprKind>) -> Vec<Expr> {
    let mut operands = match open(left.kind) {
        Ok(operands) => operands,
        Err(kind) => vec![Expr { kind, ..left }],
    };
    operands.push(right);
    operands
}
