//! Secrets at rest: sealed with XChaCha20-Poly1305 under a key that is not in the database.
//!
//! The scope and the name are authenticated with each value, so a sealed value copied to another name or environment
//! does not open. A copy of the database alone tells the names, never a value.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{StoreError, StoreFolder};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Whose secret it is: a repository's, or one environment's of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretScope {
    /// Where the repository is on this machine.
    pub root: String,
    /// The environment, lower case; none for the repository's own.
    pub environment: Option<String>,
}

impl SecretScope {
    fn key(&self) -> String {
        match &self.environment {
            Some(environment) => format!("{}\n{}", self.root, environment.to_lowercase()),
            None => self.root.clone(),
        }
    }
}

/// A secret's name, with whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSecret {
    /// The environment, lower case; none for the repository's own.
    pub environment: Option<String>,
    /// The name.
    pub name: String,
    /// When it was set, milliseconds since the epoch.
    pub updated_at: i64,
}

/// Seals a value under a name (upper case) and stores it.
pub(crate) fn set(
    connection: &Connection,
    folder: &StoreFolder,
    scope: &SecretScope,
    name: &str,
    value: &str,
    at: i64,
) -> Result<(), StoreError> {
    let scope = scope.key();
    let cipher = cipher(folder)?;
    let nonce: [u8; NONCE_BYTES] = random()?;
    let aad = associated(&scope, name);
    let ciphertext =
        cipher.encrypt(&XNonce::from(nonce), Payload { msg: value.as_bytes(), aad: &aad }).map_err(|_| {
            StoreError::Damaged { what: format!("secret {name}"), why: "it is too long to seal".to_owned() }
        })?;
    let mut sealed = nonce.to_vec();
    sealed.extend(ciphertext);
    connection.execute(
        "INSERT INTO secrets (scope, name, sealed, updated_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (scope, name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at",
        params![scope, name, sealed, at],
    )?;
    Ok(())
}

/// Opens a secret; none when it is not set.
pub(crate) fn get(
    connection: &Connection,
    folder: &StoreFolder,
    scope: &SecretScope,
    name: &str,
) -> Result<Option<String>, StoreError> {
    let scope = scope.key();
    let sealed: Option<Vec<u8>> = connection
        .query_row("SELECT sealed FROM secrets WHERE scope = ?1 AND name = ?2", params![scope, name], |row| row.get(0))
        .optional()?;
    let Some(sealed) = sealed else { return Ok(None) };
    let damaged = || StoreError::Damaged {
        what: format!("secret {name}"),
        why: "it does not open with this store's key; set it again".to_owned(),
    };
    let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(damaged)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| damaged())?;
    let aad = associated(&scope, name);
    let opened =
        cipher(folder)?.decrypt(&XNonce::from(nonce), Payload { msg: ciphertext, aad: &aad }).map_err(|_| damaged())?;
    String::from_utf8(opened).map(Some).map_err(|_| damaged())
}

/// Names in a scope, with when each was set, milliseconds since the epoch.
pub(crate) fn list(connection: &Connection, scope: &SecretScope) -> Result<Vec<(String, i64)>, StoreError> {
    let mut statement = connection.prepare("SELECT name, updated_at FROM secrets WHERE scope = ?1 ORDER BY name")?;
    let rows = statement.query_map([scope.key()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Names of a repository and of all its environments, the repository's own first: environment, name, when it was set.
pub(crate) fn list_all(connection: &Connection, root: &str) -> Result<Vec<ListedSecret>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT CASE WHEN scope = ?1 THEN NULL ELSE substr(scope, length(?1) + 2) END AS environment, name, updated_at
         FROM secrets WHERE scope = ?1 OR substr(scope, 1, length(?1) + 1) = ?1 || char(10)
         ORDER BY environment NULLS FIRST, name",
    )?;
    let rows = statement.query_map([root], |row| {
        Ok(ListedSecret { environment: row.get(0)?, name: row.get(1)?, updated_at: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes a secret; says whether it was there.
pub(crate) fn remove(connection: &Connection, scope: &SecretScope, name: &str) -> Result<bool, StoreError> {
    Ok(connection.execute("DELETE FROM secrets WHERE scope = ?1 AND name = ?2", params![scope.key(), name])? > 0)
}

/// Scope and name, length first, so that no two pairs share bytes.
fn associated(scope: &str, name: &str) -> Vec<u8> {
    let mut bytes = (scope.len() as u64).to_be_bytes().to_vec();
    bytes.extend(scope.as_bytes());
    bytes.extend(name.as_bytes());
    bytes
}

fn cipher(folder: &StoreFolder) -> Result<XChaCha20Poly1305, StoreError> {
    let path = folder.key();
    let key = match fs::read(&path) {
        Ok(key) => key,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_key(folder)?,
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    let key: [u8; KEY_BYTES] = key.try_into().map_err(|_| StoreError::Damaged {
        what: path.display().to_string(),
        why: format!("it is not {KEY_BYTES} bytes long"),
    })?;
    Ok(XChaCha20Poly1305::new(&Key::from(key)))
}

fn make_key(folder: &StoreFolder) -> Result<Vec<u8>, StoreError> {
    let path = folder.key();
    let key: [u8; KEY_BYTES] = random()?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder.root()).map_err(StoreError::io("create", &path))?;
    temporary.write_all(&key).map_err(StoreError::io("write", &path))?;
    temporary.as_file().sync_all().map_err(StoreError::io("sync", &path))?;
    match temporary.persist_noclobber(&path) {
        Ok(_) => Ok(key.to_vec()),
        // Another process made one in the meantime: that one counts.
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            fs::read(&path).map_err(StoreError::io("read", &path))
        }
        Err(error) => Err(StoreError::io("rename", &path)(error.error)),
    }
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            .map_err(|error| StoreError::io("read", "/dev/urandom")(error.into()))?;
    }
    Ok(bytes)
}

/// Opens a file for its owner only; used by the backup.
pub(crate) fn owner_only(path: &std::path::Path) -> Result<fs::File, StoreError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(StoreError::io("create", path))
}
