//! GitHub's expression language: parsing, evaluation, templates, conditions and what each key may use.
//!
//! - Text to tree: [`parse`], [`Expr`]; scalars with `${{ }}`: [`Template`]; `if:`: [`convert_if`].
//! - Tree to value: [`evaluate`] with an [`Environment`] that supplies contexts, status functions and `hashFiles`.
//! - Names a key does not offer: [`check`] with an [`Availability`]; mistakes visible without values: [`findings`].
//!
//! Invariants: nothing panics on any text or value; a tree is at most [`MAX_DEPTH`] high, a text at most
//! [`MAX_LENGTH`] long and an evaluation makes at most [`MAX_BYTES`] of text. Where GitHub's documentation and
//! its runner differ, the runner is followed.

mod ast;
mod availability;
mod builtin;
mod condition;
mod error;
mod eval;
mod function;
mod json;
mod lexer;
mod lint;
mod number;
mod object;
mod parser;
mod suggest;
mod template;
mod text;
mod value;

pub use ast::{Comparison, Expr, ExprKind, Reference, Step};
pub use availability::{Availability, check};
pub use condition::{Condition, convert_if};
pub use error::{EvalError, ExprError, TemplateError};
pub use eval::{Environment, MAX_BYTES, evaluate};
pub use function::Function;
pub use lint::{Finding, findings};
pub use number::{format_number, parse_number};
pub use object::Object;
pub use parser::{MAX_DEPTH, MAX_LENGTH, parse};
pub use suggest::nearest;
pub use template::{Part, PartKind, Template};
pub use text::eq_ignore_case;
pub use value::{Array, Value};
