//! Diagnostics of files as text with carets, the way rustc draws them.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use tagline_syntax::diagnostic::{Diagnostic, Label, Severity, SourceFile, Span};

use crate::output::Facts;
use crate::words::{is_harmless, plain};

/// One finding, without a line break at the end.
pub(crate) fn render(file: &SourceFile, diagnostic: &Diagnostic, facts: &Facts) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let window = window(file, diagnostic);
    let labels = diagnostic.labels.iter().enumerate();
    let annotations = labels.map(|(at, label)| {
        let kind = if at == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        kind.span(within(file, label.span, &window)).label(text_of(diagnostic, at, label))
    });
    let snippet = Snippet::source(visible(&file.text()[window.clone()]))
        .line_start(file.position(window.start).line as usize)
        .path(plain(file.name()))
        .annotations(annotations);
    let group = level.primary_title(plain(&diagnostic.message)).id(diagnostic.code).element(snippet);
    let renderer = if facts.colour { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).term_width(facts.width).render(&[group])
}

/// The lines that the labels touch: a large file is not drawn whole for each finding.
fn window(file: &SourceFile, diagnostic: &Diagnostic) -> Range<usize> {
    let text = file.text();
    let starts = diagnostic.labels.iter().map(|label| text.floor_char_boundary(label.span.start));
    let (first, last) = starts.fold((text.len(), 0), |(first, last), at| (first.min(at), last.max(at)));
    let start = text[..first].rfind('\n').map_or(0, |at| at + 1);
    let end = text[last..].find('\n').map_or(text.len(), |at| last + at);
    start..end
}

/// The part of a span on its first line, counted from the window's start.
fn within(file: &SourceFile, span: Span, window: &Range<usize>) -> Range<usize> {
    let text = file.text();
    let start = text.floor_char_boundary(span.start);
    let end = text.ceil_char_boundary(span.end).max(start);
    let end = text[start..end].find('\n').map_or(end, |length| start + length);
    start - window.start..end - window.start
}

fn text_of(diagnostic: &Diagnostic, at: usize, label: &Label) -> String {
    let help = diagnostic.help.as_ref().filter(|_| at == 0).map(|help| format!("help: {}", plain(help)));
    let fix = diagnostic.fix.as_ref().filter(|_| at == 0).map(|_| "fix: tagline lint --fix".to_owned());
    let text = Some(plain(&label.text)).filter(|text| !text.is_empty());
    [text, help, fix].into_iter().flatten().collect::<Vec<_>>().join("  ")
}

/// What would move the cursor or turn the direction of writing becomes blanks of the same length, so spans still hold.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) || c == '\n' || c == '\t' {
            out.push(c);
        } else {
            out.extend(std::iter::repeat_n(' ', c.len_utf8()));
        }
    }
    out
}

/// `2 errors, 1 warning`.
pub(crate) fn tally<'a>(diagnostics: impl Iterator<Item = &'a Diagnostic>) -> (usize, usize) {
    let (errors, all) =
        diagnostics.fold((0, 0), |(errors, all), found| (errors + usize::from(found.is_error()), all + 1));
    (errors, all - errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, diagnostic: &Diagnostic) -> String {
        render(&SourceFile::new("release.yml", text), diagnostic, &Facts::PLAIN)
    }

    #[test]
    fn a_finding_shows_its_place_and_what_to_do() {
        let text = "jobs:\n  deploy:\n    needs: [biuld]\n";
        let at = text.find("biuld").unwrap();
        let span = Span::new(at, at + 5);
        let found = Diagnostic::error("unknown-job", span, "job `deploy` needs `biuld`, which is not a job")
            .suggest(span, Some("build"));
        insta::assert_snapshot!(show(text, &found), @r"
        error[unknown-job]: job `deploy` needs `biuld`, which is not a job
         --> release.yml:3:13
          |
        3 |     needs: [biuld]
          |             ^^^^^ help: did you mean `build`?  fix: tagline lint --fix
        ");
    }

    #[test]
    fn a_line_that_would_play_tricks_plays_none() {
        let text = "name: a\u{202e}b\u{1b}[2J\n";
        let found = Diagnostic::warning("odd-name", Span::new(6, 7), "an odd name\u{1b}[2J").help("rename it");
        let shown = show(text, &found);
        assert!(shown.chars().all(|c| is_harmless(c) || c == '\n'), "{shown:?}");
        assert!(shown.contains("--> release.yml:1:7"), "{shown}");
    }

    #[test]
    fn any_span_can_be_drawn() {
        let text = "a: é\n";
        for start in 0..8 {
            for end in start..8 {
                show(text, &Diagnostic::error("x", Span::new(start, end), "x"));
            }
        }
    }
}
