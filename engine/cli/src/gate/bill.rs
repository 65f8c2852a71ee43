//! The components of a release, out of the bill of materials that a job stored as an artifact.

use std::fs::File;
use std::path::Path;

use serde_json::Value;
use tagline_run::RunState;
use tagline_store::Store;

/// A larger document is not opened for a number.
const LARGEST: u64 = 64 * 1024 * 1024;

/// What a bill of materials lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bill {
    /// The artifact.
    pub(crate) artifact: String,
    /// Name and version of each component, in the document's order.
    pub(crate) components: Vec<(String, String)>,
}

/// The run's bill of materials; none where no job stored one, or it cannot be read.
pub(crate) fn find(store: &Store, state: &RunState) -> Option<Bill> {
    let (name, artifact) = state.artifacts.iter().find(|(_, artifact)| artifact.kind == "sbom")?;
    if artifact.size > LARGEST {
        return None;
    }
    let tar = File::open(store.blobs().path(&artifact.digest).ok()?).ok()?;
    let folder = tempfile::tempdir().ok()?;
    tagline_actions::artifact::unpack(tar, folder.path(), folder.path()).ok()?;
    let components = first_document(folder.path())?;
    Some(Bill { artifact: name.clone(), components })
}

fn first_document(folder: &Path) -> Option<Vec<(String, String)>> {
    let mut entries: Vec<_> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries.iter().find_map(|path| {
        if path.is_dir() {
            return first_document(path);
        }
        let document: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        components(&document)
    })
}

/// Of CycloneDX `components`, of SPDX `packages`.
fn components(document: &Value) -> Option<Vec<(String, String)>> {
    let text = |one: &Value, keys: [&str; 2]| {
        keys.iter().find_map(|key| one.get(key)?.as_str()).unwrap_or_default().to_owned()
    };
    let all = document.get("components").or_else(|| document.get("packages"))?.as_array()?;
    Some(all.iter().map(|one| (text(one, ["name", "name"]), text(one, ["version", "versionInfo"]))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_formats_list_their_components() {
        let cyclonedx = json!({"components": [{"name": "serde", "version": "1.0.0"}, {"name": "sqlite"}]});
        let spdx = json!({"packages": [{"name": "serde", "versionInfo": "1.0.0"}]});
        let serde = ("serde".to_owned(), "1.0.0".to_owned());
        assert_eq!(components(&cyclonedx).unwrap(), [serde.clone(), ("sqlite".to_owned(), String::new())]);
        assert_eq!(components(&spdx).unwrap(), [serde]);
        assert_eq!(components(&json!({"name": "x"})), None);
    }
}
