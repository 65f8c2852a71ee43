//! How much an archive may ask for, and the reader that holds it to that while it streams.

use super::Refusal;
use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

/// Upper bounds of one archive. They are checked while bytes stream, so a bomb is stopped early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries, folders included.
    pub entries: u64,
    /// Most bytes after decompression, headers included.
    pub bytes: u64,
    /// Most bytes out for each byte in; 0 means no limit.
    pub ratio: u64,
    /// Bytes out from which the ratio is looked at, so that small, very regular archives pass.
    pub ratio_after: u64,
    /// Most folders above an entry.
    pub depth: usize,
}

impl Default for Limits {
    /// 200,000 entries, 16 GiB, 100:1 after the first 16 MiB, 128 folders deep.
    fn default() -> Self {
        Self { entries: 200_000, bytes: 16 << 30, ratio: 100, ratio_after: 16 << 20, depth: 128 }
    }
}

/// Counts the bytes that go into a decompressor.
pub(super) struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R> Counted<R> {
    pub(super) fn new(inner: R) -> (Self, Rc<Cell<u64>>) {
        let count = Rc::new(Cell::new(0));
        let shared = Rc::clone(&count);
        (Self { inner, count }, shared)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.count.set(self.count.get() + amount as u64);
        self.inner.consume(amount);
    }
}

/// Reads what comes out of a decompressor and fails once it is more than the limits allow.
pub(super) struct Metered<R> {
    inner: R,
    limits: Limits,
    out: u64,
    consumed: Option<Rc<Cell<u64>>>,
}

impl<R> Metered<R> {
    /// `consumed` counts the compressed bytes; without it no ratio is checked.
    pub(super) fn new(inner: R, limits: Limits, consumed: Option<Rc<Cell<u64>>>) -> Self {
        Self { inner, limits, out: 0, consumed }
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.out > self.limits.bytes {
            return Err(Refusal::TooLarge { limit: self.limits.bytes });
        }
        let Some(consumed) = &self.consumed else {
            return Ok(());
        };
        check_ratio(&self.limits, consumed.get(), self.out)
    }
}

/// Refuses `out` bytes made of `consumed` ones when that is more than the limits allow.
pub(super) fn check_ratio(limits: &Limits, consumed: u64, out: u64) -> Result<(), Refusal> {
    let allowed = consumed.max(1).saturating_mul(limits.ratio);
    if limits.ratio > 0 && out > limits.ratio_after && out > allowed {
        return Err(Refusal::Ratio { limit: limits.ratio });
    }
    Ok(())
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.out += read as u64;
        self.check().map_err(io::Error::other)?;
        Ok(read)
    }
}
