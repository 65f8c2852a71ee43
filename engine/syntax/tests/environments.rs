//! What an environments file may say, and how each mistake is told.

use tagline_syntax::diagnostic::SourceFile;
use tagline_syntax::environments::{EnvironmentsFile, read};

fn good(text: &str) -> EnvironmentsFile {
    let outcome = read(&SourceFile::new("environments.yml", text));
    outcome.file.unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics))
}

/// `line:column code` of every error.
fn errors(text: &str) -> Vec<String> {
    let source = SourceFile::new("environments.yml", text);
    let outcome = read(&source);
    assert!(outcome.file.is_none(), "accepted: {text}");
    let line = |one: &tagline_syntax::diagnostic::Diagnostic| {
        let at = source.position(one.span().start);
        format!("{}:{} {}", at.line, at.column, one.code)
    };
    outcome.diagnostics.iter().map(line).collect()
}

const FULL: &str = "
teams:
  ops: [Ana@Example.com, li@example.com]
  release-managers: [sam@example.com]
variables: { REGION: eu, SIZE: 3 }
environments:
  staging:
  production:
    url: https://storefront.example
    tags: \">=1.0.0\"
    after: staging
    reviewers: { any-of: [ops, release-managers, Eve@example.com], required: 2, from: { ops: 1 } }
    expires: 36h
    variables: { DEBUG: false }
    required-variables: [ REGISTRY ]
    secrets: [ DATABASE_URL ]
    cluster: { context: production, namespace: shop }
";

#[test]
fn everything_a_file_may_say() {
    let file = good(FULL);
    assert_eq!(file.teams["ops"], ["ana@example.com", "li@example.com"]);
    assert_eq!(file.variables["SIZE"], "3");
    assert_eq!(file.environments["staging"].expires_seconds, 259_200);
    let production = &file.environments["production"];
    assert_eq!(production.after.as_deref(), Some("staging"));
    assert_eq!(production.tags.as_deref(), Some(">=1.0.0"));
    assert_eq!(production.expires_seconds, 129_600);
    assert_eq!(production.variables["DEBUG"], "false");
    let cluster = production.cluster.as_ref().unwrap();
    assert_eq!((cluster.context.as_str(), cluster.namespace.as_str()), ("production", "shop"));
    let reviewers = production.reviewers.as_ref().unwrap();
    assert_eq!(reviewers.any_of, ["ops", "release-managers", "eve@example.com"]);
    assert_eq!((reviewers.required, reviewers.from["ops"], reviewers.prevent_self_review), (2, 1, true));
}

#[test]
fn the_file_survives_json() {
    let file = good(FULL);
    let json = serde_json::to_string(&file).unwrap();
    assert_eq!(serde_json::from_str::<EnvironmentsFile>(&json).unwrap(), file);
}

#[test]
fn a_rule_that_is_not_enforced_is_an_error_by_name() {
    for key in ["requires", "wait", "windows", "freezes", "checklist"] {
        let text = format!("environments:\n  a:\n    {key}: x\n");
        assert_eq!(errors(&text), ["3:5 not-enforced-yet"], "{key}");
    }
    assert_eq!(errors("environments:\n  a:\n    reviewer: x\nwindow: 1\n"), ["3:5 unknown-key", "4:1 unknown-key"]);
}

#[test]
fn reviewers_must_exist_and_be_enough() {
    let text = "teams:\n  ops: [a@x.org, A@x.org]\n  odd: [nobody]\nenvironments:\n  a:\n    reviewers:\n      any-of: [opps]\n  \
                b:\n    reviewers: { any-of: ops, required: 2 }\n  c:\n    reviewers: { any-of: [b@x.org], from: { ops: 1 } }\n  \
                d:\n    reviewers: { any-of: [ops], required: 0 }\n  e:\n    reviewers: { required: 1 }\n";
    let expected = [
        "3:9 bad-person",
        "7:16 unknown-team",
        "9:41 quorum-out-of-reach",
        "11:50 quorum-out-of-reach",
        "13:43 wrong-type",
        "15:16 missing-key",
    ];
    assert_eq!(errors(text), expected);
}

#[test]
fn order_of_environments() {
    assert_eq!(errors("environments:\n  a: { after: b }\n  b: { after: c }\n  c: { after: b }\n"), ["3:15 cycle"]);
    assert_eq!(errors("environments:\n  a: { after: a }\n"), ["2:15 cycle"]);
    assert_eq!(errors("environments:\n  staging:\n  a: { after: stagin }\n"), ["3:15 unknown-environment"]);
}

#[test]
fn a_cluster_names_context_and_namespace() {
    let text = "environments:\n  a:\n    cluster: { context: kind }\n  b:\n    cluster: { context: '', namespace: Shop_1, \
                port: 1 }\n  c:\n    cluster: kind\n  d:\n    cluster: { context: x, namespace: -a }\n";
    let expected = [
        "3:14 missing-key",
        "5:25 empty-value",
        "5:40 bad-namespace",
        "5:48 unknown-key",
        "7:14 wrong-type",
        "9:39 bad-namespace",
    ];
    assert_eq!(errors(text), expected);
}

#[test]
fn a_file_without_clusters_says_nothing_of_them() {
    let json = serde_json::to_string(&good("environments:\n  a: { url: x }\n")).unwrap();
    assert!(!json.contains("cluster"), "{json}");
}

#[test]
fn values_are_checked() {
    let text =
        "environments:\n  a:\n    tags: latest\n    expires: 72\n    secrets: [GITHUB_TOKEN, 1A]\n    url: ${{ x }}\n";
    let expected =
        ["3:11 bad-range", "4:14 bad-duration", "5:15 bad-name", "5:29 bad-name", "6:10 expression-not-allowed"];
    assert_eq!(errors(text), expected);
}
