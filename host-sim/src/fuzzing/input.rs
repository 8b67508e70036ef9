//! From bytes to steps of a run.
//!
//! Every byte string is a valid run: choices are taken modulo what there is to choose from, and where the bytes end the run ends.
//! Each choice takes one byte where it can, so that a change of one byte is a small change of the run.

use arbitrary::Unstructured;

use crate::sim::{Fate, Op};

/// Steps of a run, at most: longer inputs find nothing that several short ones do not, and slow the fuzzer down.
pub(super) const STEPS: usize = 64;

/// The bytes that are left.
pub(super) struct Input<'a> {
    bytes: Unstructured<'a>,
    steps: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: Unstructured::new(bytes), steps: 0 }
    }

    /// There is another step.
    pub(super) fn goes_on(&mut self) -> bool {
        self.steps += 1;
        !self.bytes.is_empty() && self.steps <= STEPS
    }

    /// A number; 0 behind the end.
    pub(super) fn byte(&mut self) -> u8 {
        self.bytes.arbitrary().unwrap_or(0)
    }

    /// A number of eight bytes.
    pub(super) fn long(&mut self) -> u64 {
        self.bytes.arbitrary().unwrap_or(0)
    }

    /// A number of two bytes.
    pub(super) fn short(&mut self) -> u16 {
        self.bytes.arbitrary().unwrap_or(0)
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        self.bytes.bytes(self.bytes.len()).unwrap_or(&[])
    }

    /// An operation, of a kind given by `kind`. Few distinct tags find what unique ones hide.
    pub(super) fn op(&mut self, kind: u8) -> Op {
        match kind % 16 {
            0..=3 => {
                let (pick, sector, count) = self.span();
                Op::Write(pick, sector, count, 1 + u64::from(kind >> 4) % 4)
            }
            4 => {
                let (pick, sector, count) = self.span();
                Op::Zero(pick, sector, count)
            }
            5 => {
                let (pick, sector, count) = self.span();
                Op::Discard(pick, sector, count)
            }
            6 | 7 => Op::Flush,
            8 => Op::Snapshot(self.byte()),
            9 => Op::Rollback(self.byte(), self.byte(), kind & 16 != 0),
            10 => Op::Clone(self.byte()),
            11 => Op::Delete(self.byte()),
            12 => Op::Merge(u16::from(self.byte())),
            13 => Op::Resize(kind >> 4, 1 + u16::from(self.byte()) % 48),
            14 => Op::Checkpoint,
            _ => Op::Kill,
        }
    }

    /// A volume, its first sector and how many of them.
    fn span(&mut self) -> (u8, u16, u8) {
        let (place, size) = (self.byte(), self.byte());
        (size >> 4, u16::from(place), 1 + size % 16)
    }

    /// What becomes of each pending sector.
    pub(super) fn fates(&mut self) -> impl Fn(usize) -> Fate + use<> {
        let choices = self.long();
        move |i| match (choices >> (2 * (i % 32))) & 3 {
            0 => Fate::New,
            1 => Fate::Garbage,
            _ => Fate::Old,
        }
    }
}
