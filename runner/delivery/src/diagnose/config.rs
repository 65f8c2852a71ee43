//! A ConfigMap, Secret or key that the pods refer to is not there; or the container cannot be started at all.

use super::Scene;
use super::image::shorten;
use crate::Failure;
use crate::rollout::TroubleKind;

pub(super) fn find(scene: &Scene) -> Option<Failure> {
    if let Some((pod, trouble)) = scene.troubled(|trouble| trouble.kind == TroubleKind::Config) {
        let namespace = pod.namespace().unwrap_or_default();
        let what = missing(&trouble.text).unwrap_or_else(|| "the pods' configuration is incomplete".to_owned());
        let next = format!("make it in namespace {namespace}, or correct the reference in the manifests");
        return Some(Failure::new(what, format!("{}: {}", trouble.pod, shorten(&trouble.text))).next(next));
    }
    if let Some(message) = scene.warnings(&["FailedMount"]).find(|message| message.contains("not found")) {
        let what = missing(message).unwrap_or_else(|| "a volume cannot be mounted".to_owned());
        return Some(Failure::new(what, shorten(message)).next("make it, or correct the volume in the manifests"));
    }
    let (_, trouble) = scene.troubled(|trouble| trouble.kind == TroubleKind::Start)?;
    let why = format!("{}: {}", trouble.pod, shorten(&trouble.text));
    let next = "correct `command`, `args` or `workingDir`: the image has no such program or may not run it";
    Some(Failure::new("a container cannot be started", why).next(next))
}

/// `secret "shop-db" not found` and `couldn't find key jwt-secret in Secret shop/orders`, as a sentence.
fn missing(text: &str) -> Option<String> {
    if let Some((_, rest)) = text.split_once("couldn't find key ") {
        let mut words = rest.split_whitespace();
        let (key, _, kind, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let name = name.rsplit('/').next().unwrap_or(name).trim_matches(|c: char| !c.is_alphanumeric());
        return Some(format!("{kind}/{name} lacks the key `{key}`"));
    }
    let lower = text.to_lowercase();
    for (word, kind) in [("secret \"", "Secret"), ("configmap \"", "ConfigMap")] {
        if let Some(at) = lower.find(word)
            && let Some(name) = text.get(at + word.len()..).and_then(|rest| rest.split('"').next())
            && lower.contains("not found")
        {
            return Some(format!("{kind}/{name} is not there"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let secret = "CreateContainerConfigError: secret \"shop-db\" not found";
        assert_eq!(missing(secret).as_deref(), Some("Secret/shop-db is not there"));
        let key = "couldn't find key jwt-secret in Secret shop/orders";
        assert_eq!(missing(key).as_deref(), Some("Secret/orders lacks the key `jwt-secret`"));
        assert_eq!(missing("something else"), None);
    }
}
