//! Our signatures and OpenSSH's: each accepts the other's, and both refuse what was changed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tagline_evidence::ssh::{SigningKey, VerifyError, claimed_key, fingerprint, sign, verify};

const NAMESPACE: &str = "tagline-test";
const MESSAGE: &[u8] = b"run 1 production 7d31c0e94b1a\n";

struct Key {
    dir: tempfile::TempDir,
}

impl Key {
    fn new(kind: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let status = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", "ana@example.com", "-t"])
            .args(kind)
            .arg("-f")
            .arg(dir.path().join("id"))
            .status()
            .unwrap();
        assert!(status.success());
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("id")
    }

    fn signing(&self) -> SigningKey {
        SigningKey::File(self.path())
    }

    fn public(&self) -> String {
        fs::read_to_string(self.dir.path().join("id.pub")).unwrap()
    }
}

fn openssh_accepts(key: &Key, message: &[u8], signature: &str) -> bool {
    let file = |name: &str, content: &str| {
        let path = key.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let signers = file("signers", &format!("ana@example.com {}", key.public()));
    let signature = file("signature", signature);
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-I", "ana@example.com", "-n", NAMESPACE, "-f"])
        .arg(&signers)
        .arg("-s")
        .arg(&signature)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(message).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn each_accepts_what_the_other_accepts_and_refuses_what_was_changed() {
    for kind in [&["ed25519"][..], &["ecdsa", "-b", "256"], &["ecdsa", "-b", "384"], &["rsa", "-b", "2048"]] {
        let key = Key::new(kind);
        let signature = sign(&key.signing(), NAMESPACE, MESSAGE).unwrap();
        assert!(openssh_accepts(&key, MESSAGE, &signature), "{kind:?}");
        verify(&key.public(), NAMESPACE, MESSAGE, &signature).unwrap();
        assert!(verify(&key.public(), NAMESPACE, b"other", &signature).is_err());
        assert!(!openssh_accepts(&key, b"other", &signature));
        let claimed = claimed_key(&signature).unwrap();
        assert_eq!(fingerprint(&claimed).unwrap(), fingerprint(&key.public()).unwrap());
    }
}

#[test]
fn a_namespace_or_a_key_is_not_exchanged() {
    let (key, other) = (Key::new(&["ed25519"]), Key::new(&["ed25519"]));
    let signature = sign(&key.signing(), NAMESPACE, MESSAGE).unwrap();
    let verdict = verify(&key.public(), "git", MESSAGE, &signature);
    assert!(matches!(verdict, Err(VerifyError::OtherNamespace { .. })));
    assert!(verify(&key.public(), "", MESSAGE, &signature).is_err());
    let verdict = verify(&other.public(), NAMESPACE, MESSAGE, &signature);
    assert!(matches!(verdict, Err(VerifyError::OtherKey { .. })));
}

#[test]
fn every_flipped_bit_of_a_signature_is_refused() {
    let key = Key::new(&["ed25519"]);
    let signature = sign(&key.signing(), NAMESPACE, MESSAGE).unwrap();
    for at in 0..signature.len() {
        for bit in 0..7 {
            let mut changed = signature.clone().into_bytes();
            changed[at] ^= 1 << bit;
            let changed = String::from_utf8(changed).unwrap();
            // Line ends may be of either kind; everything else carries meaning.
            if changed.split_whitespace().eq(signature.split_whitespace()) {
                continue;
            }
            assert!(verify(&key.public(), NAMESPACE, MESSAGE, &changed).is_err(), "bit {bit} of byte {at}");
        }
    }
    for at in 0..MESSAGE.len() {
        let mut changed = MESSAGE.to_vec();
        changed[at] ^= 1;
        assert!(verify(&key.public(), NAMESPACE, &changed, &signature).is_err());
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let key = Key::new(&["ed25519"]);
    let signature = sign(&key.signing(), NAMESPACE, MESSAGE).unwrap();
    for cut in 0..signature.trim_end().len() {
        assert!(verify(&key.public(), NAMESPACE, MESSAGE, &signature[..cut]).is_err(), "cut at {cut}");
    }
    for bad in ["", "x", "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n"] {
        assert!(verify(&key.public(), NAMESPACE, MESSAGE, bad).is_err());
    }
    for bad in ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5"] {
        assert!(verify(bad, NAMESPACE, MESSAGE, &signature).is_err());
        assert!(fingerprint(bad).is_err());
    }
}

#[test]
fn weak_rsa_keys_are_refused() {
    let key = Key::new(&["rsa", "-b", "1024"]);
    let signature = sign(&key.signing(), NAMESPACE, MESSAGE).unwrap();
    let verdict = verify(&key.public(), NAMESPACE, MESSAGE, &signature);
    assert!(matches!(verdict, Err(VerifyError::WeakKey(1024))), "{verdict:?}");
}

#[test]
fn fingerprints_are_those_of_openssh() {
    let key = Key::new(&["ed25519"]);
    let output = Command::new("ssh-keygen")
        .args(["-l", "-f"])
        .arg(Path::new(&key.path()).with_extension("pub"))
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains(&fingerprint(&key.public()).unwrap()));
}
