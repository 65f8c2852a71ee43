//! `kustomize build`, by the real program.

use std::ffi::OsStr;

use super::documents::{Document, read};
use super::program::Program;
use super::scratch::Scratch;
use super::{Programs, RenderError};

const KUSTOMIZE: Program = Program {
    name: "kustomize",
    says: "kustomize build",
    wanted: "kustomize 5",
    from: "https://kubectl.docs.kubernetes.io/installation/kustomize/",
};

/// Plugins, functions and charts inside a kustomization stay off, which is the program's default; files are read from the
/// kustomization's own folder only.
pub(super) async fn build(scratch: &Scratch, path: &str, programs: &Programs) -> Result<Vec<Document>, RenderError> {
    let target = format!("./{path}");
    let arguments = ["build", "--load-restrictor", "LoadRestrictionsRootOnly", &target].map(OsStr::new);
    let output = programs.run(KUSTOMIZE, &arguments, &scratch.tree(), &scratch.home(), path).await?;
    read(&format!("kustomize build {path}"), &String::from_utf8_lossy(&output))
}
