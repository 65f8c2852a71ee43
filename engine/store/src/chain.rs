//! The hash chain over the journal: each row's hash covers the row and the hash before it, so a row that is changed,
//! removed or moved shows at the first row after it.

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::StoreError;

/// A row's hash.
pub(crate) type Hash = [u8; 32];

/// The hash before the first row.
pub(crate) const ROOT: Hash = [0; 32];

/// One journal row as the chain sees it.
#[derive(Debug, Clone)]
pub(crate) struct Row<'a> {
    pub(crate) number: u64,
    pub(crate) run: u64,
    pub(crate) seq: u64,
    pub(crate) at: i64,
    pub(crate) event: &'a str,
}

impl Row<'_> {
    /// The hash of this row after a row with hash `before`. Numbers are fixed-width, so no two rows share an encoding.
    pub(crate) fn hash(&self, before: &Hash) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(before);
        for number in [self.number, self.run, self.seq] {
            hasher.update(number.to_be_bytes());
        }
        hasher.update(self.at.to_be_bytes());
        hasher.update(self.event.as_bytes());
        hasher.finalize().into()
    }
}

/// What a check of the whole chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many rows.
    pub entries: u64,
    /// The newest row's hash, hex. Whoever keeps it elsewhere notices a journal cut short.
    pub head: String,
}

/// Checks every row.
///
/// # Errors
/// [`StoreError::Damaged`] names the first row that does not fit.
pub(crate) fn verify(connection: &Connection) -> Result<Verified, StoreError> {
    let mut statement = connection.prepare("SELECT number, run, seq, at, event, hash FROM journal ORDER BY number")?;
    let mut rows = statement.query([])?;
    let (mut entries, mut head) = (0, ROOT);
    while let Some(row) = rows.next()? {
        let damaged =
            |why: &str| StoreError::Damaged { what: format!("journal entry {}", entries + 1), why: why.to_owned() };
        let number: u64 = row.get(0)?;
        if number != entries + 1 {
            return Err(damaged("it is missing"));
        }
        let event: String = row.get(4).map_err(|_| damaged("its event is not text"))?;
        let (run, seq, at) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let stored: Vec<u8> = row.get(5)?;
        let hash = Row { number, run, seq, at, event: &event }.hash(&head);
        if stored != hash {
            return Err(damaged("its hash does not fit it and the entry before it"));
        }
        entries = number;
        head = hash;
    }
    Ok(Verified { entries, head: hex::encode(head) })
}
