//! The control socket: how `cowl` commands work on a pool that is being served.
//!
//! A command that finds its pool in use looks for the socket beside it, and if there is one works on the pool call by call: its
//! verb runs in its own process, with its own files, terminal and signals, as if it had opened the pool itself, and each call on
//! the pool travels over the socket ([`Remote`]) to the server ([`Listener`]). So the results are the same by construction; the
//! server never touches a path, descriptor or terminal of a command; and between any two calls others have their turn.
//! `docs/CONTROL.md` describes what is sent.
//!
//! * The socket is its owner's alone: mode 0600 from its first moment, and who connects is asked of the kernel.
//! * Whatever arrives is bounded: messages, data, connections, and the time that half a message may take. A command that says
//!   nothing holds nothing but its own thread; the pool is never locked while the server waits for a command.
//! * A connection that ends, for whatever reason, ends between two calls. Attachments that it staged and did not bind are deleted.

mod answer;
mod beside;
mod call;
mod connection;
mod data;
mod fields;
mod long;
mod place;
mod remote;
mod wire;

use std::{
    collections::HashMap,
    io,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{clients::Clients, merger, metrics::Metrics, room::Room, shared::Shared};

pub use place::socket_of;
pub use remote::Remote;

/// Commands at one time; one more is told to come again.
const MOST: usize = 64;

/// What commands work on.
#[derive(Debug, Clone)]
pub struct Service {
    /// The pool.
    pub shared: Arc<Shared>,
    /// Who uses its layers.
    pub clients: Arc<Clients>,
    /// Its merge in the background.
    pub merge: Arc<merger::State>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the file system below has left.
    pub room: Arc<Room>,
    /// Taken by whoever checks the pool.
    pub checks: Arc<Mutex<()>>,
}

/// The server's end: threads that answer commands until it is stopped.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    /// Dropped to stop the thread that accepts.
    bell: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
    connections: Arc<Connections>,
}

impl Listener {
    /// Makes the socket of the pool and answers there. The caller holds the pool's lock, so a socket that exists is a dead server's.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(pool: &Path, service: Service) -> io::Result<Self> {
        let path = socket_of(pool)?;
        let listener = place::bind(&path)?;
        let (bell, stopped) = UnixStream::pair()?;
        let connections = Arc::new(Connections::default());
        let mine = Arc::clone(&connections);
        let accept = move || accept(&listener, &stopped, &service, &mine);
        let thread = thread::Builder::new().name("control".to_owned()).spawn(accept)?;
        Ok(Self { path, bell: Some(bell), thread: Some(thread), connections })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the socket away, lets each call that is running end, and ends all connections.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // The lock of the pool is still held: this is our socket or nobody's.
        let _ = std::fs::remove_file(&self.path);
        self.bell = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
        self.connections.end();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.end();
    }
}

fn accept(listener: &UnixListener, stopped: &UnixStream, service: &Service, connections: &Arc<Connections>) {
    loop {
        let mut ready = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut ready, None) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => thread::sleep(Duration::from_millis(100)),
            Ok(_) => {}
        }
        if !ready[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok((stream, _)) => connections.admit(stream, service),
            // Out of descriptors, or the command has gone already: others go on, this does not spin.
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The connections that are open, with a handle to end each.
#[derive(Debug, Default)]
struct Connections {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    ended: bool,
    next: u64,
    streams: HashMap<u64, UnixStream>,
    threads: HashMap<u64, JoinHandle<()>>,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread for a command; one too many is told so, as well as that goes without waiting.
    fn admit(self: &Arc<Self>, stream: UnixStream, service: &Service) {
        let mut open = self.lock();
        let Open { streams, threads, .. } = &mut *open;
        threads.retain(|number, thread| streams.contains_key(number) || !thread.is_finished());
        if open.ended || open.streams.len() >= MOST {
            drop(open);
            connection::refuse(&stream);
            return;
        }
        let Ok(handle) = stream.try_clone() else { return };
        let number = open.next;
        open.next += 1;
        let (service, all) = (service.clone(), Arc::clone(self));
        let serve = move || {
            connection::serve(&stream, &service);
            all.lock().streams.remove(&number);
        };
        if let Ok(thread) = thread::Builder::new().name(format!("command {number}")).spawn(serve) {
            open.streams.insert(number, handle);
            open.threads.insert(number, thread);
        }
    }

    fn end(&self) {
        let threads = {
            let mut open = self.lock();
            open.ended = true;
            for stream in open.streams.values() {
                // One that is gone already needs no end.
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
            std::mem::take(&mut open.threads)
        };
        for thread in threads.into_values() {
            let _ = thread.join();
        }
    }
}
