//! Shells, with the very flags GitHub uses.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a script cannot be run.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum ShellError {
    /// No such program.
    #[error(
        "shell `{shell}` cannot be used: `{program}` is not in the PATH of the job ({path}); install it where the job runs, or name another `shell:`"
    )]
    Missing {
        /// As written in the workflow.
        shell: String,
        /// The program that is not there.
        program: String,
        /// Where it was looked for.
        path: String,
    },
    /// Neither built in nor a command with a place for the script.
    #[error(
        "shell `{0}` is not known: use bash, sh, python, pwsh or a command with `{{0}}` where the script's path goes"
    )]
    Unknown(String),
    /// `cmd` and `powershell` are programs of Windows.
    #[error("shell `{0}` exists on Windows only; this job runs on Linux")]
    Windows(String),
}

/// A way to run a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shell {
    program: PathBuf,
    /// With `{0}` where the script's path goes.
    arguments: Vec<String>,
    /// Of the script's file.
    pub extension: &'static str,
    pwsh: bool,
}

impl Shell {
    /// The shell a step asks for; none is the default, which in a container is always `sh`. Programs are looked up in
    /// `path`, the job's.
    pub(crate) fn find(name: Option<&str>, in_container: bool, path: &str) -> Result<Self, ShellError> {
        let Some(name) = name else {
            return match (in_container, Self::of("bash", "bash", &["-e", "{0}"], ".sh", path)) {
                (false, Ok(bash)) => Ok(bash),
                _ => Self::of("sh", "sh", &["-e", "{0}"], ".sh", path),
            };
        };
        let builtin = |program, arguments: &[&str], extension| Self::of(name, program, arguments, extension, path);
        match name.to_ascii_lowercase().as_str() {
            "bash" => builtin("bash", &["--noprofile", "--norc", "-e", "-o", "pipefail", "{0}"], ".sh"),
            "sh" => builtin("sh", &["-e", "{0}"], ".sh"),
            "python" => builtin("python", &["{0}"], ".py"),
            "pwsh" => {
                let mut shell = builtin("pwsh", &["-command", ". '{0}'"], ".ps1")?;
                shell.pwsh = true;
                Ok(shell)
            }
            "cmd" | "powershell" => Err(ShellError::Windows(name.to_owned())),
            _ => Self::custom(name, path),
        }
    }

    fn custom(line: &str, path: &str) -> Result<Self, ShellError> {
        let (program, arguments) = line.split_once(' ').unwrap_or((line, ""));
        if program.is_empty() || !arguments.contains("{0}") {
            return Err(ShellError::Unknown(line.to_owned()));
        }
        let name = program.rsplit('/').next().unwrap_or(program);
        let extension = match name {
            "bash" | "sh" => ".sh",
            "python" => ".py",
            "pwsh" => ".ps1",
            _ => "",
        };
        let words = split(arguments);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Self::of(line, program, &words, extension, path)
    }

    fn of(
        shell: &str,
        program: &str,
        arguments: &[&str],
        extension: &'static str,
        path: &str,
    ) -> Result<Self, ShellError> {
        let found = which(program, path).ok_or_else(|| ShellError::Missing {
            shell: shell.to_owned(),
            program: program.to_owned(),
            path: path.to_owned(),
        })?;
        Ok(Self {
            program: found,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            extension,
            pwsh: false,
        })
    }

    /// The program and its arguments for a script at `script`.
    pub(crate) fn command(&self, script: &str) -> (&Path, Vec<String>) {
        let arguments = self.arguments.iter().map(|word| word.replace("{0}", script));
        (&self.program, arguments.collect())
    }

    /// The line for the log.
    pub(crate) fn describe(&self) -> String {
        format!("{} {}", self.program.display(), self.arguments.join(" "))
    }

    /// The script as the shell gets it: PowerShell stops at errors and hands on the code of the last program only when
    /// it is told to.
    pub(crate) fn dress(&self, script: &str) -> String {
        if !self.pwsh {
            return format!("{script}\n");
        }
        format!(
            "$ErrorActionPreference = 'stop'\n{script}\nif ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) \
             {{ exit $LASTEXITCODE }}\n"
        )
    }
}

/// The words of a command line; double quotes keep spaces.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' | '\t' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// The program as the system would find it.
fn which(program: &str, path: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runnable = |place: &PathBuf| {
        std::fs::metadata(place).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(runnable);
    }
    std::env::split_paths(path).map(|folder| folder.join(program)).find(runnable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/usr/bin:/bin";

    fn line(name: Option<&str>, in_container: bool) -> String {
        let shell = Shell::find(name, in_container, PATH).unwrap();
        let (program, arguments) = shell.command("/t/1.sh");
        let program = program.file_name().unwrap().to_string_lossy();
        format!("{program} {}", arguments.join(" "))
    }

    #[test]
    fn flags_are_github_s() {
        assert_eq!(line(None, false), "bash -e /t/1.sh");
        assert_eq!(line(None, true), "sh -e /t/1.sh");
        assert_eq!(line(Some("bash"), false), "bash --noprofile --norc -e -o pipefail /t/1.sh");
        assert_eq!(line(Some("SH"), false), "sh -e /t/1.sh");
        assert_eq!(line(Some("bash -x \"a b\" {0}"), false), "bash -x a b /t/1.sh");
        assert_eq!(line(Some("perl {0} -- {0}"), false), "perl /t/1.sh -- /t/1.sh");
    }

    #[test]
    fn what_cannot_run_is_named() {
        let missing = Shell::find(Some("pwsh"), false, "/nowhere").unwrap_err();
        assert!(missing.to_string().contains("`pwsh` is not in the PATH"), "{missing}");
        assert_eq!(Shell::find(Some("perl"), false, PATH), Err(ShellError::Unknown("perl".into())));
        assert_eq!(Shell::find(Some("perl -x"), false, PATH), Err(ShellError::Unknown("perl -x".into())));
        assert_eq!(Shell::find(Some("cmd"), false, PATH), Err(ShellError::Windows("cmd".into())));
    }
}
