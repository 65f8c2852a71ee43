//! The forms of `uses`: actions in steps, workflows in jobs.

use crate::diagnostic::Diagnostic;
use crate::read::Reader;
use crate::tree::Node;

/// What a step's `uses` names, by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionRef<'u> {
    /// `docker://IMAGE`.
    Docker(&'u str),
    /// `./PATH`, in the workspace.
    Local(&'u str),
    /// `$/PATH`, in the workflow's own repository at its commit.
    Own(&'u str),
    /// `OWNER/REPOSITORY[/PATH]@REF`.
    Remote {
        /// `OWNER/REPOSITORY`.
        repository: &'u str,
        /// The rest of the path, without a slash before it; mostly empty.
        path: &'u str,
        /// After the `@`.
        reference: &'u str,
    },
}

impl<'u> ActionRef<'u> {
    /// Takes a `uses` apart; nothing where it has no known form.
    pub fn parse(uses: &'u str) -> Option<Self> {
        if let Some(image) = uses.strip_prefix("docker://") {
            return (!image.is_empty()).then_some(Self::Docker(image));
        }
        if let Some(path) = uses.strip_prefix("./").or_else(|| uses.strip_prefix(".\\")) {
            return Some(Self::Local(path));
        }
        if let Some(path) = uses.strip_prefix("$/") {
            return (!path.contains('@')).then_some(Self::Own(path));
        }
        let (name, reference) = uses.split_once('@')?;
        let (owner, rest) = name.split_once('/')?;
        let (repository, path) = rest.split_once('/').unwrap_or((rest, ""));
        let sound = !owner.is_empty() && !repository.is_empty() && !reference.is_empty() && !reference.contains('@');
        let end = owner.len() + 1 + repository.len();
        sound.then(|| Self::Remote { repository: &name[..end], path, reference })
    }

    /// The name that a made-up step id begins with, after its `__`.
    pub(super) fn id(self) -> &'u str {
        match self {
            Self::Docker(image) => image,
            Self::Local(_) | Self::Own(_) => "self",
            Self::Remote { repository, .. } => repository,
        }
    }
}

/// Reports a step's `uses` that has no known form.
pub(super) fn check_action(reader: &mut Reader<'_>, node: Node<'_>, uses: &str) {
    if ActionRef::parse(uses).is_none() {
        let named = uses.contains('/') && !uses.contains('@') && !uses.starts_with(['/', '.', '$']);
        let message = if named { format!("`{uses}` has no version") } else { format!("`{uses}` names no action") };
        let help = "write OWNER/REPOSITORY[/PATH]@REF, ./PATH, $/PATH or docker://IMAGE";
        reader.report(Diagnostic::error("bad-uses", node.span(), message).help(help));
    }
}

/// Reports a job's `uses` that names no workflow.
pub(super) fn check_workflow(reader: &mut Reader<'_>, node: Node<'_>, uses: &str) {
    if let Err(why) = workflow(uses) {
        let message = format!("`{uses}` names no workflow: {why}");
        let help = "write ./.github/workflows/FILE or OWNER/REPOSITORY/.github/workflows/FILE@REF";
        reader.report(Diagnostic::error("bad-uses", node.span(), message).help(help));
    }
}

fn workflow(uses: &str) -> Result<(), String> {
    if let Some(path) = uses.strip_prefix("./").or_else(|| uses.strip_prefix("$/")) {
        let path = in_folder(path).ok_or("it is not in `.github/workflows`")?;
        if path.contains('@') {
            return Err("a workflow of this repository has no version".to_owned());
        }
        return file(path);
    }
    let (path, version) = uses.split_once('@').unwrap_or((uses, ""));
    if version.is_empty() {
        return Err("it has no version".to_owned());
    }
    let mut parts = path.splitn(3, '/');
    let (owner, repository, rest) = (parts.next(), parts.next(), parts.next());
    let rest = rest.and_then(in_folder).ok_or("it is not in `.github/workflows`")?;
    let is_name = |name: &str, extra: &[char]| {
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || extra.contains(&letter))
    };
    if !owner.is_some_and(|owner| is_name(owner, &['-', '_', '.'])) {
        return Err("its owner is no name".to_owned());
    }
    if !repository.is_some_and(|repository| is_name(repository, &['-', '_', '.'])) {
        return Err("its repository is no name".to_owned());
    }
    file(rest)?;
    git_reference(version)
}

/// The path below a folder of workflows; GitHub takes `workflows-lab` as well.
fn in_folder(path: &str) -> Option<&str> {
    path.strip_prefix(".github/workflows/").or_else(|| path.strip_prefix(".github/workflows-lab/"))
}

fn file(path: &str) -> Result<(), String> {
    if path.contains('/') {
        return Err("it is in a folder below `.github/workflows`".to_owned());
    }
    let stem = path.strip_suffix(".yml").or_else(|| path.strip_suffix(".yaml"));
    match stem {
        Some(stem) if !stem.is_empty() => Ok(()),
        _ => Err("its name does not end in `.yml` or `.yaml`".to_owned()),
    }
}

/// Git's own rules for the name of a reference.
fn git_reference(version: &str) -> Result<(), String> {
    let forbidden = |letter: char| letter.is_ascii_control() || " ~^:?*[\\@".contains(letter);
    if let Some(letter) = version.chars().find(|letter| forbidden(*letter)) {
        return Err(format!("its version has the character `{letter}`"));
    }
    if version.contains("..") || version.contains("//") {
        return Err("its version has `..` or `//`".to_owned());
    }
    if version.starts_with(['/', '.']) || version.ends_with(['/', '.']) {
        return Err("its version begins or ends with `/` or `.`".to_owned());
    }
    // Git compares `.lock` as it is written.
    let is_lock = |part: &str| part.as_bytes().ends_with(b".lock");
    if version.split('/').any(|part| part.starts_with('.') || is_lock(part)) {
        return Err("its version is no name that Git accepts".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_actions() {
        let remote = ActionRef::Remote { repository: "a/b", path: "c/d", reference: "v1" };
        assert_eq!(ActionRef::parse("a/b/c/d@v1"), Some(remote));
        assert_eq!(ActionRef::parse("docker://alpine:3"), Some(ActionRef::Docker("alpine:3")));
        assert_eq!(ActionRef::parse("$/x"), Some(ActionRef::Own("x")));
        for wrong in ["checkout", "checkout@v4", "/repo@v4", "a/b", "a/b@", "a/b@v4@x", "docker://", "$/x@v1", ""] {
            assert_eq!(ActionRef::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn forms_of_workflows() {
        for right in
            ["./.github/workflows/a.yml", "o/r/.github/workflows/a.yaml@v1", "o/r/.github/workflows/a.yml@refs/heads/x"]
        {
            assert_eq!(workflow(right), Ok(()), "{right}");
        }
        for wrong in [
            "./a.yml",
            "./.github/workflows/a.yml@v1",
            "o/r/.github/workflows/a.yml",
            "o/r/.github/workflows/a.yml@v1?",
            "o/r/.github/workflows/a.yml@v1..v2",
            "o/r/.github/workflows/a.yml@a/b.lock",
            "o r/r/.github/workflows/a.yml@v1",
            "o/r/.github/workflows/x/a.yml@v1",
            "o/r/.github/workflows/a.sh@v1",
        ] {
            assert!(workflow(wrong).is_err(), "{wrong}");
        }
    }
}
