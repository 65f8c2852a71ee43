//! A built-in action gets an input it does not know, or misses one it needs.

use super::{File, Rule};
use crate::diagnostic::{Diagnostic, Span};
use crate::expression::nearest;
use crate::workflow::{ActionRef, StepAction};

pub(super) struct UnknownInput;

impl Rule for UnknownInput {
    fn name(&self) -> &'static str {
        "unknown-input"
    }

    fn doc(&self) -> &'static str {
        "An action ignores inputs it does not know, so a typing mistake in `with` goes unseen. This is checked for the \
         actions that are part of the engine; names are compared ignoring case."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n        \
         with: { paht: src }\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n        \
         with: { Path: src }\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        let Some(actions) = file.options.actions else { return };
        for (_, step) in file.steps() {
            let StepAction::Uses { uses, with } = &step.action else { continue };
            let Some(ActionRef::Remote { repository, path: "", .. }) = ActionRef::parse(&uses.text) else { continue };
            let Some(inputs) = actions.get(&repository.to_lowercase()) else { continue };
            for (name, value) in with {
                if inputs.known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    continue;
                }
                let span = key_before(file, file.span(value), name);
                let guess = nearest(name, inputs.known.iter().map(String::as_str));
                let message = format!("`{repository}` has no input `{name}`");
                found.push(Diagnostic::warning(self.name(), span, message).suggest(span, guess));
            }
            let given = |name: &str| with.keys().any(|key| key.eq_ignore_ascii_case(name));
            for name in inputs.required.iter().filter(|name| !given(name)) {
                let message = format!("`{repository}` needs the input `{name}`");
                found.push(Diagnostic::warning(self.name(), file.span(uses), message));
            }
        }
    }
}

/// The key of a value: the last place before it that spells the name. The value itself where there is none.
fn key_before(file: &File<'_>, value: Span, name: &str) -> Span {
    let before = &file.source.text()[..value.start];
    before.rfind(name).map_or(value, |at| Span::new(at, at + name.len()))
}
