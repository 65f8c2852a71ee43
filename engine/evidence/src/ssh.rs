//! SSH signatures (`SSHSIG`), as Git makes them: signed by the `ssh-keygen` program, so that agents,
//! hardware keys and passphrases work as the user set them up; verified in process.
//!
//! Invariant: [`verify`] says yes only to a well-formed signature of these very bytes, in this
//! namespace, by this very key. Whatever cannot be read is a no.

use ssh_key::public::KeyData;
use ssh_key::{HashAlg, LineEnding, PublicKey, SshSig};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use thiserror::Error;

/// Shortest RSA key accepted, in bits.
const RSA_MIN: usize = 2048;

/// Why nothing was signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// There is no such key file.
    #[error("there is no signing key {}", .0.display())]
    NoKey(PathBuf),
    /// There is no `ssh-keygen`.
    #[error("the program `ssh-keygen` is not installed; it signs with the key {}", .0.display())]
    NoProgram(PathBuf),
    /// The program could not be run.
    #[error("ssh-keygen cannot be run: {0}")]
    Run(#[source] io::Error),
    /// The program refused.
    #[error("ssh-keygen did not sign with the key {}: {said}", key.display())]
    Refused {
        /// The key asked for.
        key: PathBuf,
        /// What the program said.
        said: String,
    },
}

/// Why a signature or a key is not accepted.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The public key cannot be read.
    #[error("the public key cannot be read: {0}")]
    Key(String),
    /// The key is too weak.
    #[error("the RSA key has {0} bits, fewer than 2048")]
    WeakKey(usize),
    /// The signature cannot be read.
    #[error("the signature cannot be read: {0}")]
    Signature(String),
    /// The signature is of another key.
    #[error("the signature is by {found}, not by {expected}")]
    OtherKey {
        /// Fingerprint of the key asked for.
        expected: String,
        /// Fingerprint of the key that signed.
        found: String,
    },
    /// The signature was made for another use.
    #[error("the signature is for `{found}`, not for `{expected}`")]
    OtherNamespace {
        /// The namespace asked for.
        expected: String,
        /// The one signed.
        found: String,
    },
    /// The signature does not fit the message.
    #[error("the signature does not fit the message")]
    Mismatch,
}

/// What to sign with, as Git's `user.signingKey` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningKey {
    /// The file of a private key, or of a public one whose private half an agent or a hardware key holds.
    File(PathBuf),
    /// A public key line; an agent holds the private half.
    Agent(String),
}

impl SigningKey {
    /// Reads a value of `user.signingKey` or `--key`: a public key line, with or without Git's `key::`
    /// before it, or else a path, where `~/` is `home`.
    pub fn parse(text: &str, home: Option<&Path>) -> Self {
        let text = text.trim();
        if let Some(line) = text.strip_prefix("key::") {
            return Self::Agent(line.to_owned());
        }
        if PublicKey::from_openssh(text).is_ok() {
            return Self::Agent(text.to_owned());
        }
        match (text.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => Self::File(home.join(rest)),
            _ => Self::File(PathBuf::from(text)),
        }
    }
}

/// Signs `message` in `namespace` with `ssh-keygen -Y sign`, which may ask for a passphrase on the
/// terminal or for a touch. Answers the armoured signature.
pub fn sign(key: &SigningKey, namespace: &str, message: &[u8]) -> Result<String, SignError> {
    sign_with(Path::new("ssh-keygen"), key, namespace, message)
}

fn sign_with(program: &Path, key: &SigningKey, namespace: &str, message: &[u8]) -> Result<String, SignError> {
    let mut command = Command::new(program);
    command.args(["-Y", "sign", "-n", namespace]);
    match key {
        SigningKey::File(path) if !path.exists() => Err(SignError::NoKey(path.clone())),
        SigningKey::File(path) => run(command.arg("-f").arg(path), path, message),
        SigningKey::Agent(line) => {
            let mut file = tempfile::NamedTempFile::new().map_err(SignError::Run)?;
            writeln!(file, "{line}").map_err(SignError::Run)?;
            run(command.args(["-U", "-f"]).arg(file.path()), Path::new(line), message)
        }
    }
}

/// Runs the program; `shown` is the key in messages.
fn run(command: &mut Command, shown: &Path, message: &[u8]) -> Result<String, SignError> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(
        |error| match error.kind() {
            io::ErrorKind::NotFound => SignError::NoProgram(shown.to_owned()),
            _ => SignError::Run(error),
        },
    )?;
    // A program that refuses the key may not read the message; what it says then matters more.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(message));
    let output = child.wait_with_output().map_err(SignError::Run)?;
    let signature = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || !signature.starts_with("-----BEGIN SSH SIGNATURE-----") {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(SignError::Refused { key: shown.to_owned(), said });
    }
    written.transpose().map_err(SignError::Run)?;
    Ok(signature)
}

/// Says whether `signature` (armoured) is of `message` in `namespace` by the key of `public_key`, a line
/// `TYPE BASE64 [COMMENT]`.
pub fn verify(public_key: &str, namespace: &str, message: &[u8], signature: &str) -> Result<(), VerifyError> {
    let key = parse_key(public_key)?;
    if let KeyData::Rsa(rsa) = key.key_data() {
        let bits = rsa.n.as_positive_bytes().map_or(0, |bytes| bytes.len() * 8);
        if bits < RSA_MIN {
            return Err(VerifyError::WeakKey(bits));
        }
    }
    let signature = parse_signature(signature)?;
    if signature.public_key() != key.key_data() {
        return Err(VerifyError::OtherKey {
            expected: key.fingerprint(HashAlg::Sha256).to_string(),
            found: signature.public_key().fingerprint(HashAlg::Sha256).to_string(),
        });
    }
    if namespace.is_empty() || signature.namespace() != namespace {
        return Err(VerifyError::OtherNamespace {
            expected: namespace.to_owned(),
            found: signature.namespace().to_owned(),
        });
    }
    key.verify(namespace, message, &signature).map_err(|_| VerifyError::Mismatch)
}

/// The fingerprint of a public key line, `SHA256:…`, as `ssh-keygen -l` prints it.
pub fn fingerprint(public_key: &str) -> Result<String, VerifyError> {
    Ok(parse_key(public_key)?.fingerprint(HashAlg::Sha256).to_string())
}

/// The public key line (without a comment) a signature says it is by. It proves nothing until
/// [`verify`] says yes.
pub fn claimed_key(signature: &str) -> Result<String, VerifyError> {
    let signature = parse_signature(signature)?;
    PublicKey::from(signature.public_key().clone()).to_openssh().map_err(|error| VerifyError::Key(error.to_string()))
}

fn parse_key(line: &str) -> Result<PublicKey, VerifyError> {
    PublicKey::from_openssh(line.trim()).map_err(|error| VerifyError::Key(error.to_string()))
}

/// Reads a signature, and only the one way of writing it: the library passes over a wrong length or
/// version, which are not among what is signed, so what it read is written again and compared.
fn parse_signature(armoured: &str) -> Result<SshSig, VerifyError> {
    let unreadable = |why: String| VerifyError::Signature(why);
    let signature: SshSig = armoured.parse().map_err(|error: ssh_key::Error| unreadable(error.to_string()))?;
    let again = signature.to_pem(LineEnding::LF).map_err(|error| unreadable(error.to_string()))?;
    if signature.version() != 1 || !again.split_whitespace().eq(armoured.split_whitespace()) {
        return Err(unreadable("it is not written in the usual way".to_owned()));
    }
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id");
        let key = SigningKey::File(path.clone());
        let error = sign(&key, "test", b"x").unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()));
        std::fs::write(&path, "not a key").unwrap();
        let error = sign_with(Path::new("no-such-program"), &key, "test", b"x").unwrap_err();
        assert!(matches!(error, SignError::NoProgram(_)));
        let error = sign(&key, "test", b"x").unwrap_err();
        assert!(matches!(error, SignError::Refused { .. }), "{error}");
    }

    /// An agent of a test's own; it ends with the test.
    struct Agent(std::process::Child);

    impl Drop for Agent {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_key_that_only_an_agent_holds_signs() {
        let dir = tempfile::tempdir().unwrap();
        let (path, socket, program) = (dir.path().join("id"), dir.path().join("sock"), dir.path().join("keygen"));
        let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(&path).status();
        assert!(made.unwrap().success());
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let mut child =
            Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let _agent = Agent(child);
        // It listens once it has said where.
        io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut String::new()).unwrap();
        let added = Command::new("ssh-add").arg("-q").arg(&path).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.unwrap().success());
        std::fs::remove_file(&path).unwrap();
        // The environment of a test is shared, so the program brings its own.
        let script = format!("#!/bin/sh\nSSH_AUTH_SOCK={} exec ssh-keygen \"$@\"\n", socket.display());
        std::fs::write(&program, script).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, executable).unwrap();
        let key = SigningKey::Agent(public.clone());
        let signature = sign_with(&program, &key, "test", b"x").unwrap();
        verify(&public, "test", b"x", &signature).unwrap();
    }

    #[test]
    fn keys_are_named_as_git_names_them() {
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJuFnDQnXl7yV0VhGsbV0FqzFzF1JbYBJmzQ3nXoQYvI";
        let home = Some(Path::new("/home/ana"));
        assert_eq!(SigningKey::parse(line, home), SigningKey::Agent(line.into()));
        assert_eq!(SigningKey::parse(&format!("key::{line}"), home), SigningKey::Agent(line.into()));
        assert_eq!(SigningKey::parse("~/.ssh/id", home), SigningKey::File("/home/ana/.ssh/id".into()));
        assert_eq!(SigningKey::parse("/keys/id", None), SigningKey::File("/keys/id".into()));
    }
}
