//! The wish that a server ends: from a signal, or from a thread of its own.

use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
    low_level::pipe,
};

/// Ends a server, and tells its threads. Copies are of the same wish.
#[derive(Debug, Clone)]
pub struct Stop {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    asked: Mutex<bool>,
    /// By a signal, which may come before anybody looks at the pipe.
    signalled: Arc<AtomicBool>,
    changed: Condvar,
    /// Whatever arrives at its other end wakes who waits for clients.
    wake: UnixStream,
}

impl Stop {
    /// Nobody has asked yet. What comes second can be read from as soon as somebody has.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<(Self, UnixStream)> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        Ok((
            Self {
                inner: Arc::new(Inner {
                    asked: Mutex::new(false),
                    signalled: Arc::default(),
                    changed: Condvar::new(),
                    wake,
                }),
            },
            woken,
        ))
    }

    /// SIGTERM, SIGINT and SIGHUP ask from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn on_signals(&self) -> io::Result<()> {
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            flag::register(signal, Arc::clone(&self.inner.signalled))?;
            pipe::register(signal, self.inner.wake.try_clone()?)?;
        }
        Ok(())
    }

    /// Asks the server to end.
    pub fn ask(&self) {
        *self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.inner.changed.notify_all();
        // A pipe that is full wakes as well.
        let _ = (&self.inner.wake).write(&[1]);
    }

    /// Somebody has asked.
    pub fn is_asked(&self) -> bool {
        self.inner.signalled.load(Ordering::Relaxed) || *self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, or until somebody asks; whether somebody has.
    pub fn wait(&self, patience: Duration) -> bool {
        let asked = self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.inner.changed.wait_timeout_while(asked, patience, |asked| !*asked);
        self.inner.signalled.load(Ordering::Relaxed) || *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
