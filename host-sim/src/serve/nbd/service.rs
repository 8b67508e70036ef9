//! From a socket to the end of a conversation, with TLS or without.

use std::{
    io,
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tracing::{debug, info, warn};

use super::{
    channel::{Channel, Plain, Socket},
    encrypted::Encrypted,
    exports::Exports,
    handshake::{Agreed, End, Handshake, Security},
    transmission::Transmission,
};
use crate::serve::clients::{Clients, Ticket};

/// The whole handshake takes no longer than this, or than the patience with a client if that is less.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What serves the clients of one listener.
#[derive(Debug)]
pub struct Service {
    /// What they can have.
    pub exports: Exports,
    /// Who they are.
    pub clients: Arc<Clients>,
    /// With what they have to encrypt.
    pub tls: Option<Arc<ServerConfig>>,
    /// How long a client may stall.
    pub patience: Duration,
}

/// A client that has just come, with the place it has.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    ticket: Ticket,
    closing: Arc<AtomicBool>,
}

impl Service {
    /// A place for a client that has just come; none if there are too many.
    pub fn admit(&self, socket: Socket) -> Option<Client> {
        let closing = Arc::new(AtomicBool::new(false));
        let handle = match socket.try_clone() {
            Ok(handle) => handle,
            Err(error) => {
                warn!(%error, "a client was turned away");
                return None;
            }
        };
        let Some(ticket) = self.clients.admit(shutdown(handle, &closing)) else {
            warn!(clients = self.clients.total(), "too many clients: one was turned away");
            return None;
        };
        debug!(client = ticket.number(), "connected");
        Some(Client { socket, ticket, closing })
    }

    /// Serves a client until it goes or is sent away. What it did wrong is logged and concerns nobody else.
    pub fn serve(&self, client: Client) {
        let Client { socket, ticket, closing } = client;
        let client = ticket.number();
        match self.converse(socket, &ticket, &closing) {
            Ok(Some(requests)) => info!(client, requests, "disconnected"),
            Ok(None) => debug!(client, "disconnected"),
            Err(error) if closing.load(Ordering::Relaxed) => info!(client, %error, "sent away"),
            Err(error) => info!(client, %error, "disconnected"),
        }
    }

    fn converse(&self, socket: Socket, ticket: &Ticket, closing: &Arc<AtomicBool>) -> io::Result<Option<u64>> {
        let until = Instant::now() + HANDSHAKE.min(self.patience);
        let mut channel = Plain::new(socket)?;
        let security = if self.tls.is_some() { Security::Required } else { Security::Plain };
        match (self.handshake(&mut channel, ticket, security, until)?, &self.tls) {
            (End::Agreed(agreed), _) => self.transmit(&mut channel, *agreed, ticket, closing),
            (End::StartTls, Some(config)) => {
                let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                let mut channel = StreamOwned::new(connection, channel.into_socket());
                let done = self.encrypted(&mut channel, ticket, until, closing);
                say_goodbye(&mut channel);
                done
            }
            _ => Ok(None),
        }
    }

    fn encrypted(
        &self,
        channel: &mut Encrypted,
        ticket: &Ticket,
        until: Instant,
        closing: &Arc<AtomicBool>,
    ) -> io::Result<Option<u64>> {
        match self.handshake(channel, ticket, Security::Encrypted, until)? {
            End::Agreed(agreed) => self.transmit(channel, *agreed, ticket, closing),
            End::StartTls | End::Over => Ok(None),
        }
    }

    fn handshake(
        &self,
        channel: &mut impl Channel,
        ticket: &Ticket,
        security: Security,
        until: Instant,
    ) -> io::Result<End> {
        Handshake::new(channel, &self.exports, ticket, security, until).run()
    }

    fn transmit(
        &self,
        channel: &mut impl Channel,
        agreed: Agreed,
        ticket: &Ticket,
        closing: &Arc<AtomicBool>,
    ) -> io::Result<Option<u64>> {
        channel.set_timeout(self.patience)?;
        let (layer, read_only) = (agreed.export.layer(), agreed.export.is_read_only());
        info!(client = ticket.number(), %layer, read_only, "serving");
        Transmission::new(channel, agreed, Arc::clone(closing)).run().map(Some)
    }
}

/// Tells the client that nothing follows, or what was wrong. It may be gone already.
fn say_goodbye(channel: &mut Encrypted) {
    channel.conn.send_close_notify();
    while channel.conn.wants_write() {
        if channel.conn.write_tls(&mut channel.sock).is_err() {
            return;
        }
    }
}

/// The way to end a connection: at first by reading no further, then for good.
fn shutdown(socket: Socket, closing: &Arc<AtomicBool>) -> impl Fn() + Send + 'static {
    let closing = Arc::clone(closing);
    move || {
        let again = closing.swap(true, Ordering::Relaxed);
        socket.shutdown(if again { Shutdown::Both } else { Shutdown::Read });
    }
}
