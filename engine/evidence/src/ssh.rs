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

/// Signs `message` in `namespace` with `ssh-keygen -Y sign`. `key` is the file of a private key, or of a
/// public one whose private half an agent or a hardware key holds. Answers the armoured signature.
pub fn sign(key: &Path, namespace: &str, message: &[u8]) -> Result<String, SignError> {
    sign_with(Path::new("ssh-keygen"), key, namespace, message)
}

fn sign_with(program: &Path, key: &Path, namespace: &str, message: &[u8]) -> Result<String, SignError> {
    if !key.exists() {
        return Err(SignError::NoKey(key.to_owned()));
    }
    let mut child = Command::new(program)
        .args(["-Y", "sign", "-n", namespace, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SignError::NoProgram(key.to_owned()),
            _ => SignError::Run(error),
        })?;
    // A program that refuses the key may not read the message; what it says then matters more.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(message));
    let output = child.wait_with_output().map_err(SignError::Run)?;
    let signature = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || !signature.starts_with("-----BEGIN SSH SIGNATURE-----") {
        return Err(SignError::Refused {
            key: key.to_owned(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
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
        let key = dir.path().join("id");
        let error = sign(&key, "test", b"x").unwrap_err();
        assert!(error.to_string().contains(&key.display().to_string()));
        std::fs::write(&key, "not a key").unwrap();
        let error = sign_with(Path::new("no-such-program"), &key, "test", b"x").unwrap_err();
        assert!(matches!(error, SignError::NoProgram(_)));
        let error = sign(&key, "test", b"x").unwrap_err();
        assert!(matches!(error, SignError::Refused { .. }), "{error}");
    }
}
