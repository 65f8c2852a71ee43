//! From text to tokens, each with its place.
//!
//! Names and numbers run to the next boundary (white space, a bracket, an operator), so `1+2` is one
//! bad number, not a sum. After a `.` every word is a property, `true` and `null` too.

use super::error::ExprError;
use super::number::parse_number;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Dot,
    Star,
    Not,
    Operator(Operator),
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Name,
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// A token and the bytes it stands on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// All tokens of `source`, or the first thing that is none.
pub(super) fn lex(source: &str) -> Result<Vec<Token>, ExprError> {
    let mut lexer = Lexer { source, offset: 0, tokens: Vec::new() };
    while lexer.token()? {}
    Ok(lexer.tokens)
}

struct Lexer<'s> {
    source: &'s str,
    offset: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    /// Reads one token; false at the end of the text.
    fn token(&mut self) -> Result<bool, ExprError> {
        let rest = &self.source[self.offset..];
        let rest = rest.trim_start();
        self.offset = self.source.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            return Ok(false);
        };
        if let Some((kind, len)) = punctuation(rest) {
            self.push(kind, len);
            return Ok(true);
        }
        match first {
            '.' if self.after_operand() => self.push(TokenKind::Dot, 1),
            '.' | '+' | '-' | '0'..='9' => self.number(rest)?,
            '\'' => self.string(rest)?,
            _ => self.word(rest, first)?,
        }
        Ok(true)
    }

    fn push(&mut self, kind: TokenKind, len: usize) {
        let start = self.offset;
        self.offset += len;
        self.tokens.push(Token { kind, start, end: self.offset });
    }

    /// Whether a `.` here reaches into what came before, rather than opening a number.
    fn after_operand(&self) -> bool {
        use TokenKind::{Name, RightBracket, RightParen, Star};
        let last = self.tokens.last().map(|token| &token.kind);
        matches!(last, Some(Name | RightBracket | RightParen | Star))
    }

    fn number(&mut self, rest: &str) -> Result<(), ExprError> {
        let len =
            rest.char_indices().skip(1).find(|(_, c)| is_boundary(*c) && *c != '.').map_or(rest.len(), |(at, _)| at);
        let number = parse_number(&rest[..len]);
        if number.is_nan() {
            return Err(self.unexpected(&rest[..len]));
        }
        self.push(TokenKind::Number(number), len);
        Ok(())
    }

    fn string(&mut self, rest: &str) -> Result<(), ExprError> {
        let mut text = String::new();
        let mut chars = rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c != '\'' {
                text.push(c);
            } else if chars.next_if(|(_, next)| *next == '\'').is_some() {
                text.push('\'');
            } else {
                self.push(TokenKind::String(text), at + 1);
                return Ok(());
            }
        }
        let message = "the string is not closed: a `'` is missing (`''` stands for a quote inside)";
        Err(ExprError::new(message, self.offset, self.source.len()))
    }

    fn word(&mut self, rest: &str, first: char) -> Result<(), ExprError> {
        let len = rest.char_indices().skip(1).find(|(_, c)| is_boundary(*c)).map_or(rest.len(), |(at, _)| at);
        let word = &rest[..len];
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !(first.is_ascii_alphabetic() || first == '_') || !word.chars().all(legal) {
            return Err(self.unexpected(word));
        }
        let is_property = self.tokens.last().is_some_and(|token| token.kind == TokenKind::Dot);
        let kind = match word {
            _ if is_property => TokenKind::Name,
            "null" => TokenKind::Null,
            "true" => TokenKind::Bool(true),
            "false" => TokenKind::Bool(false),
            "NaN" => TokenKind::Number(f64::NAN),
            "Infinity" => TokenKind::Number(f64::INFINITY),
            _ => TokenKind::Name,
        };
        self.push(kind, len);
        Ok(())
    }

    fn unexpected(&self, word: &str) -> ExprError {
        let hint = match word.chars().next() {
            Some('"') => "; strings stand in single quotes",
            Some('=') => "; equality is `==`",
            Some('&') => "; and is `&&`",
            Some('|') => "; or is `||`",
            _ if word.contains(['+', '-', '*', '/', '%', '?']) => "; there is no arithmetic and no `?:`",
            _ => "",
        };
        ExprError::new(format!("unexpected `{word}`{hint}"), self.offset, self.offset + word.len())
    }
}

/// The bracket, comma, star or operator at the start of `rest`, and its length.
fn punctuation(rest: &str) -> Option<(TokenKind, usize)> {
    use Operator::{And, Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual, Or};
    let bytes = rest.as_bytes();
    let operator = match (bytes[0], bytes.get(1)) {
        (b'!', Some(b'=')) => Some((NotEqual, 2)),
        (b'=', Some(b'=')) => Some((Equal, 2)),
        (b'<', Some(b'=')) => Some((LessEqual, 2)),
        (b'>', Some(b'=')) => Some((GreaterEqual, 2)),
        (b'&', Some(b'&')) => Some((And, 2)),
        (b'|', Some(b'|')) => Some((Or, 2)),
        (b'<', _) => Some((Less, 1)),
        (b'>', _) => Some((Greater, 1)),
        _ => None,
    };
    if let Some((operator, len)) = operator {
        return Some((TokenKind::Operator(operator), len));
    }
    let kind = match bytes[0] {
        b'(' => TokenKind::LeftParen,
        b')' => TokenKind::RightParen,
        b'[' => TokenKind::LeftBracket,
        b']' => TokenKind::RightBracket,
        b',' => TokenKind::Comma,
        b'*' => TokenKind::Star,
        b'!' => TokenKind::Not,
        _ => return None,
    };
    Some((kind, 1))
}

fn is_boundary(c: char) -> bool {
    matches!(c, '(' | '[' | ')' | ']' | ',' | '.' | '!' | '>' | '<' | '=' | '&' | '|') || c.is_whitespace()
}
