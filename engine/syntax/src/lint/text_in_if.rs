//! A condition with text around its expression.

use super::Rule;

/// Found when a workflow is read.
pub(super) struct TextInIf;

impl Rule for TextInIf {
    fn name(&self) -> &'static str {
        "text-in-if"
    }

    fn doc(&self) -> &'static str {
        "Text around `${{ }}` makes the condition a text. A text that is not empty counts as true, so the condition \
         always holds, whatever the expression says. An `if` needs no `${{ }}` at all."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    if: false || ${{ github.actor == 'ana' }}\n    runs-on: ubuntu-latest\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    if: github.actor == 'ana'\n    runs-on: ubuntu-latest\n"
    }
}
