//! The record of a disk's writes, in the layout of `dm-log-writes`: QEMU's `blklogwrites` writes it for machines with a virtio or
//! `NVMe` disk, the firmware itself where the disk is a file of the host.

use std::{fs, path::Path};

/// What a disk was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Bytes written from a sector on.
    Write(u64, Vec<u8>),
    /// A flush.
    Flush,
}

const SECTOR: usize = 512;
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;

fn number(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..at + 8).expect("the record is whole");
    u64::from_le_bytes(field.try_into().expect("eight bytes"))
}

/// Reads a record.
pub fn read(path: &Path) -> Vec<Entry> {
    let bytes = fs::read(path).expect("a record of the writes");
    assert_eq!(number(&bytes, 0), MAGIC, "the record's first bytes");
    assert_eq!(number(&bytes, 24) as u32 as usize, SECTOR, "the record's sectors");
    let mut at = SECTOR;
    let mut entries = Vec::new();
    for _ in 0..number(&bytes, 16) {
        let (sector, count, flags) = (number(&bytes, at), number(&bytes, at + 8) as usize, number(&bytes, at + 16));
        at += SECTOR;
        if count > 0 {
            let data = bytes.get(at..at + count * SECTOR).expect("the record is whole");
            entries.push(Entry::Write(sector, data.to_vec()));
            at += count * SECTOR;
        }
        if flags & FLUSH != 0 {
            entries.push(Entry::Flush);
        }
    }
    entries
}

/// The same without flushes that follow on no write: QEMU does not pass them on.
fn needed(log: &[Entry]) -> Vec<&Entry> {
    let mut written = false;
    let needed = log.iter().filter(|entry| {
        let before = std::mem::replace(&mut written, matches!(entry, Entry::Write(..)));
        written || before
    });
    needed.collect()
}

/// The machine has asked its disk for the same as the scenario on the host, in the same order.
pub fn assert_same(machine: &str, log: &[Entry], expected: &[Entry]) {
    let (log, expected) = (needed(log), needed(expected));
    let differs = log.iter().zip(&expected).position(|(a, b)| a != b);
    let at = differs.unwrap_or(log.len().min(expected.len()));
    let what = |log: &[&Entry]| {
        log.get(at).map(|entry| match entry {
            Entry::Write(sector, bytes) => format!("{} bytes to sector {sector}", bytes.len()),
            Entry::Flush => "a flush".to_owned(),
        })
    };
    assert!(log == expected, "{machine}: entry {at} is {:?} instead of {:?}", what(&log), what(&expected));
}
