//! One command's connection: who it is, what it says, what it is answered.

use std::{
    io::{self, ErrorKind},
    os::unix::net::UnixStream,
    sync::Arc,
    time::Duration,
};

use cowl::LayerId;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt::socket_peercred,
    process::geteuid,
};

use super::{
    Service,
    answer::answer,
    call::{Call, Hello, PROTOCOL, Reply},
    wire::{receive, send},
};
use crate::{
    cli::{
        failure::{Failure, Kind},
        pool::AnyPool,
    },
    serve::clients::Ticket,
};

/// Time for the rest of a message whose beginning is there, and for a message to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time until the first message.
const GREETING: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// What belongs to one connection.
#[derive(Debug, Default)]
pub struct Command {
    /// Ends it, when it is in the way of a change to a layer.
    pub stream: Option<Arc<UnixStream>>,
    /// The layers that it uses like any other client.
    pub entered: Vec<(LayerId, Ticket)>,
    /// Attachments that it has staged and not yet bound to a layer.
    pub staged: Vec<LayerId>,
    /// It has changed something that merge may have to look at.
    pub changed: bool,
}

/// Answers one command until it ends the connection, breaks the rules, or the server is stopped.
pub fn serve(stream: &UnixStream, service: &Service) {
    let mut command = Command { stream: stream.try_clone().ok().map(Arc::new), ..Command::default() };
    // What goes wrong on the way ends this connection and nothing else; the command says what it saw.
    let _ = converse(stream, service, &mut command);
    // Whoever fences it waits for this.
    command.entered.clear();
    command.changed |= !command.staged.is_empty();
    for staged in command.staged {
        // Merge reclaims after the next mount what cannot be deleted now.
        let _ = AnyPool::delete(&mut *service.shared.lock(), staged, false);
    }
    if command.changed {
        service.merge.wake();
    }
}

/// Tells one command too many to come again, if that goes without waiting.
pub fn refuse(stream: &UnixStream) {
    let failure = Failure::new(Kind::Busy, "the pool's server is working on too many commands at the same time")
        .hint("run the command again when some of them have ended");
    if stream.set_nonblocking(true).is_ok() {
        // It may have gone already.
        let _ = send(stream, &Hello::ours(), &[]).and_then(|()| send(stream, &Reply::Failed(failure), &[]));
    }
}

fn converse(stream: &UnixStream, service: &Service, command: &mut Command) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    admit(stream)?;
    let mut data = Vec::new();
    if poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&GREETING))? == 0 {
        return Err(ErrorKind::TimedOut.into());
    }
    let theirs: Option<Hello> = receive(stream, &mut data)?;
    send(stream, &Hello::ours(), &[])?;
    if theirs.is_none_or(|theirs| theirs.cowl != PROTOCOL) {
        return Err(ErrorKind::InvalidData.into());
    }
    loop {
        wait(stream)?;
        let call: Call = match receive(stream, &mut data) {
            Ok(Some(call)) => call,
            Ok(None) => return Ok(()),
            Err(error) => return Err(complain(stream, error)),
        };
        let mut tell = |reply: &Reply| send(stream, reply, &[]);
        let done = answer(service, command, call, &mut data, &mut tell);
        if done.is_err() {
            data.clear();
        }
        send(stream, &done.map_or_else(Reply::Failed, Reply::Done), &data)?;
    }
}

/// Waits for the beginning of a message, however long a command takes over it.
fn wait(stream: &UnixStream) -> io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(stream, PollFlags::IN)], None) {
            Err(rustix::io::Errno::INTR) => {}
            waited => return waited.map(drop).map_err(io::Error::from),
        }
    }
}

/// Lets in the server's own user and root.
fn admit(stream: &UnixStream) -> io::Result<()> {
    let peer = socket_peercred(stream)?;
    if peer.uid.is_root() || peer.uid == geteuid() {
        return Ok(());
    }
    let failure = Failure::new(Kind::Missing, "the pool is served by another user")
        .hint("only that user and root can work on it as long as it is served");
    send(stream, &Hello::ours(), &[])?;
    send(stream, &Reply::Failed(failure), &[])?;
    Err(ErrorKind::PermissionDenied.into())
}

/// Says what was wrong with a message, for what it is worth: after it nothing is understood any more.
fn complain(stream: &UnixStream, error: io::Error) -> io::Error {
    let failure = Failure::new(Kind::Usage, format!("the server did not understand the command: {error}"));
    match send(stream, &Reply::Failed(failure), &[]) {
        Ok(()) => error,
        Err(worse) => worse,
    }
}
