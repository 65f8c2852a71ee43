//! `actions/download-artifact`: which artifacts go where, and unpacking them.

use super::ArtifactError;
use super::name::check_name;
use crate::extract::name::EntryName;
use crate::extract::{Extracted, Policy, extract_tar, extract_tar_at, folder};
use crate::glob::Segment;
use crate::inputs::Inputs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The inputs of `actions/download-artifact`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// One artifact; its files go straight into `path`.
    pub name: Option<String>,
    /// Without a name: only artifacts whose name it matches.
    pub pattern: Option<String>,
    /// The folder to unpack into, from the workspace; may begin with `~`.
    pub path: String,
    /// Without a name: all into `path`, and not a folder for each.
    pub merge_multiple: bool,
}

/// One artifact and the folder it goes into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The artifact's name.
    pub artifact: String,
    /// Where its files go: absolute.
    pub folder: PathBuf,
}

impl Download {
    /// Reads the inputs, the name checked.
    pub fn read(inputs: &Inputs) -> Result<Self, ArtifactError> {
        let name = inputs.text("name").map(str::to_owned);
        if let Some(name) = &name {
            check_name(name)?;
        }
        let pattern = inputs.text("pattern").map(str::to_owned);
        if let Some(pattern) = &pattern
            && pattern.contains(['{', '}', '(', ')', '!'])
        {
            return Err(ArtifactError::Pattern(pattern.clone()));
        }
        Ok(Self {
            name,
            pattern,
            path: inputs.text("path").unwrap_or("").to_owned(),
            merge_multiple: inputs.boolean("merge-multiple")?.unwrap_or(false),
        })
    }

    /// Which of the `available` artifacts go where, in their order. A name that is not there is an
    /// error; a pattern that matches nothing is not.
    pub fn place(
        &self,
        available: &[String],
        workspace: &Path,
        home: Option<&Path>,
    ) -> Result<Vec<Placement>, ArtifactError> {
        let base = self.folder(workspace, home);
        if let Some(name) = &self.name {
            if !available.contains(name) {
                return Err(ArtifactError::NotFound { name: name.clone(), available: available.to_vec() });
            }
            return Ok(vec![Placement { artifact: name.clone(), folder: base }]);
        }
        let pattern = self.pattern.as_deref().map(Segment::parse);
        let mut placements = Vec::new();
        for artifact in available {
            check_name(artifact)?;
            if pattern.as_ref().is_none_or(|pattern| pattern.matches(artifact)) {
                let folder = if self.merge_multiple { base.clone() } else { base.join(artifact) };
                placements.push(Placement { artifact: artifact.clone(), folder });
            }
        }
        Ok(placements)
    }

    fn folder(&self, workspace: &Path, home: Option<&Path>) -> PathBuf {
        match (self.path.strip_prefix('~'), home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                home.join(rest.trim_start_matches('/'))
            }
            _ if self.path.is_empty() => workspace.to_owned(),
            _ => workspace.join(&self.path),
        }
    }
}

/// Unpacks an artifact's tar into `folder`, made when missing. Beneath the workspace no link on the way
/// is followed, for a step may have left one there. Files of the same name are replaced.
pub fn unpack(tar: impl Read, workspace: &Path, folder: &Path) -> Result<Extracted, ArtifactError> {
    let policy = Policy::artifact();
    let inside = folder
        .strip_prefix(workspace)
        .ok()
        .filter(|rest| !rest.components().any(|part| part == std::path::Component::ParentDir));
    let Some(inside) = inside else {
        return Ok(extract_tar(tar, folder, &policy)?);
    };
    let spelled = Path::new(".").join(inside);
    let name = EntryName::parse(spelled.as_os_str().as_bytes(), policy.limits.depth)
        .map_err(|why| ArtifactError::Folder { path: folder.to_owned(), through: why.to_string() })?;
    let root = folder::open_trusted(workspace).map_err(ArtifactError::io("open", workspace))?;
    let target = folder::make_folders(&root, &name)
        .map_err(|_| ArtifactError::Folder { path: folder.to_owned(), through: name.to_string() })?;
    Ok(extract_tar_at(tar, &target, folder, &policy)?)
}
