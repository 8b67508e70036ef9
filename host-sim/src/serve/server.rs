//! The server itself: it listens, gives every client a thread, and ends.

use std::{
    collections::BTreeMap,
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    thread::{self, JoinHandle},
    time::Duration,
};

use cowl::LayerId;
use rustix::event::{PollFd, PollFlags, poll};
use tracing::{error, info, warn};

use super::{
    clients::Clients,
    listen::{Address, Listener},
    metrics::Metrics,
    nbd::{
        export::Backend,
        exports::Exports,
        service::{Client, Service},
    },
    room::{Room, WhenFull},
    shared::Shared,
    stop::Stop,
    tls,
};
use crate::cli::failure::{Failure, Kind};

/// How long clients have to go once they have been cut off.
const FAREWELL: Duration = Duration::from_millis(300);
/// How long nobody is accepted after the system had no descriptor or thread left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// How a pool is served.
#[derive(Debug)]
pub struct Options {
    /// Where clients come to.
    pub address: Address,
    /// Further names for layers.
    pub aliases: BTreeMap<String, LayerId>,
    /// Writes are refused.
    pub read_only: bool,
    /// The directory with the certificates, if clients have to encrypt.
    pub certificates: Option<PathBuf>,
    /// How long a client may stall.
    pub patience: Duration,
    /// Clients at a time, at most.
    pub connections: usize,
    /// What becomes of writes while the file system of the pool's file has no room.
    pub when_full: WhenFull,
}

/// A pool and those who use it.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    clients: Arc<Clients>,
    service: Arc<Service>,
    listener: Listener,
    stop: Stop,
    woken: UnixStream,
    background: Vec<JoinHandle<()>>,
    metrics: Arc<Metrics>,
    room: Arc<Room>,
}

impl Server {
    /// Listens; nobody is served before [`run`](Self::run).
    ///
    /// # Errors
    /// The certificates cannot be used, or the address cannot be listened on.
    pub fn new(shared: Arc<Shared>, pool: &Path, options: Options) -> Result<Self, Failure> {
        let guarded = |local: bool| match options.certificates {
            None if !local => {
                Err(Failure::new(Kind::Refused, "an address that other hosts can reach is served with TLS only")
                    .hint("give --tls-certificates DIR, or an address of this host as in --tcp 127.0.0.1:10809"))
            }
            _ => Ok(()),
        };
        guarded(options.address.is_local())?;
        let tls = options.certificates.as_deref().map(tls::load).transpose()?;
        let room = Arc::new(Room::new(pool, &shared.lock().info(), options.when_full));
        let metrics = Metrics::new()
            .map(Arc::new)
            .map_err(|error| Failure::new(Kind::Other, format!("cannot count: {error}")))?;
        let backend = Backend {
            shared: Arc::clone(&shared),
            room: Arc::clone(&room),
            failures: AtomicU64::new(0),
            metrics: Arc::clone(&metrics),
        };
        let exports = Exports::new(Arc::new(backend), options.aliases, options.read_only);
        let clients = Arc::new(Clients::new(options.connections));
        let listener = Listener::bind(&options.address)?;
        guarded(listener.is_local())?;
        let system = |error: io::Error| Failure::new(Kind::Io, format!("cannot start a server: {error}"));
        let (stop, woken) = Stop::new().map_err(system)?;
        let stopper = stop.clone();
        room.watch(shared.direct(), move |pause| stopper.wait(pause));
        let service = Service { exports, clients: Arc::clone(&clients), tls, patience: options.patience };
        Ok(Self {
            shared,
            clients,
            service: Arc::new(service),
            listener,
            stop,
            woken,
            background: Vec::new(),
            metrics,
            room,
        })
    }

    /// The pool.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The clients.
    pub fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What the file system below has left.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// With which the server can be ended.
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// The URI of an export of this name.
    pub fn uri(&self, name: &str) -> String {
        self.listener.uri(self.service.tls.is_some(), name)
    }

    /// Every name under which something is served.
    ///
    /// # Errors
    /// The pool's.
    pub fn exports(&self) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        self.service.exports.each(&mut |name, _| {
            names.push(name.to_owned());
            true
        })?;
        Ok(names)
    }

    /// Starts a thread that runs beside the clients. It has to end soon after the server was asked to stop, which it is told by
    /// what it is given; [`run`](Self::run) waits for it. If it ends by a panic the server goes on without it.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn background(&mut self, name: &str, work: impl FnOnce(&Stop) + Send + 'static) -> Result<(), Failure> {
        let stop = self.stop.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(&stop));
        let thread = thread.map_err(|error| Failure::new(Kind::Io, format!("cannot start the {name}: {error}")))?;
        self.background.push(thread);
        Ok(())
    }

    /// Serves until somebody asks it to stop through [`stopper`](Self::stopper), which signals can do too. Then requests in flight
    /// are answered, clients are sent away, and threads are waited for; the pool is to be closed by the caller.
    ///
    /// # Errors
    /// The system refuses to wait for clients.
    pub fn run(mut self) -> Result<(), Failure> {
        let system = |error: io::Error| Failure::new(Kind::Io, format!("cannot wait for clients: {error}"));
        let served = self.accept_all().map_err(system);
        info!(clients = self.clients.total(), "ending");
        self.stop.ask();
        if !self.clients.end_all(FAREWELL) {
            warn!(clients = self.clients.total(), "some requests do not come to an end");
        }
        for thread in self.background.drain(..) {
            if thread.join().is_err() {
                error!("a background thread has panicked");
            }
        }
        served
    }

    fn accept_all(&self) -> io::Result<()> {
        while !self.stop.is_asked() {
            let mut ready = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&self.woken, PollFlags::IN)];
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            if !ready[1].revents().is_empty() {
                return Ok(());
            }
            self.accept_some();
        }
        Ok(())
    }

    fn accept_some(&self) {
        loop {
            match self.listener.accept() {
                Ok(Some(socket)) => {
                    if let Some(client) = self.service.admit(socket) {
                        self.start(client);
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    warn!(%error, "a client could not be accepted");
                    self.stop.wait(EXHAUSTED);
                    return;
                }
            }
        }
    }

    fn start(&self, client: Client) {
        let service = Arc::clone(&self.service);
        let started = thread::Builder::new().name("nbd-client".into()).spawn(move || service.serve(client));
        if let Err(error) = started {
            warn!(%error, "there is no thread for a client");
            self.stop.wait(EXHAUSTED);
        }
    }
}
