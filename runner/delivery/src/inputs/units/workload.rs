//! Names of objects.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::did_you_mean;

/// A workload by name, as `NAME` or `KIND/NAME`. Without a kind it is a Deployment, or the one workload of that name.
///
/// ```
/// # use tagline_delivery::inputs::WorkloadRef;
/// assert_eq!(WorkloadRef::parse("sts/db").unwrap().to_string(), "StatefulSet/db");
/// assert_eq!(WorkloadRef::parse("shop").unwrap().kind, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadRef {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `CronJob` or `Job`, where it is given.
    pub kind: Option<String>,
    /// Its name in the manifests, or in the cluster where there are none.
    pub name: String,
}

/// How kinds may be written, in lower case, and what they are.
const KINDS: [(&str, &str); 10] = [
    ("deployment", "Deployment"),
    ("deploy", "Deployment"),
    ("statefulset", "StatefulSet"),
    ("sts", "StatefulSet"),
    ("daemonset", "DaemonSet"),
    ("ds", "DaemonSet"),
    ("cronjob", "CronJob"),
    ("cj", "CronJob"),
    ("job", "Job"),
    ("pod", "Pod"),
];

impl WorkloadRef {
    /// Reads `NAME` or `KIND/NAME`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((kind, name)) = text.split_once('/') else {
            return Ok(Self { kind: None, name: dns_subdomain(text)? });
        };
        let wanted = kind.to_ascii_lowercase();
        let known = KINDS.into_iter().find(|(short, _)| *short == wanted);
        let Some((_, kind)) = known else {
            let words = ["deployment", "statefulset", "daemonset", "cronjob", "job", "pod"];
            return Err(format!(
                "\"{kind}\" is not a workload's kind; {}{}",
                words.join(", "),
                did_you_mean(kind, words)
            ));
        };
        Ok(Self { kind: Some(kind.to_owned()), name: dns_subdomain(name)? })
    }
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Some(kind) => write!(f, "{kind}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A DNS label: at most 63 of a-z, 0-9 and `-`, ends included neither.
pub(in super::super) fn dns_label(text: &str) -> Result<String, String> {
    if is_label(text) && text.len() <= 63 {
        return Ok(text.to_owned());
    }
    let fixed: String =
        text.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let fixed = fixed.trim_matches('-');
    let hint = if is_label(fixed) && fixed.len() <= 63 { format!("; {fixed}?") } else { String::new() };
    Err(format!("name \"{text}\" is not a DNS label; a-z, 0-9 and -, at most 63{hint}"))
}

/// A DNS subdomain: labels between points, at most 253 in all.
pub(in super::super) fn dns_subdomain(text: &str) -> Result<String, String> {
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    Err(format!("name \"{text}\" is not an object's name; a-z, 0-9, - and ."))
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_mended() {
        assert_eq!(
            dns_label("Orders_Svc").unwrap_err(),
            "name \"Orders_Svc\" is not a DNS label; a-z, 0-9 and -, at most 63; orders-svc?"
        );
        assert!(dns_label("shop-2").is_ok() && dns_label("-shop").is_err() && dns_label(&"a".repeat(64)).is_err());
        assert_eq!(
            WorkloadRef::parse("deploymnt/shop").unwrap_err(),
            "\"deploymnt\" is not a workload's kind; deployment, statefulset, daemonset, cronjob, job, pod; \
             did you mean deployment?"
        );
    }
}
