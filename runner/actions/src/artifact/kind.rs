//! What an artifact is, by what is in it: the packed bytes are looked at, so nobody can change them afterwards.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

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

/// What a bill of materials says at its top; the rest is read past.
#[derive(Deserialize)]
struct Bill {
    #[serde(rename = "bomFormat")]
    cyclonedx: Option<String>,
    #[serde(rename = "spdxVersion")]
    spdx: Option<String>,
    components: Option<Vec<IgnoredAny>>,
    packages: Option<Vec<IgnoredAny>>,
}

impl Bill {
    fn is_one(&self) -> bool {
        let cyclonedx = self.cyclonedx.as_deref() == Some("CycloneDX") && self.components.is_some();
        let spdx = self.spdx.as_deref().is_some_and(|version| version.starts_with("SPDX-")) && self.packages.is_some();
        cyclonedx || spdx
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
