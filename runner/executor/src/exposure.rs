//! Folders of the host that steps in the sandbox may read: tool chains that live in a home.
//!
//! A tool finds itself by `PATH` and, where its manager keeps things elsewhere, by one variable; both follow from the
//! folder alone, so `expose:` lists folders and nothing else.

use std::path::{Path, PathBuf};

/// What a sandbox has always: the places of `PATH` below them need not be exposed.
const SYSTEM: [&str; 3] = ["/usr", "/bin", "/sbin"];

/// Appended to every `PATH`, as on GitHub's runners.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Name of a tool manager's folder and the variable that tells its programs where it is. Cargo's own home is not
/// among them: Cargo writes there, so each job has its own.
const HOMES: [(&str, &str); 5] = [
    (".rustup", "RUSTUP_HOME"),
    (".pyenv", "PYENV_ROOT"),
    (".rbenv", "RBENV_ROOT"),
    (".nvm", "NVM_DIR"),
    (".volta", "VOLTA_HOME"),
];

/// Folders, and the variables with which their tools are found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Absolute, existing folders; bound read-only at the same path.
    pub folders: Vec<PathBuf>,
    /// `RUSTUP_HOME` and the like; never `PATH`.
    pub environment: Vec<(String, String)>,
}

/// A folder that cannot be exposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExposureError {
    /// Not a full path.
    #[error("`{folder}` under `expose` is not an absolute path", folder = .0.display())]
    Relative(PathBuf),
    /// Not there.
    #[error("`{folder}` under `expose` is not a folder of this machine", folder = .0.display())]
    Missing(PathBuf),
    /// The job has another folder there.
    #[error(
        "`{folder}` under `expose` lies where every job has folders of its own; move it out of /tmp and the like",
        folder = .0.display()
    )]
    Own(PathBuf),
    /// It would show what the sandbox is there to hide.
    #[error("`{folder}` under `expose` would show too much of this machine; name the tool's own folder", folder = .0.display())]
    TooWide(PathBuf),
}

/// Never exposed: homes as a whole, and what a sandbox is there to hide.
const TOO_WIDE: [&str; 6] = ["/", "/home", "/root", "/etc", "/run", "/var"];

/// Every job has these of its own, with nothing of the host's in them.
const OWN: [&str; 5] = ["/tmp", "/var/tmp", "/proc", "/dev", "/home/runner"];

impl Exposure {
    /// Nothing of the host beyond what every sandbox has.
    pub fn none() -> Self {
        Self::default()
    }

    /// These folders; `home` stands for `~` and is itself too wide.
    pub fn of(folders: &[PathBuf], home: Option<&Path>) -> Result<Self, ExposureError> {
        let mut exposure = Self::default();
        for folder in folders {
            exposure.add(expand(folder, home), home)?;
        }
        Ok(exposure)
    }

    fn add(&mut self, folder: PathBuf, home: Option<&Path>) -> Result<(), ExposureError> {
        if !folder.is_absolute() {
            return Err(ExposureError::Relative(folder));
        }
        if OWN.iter().any(|own| folder.starts_with(own)) {
            return Err(ExposureError::Own(folder));
        }
        // A link to `/` is as wide as `/`.
        let Ok(real) = folder.canonicalize() else {
            return Err(ExposureError::Missing(folder));
        };
        if !real.is_dir() {
            return Err(ExposureError::Missing(folder));
        }
        let wide = TOO_WIDE.iter().any(|wide| real == Path::new(wide));
        if wide || home.is_some_and(|home| home.starts_with(&real)) {
            return Err(ExposureError::TooWide(folder));
        }
        let name = folder.file_name().and_then(|name| name.to_str());
        let variable = HOMES.iter().find(|(home, _)| Some(*home) == name);
        if let Some((_, variable)) = variable {
            let place = folder.display().to_string();
            self.environment.push(((*variable).to_owned(), place));
        }
        if !self.folders.contains(&folder) {
            self.folders.push(folder);
        }
        Ok(())
    }

    /// The steps' `PATH`: of the given one what a step can reach, then programs of exposed folders it left out, then
    /// the system's own places.
    pub fn path(&self, given: &str) -> String {
        let mut places: Vec<PathBuf> = Vec::new();
        let mut push = |place: PathBuf| {
            if !places.contains(&place) {
                places.push(place);
            }
        };
        let reachable = |place: &PathBuf| {
            let exposed = self.folders.iter().any(|folder| place.starts_with(folder));
            exposed || SYSTEM.iter().any(|system| place.starts_with(system))
        };
        std::env::split_paths(given).filter(reachable).for_each(&mut push);
        self.folders.iter().filter_map(|folder| programs(folder)).for_each(&mut push);
        std::env::split_paths(DEFAULT_PATH).for_each(&mut push);
        let places: Vec<_> = places.iter().map(|place| place.to_string_lossy()).collect();
        places.join(":")
    }
}

/// Where the folder's programs are.
fn programs(folder: &Path) -> Option<PathBuf> {
    if folder.file_name().is_some_and(|name| name == "bin") {
        return Some(folder.to_owned());
    }
    Some(folder.join("bin")).filter(|bin| bin.is_dir())
}

fn expand(folder: &Path, home: Option<&Path>) -> PathBuf {
    match (folder.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => folder.to_owned(),
    }
}

/// What `doctor` proposes to expose: the folders of tool chains on `path` that live below `home`.
pub fn propose(path: &str, home: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for place in std::env::split_paths(path) {
        let Ok(below) = place.strip_prefix(home) else {
            continue;
        };
        let Some(first) = below.components().next() else {
            continue;
        };
        let name = first.as_os_str().to_string_lossy().into_owned();
        let manager = home.join(&name);
        let folders = match name.as_str() {
            // Cargo's home holds credentials: only its programs are shown, with the tool chains behind them.
            ".cargo" => vec![manager.join("bin"), home.join(".rustup")],
            "go" => vec![manager.join("bin")],
            _ if HOMES.iter().any(|(home, _)| *home == name) => vec![manager],
            _ => vec![],
        };
        for folder in folders {
            if folder.is_dir() && !found.contains(&folder) {
                found.push(folder);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, PathBuf) {
        // Beside this program, because `/tmp` is each job's own.
        let program = std::env::current_exe().unwrap();
        let place = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let home = place.path().canonicalize().unwrap();
        for folder in [".cargo/bin", ".rustup/toolchains", ".pyenv/shims", "go/bin"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        (place, home)
    }

    #[test]
    fn a_tool_manager_is_found_by_its_variable_and_its_programs_by_path() {
        let (_place, home) = home();
        let folders = [PathBuf::from("~/.cargo/bin"), home.join(".rustup")];
        let exposure = Exposure::of(&folders, Some(&home)).unwrap();
        let rustup = home.join(".rustup").display().to_string();
        assert_eq!(exposure.environment, [("RUSTUP_HOME".to_owned(), rustup)]);
        let given = format!("{0}/secret/bin:/usr/local/go/bin:/opt/x/bin", home.display());
        let path = exposure.path(&given);
        let cargo = home.join(".cargo/bin").display().to_string();
        let wanted = format!("/usr/local/go/bin:{cargo}:{DEFAULT_PATH}");
        assert_eq!(path, wanted);
    }

    #[test]
    fn what_would_show_the_machine_is_refused() {
        let (_place, home) = home();
        let link = home.join("everything");
        std::os::unix::fs::symlink("/", &link).unwrap();
        for wide in [PathBuf::from("/"), home.clone(), PathBuf::from("~"), link] {
            let error = Exposure::of(std::slice::from_ref(&wide), Some(&home)).unwrap_err();
            assert!(matches!(error, ExposureError::TooWide(_)), "{wide:?}");
        }
        let missing = Exposure::of(&[home.join("nothing")], Some(&home)).unwrap_err();
        assert!(matches!(missing, ExposureError::Missing(_)));
        let own = Exposure::of(&["/tmp/tools".into()], None).unwrap_err();
        assert!(matches!(own, ExposureError::Own(_)));
        let relative = Exposure::of(&["go".into()], Some(&home)).unwrap_err();
        assert!(matches!(relative, ExposureError::Relative(_)));
    }

    #[test]
    fn the_proposal_is_the_tool_chains_on_path_below_the_home() {
        let (_place, home) = home();
        let at = |name: &str| home.join(name);
        let path = format!(
            "{}:{}:/usr/bin:{}",
            at(".cargo/bin").display(),
            at(".pyenv/shims").display(),
            at("scripts").display()
        );
        let wanted = [at(".cargo/bin"), at(".rustup"), at(".pyenv")];
        assert_eq!(propose(&path, &home), wanted);
    }
}
