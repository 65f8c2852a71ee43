//! Random names: tokens and nonces, 128 bits from the kernel.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// 32 hex digits nobody can guess.
pub(crate) fn hex() -> io::Result<String> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(hex::encode(bytes))
}
