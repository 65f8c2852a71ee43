//! Inputs of a step that is looked at before its run begins: images that the run has yet to build are read with a stand-in,
//! so that everything else can be looked at.

use indexmap::IndexMap;

use super::expression::{is_open, open_lines};
use crate::ImageRef;

/// The repository of an image that is not built yet; the top-level domain is nobody's.
const REPOSITORY: &str = "tagline.invalid/built-by-this-run";

impl ImageRef {
    /// An image that the run has yet to build.
    pub fn stand_in() -> Self {
        Self { repository: REPOSITORY.to_owned(), digest: format!("sha256:{}", "0".repeat(64)) }
    }

    /// Whether it stands for one that is not built yet.
    pub fn is_stand_in(&self) -> bool {
        *self == Self::stand_in()
    }
}

/// The inputs with a stand-in for each image that is not known yet; None where another input is not known.
///
/// A line of `images` keeps its name. One whose name is not known either stands for every image that is no digest.
pub fn with_stand_ins(with: &IndexMap<String, String>) -> Option<IndexMap<String, String>> {
    let settled = |(name, value): (&String, &String)| {
        let value = match name.to_ascii_lowercase().as_str() {
            _ if !is_open(value) => value.clone(),
            "image" => ImageRef::stand_in().to_string(),
            "images" => images(value),
            _ => return None,
        };
        Some((name.clone(), value))
    };
    with.iter().map(settled).collect()
}

fn images(text: &str) -> String {
    let line = |(line, open): (&str, bool)| match line.split_once('=') {
        _ if !open => line.to_owned(),
        Some((name, _)) if !name.contains("${{") && !name.contains("}}") => {
            format!("{}={}", name.trim(), ImageRef::stand_in())
        }
        _ => ImageRef::stand_in().to_string(),
    };
    text.lines().zip(open_lines(text)).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_are_not_built_yet_have_a_stand_in_and_nothing_else_has() {
        let stand_in = ImageRef::stand_in().to_string();
        let with = |pairs: &[(&str, &str)]| -> IndexMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let known = format!("redis=redis@sha256:{}", "a".repeat(64));
        let images = format!("shop=${{{{ needs.b.outputs.i }}}}\n{known}\n${{{{ needs.b.outputs.all }}}}");
        let found =
            with_stand_ins(&with(&[("images", &images), ("Image", "r@${{ x }}"), ("manifests", "k8s")])).unwrap();
        assert_eq!(found["images"], format!("shop={stand_in}\n{known}\n{stand_in}"));
        assert_eq!((found["Image"].as_str(), found["manifests"].as_str()), (stand_in.as_str(), "k8s"));
        assert_eq!(with_stand_ins(&with(&[("images", &images), ("watch", "${{ needs.b.outputs.watch }}")])), None);
        assert!(ImageRef::stand_in().is_stand_in());
    }
}
