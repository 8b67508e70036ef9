//! Channels with TLS.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use rustls::{ServerConnection, StreamOwned};

use super::channel::{Channel, Socket, deaf};

/// A socket with TLS.
pub type Encrypted = StreamOwned<ServerConnection, Socket>;

impl Channel for Encrypted {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    fn send_with(&mut self, send: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        send(self).and_then(|()| self.flush()).map_err(deaf)
    }

    fn set_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.sock.set_timeout(timeout)
    }

    fn is_gone(&self) -> bool {
        self.sock.is_gone()
    }
}
