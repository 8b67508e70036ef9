//! Who is connected, and to which layer.
//!
//! Every connection holds a [`Ticket`] as long as a request of it can be in flight. Whoever is about to pull a layer from under
//! its clients (a rollback, a deletion) keeps new ones out with [`Clients::hold`] and sends the others away with
//! [`Clients::fence`].

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use cowl::LayerId;

/// How long clients have for what is in flight before they are cut off.
const GRACE: Duration = Duration::from_millis(400);

/// Ends a connection. The first call lets the request that is in flight be answered, the second does not.
type Shutdown = Box<dyn Fn() + Send>;

/// The clients of a server.
#[derive(Debug, Clone)]
pub struct Clients {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
}

#[derive(Default)]
struct State {
    next: u64,
    clients: BTreeMap<u64, Client>,
    /// Layers that nobody may enter, and how many want it so.
    held: BTreeMap<LayerId, usize>,
}

struct Client {
    layer: Option<LayerId>,
    shutdown: Shutdown,
}

/// A client's place; it is given back when this is dropped.
#[derive(Debug)]
pub struct Ticket {
    inner: Arc<Inner>,
    number: u64,
}

/// Nobody enters a layer as long as this lives.
#[derive(Debug)]
pub struct Hold {
    inner: Arc<Inner>,
    layer: LayerId,
}

impl Clients {
    /// At most so many at a time.
    pub fn new(limit: usize) -> Self {
        Self { inner: Arc::new(Inner { state: Mutex::default(), changed: Condvar::new(), limit }) }
    }

    /// A place for a client that has not said yet which layer it wants; `None` if there are too many. `shutdown` ends the
    /// connection: its first call lets what is in flight be answered, its second does not.
    pub fn admit(&self, shutdown: impl Fn() + Send + 'static) -> Option<Ticket> {
        let mut state = self.inner.lock();
        (state.clients.len() < self.inner.limit).then(|| self.add(&mut state, Box::new(shutdown)))
    }

    /// A place for a client of a layer, however many there are; waits while the layer is [held](Self::hold). `shutdown` is as
    /// in [`admit`](Self::admit).
    pub fn enter(&self, layer: LayerId, shutdown: impl Fn() + Send + 'static) -> Ticket {
        let ticket = self.add(&mut self.inner.lock(), Box::new(shutdown));
        ticket.enter(layer);
        ticket
    }

    /// Keeps new clients out of a layer.
    pub fn hold(&self, layer: LayerId) -> Hold {
        *self.inner.lock().held.entry(layer).or_default() += 1;
        Hold { inner: Arc::clone(&self.inner), layer }
    }

    /// Sends away all clients of a layer and waits until no request of theirs is in flight; how many they were. The caller must
    /// not hold the pool meanwhile.
    pub fn fence(&self, layer: LayerId) -> usize {
        let of_layer = |client: &Client| client.layer == Some(layer);
        let count = self.count(layer);
        self.send_away(of_layer);
        if !self.gone(of_layer, GRACE) {
            self.send_away(of_layer);
            while !self.gone(of_layer, GRACE) {}
        }
        count
    }

    /// Sends everybody away; whether all are gone in time.
    pub fn end_all(&self, patience: Duration) -> bool {
        let everybody = |_: &Client| true;
        self.send_away(everybody);
        if self.gone(everybody, GRACE) {
            return true;
        }
        self.send_away(everybody);
        self.gone(everybody, patience)
    }

    /// Clients of a layer.
    pub fn count(&self, layer: LayerId) -> usize {
        self.inner.lock().clients.values().filter(|client| client.layer == Some(layer)).count()
    }

    /// All clients, those that have not chosen a layer yet included.
    pub fn total(&self) -> usize {
        self.inner.lock().clients.len()
    }

    fn add(&self, state: &mut State, shutdown: Shutdown) -> Ticket {
        state.next += 1;
        let number = state.next;
        state.clients.insert(number, Client { layer: None, shutdown });
        Ticket { inner: Arc::clone(&self.inner), number }
    }

    fn send_away(&self, which: impl Fn(&Client) -> bool) {
        for client in self.inner.lock().clients.values().filter(|client| which(client)) {
            (client.shutdown)();
        }
    }

    fn gone(&self, which: impl Fn(&Client) -> bool, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut state = self.inner.lock();
        while state.clients.values().any(&which) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.inner.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Ticket {
    /// Counts as a client of the layer from now on; waits while the layer is held.
    pub fn enter(&self, layer: LayerId) {
        let mut state = self.inner.lock();
        while state.held.contains_key(&layer) {
            state = self.inner.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(client) = state.clients.get_mut(&self.number) {
            client.layer = Some(layer);
        }
    }

    /// Counts as a client of no layer.
    pub fn leave(&self) {
        if let Some(client) = self.inner.lock().clients.get_mut(&self.number) {
            client.layer = None;
        }
        self.inner.changed.notify_all();
    }

    /// Its number, for messages.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let client = self.inner.lock().clients.remove(&self.number);
        self.inner.changed.notify_all();
        // Whatever the way to end the connection owns is dropped without the lock.
        drop(client);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        if let Some(count) = state.held.get_mut(&self.layer) {
            *count -= 1;
            if *count == 0 {
                state.held.remove(&self.layer);
            }
        }
        drop(state);
        self.inner.changed.notify_all();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Clients")
            .field("total", &state.clients.len())
            .field("held", &state.held)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex, mpsc},
        thread,
        time::Duration,
    };

    use cowl::LayerId;

    use super::{Clients, Ticket};

    const VM: LayerId = LayerId(1);
    const OTHER: LayerId = LayerId(2);

    #[test]
    fn places_are_counted_and_limited() {
        let clients = Clients::new(2);
        let first = clients.admit(|| {}).unwrap();
        let second = clients.admit(|| {}).unwrap();
        assert!(clients.admit(|| {}).is_none());
        first.enter(VM);
        assert_eq!((clients.count(VM), clients.count(OTHER), clients.total()), (1, 0, 2));
        first.leave();
        assert_eq!(clients.count(VM), 0);
        drop(second);
        assert!(clients.admit(|| {}).is_some());
    }

    #[test]
    fn a_fence_sends_away_the_clients_of_one_layer_and_waits_for_them() {
        let clients = Clients::new(9);
        let other = clients.enter(OTHER, || panic!("not its layer"));
        let place: Arc<Mutex<Option<Ticket>>> = Arc::default();
        let (asked, was_asked) = mpsc::channel();
        *place.lock().unwrap() = Some(clients.enter(VM, move || asked.send(()).unwrap()));
        let leaving = Arc::clone(&place);
        let client = thread::spawn(move || {
            // It takes no notice of the first request to go.
            was_asked.recv().unwrap();
            was_asked.recv().unwrap();
            drop(leaving.lock().unwrap().take());
        });
        assert_eq!(clients.fence(VM), 1);
        assert_eq!((clients.count(VM), clients.total()), (0, 1));
        client.join().unwrap();
        drop(other);
        assert_eq!(clients.fence(VM), 0);
    }

    #[test]
    fn nobody_enters_a_layer_that_is_held() {
        let clients = Clients::new(9);
        let hold = clients.hold(VM);
        let (entered, has_entered) = mpsc::channel();
        let to_enter = clients.clone();
        let client = thread::spawn(move || {
            let ticket = to_enter.enter(VM, || {});
            entered.send(()).unwrap();
            ticket
        });
        assert!(has_entered.recv_timeout(Duration::from_millis(30)).is_err());
        drop(clients.enter(OTHER, || {}));
        drop(hold);
        has_entered.recv_timeout(Duration::from_secs(5)).unwrap();
        drop(client.join().unwrap());
    }
}
