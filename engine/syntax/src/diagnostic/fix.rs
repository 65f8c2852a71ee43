//! Carrying out the changes that diagnostics propose.

use super::{Diagnostic, Edit, SourceFile};

/// The file's text with every proposed change made, and how many were. Of changes that overlap the first counts.
pub fn apply(source: &SourceFile, diagnostics: &[Diagnostic]) -> (String, usize) {
    let mut edits: Vec<&Edit> = diagnostics.iter().filter_map(|one| one.fix.as_ref()).collect();
    edits.sort_by_key(|edit| edit.span);
    edits.dedup();
    let mut text = String::with_capacity(source.text().len());
    let mut at = 0;
    let mut made = 0;
    for edit in edits.into_iter().filter(|edit| edit.span.end <= source.text().len()) {
        let Some(before) = source.text().get(at..edit.span.start) else { continue };
        text.push_str(before);
        text.push_str(&edit.replacement);
        at = edit.span.end;
        made += 1;
    }
    text.push_str(&source.text()[at..]);
    (text, made)
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    #[test]
    fn each_place_is_changed_once() {
        let source = SourceFile::new("a.yml", "needs: [biuld, sbmo]\n");
        let change = |start, end, name| {
            Diagnostic::error("unknown-job", Span::new(start, end), "x").suggest(Span::new(start, end), Some(name))
        };
        let found = [change(15, 19, "sbom"), change(8, 13, "build"), change(8, 13, "build"), change(10, 12, "no")];
        assert_eq!(apply(&source, &found), ("needs: [build, sbom]\n".to_owned(), 2));
    }
}
