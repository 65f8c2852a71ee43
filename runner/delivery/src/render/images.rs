//! Images by digest, in memory: manifests name an image, the step says which digest that is.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::inputs::ImageInput;
use crate::inputs::source::replaced_nothing;
use crate::{ImageRef, Object};

/// Where containers are in a pod's spec.
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// Each container's name and image.
pub fn used(object: &Object) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for list in LISTS {
        for container in object.template_pointer().map_or(&[][..], |at| object.list(&format!("{at}/spec/{list}"))) {
            let text = |key: &str| container[key].as_str().unwrap_or_default().to_owned();
            found.push((text("name"), text("image")));
        }
    }
    found
}

/// An image's name without tag and digest: what an image input is compared with.
pub fn name(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let begin = image.rfind('/').map_or(0, |slash| slash + 1);
    image[begin..].find(':').map_or(image, |colon| &image[..begin + colon])
}

/// Sets each image in every container that names it. An input that replaces nothing is a problem, with what there is.
pub fn replace(objects: &mut [Object], images: &[ImageInput]) -> Vec<String> {
    let names: BTreeSet<String> = objects
        .iter()
        .flat_map(used)
        .map(|(_, image)| name(&image).to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let names: Vec<String> = names.into_iter().collect();
    let mut replaced = vec![0; images.len()];
    for object in objects.iter_mut() {
        each_container(object, |container| {
            let current = container["image"].as_str().unwrap_or_default();
            let named = images.iter().position(|input| input.name == name(current));
            let number = named.or_else(|| images.iter().position(|input| is_any(input) && !current.contains('@')));
            if let Some(number) = number {
                container["image"] = images[number].image.to_string().into();
                replaced[number] += 1;
            }
        });
    }
    let nothing = images.iter().zip(replaced).filter(|(input, count)| *count == 0 && !is_any(input));
    nothing.map(|(input, _)| replaced_nothing(&input.name, &names)).collect()
}

/// A stand-in of which not even the name is known.
fn is_any(input: &ImageInput) -> bool {
    input.image.is_stand_in() && input.name == input.image.repository
}

fn each_container(object: &mut Object, mut change: impl FnMut(&mut Value)) {
    let Some(at) = object.template_pointer() else { return };
    for list in LISTS {
        let containers = object.0.pointer_mut(&format!("{at}/spec/{list}")).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(&mut change);
    }
}

/// What is wrong with the images of objects: each must be a digest, and one that the run built (`built`, `sha256:…`) or the step
/// gives.
pub fn check(objects: &[Object], images: &[ImageInput], built: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    for object in objects {
        for (container, image) in used(object) {
            let at = format!("container {container} of {}", object.id());
            let Some((_, digest)) = image.rsplit_once('@') else {
                let short = name(&image);
                problems.push(if image.is_empty() {
                    format!("{at} has no image")
                } else {
                    format!("{at}: {image} is no digest; give images: {short}=REPOSITORY@sha256:…")
                });
                continue;
            };
            let given = images.iter().any(|input| input.image.digest == digest);
            if !given && !built.iter().any(|one| one == digest) {
                let short = name(&image);
                problems.push(format!(
                    "{at}: this run has not built {image}, and images does not give it; {short}={image}"
                ));
            }
        }
    }
    problems
}

/// Containers whose image is no digest: what a tag means may be another image tomorrow.
pub fn without_digest(object: &Object) -> Vec<String> {
    let tagged = used(object).into_iter().filter(|(_, image)| !image.contains('@'));
    let line = |(container, image): (String, String)| {
        format!("container {container} of {}: {image} is no digest; write it as {}@sha256:…", object.id(), name(&image))
    };
    tagged.map(line).collect()
}

/// Sets the image of one container: the named one, or the only one.
///
/// # Errors
/// `container "backend" not in retail-backend; it has: retail-backend`.
pub fn set_container(object: &mut Object, container: Option<&str>, image: &ImageRef) -> Result<(), String> {
    let at = object.template_pointer().unwrap_or("/none");
    let pointer = format!("{at}/spec/containers");
    let names: Vec<String> =
        object.list(&pointer).iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect();
    let number = match container {
        Some(wanted) => names.iter().position(|name| name == wanted),
        None if names.len() == 1 => Some(0),
        None => None,
    };
    let (workload, list) = (object.name().to_owned(), names.join(", "));
    let found = number.and_then(|number| object.0.pointer_mut(&format!("{pointer}/{number}")));
    let Some(found) = found else {
        return Err(match container {
            Some(wanted) => {
                let guess = crate::inputs::did_you_mean(wanted, names.iter().map(String::as_str));
                format!("container \"{wanted}\" not in {workload}; it has: {list}{guess}")
            }
            None => format!("{workload} has several containers; give container: {list}"),
        });
    };
    found["image"] = image.to_string().into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(images: &[&str]) -> Object {
        let containers: Vec<Value> = images
            .iter()
            .enumerate()
            .map(|(number, image)| json!({"name": format!("c{number}"), "image": image}))
            .collect();
        Object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"},
            "spec": {"template": {"spec": {"containers": containers, "initContainers": [{"name": "i", "image": images[0]}]}}}}))
    }

    fn given(name: &str) -> ImageInput {
        ImageInput::parse(&format!("{name}=r:5000/acme/shop@sha256:{}", "a".repeat(64))).unwrap()
    }

    #[test]
    fn an_image_is_set_by_name_wherever_it_is_used() {
        let mut objects = [deployment(&["r:5000/shop:dev", "redis@sha256:00"])];
        assert_eq!(replace(&mut objects, &[given("r:5000/shop")]), Vec::<String>::new());
        let digest = format!("r:5000/acme/shop@sha256:{}", "a".repeat(64));
        let images: Vec<String> = used(&objects[0]).into_iter().map(|(_, image)| image).collect();
        assert_eq!(images, [digest.clone(), "redis@sha256:00".to_owned(), digest]);
    }

    #[test]
    fn nothing_replaced_is_told_with_what_there_is() {
        let mut objects = [deployment(&["ghcr.io/acme/shop:1", "redis:7"])];
        assert_eq!(
            replace(&mut objects, &[given("shop")]),
            ["image \"shop\" replaced 0 containers; the manifests use: ghcr.io/acme/shop, redis"]
        );
    }

    #[test]
    fn a_stand_in_without_a_name_stands_for_every_tag() {
        let mut objects = [deployment(&["shop:1", "redis@sha256:00"])];
        let any = ImageInput::parse(&ImageRef::stand_in().to_string()).unwrap();
        assert_eq!(replace(&mut objects, std::slice::from_ref(&any)), Vec::<String>::new());
        let images: Vec<String> = used(&objects[0]).into_iter().map(|(_, image)| image).collect();
        let stand_in = any.image.to_string();
        assert_eq!(images, [stand_in.clone(), "redis@sha256:00".to_owned(), stand_in]);
        assert_eq!(replace(&mut [deployment(&["redis@sha256:00"])], &[any]), Vec::<String>::new());
    }

    #[test]
    fn containers_beside_the_one_that_is_set_must_have_a_digest() {
        assert_eq!(
            without_digest(&deployment(&["shop@sha256:00", "proxy:2"])),
            ["container c1 of Deployment/shop: proxy:2 is no digest; write it as proxy@sha256:…"]
        );
    }

    #[test]
    fn an_image_must_be_a_digest_that_is_known() {
        let objects = [deployment(&["shop:1", "redis@sha256:00"])];
        assert_eq!(
            check(&objects, &[], &[]),
            [
                "container c0 of Deployment/shop: shop:1 is no digest; give images: shop=REPOSITORY@sha256:…",
                "container c1 of Deployment/shop: this run has not built redis@sha256:00, and images does not give it; \
                 redis=redis@sha256:00",
                "container i of Deployment/shop: shop:1 is no digest; give images: shop=REPOSITORY@sha256:…",
            ]
        );
        assert_eq!(check(&objects[..0], &[], &[]), Vec::<String>::new());
    }

    #[test]
    fn one_container_of_a_live_workload_is_set() {
        let mut object = deployment(&["shop:1", "redis:7"]);
        let image = given("shop").image;
        let error = set_container(&mut object, Some("backend"), &image).unwrap_err();
        assert_eq!(error, "container \"backend\" not in shop; it has: c0, c1");
        assert_eq!(
            set_container(&mut object, None, &image).unwrap_err(),
            "shop has several containers; give container: c0, c1"
        );
        set_container(&mut object, Some("c1"), &image).unwrap();
        assert_eq!(used(&object)[1].1, image.to_string());
    }
}
