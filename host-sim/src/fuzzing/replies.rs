//! What a server's replies must be: one to each request, in chunks where that was agreed upon, with the bytes that a disk would
//! have. Written from the protocol, not from the server.

use std::collections::{BTreeMap, BTreeSet};

use super::stream::{BLOCK, SIZE};
use crate::serve::nbd::{
    codec::{Errno, Request},
    protocol::{CHUNK_MAGIC, SIMPLE_REPLY_MAGIC, chunk, command, command_flag},
};

/// What is expected as a reply.
#[derive(Debug)]
enum Reply {
    /// This number, 0 if it is done.
    Plain(u32),
    /// These bytes from this offset on.
    Data(u64, Vec<u8>),
    /// Extents of every context, over some of these bytes.
    Extents { length: u32, one: bool },
}

/// A disk, and what it has been asked.
pub(super) struct Expected {
    structured: bool,
    contexts: usize,
    read_only: bool,
    disk: Vec<u8>,
    replies: BTreeMap<u64, (u16, Reply)>,
    count: u64,
    ended: bool,
}

impl Expected {
    pub(super) fn new(structured: bool, contexts: usize, read_only: bool) -> Self {
        Self { structured, contexts, read_only, disk: vec![0; SIZE], replies: BTreeMap::new(), count: 0, ended: false }
    }

    /// Requests so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The client has said goodbye.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn add(&mut self, request: &Request, payload: &[u8]) {
        self.count += 1;
        if request.command == command::DISC {
            self.ended = true;
            return;
        }
        let reply = match self.refused(request) {
            Some(error) => Reply::Plain(error.number()),
            None => self.done(request, payload),
        };
        self.replies.insert(request.cookie, (request.command, reply));
    }

    fn refused(&self, request: &Request) -> Option<Errno> {
        use command::{BLOCK_STATUS, CACHE, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES};
        let flags = match request.command {
            READ => command_flag::FUA | command_flag::DF,
            WRITE | FLUSH | TRIM | CACHE => command_flag::FUA,
            WRITE_ZEROES => command_flag::FUA | command_flag::NO_HOLE | command_flag::FAST_ZERO,
            BLOCK_STATUS => command_flag::FUA | command_flag::REQ_ONE,
            _ => return Some(Errno::Invalid),
        };
        if request.flags & !flags != 0 {
            return Some(Errno::Invalid);
        }
        if request.command == FLUSH {
            return (request.offset != 0 || request.length != 0).then_some(Errno::Invalid);
        }
        if self.read_only && matches!(request.command, WRITE | TRIM | WRITE_ZEROES) {
            return Some(Errno::NotPermitted);
        }
        let end = u128::from(request.offset) + u128::from(request.length);
        if end > SIZE as u128 {
            let grows = matches!(request.command, WRITE | WRITE_ZEROES);
            return Some(if grows { Errno::NoSpace } else { Errno::Invalid });
        }
        if request.length == 0 || request.command == BLOCK_STATUS && self.contexts == 0 {
            return Some(Errno::Invalid);
        }
        let both = command_flag::NO_HOLE | command_flag::FAST_ZERO;
        (request.flags & both == both).then_some(Errno::NotSupported)
    }

    fn done(&mut self, request: &Request, payload: &[u8]) -> Reply {
        let from = usize::try_from(request.offset).unwrap_or(0);
        let end = from + usize::try_from(request.length).unwrap_or(0);
        match request.command {
            command::READ => return Reply::Data(request.offset, self.disk[from..end].to_vec()),
            command::BLOCK_STATUS => {
                return Reply::Extents { length: request.length, one: request.flags & command_flag::REQ_ONE != 0 };
            }
            command::WRITE => self.disk[from..end].copy_from_slice(payload),
            command::WRITE_ZEROES => self.disk[from..end].fill(0),
            command::TRIM => {
                // Whole blocks; the volume ends with one.
                let (first, last) = (from.next_multiple_of(BLOCK), end / BLOCK * BLOCK);
                if first < last {
                    self.disk[first..last].fill(0);
                }
            }
            _ => {}
        }
        Reply::Plain(0)
    }
}

/// Compares what was sent with what was expected. A client that does not end within a request has got every reply.
pub(super) fn check(expected: &Expected, mut sent: &[u8], whole: bool) {
    let mut answered = BTreeSet::new();
    let mut parts: BTreeMap<u64, Parts> = BTreeMap::new();
    while !sent.is_empty() {
        match number(sent, 0, 4) {
            magic if magic == u64::from(SIMPLE_REPLY_MAGIC) => {
                let cookie = number(sent, 8, 8);
                let length = simple(expected, sent, cookie);
                sent = &sent[16 + length..];
                assert!(answered.insert(cookie), "two replies to request {cookie}");
            }
            magic if magic == u64::from(CHUNK_MAGIC) => {
                let (flags, kind, cookie) = (number(sent, 4, 2), number(sent, 6, 2), number(sent, 8, 8));
                let length = usize::try_from(number(sent, 16, 4)).expect("a length");
                assert!(expected.structured, "a chunk that nobody agreed upon");
                parts.entry(cookie).or_default().add(kind, &sent[20..20 + length]);
                sent = &sent[20 + length..];
                if flags & u64::from(chunk::DONE) != 0 {
                    parts.remove(&cookie).expect("just added").compare(expected, cookie);
                    assert!(answered.insert(cookie), "two replies to request {cookie}");
                }
            }
            magic => panic!("a reply with the magic number {magic:#x}"),
        }
    }
    assert!(parts.is_empty(), "replies without their last chunk");
    assert!(
        !whole || answered.len() == expected.replies.len(),
        "{} replies are missing",
        expected.replies.len() - answered.len()
    );
}

/// A simple reply; the length of its data.
fn simple(expected: &Expected, sent: &[u8], cookie: u64) -> usize {
    let (asked, reply) = &expected.replies[&cookie];
    let error = number(sent, 4, 4);
    let chunks_only = matches!(*asked, command::READ | command::BLOCK_STATUS);
    assert!(!(expected.structured && chunks_only), "a simple reply to request {cookie}");
    match reply {
        Reply::Plain(number) => {
            assert_eq!(u64::from(*number), error, "request {cookie}: {asked}");
            0
        }
        Reply::Data(_, bytes) => {
            assert_eq!(error, 0, "request {cookie}");
            assert!(sent[16..16 + bytes.len()] == bytes[..], "request {cookie} read other bytes than a disk has");
            bytes.len()
        }
        Reply::Extents { .. } => panic!("a simple reply to request {cookie}"),
    }
}

/// The chunks of one reply.
#[derive(Default)]
struct Parts {
    error: Option<u64>,
    data: Vec<(u64, Vec<u8>)>,
    contexts: BTreeMap<u64, Vec<u64>>,
}

impl Parts {
    fn add(&mut self, kind: u64, payload: &[u8]) {
        match u16::try_from(kind).expect("two bytes") {
            chunk::OFFSET_DATA => self.data.push((number(payload, 0, 8), payload[8..].to_vec())),
            chunk::OFFSET_HOLE => {
                let length = usize::try_from(number(payload, 8, 4)).expect("a length");
                self.data.push((number(payload, 0, 8), vec![0; length]));
            }
            chunk::BLOCK_STATUS => {
                let lengths = payload[4..].chunks_exact(8).map(|extent| number(extent, 0, 4)).collect();
                let twice = self.contexts.insert(number(payload, 0, 4), lengths);
                assert!(twice.is_none(), "a context twice");
            }
            chunk::ERROR => self.error = Some(number(payload, 0, 4)),
            kind => panic!("a chunk of kind {kind}"),
        }
    }

    fn compare(self, expected: &Expected, cookie: u64) {
        let (_, reply) = &expected.replies[&cookie];
        match reply {
            Reply::Plain(number) => assert_eq!(self.error, Some(u64::from(*number)), "request {cookie}"),
            Reply::Data(offset, bytes) => {
                let mut found = vec![None; bytes.len()];
                for (at, data) in &self.data {
                    for (i, byte) in data.iter().enumerate() {
                        let place = &mut found[usize::try_from(at - offset).expect("inside") + i];
                        assert!(place.replace(*byte).is_none(), "a byte twice in request {cookie}");
                    }
                }
                assert!(self.error.is_none(), "request {cookie}");
                assert!(
                    found.iter().zip(bytes).all(|(found, byte)| *found == Some(*byte)),
                    "request {cookie} read other bytes"
                );
            }
            Reply::Extents { length, one } => {
                assert!(self.error.is_none() && self.contexts.len() == expected.contexts, "request {cookie}");
                for lengths in self.contexts.values() {
                    let sum: u64 = lengths.iter().sum();
                    assert!(
                        !lengths.contains(&0) && sum <= u64::from(*length) && sum > 0,
                        "request {cookie}: {lengths:?}"
                    );
                    assert!(!one || lengths.len() == 1, "request {cookie} asked for one extent");
                }
            }
        }
    }
}

fn number(bytes: &[u8], from: usize, count: usize) -> u64 {
    bytes[from..from + count].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
