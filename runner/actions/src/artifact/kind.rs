//! What an artifact is, by what is in it. The engine decides by the very bytes it has stored: what a job says of them
//! proves nothing.

use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Deserializer;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};

use crate::extract::tarball::TarReader;
use crate::extract::{self, ExtractError, Policy};

/// Most files of an artifact that are looked into.
const MOST_DOCUMENTS: usize = 16;

/// A longer document is not read as a bill of materials: its strings would be kept in memory.
const LONGEST_DOCUMENT: u64 = 64 << 20;

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
    /// The kind of the artifact that is packed in `tar`. What is no artifact's tar is anything.
    pub fn of(tar: impl Read) -> Self {
        look(tar).unwrap_or(Self::File)
    }

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
    "bomFormat",
    "components",
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
    "spdxVersion",
    "packages",
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

/// Read by the one reader of archives, so that it sees the files that whoever unpacks it will see.
fn look(tar: impl Read) -> Result<Kind, ExtractError> {
    let mut archive = TarReader::open(tar, Policy::artifact().limits)?;
    let (mut marker, mut index) = (false, false);
    let (mut files, mut bills) = (0, true);
    while let Some(item) = archive.next()? {
        let path = item.name.as_path();
        let plain = matches!(item.kind, extract::Kind::File { .. });
        marker |= plain && path == Path::new("oci-layout");
        index |= plain && path == Path::new("index.json");
        files += 1;
        let json = path.extension().is_some_and(|extension| extension == "json");
        bills = bills && plain && json && files <= MOST_DOCUMENTS && is_bill(&mut archive);
    }
    Ok(match (marker && index, bills && files > 0) {
        (true, _) => Kind::Image,
        (_, true) => Kind::Sbom,
        _ => Kind::File,
    })
}

/// Rules treat a bill of materials as what is not deployed, so it must be one strictly: a manifest that only calls itself
/// a bill has keys that no bill has.
fn is_bill(document: impl Read) -> bool {
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(document.take(LONGEST_DOCUMENT)));
    let bill = json.deserialize_map(Top).is_ok_and(|top| top.is_bill());
    bill && json.end().is_ok()
}

/// What stands at the top of a document; the values are read past.
struct Top;

#[derive(Default)]
struct Found {
    cyclonedx: Option<String>,
    spdx: Option<String>,
    components: Option<Vec<IgnoredAny>>,
    packages: Option<Vec<IgnoredAny>>,
    /// Some key is not one of its kind's.
    not_cyclonedx: bool,
    not_spdx: bool,
}

impl Found {
    fn is_bill(&self) -> bool {
        match (&self.cyclonedx, &self.spdx) {
            (Some(format), None) => format == "CycloneDX" && self.components.is_some() && !self.not_cyclonedx,
            (None, Some(version)) => version.starts_with("SPDX-") && self.packages.is_some() && !self.not_spdx,
            _ => false,
        }
    }
}

impl<'de> Visitor<'de> for Top {
    type Value = Found;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a bill of materials")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Found, M::Error> {
        let mut found = Found::default();
        while let Some(key) = map.next_key::<String>()? {
            found.not_cyclonedx |= !CYCLONEDX.contains(&key.as_str());
            found.not_spdx |= !SPDX.contains(&key.as_str());
            if found.not_cyclonedx && found.not_spdx {
                return Err(M::Error::custom("it is no bill of materials"));
            }
            match key.as_str() {
                "bomFormat" => once(&mut found.cyclonedx, map.next_value()?)?,
                "spdxVersion" => once(&mut found.spdx, map.next_value()?)?,
                "components" => once(&mut found.components, map.next_value()?)?,
                "packages" => once(&mut found.packages, map.next_value()?)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// Of a key that stands there twice, readers take one or the other.
fn once<T, E: Error>(slot: &mut Option<T>, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("a key stands there twice")),
    }
}
