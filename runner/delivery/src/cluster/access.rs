//! Which of the rights that a plan needs are there, asked before anything starts.

use http::Method;
use serde_json::{Value, json};

use super::http::{Call, Repeat};
use super::{Cluster, ClusterError, Resource};

/// A right that is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verb {
    /// `get`, `list`, `watch`, `create`, `patch`, `update`, `delete`.
    pub verb: String,
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// `scale`, `log`, `proxy`, `exec`; empty for the object itself.
    pub part: String,
    /// Of this object only; empty: of all.
    pub name: String,
}

impl Verb {
    /// On all objects of a kind.
    pub fn new(verb: &str, api_version: &str, kind: &str) -> Self {
        let own = str::to_owned;
        Self {
            verb: own(verb),
            api_version: own(api_version),
            kind: own(kind),
            part: String::new(),
            name: String::new(),
        }
    }

    /// On a part of them.
    pub fn part(self, part: &str) -> Self {
        Self { part: part.to_owned(), ..self }
    }

    /// On one object.
    pub fn name(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }
}

/// A right that is missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// What is needed.
    pub verb: String,
    /// `deployments`, `pods/log`.
    pub resource: String,
    /// `apps`; empty for the core group.
    pub group: String,
    /// The object, where it is about one.
    pub name: String,
    /// The namespace; None for kinds that have none.
    pub namespace: Option<String>,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "may not {} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => Ok(()),
        }
    }
}

impl Cluster {
    /// Those of the rights that are missing, all at once. One request answers for the namespace where the cluster's
    /// authorizer can list its rules; what it cannot say, and kinds without namespace, are asked one by one.
    ///
    /// # Errors
    /// Those of reaching the server; a kind that is not served.
    pub async fn may(&self, verbs: &[Verb]) -> Result<Vec<Missing>, ClusterError> {
        let mut verbs = verbs.to_vec();
        verbs.sort();
        verbs.dedup();
        if verbs.is_empty() {
            return Ok(Vec::new());
        }
        let mut rights = Vec::new();
        for verb in verbs {
            let resource = self.served(&verb.api_version, &verb.kind).await?;
            rights.push(self.lacks(&verb, &resource));
        }
        self.lacking(rights).await
    }

    /// Those of the rights that are missing, in their order.
    pub(crate) async fn lacking(&self, rights: Vec<Missing>) -> Result<Vec<Missing>, ClusterError> {
        let rules = self.rules().await?;
        let mut missing = Vec::new();
        for right in rights {
            let known = right.namespace.is_some().then(|| rules.allow(&right));
            let allowed = match known {
                Some(Some(known)) => known,
                _ => self.ask(&right).await?,
            };
            if !allowed {
                missing.push(right);
            }
        }
        Ok(missing)
    }

    fn lacks(&self, verb: &Verb, resource: &Resource) -> Missing {
        let part = if verb.part.is_empty() { String::new() } else { format!("/{}", verb.part) };
        Missing {
            verb: verb.verb.clone(),
            resource: format!("{}{part}", resource.plural),
            group: resource.group().to_owned(),
            name: verb.name.clone(),
            namespace: resource.namespaced.then(|| self.namespace().to_owned()),
        }
    }

    async fn rules(&self) -> Result<Rules, ClusterError> {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": self.namespace()}});
        let status = self.review("selfsubjectrulesreviews", &review).await?;
        let list = status["resourceRules"].as_array().cloned().unwrap_or_default();
        let rules = list.iter().map(Rule::read).collect();
        Ok(Rules { rules, complete: status["incomplete"] == false && status["evaluationError"].is_null() })
    }

    async fn ask(&self, right: &Missing) -> Result<bool, ClusterError> {
        let (resource, part) = right.resource.split_once('/').unwrap_or((&right.resource, ""));
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"namespace": right.namespace, "verb": right.verb, "group": right.group,
                "resource": resource, "subresource": part, "name": right.name}}});
        Ok(self.review("selfsubjectaccessreviews", &review).await?["allowed"] == true)
    }

    async fn review(&self, plural: &str, review: &Value) -> Result<Value, ClusterError> {
        let path = format!("/apis/authorization.k8s.io/v1/{plural}");
        let call = Call::send(Method::POST, path, "application/json", review, Repeat::Harmless);
        Ok(self.good(&call, "its review of rights").await?.json()["status"].take())
    }
}

struct Rules {
    rules: Vec<Rule>,
    /// Nothing is allowed that is not in it.
    complete: bool,
}

impl Rules {
    /// Whether the rules allow it; None where they cannot say.
    fn allow(&self, right: &Missing) -> Option<bool> {
        let allowed = self.rules.iter().any(|rule| rule.allows(right));
        (allowed || self.complete).then_some(allowed)
    }
}

struct Rule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let texts = |key: &str| {
            let list = rule[key].as_array().into_iter().flatten();
            list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        Self {
            verbs: texts("verbs"),
            groups: texts("apiGroups"),
            resources: texts("resources"),
            names: texts("resourceNames"),
        }
    }

    /// As RBAC decides (k8s.io/component-helpers/auth/rbac/validation): `*` matches all, `*/scale` that part of all.
    fn allows(&self, right: &Missing) -> bool {
        let has = |list: &[String], value: &str| list.iter().any(|each| each == "*" || each == value);
        let part = right.resource.split_once('/').map(|(_, part)| format!("*/{part}"));
        let resource = has(&self.resources, &right.resource) || part.is_some_and(|part| self.resources.contains(&part));
        let named = self.names.is_empty() || self.names.contains(&right.name);
        has(&self.verbs, &right.verb) && has(&self.groups, &right.group) && resource && named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(verb: &str, resource: &str, name: &str) -> Missing {
        let own = str::to_owned;
        Missing {
            verb: own(verb),
            resource: own(resource),
            group: own("apps"),
            name: own(name),
            namespace: Some(own("shop")),
        }
    }

    #[test]
    fn rules_allow_what_rbac_allows() {
        let rule = Rule::read(
            &json!({"verbs": ["get", "patch"], "apiGroups": ["apps"], "resources": ["deployments", "*/scale"],
            "resourceNames": ["workers"]}),
        );
        assert!(rule.allows(&right("patch", "deployments", "workers")));
        assert!(rule.allows(&right("patch", "statefulsets/scale", "workers")));
        for no in [
            right("patch", "deployments", ""),
            right("delete", "deployments", "workers"),
            right("get", "statefulsets", "workers"),
        ] {
            assert!(!rule.allows(&no), "{no}");
        }
        assert!(
            Rule::read(&json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}))
                .allows(&right("x", "y/z", "n"))
        );
    }

    #[test]
    fn rules_that_are_not_complete_cannot_deny() {
        let rules = Rules { rules: Vec::new(), complete: false };
        assert_eq!(rules.allow(&right("get", "deployments", "")), None);
        assert_eq!(right("get", "deployments", "").to_string(), "may not get deployments.apps in namespace shop");
    }
}
