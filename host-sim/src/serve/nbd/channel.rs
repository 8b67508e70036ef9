//! The way to a client and back: sockets, and buffers that are used again for every request.
//!
//! A [`Channel`] receives on one thread. A plain one can be sent to by several threads, each whole replies; with TLS one thread
//! does everything. Deadlines are those of the socket, so that a client that stalls is noticed wherever it does.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes of data that are moved at once.
pub const PART: usize = 1 << 20;
/// Bytes around the data: headers, and small replies that wait to be sent together.
const MARGIN: usize = 64 << 10;
/// Room that a buffer begins with.
const FIRST: usize = 16 << 10;
/// Replies are sent at the latest when there are so many bytes of them.
const ENOUGH: usize = 256 << 10;

/// A connected socket of either kind.
#[derive(Debug)]
pub enum Socket {
    /// On this host.
    Unix(UnixStream),
    /// Through a network.
    Tcp(TcpStream),
}

impl Socket {
    /// Another handle of the same socket.
    ///
    /// # Errors
    /// The system's.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
        }
    }

    /// How long one transfer may take.
    ///
    /// # Errors
    /// The system's.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Some(timeout);
        match self {
            Self::Unix(socket) => socket.set_read_timeout(timeout).and_then(|()| socket.set_write_timeout(timeout)),
            Self::Tcp(socket) => socket.set_read_timeout(timeout).and_then(|()| socket.set_write_timeout(timeout)),
        }
    }

    /// The other side has ended it; what it had sent may still be there.
    pub fn is_gone(&self) -> bool {
        let asked = match self {
            Self::Unix(socket) => PollFd::new(socket, PollFlags::RDHUP),
            Self::Tcp(socket) => PollFd::new(socket, PollFlags::RDHUP),
        };
        let mut asked = [asked];
        // At once.
        let answered = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        answered.is_ok_and(|count| count > 0)
    }

    /// Ends the connection in one direction or in both.
    pub fn shutdown(&self, how: Shutdown) {
        // It may have ended already.
        let _ = match self {
            Self::Unix(socket) => socket.shutdown(how),
            Self::Tcp(socket) => socket.shutdown(how),
        };
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.read(buffer),
            Self::Tcp(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.write(bytes),
            Self::Tcp(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sending side of a plain channel, for several threads.
pub type Sender = Arc<Mutex<Socket>>;

/// Sends whole replies; nobody else's come in between.
///
/// # Errors
/// The client is gone, or has not read for too long.
pub fn send_to(sender: &Sender, bytes: &[u8]) -> io::Result<()> {
    sender.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
}

/// What a connection is made of.
pub trait Channel {
    /// At least one byte, as many as there are; 0 at the end.
    ///
    /// # Errors
    /// The connection's; [`io::ErrorKind::WouldBlock`] or [`io::ErrorKind::TimedOut`] if nothing came in time.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends what `send` writes, in one piece as far as other threads are concerned.
    ///
    /// # Errors
    /// The connection's.
    fn send_with(&mut self, send: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()>;

    /// How long one transfer may take from now on.
    ///
    /// # Errors
    /// The system's.
    fn set_timeout(&mut self, timeout: Duration) -> io::Result<()>;

    /// The client has ended the connection; what it had sent may still be there.
    fn is_gone(&self) -> bool;

    /// For replies from other threads; `None` if one thread must do everything.
    fn sender(&self) -> Option<Sender> {
        None
    }

    /// Sends whole replies.
    ///
    /// # Errors
    /// The connection's.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send_with(&mut |to| to.write_all(bytes))
    }
}

/// A socket without encryption.
#[derive(Debug)]
pub struct Plain {
    receiving: Socket,
    sending: Sender,
}

impl Plain {
    /// Over a socket.
    ///
    /// # Errors
    /// The system's.
    pub fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self { receiving: socket.try_clone()?, sending: Arc::new(Mutex::new(socket)) })
    }

    /// The socket.
    pub fn into_socket(self) -> Socket {
        self.receiving
    }
}

impl Channel for Plain {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receiving.read(buffer)
    }

    fn send_with(&mut self, send: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        send(&mut *self.sending.lock().unwrap_or_else(PoisonError::into_inner)).map_err(deaf)
    }

    fn set_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.receiving.set_timeout(timeout)
    }

    fn is_gone(&self) -> bool {
        self.receiving.is_gone()
    }

    fn sender(&self) -> Option<Sender> {
        Some(Arc::clone(&self.sending))
    }
}

/// What has been received and not yet been looked at.
#[derive(Debug)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// Empty, with room that grows with what is received.
    pub fn new() -> Self {
        Self { bytes: vec![0; FIRST], start: 0, end: 0 }
    }

    /// What is there.
    pub fn available(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Forgets so many bytes.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Receives until at least `count` bytes are there (at most [`PART`]). `between` requests a client may be silent for as long as
    /// it likes, or end the connection, which is told by false; within one it may do neither.
    ///
    /// # Errors
    /// The connection's; it ended or stalled too early.
    pub fn fill(
        &mut self,
        channel: &mut impl Channel,
        count: usize,
        between: bool,
        closing: &AtomicBool,
    ) -> io::Result<bool> {
        if count > self.bytes.len() {
            self.bytes.resize((2 * count).min(PART + MARGIN), 0);
        }
        while self.end - self.start < count {
            if self.bytes.len() - self.start < count {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            let idle = between && self.start == self.end;
            match channel.receive(&mut self.bytes[self.end..]) {
                Ok(0) if idle => return Ok(false),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => self.end += received,
                Err(error) if is_timeout(&error) && idle && !closing.load(Ordering::Relaxed) => {}
                Err(error) if is_timeout(&error) => return Err(stalled()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Default for Input {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether nothing happened in time.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// What it means when nothing could be sent in time.
pub(super) fn deaf(error: io::Error) -> io::Error {
    if is_timeout(&error) {
        io::Error::new(io::ErrorKind::TimedOut, "the client does not take its replies")
    } else {
        error
    }
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client stalled within a request")
}

/// Replies that wait to be sent together.
#[derive(Debug)]
pub struct Output {
    bytes: Vec<u8>,
    filled: usize,
}

impl Output {
    /// Empty, with room that grows with what is to be sent.
    pub fn new() -> Self {
        Self { bytes: vec![0; FIRST], filled: 0 }
    }

    /// Sends what is there.
    ///
    /// # Errors
    /// The connection's.
    pub fn send(&mut self, channel: &mut impl Channel) -> io::Result<()> {
        if self.filled > 0 {
            channel.send(&self.bytes[..self.filled])?;
            self.filled = 0;
        }
        Ok(())
    }

    /// Makes room for so many bytes (at most [`PART`] and headers), which may mean to send what is there.
    ///
    /// # Errors
    /// The connection's.
    pub fn reserve(&mut self, channel: &mut impl Channel, count: usize) -> io::Result<()> {
        if self.filled >= ENOUGH || PART + MARGIN - self.filled < count {
            self.send(channel)?;
        }
        let needed = self.filled + count;
        if needed > self.bytes.len() {
            self.bytes.resize((2 * needed).min(PART + MARGIN), 0);
        }
        Ok(())
    }

    /// Appends bytes for which there is room.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// The place behind what is there, to be filled before [`advance`](Self::advance).
    pub fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// So many bytes of the place behind are filled.
    pub fn advance(&mut self, count: usize) {
        self.filled += count;
    }
}

impl Default for Output {
    fn default() -> Self {
        Self::new()
    }
}

/// The time that is left until a moment, or that it has passed.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`].
pub fn time_left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"));
    }
    Ok(left)
}
