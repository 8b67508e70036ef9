//! What takes long on a connection, on a thread of its own: flushes, and the trimming, zeroing and caching of large ranges.
//!
//! Reads and writes of the same connection go on meanwhile. The thread takes everything that waits, does it, and then waits for
//! one flush for all of it. It begins with the first request of its kind.

use std::{
    net::Shutdown,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use super::{
    channel::{Sender, send_to},
    codec::{Errno, Request, simple_reply},
    export::{Answer, Export},
    protocol::{command, command_flag},
};
use crate::serve::room::Patience;

/// Requests that can wait; the connection is not read further before there is room.
const WAITING: usize = 64;
/// Ranges up to this length are trimmed and zeroed at once.
const SHORT: u32 = 1 << 20;

/// The request takes long enough to be handed over.
pub fn takes_long(request: &Request) -> bool {
    match request.command {
        command::TRIM | command::WRITE_ZEROES => {
            request.length > SHORT || request.has(command_flag::FUA | command_flag::NO_HOLE)
        }
        command::FLUSH | command::CACHE => true,
        _ => false,
    }
}

/// The reply has to wait for a flush.
pub fn is_durable(request: &Request) -> bool {
    match request.command {
        command::FLUSH => true,
        command::WRITE | command::TRIM | command::WRITE_ZEROES => request.has(command_flag::FUA),
        _ => false,
    }
}

/// Does what a request without payload asks for, save for the flush; where it has to wait for room, with patience. The data of a write has
/// been written before.
///
/// # Errors
/// The pool's.
pub fn perform(export: &Export, request: &Request, closing: &AtomicBool, patience: Patience<'_>) -> Answer {
    let (offset, length) = (request.offset, u64::from(request.length));
    match request.command {
        command::TRIM => export.trim(offset, length, closing),
        command::WRITE_ZEROES if request.has(command_flag::NO_HOLE) => {
            // Zeros that take space have to be written, which is as fast as writing.
            if request.has(command_flag::FAST_ZERO) {
                Err(Errno::NotSupported)
            } else {
                export.fill(offset, length, closing, patience)
            }
        }
        command::WRITE_ZEROES => export.zero(offset, length, closing),
        command::CACHE => export.cache(offset, length, closing),
        _ => Ok(()),
    }
}

/// The thread.
#[derive(Debug)]
pub struct Completer {
    requests: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Completer {
    /// Starts it; `None` if the system has no thread to give, and the connection has to do everything itself.
    pub fn start(export: &Arc<Export>, sender: Sender, closing: &Arc<AtomicBool>) -> Option<Self> {
        let (requests, waiting) = sync_channel(WAITING);
        let (export, closing) = (Arc::clone(export), Arc::clone(closing));
        let work = move || complete(&export, &waiting, &sender, &closing);
        let thread = thread::Builder::new().name("nbd-completer".into()).spawn(work).ok()?;
        Some(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Hands over a request, which is then answered from there.
    pub fn take(&self, request: Request) {
        if let Some(requests) = &self.requests {
            // The thread ends only after this sender is gone.
            let _ = requests.send(request);
        }
    }
}

impl Drop for Completer {
    /// Returns when nothing is in flight any more.
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn complete(export: &Export, waiting: &Receiver<Request>, sender: &Sender, closing: &AtomicBool) {
    let mut replies = Vec::new();
    let mut durable = Vec::new();
    while let Ok(first) = waiting.recv() {
        for request in std::iter::once(first).chain(waiting.try_iter().take(WAITING)) {
            let mut patience = || {
                let gone = sender.lock().unwrap_or_else(PoisonError::into_inner).is_gone();
                !gone && !closing.load(Ordering::Relaxed)
            };
            match perform(export, &request, closing, &mut patience) {
                Ok(()) if is_durable(&request) => durable.push(request.cookie),
                answer => {
                    // Nothing more is done for somebody who has gone while he waited.
                    closing.fetch_or(answer == Err(Errno::Shutdown), Ordering::Relaxed);
                    replies.extend_from_slice(&simple_reply(request.cookie, answer.err()));
                }
            }
        }
        if !durable.is_empty() {
            let failed = export.flush().err();
            for cookie in durable.drain(..) {
                replies.extend_from_slice(&simple_reply(cookie, failed));
            }
        }
        if send_to(sender, &replies).is_err() {
            // The thread that receives then finds the end.
            sender.lock().unwrap_or_else(PoisonError::into_inner).shutdown(Shutdown::Both);
        }
        replies.clear();
    }
}
