//! The image cannot be pulled.

use super::Scene;
use crate::Failure;
use crate::rollout::TroubleKind;

pub(super) fn find(scene: &Scene) -> Option<Failure> {
    let (pod, trouble) = scene.troubled(|trouble| trouble.kind == TroubleKind::ImagePull)?;
    let containers = ["/spec/initContainers", "/spec/containers"].map(|place| pod.list(place));
    let mut containers = containers.into_iter().flatten();
    let image = containers.find(|container| container["name"] == trouble.container.as_str());
    let image = image.and_then(|container| container["image"].as_str()).unwrap_or_default();
    // The event has the registry's own words; the state often only says that it waits.
    let told = scene.warnings(&["Failed"]).find(|message| message.contains("pull"));
    let detail = told.unwrap_or(&trouble.text).to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| detail.contains(word));
    let (what, next) = if has(&["not found", "manifest unknown", "no such"]) {
        let registry = image.split('/').next().unwrap_or_default();
        (
            format!("image {image} not found in {registry}"),
            "push the image again with the release that built it: tagline rerun RUN --failed, or tag a new version"
                .to_owned(),
        )
    } else if has(&["401", "403", "unauthorized", "denied", "forbidden", "authentication"]) {
        let secrets = pod.list("/spec/imagePullSecrets").iter().filter_map(|secret| secret["name"].as_str());
        let secrets: Vec<&str> = secrets.collect();
        let next = match secrets.as_slice() {
            [] => "the pods name no imagePullSecrets: add one, or make the repository readable".to_owned(),
            names => format!("renew the credentials in Secret/{}", names.join(", Secret/")),
        };
        (format!("image {image} cannot be pulled: the registry refuses"), next)
    } else if has(&["invalidimagename", "invalid reference", "couldn't parse image"]) {
        (format!("`{image}` is no image name"), "give the image by digest: name=registry/name@sha256:…".to_owned())
    } else {
        (
            format!("image {image} cannot be pulled"),
            "look whether the nodes reach the registry: kubectl describe pod".to_owned(),
        )
    };
    Some(Failure::new(what, format!("{}: {}", trouble.pod, shorten(told.unwrap_or(&trouble.text)))).next(next))
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
    use crate::Object;

    fn scene(message: &str) -> Scene {
        let status = json!({"containerStatuses": [{"name": "web", "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]});
        let event = json!({"kind": "Event", "reason": "Failed", "message": message});
        Scene { pods: vec![pod("shop-1", status)], events: vec![Object(event)], ..Scene::default() }
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
