//! What an artifact is, by what is in it: the packed bytes are looked at, so nobody can change them afterwards.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Most files of an artifact that are looked into.
const MOST_DOCUMENTS: usize = 16;

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    File,
    /// Bills of materials and nothing else: CycloneDX or SPDX, as JSON.
    Sbom,
    /// An OCI image layout.
    Image,
}

impl Kind {
    /// The word the journal keeps.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Sbom => "sbom",
            Self::Image => "image",
        }
    }
}

/// What may stand at the top of a CycloneDX document (bom-1.6.schema.json, which allows nothing else).
const CYCLONEDX: &[&str] = &[
    "$schema",
    "specVersion",
    "serialNumber",
    "version",
    "metadata",
    "services",
    "externalReferences",
    "dependencies",
    "compositions",
    "vulnerabilities",
    "annotations",
    "formulation",
    "declarations",
    "definitions",
    "properties",
    "signature",
];
/// What may stand at the top of an SPDX document (SPDX 2.3 JSON schema, which allows nothing else).
const SPDX: &[&str] = &[
    "$schema",
    "SPDXID",
    "name",
    "dataLicense",
    "documentNamespace",
    "creationInfo",
    "comment",
    "annotations",
    "documentDescribes",
    "externalDocumentRefs",
    "files",
    "hasExtractedLicensingInfos",
    "relationships",
    "revieweds",
    "snippets",
];

/// What a bill of materials says at its top; the values are read past. Rules treat a bill as what is not deployed, so it
/// must be one strictly: a manifest that only calls itself a bill has keys that no bill has.
#[derive(Deserialize)]
struct Bill {
    #[serde(rename = "bomFormat")]
    cyclonedx: Option<String>,
    #[serde(rename = "spdxVersion")]
    spdx: Option<String>,
    components: Option<Vec<IgnoredAny>>,
    packages: Option<Vec<IgnoredAny>>,
    #[serde(flatten)]
    #[expect(clippy::zero_sized_map_values, reason = "only the keys count, and what is flattened must be a map")]
    rest: BTreeMap<String, IgnoredAny>,
}

impl Bill {
    fn is_one(&self) -> bool {
        let only = |known: &[&str]| self.rest.keys().all(|key| known.contains(&key.as_str()));
        match (&self.cyclonedx, &self.components, &self.spdx, &self.packages) {
            (Some(format), Some(_), None, None) => format == "CycloneDX" && only(CYCLONEDX),
            (None, None, Some(version), Some(_)) => version.starts_with("SPDX-") && only(SPDX),
            _ => false,
        }
    }
}

/// The kind of the artifact packed at `tar`, whose files are `paths`.
pub(super) fn of<'p>(tar: &Path, mut paths: impl ExactSizeIterator<Item = &'p Path> + Clone) -> io::Result<Kind> {
    let has = |name: &str| paths.clone().any(|path| path == Path::new(name));
    if has("oci-layout") && has("index.json") {
        return Ok(Kind::Image);
    }
    let is_json = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
    if paths.len() == 0 || paths.len() > MOST_DOCUMENTS || !paths.all(is_json) {
        return Ok(Kind::File);
    }
    for entry in tar::Archive::new(BufReader::new(File::open(tar)?)).entries()? {
        let bill = serde_json::from_reader::<_, Bill>(BufReader::new(entry?));
        if !bill.is_ok_and(|bill| bill.is_one()) {
            return Ok(Kind::File);
        }
    }
    Ok(Kind::Sbom)
}
