//! The matcher of filters against a plain one that tries everything.

use proptest::prelude::*;
use tagline_syntax::filter::{Pattern, Subject};

/// What a pattern is made of, for the plain matcher.
#[derive(Clone, Debug)]
enum Piece {
    Literal(char),
    Class(char, char),
    Optional(char),
    Repeated(char),
    Star,
    DoubleStar,
    DoubleStarSlash,
}

impl Piece {
    fn text(&self) -> String {
        match self {
            Piece::Literal(c) => c.to_string(),
            Piece::Class(first, last) => format!("[{first}-{last}]"),
            Piece::Optional(c) => format!("{c}?"),
            Piece::Repeated(c) => format!("{c}+"),
            Piece::Star => "*".to_owned(),
            Piece::DoubleStar => "**".to_owned(),
            Piece::DoubleStarSlash => "**/".to_owned(),
        }
    }
}

fn plain(pieces: &[Piece], name: &[char]) -> bool {
    let Some((piece, rest)) = pieces.split_first() else {
        return name.is_empty();
    };
    let ends = |count: usize| plain(rest, &name[count..]);
    let is = |wanted: char| name.first() == Some(&wanted);
    let run = |allowed: &dyn Fn(char) -> bool| name.iter().take_while(|c| allowed(**c)).count();
    match piece {
        Piece::Literal(c) => is(*c) && ends(1),
        Piece::Class(first, last) => name.first().is_some_and(|c| (first..=last).contains(&c)) && ends(1),
        Piece::Optional(c) => ends(0) || (is(*c) && ends(1)),
        Piece::Repeated(c) => (1..=run(&|other| other == *c)).any(ends),
        Piece::Star => (0..=run(&|other| other != '/')).any(ends),
        Piece::DoubleStar => (0..=name.len()).any(ends),
        Piece::DoubleStarSlash => ends(0) || (1..=name.len()).any(|count| name[count - 1] == '/' && ends(count)),
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    let letter = prop_oneof![Just('a'), Just('b'), Just('.')];
    prop_oneof![
        4 => prop_oneof![Just('a'), Just('b'), Just('.'), Just('/')].prop_map(Piece::Literal),
        1 => Just(Piece::Class('a', 'b')),
        1 => letter.clone().prop_map(Piece::Optional),
        1 => letter.prop_map(Piece::Repeated),
        2 => Just(Piece::Star),
        1 => Just(Piece::DoubleStar),
        1 => Just(Piece::DoubleStarSlash),
    ]
}

/// Stars that meet would be read as other stars.
fn unambiguous(pieces: &[Piece]) -> bool {
    let starry = |piece: &Piece| matches!(piece, Piece::Star | Piece::DoubleStar);
    let takes =
        |piece: &Piece| matches!(piece, Piece::Star | Piece::DoubleStar | Piece::DoubleStarSlash | Piece::Literal('/'));
    pieces.windows(2).all(|pair| !(starry(&pair[0]) && takes(&pair[1])))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn matching_equals_trying_everything(
        pieces in prop::collection::vec(piece(), 1..8).prop_filter("stars that meet", |pieces| unambiguous(pieces)),
        name in "[ab./c]{0,10}",
    ) {
        let text: String = pieces.iter().map(Piece::text).collect();
        if let Ok(pattern) = Pattern::parse(&text, Subject::Path) {
            let name: Vec<char> = name.chars().collect();
            let whole: String = name.iter().collect();
            prop_assert_eq!(pattern.matches(&whole), plain(&pieces, &name), "{} on {}", text, whole);
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_an_error(text in "\\PC{0,30}|[ab*?+!/\\[\\]\\\\.-]{0,20}", name in "\\PC{0,20}") {
        for subject in [Subject::Ref, Subject::Path] {
            match Pattern::parse(&text, subject) {
                Ok(pattern) => { let _ = pattern.matches(&name); }
                Err(error) => prop_assert!(error.offset <= text.len()),
            }
        }
    }
}

#[test]
fn stars_do_not_multiply() {
    let pattern = Pattern::parse(&"a*".repeat(200), Subject::Path).unwrap();
    let name = "a".repeat(5_000) + "b/";
    // Trying everything would never end here.
    assert!(!pattern.matches(&name));
}

#[test]
fn the_documented_examples_hold() {
    for (pattern, matching, others) in [
        ("feature/*", &["feature/my-branch"][..], &["feature/a/b", "feature"][..]),
        ("**", &["all/the/branches", "v2"], &[]),
        ("*feature", &["mona-feature", "feature"], &["features", "a/feature"]),
        ("v2*", &["v2", "v2.0", "v2.9"], &["v2/x", "v1"]),
        ("v[12].[0-9]+.[0-9]+", &["v1.10.1", "v2.0.0"], &["v3.0.0", "v1.0", "v1.2.3-rc.1"]),
        ("*.jsx?", &["page.js", "page.jsx"], &["page.jsxx", "a/page.js"]),
        ("**.js", &["index.js", "src/js/app.js"], &["app.ts"]),
        ("docs/**/*.md", &["docs/README.md", "docs/a/b.md"], &["docs.md", "README.md"]),
        ("**/docs/**", &["docs/hello.md", "a/docs/b/c"], &["mydocs/a", "docs"]),
        ("**/*-post.md", &["my-post.md", "path/their-post.md"], &["post.md"]),
        (r"a\+b\!", &["a+b!"], &["aab!"]),
    ] {
        let parsed = Pattern::parse(pattern, Subject::Path).unwrap();
        for name in matching {
            assert!(parsed.matches(name), "{pattern} matches {name}");
        }
        for name in others {
            assert!(!parsed.matches(name), "{pattern} does not match {name}");
        }
    }
}
