//! `tagline/sbom@v1`: a bill of materials of a folder or of an image in an OCI layout.

use crate::digest::sha256;
use crate::inputs::{InputError, Inputs};
use crate::oci::{ImageTree, Layout, OciError, Platform};
use std::io;
use std::path::{Path, PathBuf};
use tagline_evidence::catalog::{Catalog, Problem, catalog, is_wanted};
use tagline_evidence::sbom::{Format, Subject, write};
use tagline_evidence::tree::{FolderTree, TreeError};
use thiserror::Error;

/// What stops the making of a bill of materials.
#[derive(Debug, Error)]
pub enum SbomError {
    /// An input is wrong.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The folder cannot be read.
    #[error("tagline/sbom {0}")]
    Tree(#[from] TreeError),
    /// The image cannot be read.
    #[error("tagline/sbom: {0}")]
    Oci(#[from] OciError),
    /// The document cannot be written.
    #[error("tagline/sbom cannot write {}: {source}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// What to describe and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SbomSpec {
    /// A folder, or an OCI layout, from the workspace.
    pub path: String,
    /// For a layout: the image's name in it; `None` means the only one.
    pub image: Option<String>,
    /// The format to write.
    pub format: Format,
    /// What it is about.
    pub subject: Subject,
    /// Where to write it, from the workspace.
    pub output: String,
}

/// A bill of materials that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbom {
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
    /// How many components it lists.
    pub components: usize,
    /// Manifests that could not be read; the document says it is incomplete when there are any.
    pub problems: Vec<Problem>,
}

impl SbomSpec {
    /// Reads the inputs.
    pub fn read(inputs: &Inputs) -> Result<Self, SbomError> {
        let text = |name: &str| inputs.text(name).map(str::to_owned);
        let format = match inputs.text("format").unwrap_or("cyclonedx") {
            "cyclonedx" => Format::CycloneDx,
            "spdx" => Format::Spdx,
            other => return Err(inputs.wrong("format", other, "cyclonedx or spdx").into()),
        };
        Ok(Self {
            path: text("path").unwrap_or_else(|| ".".to_owned()),
            image: text("image"),
            format,
            subject: Subject { name: text("name"), version: text("version"), timestamp: None },
            output: text("output").unwrap_or_else(|| "sbom.cdx.json".to_owned()),
        })
    }
}

/// Catalogs a folder, or where there is an OCI layout the image `reference` (or the only one) in it.
pub fn catalog_path(path: &Path, reference: Option<&str>) -> Result<Catalog, SbomError> {
    if reference.is_none() && !path.join("oci-layout").is_file() {
        return Ok(catalog(&FolderTree::new(path))?);
    }
    let layout = Layout::open(path)?;
    let tree = ImageTree::open(&layout, reference, &Platform::host(), is_wanted)?;
    Ok(catalog(&tree)?)
}

/// Writes the bill of materials that `spec` asks for.
pub fn make(spec: &SbomSpec, workspace: &Path) -> Result<Sbom, SbomError> {
    let catalog = catalog_path(&workspace.join(&spec.path), spec.image.as_deref())?;
    let document = write(&catalog, &spec.subject, spec.format);
    let path = workspace.join(&spec.output);
    let failed = |source| SbomError::Write { path: path.clone(), source };
    std::fs::write(&path, &document).map_err(failed)?;
    let digest = sha256(document.as_bytes()).map_err(failed)?;
    Ok(Sbom { sha256: hex::encode(digest), components: catalog.components.len(), problems: catalog.problems, path })
}
