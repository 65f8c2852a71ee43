//! The image cannot be pulled.

use super::Scene;
use crate::rollout::{Pull, TroubleKind, image_of};
use crate::{Failure, Object};

pub(super) fn find(scene: &Scene) -> Option<Failure> {
    let (pod, trouble) = scene.troubled(|trouble| trouble.kind == TroubleKind::ImagePull)?;
    let image = image_of(pod, &trouble.container);
    // The event has the registry's own words; the state often only says that it waits.
    let told = scene.warnings(&["Failed"]).find(|message| message.contains("pull")).unwrap_or(&trouble.text);
    let (what, next) = match Pull::read(told, image) {
        Pull::Away => (
            format!("image {image} cannot be pulled: the node does not reach the registry"),
            "look at the registry's name and address, and at DNS, proxy and firewall of the nodes".to_owned(),
        ),
        Pull::Missing => (
            format!("image {image} not found in {}", image.split('/').next().unwrap_or_default()),
            "push the image again with the release that built it: tagline rerun RUN --failed, or tag a new version"
                .to_owned(),
        ),
        Pull::Refused => (format!("image {image} cannot be pulled: the registry refuses"), credentials(pod)),
        Pull::Invalid => {
            (format!("`{image}` is no image name"), "give the image by digest: name=registry/name@sha256:…".to_owned())
        }
        Pull::Unknown => (
            format!("image {image} cannot be pulled"),
            "look whether the nodes reach the registry: kubectl describe pod".to_owned(),
        ),
    };
    Some(Failure::new(what, format!("{}: {}", trouble.pod, shorten(told))).next(next))
}

/// What to do where the registry refuses.
fn credentials(pod: &Object) -> String {
    let secrets = pod.list("/spec/imagePullSecrets").iter().filter_map(|secret| secret["name"].as_str());
    match secrets.collect::<Vec<_>>().as_slice() {
        [] => "the pods name no imagePullSecrets: add one, or make the repository readable".to_owned(),
        names => format!("renew the credentials in Secret/{}", names.join(", Secret/")),
    }
}

/// One line of at most 300 characters.
pub(super) fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::pod;
    use super::*;

    fn scene(message: &str) -> Scene {
        let status = json!({"containerStatuses": [{"name": "web", "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]});
        let event = json!({"kind": "Event", "reason": "Failed", "message": message});
        Scene { pods: vec![pod("shop-1", status)], events: vec![Object(event)], ..Scene::default() }
    }

    #[test]
    fn a_registry_out_of_reach_is_no_missing_image() {
        let found =
            find(&scene("Failed to pull image \"r.example/shop@sha256:aa\": dial tcp: lookup r.example: no such host"));
        let found = found.unwrap();
        assert!(found.what.ends_with("the node does not reach the registry"), "{found}");
        assert!(!found.next.contains("push"), "{found}");
    }

    #[test]
    fn a_missing_image_and_a_refusing_registry_are_told_apart() {
        let missing = find(&scene("Failed to pull image \"r.example/shop@sha256:aa\": not found")).unwrap();
        assert_eq!(missing.what, "image r.example/shop@sha256:aa not found in r.example");
        let refused = find(&scene("failed to pull image: 401 Unauthorized")).unwrap();
        assert!(refused.what.ends_with("the registry refuses"), "{refused}");
        assert!(refused.next.contains("imagePullSecrets"), "{refused}");
    }
}
