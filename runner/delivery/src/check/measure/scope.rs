//! Which series of a Prometheus belong to a release.

use crate::check::Subject;
use crate::check::prometheus::{escaped, quoted};

/// Matchers for series: those of a release's pods, or of the whole namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    /// For what pods say of themselves.
    pub(crate) release: String,
    /// For what others may say of it: queues, lag.
    pub(crate) namespace: String,
}

impl Scope {
    /// `namespace` and `pod`, and the labels that the step gives. Where one of these holds `{pods}` (a regular expression of
    /// the pods' names), `{release}` or `{version}`, it says which series are the release's, and `pod` is left away.
    pub(super) fn new(labels: &[(String, String)], namespace: &str, subject: &Subject, pods: &[String]) -> Self {
        let pods = pods_pattern(subject, pods);
        Self::build(labels, namespace, &pods, |name, value| {
            let said = value.replace("{release}", &subject.release).replace("{version}", &subject.version);
            if value.contains("{pods}") {
                format!("{name}=~{}", quoted(&said.replace("{pods}", &pods)))
            } else {
                format!("{name}={}", quoted(&said))
            }
        })
    }

    /// The same of whatever release of these workloads (their names in the manifests) is there.
    pub(crate) fn of_any_release(labels: &[(String, String)], namespace: &str, workloads: &[String]) -> Self {
        let names: Vec<String> = workloads.iter().map(|name| escaped(name)).collect();
        let pods = format!("(?:{})-.+", names.join("|"));
        Self::build(labels, namespace, &pods, |name, value| {
            let any = value.replace("{pods}", &pods).replace("{release}", ".+").replace("{version}", ".+");
            format!("{name}=~{}", quoted(&any))
        })
    }

    /// `own` writes a label that says which series are the release's.
    fn build(labels: &[(String, String)], namespace: &str, pods: &str, own: impl Fn(&str, &str) -> String) -> Self {
        let is_own = |value: &str| ["{pods}", "{release}", "{version}"].iter().any(|word| value.contains(word));
        let mut wide = Vec::new();
        let mut narrow = Vec::new();
        if !labels.iter().any(|(name, _)| name == "namespace") {
            wide.push(format!("namespace={}", quoted(namespace)));
        }
        for (name, value) in labels {
            if is_own(value) {
                narrow.push(own(name, value));
            } else {
                wide.push(format!("{name}={}", quoted(value)));
            }
        }
        if narrow.is_empty() {
            narrow.push(format!("pod=~{}", quoted(pods)));
        }
        let namespace = wide.join(",");
        let release = wide.into_iter().chain(narrow).collect::<Vec<_>>().join(",");
        Self { release, namespace }
    }
}

/// The pods by name; where none is known (the past), those that workloads of these names make.
fn pods_pattern(subject: &Subject, pods: &[String]) -> String {
    if pods.is_empty() {
        let workloads: Vec<String> = subject.workloads.iter().map(|name| escaped(name)).collect();
        return format!("(?:{})-[a-z0-9]+(?:-[a-z0-9]+)?", workloads.join("|"));
    }
    pods.iter().map(|name| escaped(name)).collect::<Vec<_>>().join("|")
}

/// Matchers and the labels of a signal as a selector's inside.
pub(crate) fn matchers(scope: &str, labels: &[(String, String)]) -> String {
    let own = labels.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
    let parts: Vec<String> = [scope.to_owned()].into_iter().filter(|scope| !scope.is_empty()).chain(own).collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject {
            unit: "shop".to_owned(),
            version: "1.2.3".to_owned(),
            release: "v1-2-3-0".to_owned(),
            pods: Vec::new(),
            workloads: vec!["shop".to_owned(), "shop-critical".to_owned()],
            port: None,
        }
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn series_are_those_of_the_pods() {
        let pods = ["shop-1".to_owned(), "shop-2".to_owned()];
        let scope = Scope::new(&[pair("job", "shop")], "prod", &subject(), &pods);
        assert_eq!(scope.release, r#"namespace="prod",job="shop",pod=~"shop-1|shop-2""#);
        assert_eq!(scope.namespace, r#"namespace="prod",job="shop""#);
        let own = Scope::new(&[pair("kubernetes_pod", "{pods}"), pair("namespace", "x")], "prod", &subject(), &pods);
        assert_eq!(own.release, r#"namespace="x",kubernetes_pod=~"shop-1|shop-2""#);
        let version = Scope::new(&[pair("version", "v{version}")], "prod", &subject(), &pods);
        assert_eq!(version.release, r#"namespace="prod",version="v1.2.3""#);
    }

    #[test]
    fn pods_that_are_gone_are_found_by_their_workload() {
        let scope = Scope::new(&[], "prod", &subject(), &[]);
        assert!(scope.release.ends_with(r#"pod=~"(?:shop|shop-critical)-[a-z0-9]+(?:-[a-z0-9]+)?""#));
    }

    #[test]
    fn any_release_is_found_by_the_same_rules() {
        let any = |labels: &[(String, String)]| Scope::of_any_release(labels, "prod", &subject().workloads).release;
        assert_eq!(any(&[pair("job", "a")]), r#"namespace="prod",job="a",pod=~"(?:shop|shop-critical)-.+""#);
        let own = [pair("namespace", "x"), pair("kubernetes_pod", "{pods}"), pair("version", "v{version}")];
        assert_eq!(any(&own), r#"namespace="x",kubernetes_pod=~"(?:shop|shop-critical)-.+",version=~"v.+""#);
    }

    #[test]
    fn labels_of_a_signal_are_added() {
        assert_eq!(matchers("a=\"1\"", &[pair("uri", "/x\"")]), r#"a="1",uri="/x\"""#);
        assert_eq!(matchers("", &[]), "");
    }
}
