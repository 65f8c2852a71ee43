//! The filters of triggers: `branches`, `tags`, `paths` and their `-ignore` forms.
//!
//! GitHub's own pattern language, not a shell's: `*` stops at `/`, `**` does not and `**/` may be nothing;
//! `?` and `+` repeat what stands before them; `[a-z0-9]` is one of these; `\` escapes; a leading `!` takes
//! names out again. A pattern matches the whole name, with regard to case, in time linear in name × pattern.

mod list;
mod matcher;
mod pattern;
mod push;

pub use list::PatternList;
pub use pattern::{Pattern, PatternError, Subject};
pub use push::{PushFilter, PushRef, Verdict};
