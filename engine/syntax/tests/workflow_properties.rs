//! Whatever the bytes, reading ends, says where, and never panics.

use proptest::prelude::*;
use tagline_syntax::diagnostic::{Diagnostic, SourceFile, json, sarif};
use tagline_syntax::lint::{self, Options};
use tagline_syntax::{action, environments, workflow};

const WORKFLOW: &str = "name: Release\non:\n  push:\n    tags: ['v*', '!v0.*']\n  schedule: [{ cron: '0 3 * * 1' }]\n  workflow_dispatch:\n    inputs: { dry: { type: boolean, default: true } }\n\
env: &env\n  A: ${{ github.sha }}\nconcurrency: { group: 'r-${{ github.ref }}', queue: max }\njobs:\n  build:\n    runs-on: [self-hosted, é]\n    env: *env\n    strategy:\n      matrix:\n        os: [a, b]\n        include: [{ os: a, x: 1.5 }]\n    outputs: { d: \"${{ steps.s.outputs.d }}\" }\n    steps:\n      - uses: actions/checkout@v4\n        with: { path: 'it''s' }\n      - id: s\n        if: success() && !cancelled()\n        run: |\n          echo \"${{ github.event.head_commit.message }}\"\n          echo d=1 >> \"$GITHUB_OUTPUT\"\n  deploy:\n    needs: build\n    runs-on: x\n    environment: { name: production, url: \"https://${{ needs.build.outputs.d }}\" }\n    container: { image: alpine, credentials: { username: u, password: p } }\n    services: { db: postgres }\n    steps:\n      - run: >-\n          echo folded\n          ${{ toJSON(needs) }}\n        working-directory: \"a\\n${{ matrix.os }}\"\n        timeout-minutes: 5\n";

const ENVIRONMENTS: &str = "teams:\n  ops: [a@x.org, b@x.org]\nenvironments:\n  staging:\n  production:\n    tags: '>=1.0.0'\n    after: staging\n    reviewers: { any-of: [ops], required: 2, from: { ops: 1 } }\n    expires: 36h\n    secrets: [TOKEN]\n";

const ACTION: &str = "name: a\ndescription: b\ninputs: { x: { default: '1' } }\noutputs: { y: { value: \"${{ steps.s.outputs.y }}\" } }\nruns:\n  using: composite\n  steps:\n    - { id: s, run: \"echo ${{ inputs.x }}\", shell: bash }\n    - uses: a/b@v1\n";

/// Reads a file in every way, and holds every diagnostic to the file.
fn read_all(source: &SourceFile) {
    let mut found: Vec<Diagnostic> = lint::run(source, &Options::default());
    found.extend(workflow::read(source).diagnostics);
    found.extend(environments::read(source).diagnostics);
    found.extend(action::read(source).diagnostics);
    for one in &found {
        for label in &one.labels {
            assert!(label.span.start <= label.span.end && label.span.end <= source.text().len(), "{one:?}");
            assert!(source.text().is_char_boundary(label.span.start), "{one:?}");
            assert!(source.text().is_char_boundary(label.span.end), "{one:?}");
        }
        let entry = json::entry(source, one);
        assert!((entry.line, entry.column) <= (entry.end_line, entry.end_column), "{one:?}");
        assert!(!one.message.is_empty());
    }
    sarif::log(&[(source.clone(), found)], &|_| None);
}

#[test]
fn the_seeds_are_sound() {
    let outcome = workflow::read(&SourceFile::new("w.yml", WORKFLOW));
    let workflow = outcome.workflow.unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics));
    let text = serde_json::to_string(&workflow).unwrap();
    assert_eq!(serde_json::from_str::<workflow::Workflow>(&text).unwrap(), workflow);
    let whats: Vec<String> = workflow::not_carried_out(&workflow).into_iter().map(|(_, what)| what).collect();
    assert_eq!(whats, ["the service `db`"]);
    assert!(environments::read(&SourceFile::new("e.yml", ENVIRONMENTS)).file.is_some());
    assert!(action::read(&SourceFile::new("action.yml", ACTION)).action.is_some());
}

#[test]
fn every_prefix_of_a_workflow() {
    for end in (0..WORKFLOW.len()).filter(|end| WORKFLOW.is_char_boundary(*end)) {
        read_all(&SourceFile::new("w.yml", &WORKFLOW[..end]));
    }
}

/// Pieces that change the meaning of YAML and of expressions.
const PIECES: &[&str] = &[
    ":",
    " ",
    "\n",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "*env",
    "<<: ",
    "!!int ",
    "!x ",
    "|",
    ">-\n",
    "'",
    "\"",
    "#",
    "${{",
    "}}",
    "é",
    "\u{2028}",
    "\t",
    "null",
    "? ",
    "---\n",
    "...\n",
    "\\",
    ",",
    "%",
    "@",
    "`",
    "\u{feff}",
    "0x",
    "''",
    "${{ insert }}",
    "\r\n",
    "~",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_all(&SourceFile::from_bytes("w.yml", &bytes));
    }

    #[test]
    fn arbitrary_pieces(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60)) {
        read_all(&SourceFile::new("w.yml", pieces.concat()));
    }

    #[test]
    fn mutated_files(
        which in 0_usize..3,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..12, proptest::sample::select(PIECES)), 1..6),
    ) {
        let mut text = [WORKFLOW, ENVIRONMENTS, ACTION][which].to_owned();
        for (at, length, piece) in changes {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end.max(start), piece);
        }
        read_all(&SourceFile::new("w.yml", text));
    }
}

#[test]
fn alias_bombs_are_refused_quickly() {
    let mut lines = vec!["on: push".to_owned(), "jobs:".to_owned(), "  a0: &a0 { runs-on: x }".to_owned()];
    let mut wide = "x0: &x0 [y, y, y, y, y, y, y, y]\n".to_owned();
    for level in 1..200 {
        lines.push(format!("  a{level}: &a{level} {{ env: *a{}, x: *a{} }}", level - 1, level - 1));
        let alias = format!("*x{}", level - 1);
        wide = format!("{wide}x{level}: &x{level} [{}]\n", vec![alias; 8].join(", "));
    }
    for text in [lines.join("\n"), wide] {
        let outcome = workflow::read(&SourceFile::new("w.yml", text));
        assert!(outcome.diagnostics.iter().any(|one| one.code == "too-many-nodes"));
    }
    // Within the limits a thousand aliases of one job are a thousand jobs, told once where they are wrong.
    let many = (0..1000).map(|number| format!("  b{number}: *a")).collect::<Vec<_>>().join("\n");
    let text = format!("on: push\njobs:\n  a: &a {{ runs-on: x, stepz: [] }}\n{many}");
    let outcome = workflow::read(&SourceFile::new("w.yml", text));
    assert_eq!(outcome.diagnostics.iter().map(|one| one.code).collect::<Vec<_>>(), ["unknown-key"]);
}

#[test]
fn a_file_over_the_limit_is_refused_unread() {
    let text = format!("on: push\n# {}\n", "x".repeat(1024 * 1024));
    let outcome = workflow::read(&SourceFile::new("w.yml", text));
    assert_eq!(outcome.diagnostics.iter().map(|one| one.code).collect::<Vec<_>>(), ["file-too-large"]);
}
