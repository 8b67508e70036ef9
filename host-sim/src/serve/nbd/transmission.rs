//! Requests and replies, after the handshake.
//!
//! One thread receives as many requests as there are, does each, and sends what replies have come together as soon as it would
//! have to wait for the next one. Data goes straight into and out of the buffers of the connection: nothing is allocated for a
//! request. Payloads larger than the buffers pass through them in parts. What takes long is handed to the [`Completer`].
//!
//! The length of a request is compared with the export and with [`LARGEST`] before anything else is done with it. A client that
//! sends anything but a request is left at once, for there is no telling where the next one begins.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    channel::{Channel, Input, Output, PART},
    codec::{Errno, Request, chunk_header, simple_reply},
    completer::{Completer, is_durable, perform, takes_long},
    export::{Answer, Export},
    handshake::{Agreed, LARGEST},
    protocol::{CHUNK_SIZE, REQUEST_SIZE, SIMPLE_REPLY_SIZE, chunk, command, command_flag},
    status::{self, Context, EXTENTS, Status},
};

/// Ranges from this length on are looked up before they are read: zeros are then not sent.
const SPARSE: usize = 64 << 10;

/// A connection in transmission.
pub struct Transmission<'a, C> {
    channel: &'a mut C,
    export: Arc<Export>,
    structured: bool,
    contexts: Vec<Context>,
    closing: Arc<AtomicBool>,
    input: Input,
    output: Output,
    completer: Option<Completer>,
    extents: Vec<Status>,
    served: u64,
}

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    End,
}

impl<'a, C: Channel> Transmission<'a, C> {
    /// After this handshake. The connection ends soon after `closing` is set.
    pub fn new(channel: &'a mut C, agreed: Agreed, closing: Arc<AtomicBool>) -> Self {
        Self {
            channel,
            export: Arc::new(agreed.export),
            structured: agreed.structured,
            contexts: agreed.contexts,
            closing,
            input: Input::new(),
            output: Output::new(),
            completer: None,
            extents: Vec::new(),
            served: 0,
        }
    }

    /// Serves until the client ends it; how many requests there were. When this returns nothing is in flight any more.
    ///
    /// # Errors
    /// The connection's; the client has stalled or does not speak the protocol.
    pub fn run(mut self) -> io::Result<u64> {
        while self.receive(REQUEST_SIZE, true)? {
            let header = self.input.available().first_chunk().and_then(Request::decode);
            let Some(request) = header else {
                return Err(wrong("a request without its magic number"));
            };
            self.input.consume(REQUEST_SIZE);
            self.served += 1;
            if self.one(&request)? == Next::End {
                break;
            }
        }
        self.output.send(self.channel)?;
        Ok(self.served)
    }

    /// Waits for so many bytes, of the next request or of this one; before it has to wait, what there is to say is said.
    fn receive(&mut self, count: usize, between: bool) -> io::Result<bool> {
        if self.input.available().len() >= count {
            return Ok(true);
        }
        self.output.send(self.channel)?;
        if self.closing.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.input.fill(self.channel, count, between, &self.closing)
    }

    fn one(&mut self, request: &Request) -> io::Result<Next> {
        if request.command == command::DISC {
            return Ok(Next::End);
        }
        if self.closing.load(Ordering::Relaxed) {
            self.fail(request, Errno::Shutdown)?;
            return Ok(Next::End);
        }
        if request.command == command::WRITE {
            return self.write(request);
        }
        match self.allowed(request) {
            Err(error) => self.fail(request, error)?,
            Ok(()) => match request.command {
                command::READ if self.structured => self.read_in_chunks(request)?,
                command::READ => self.read(request)?,
                command::BLOCK_STATUS => self.block_status(request)?,
                _ => self.other(request)?,
            },
        }
        Ok(Next::Go)
    }

    /// The request makes sense on this export.
    fn allowed(&self, request: &Request) -> Answer {
        let writes = matches!(request.command, command::WRITE | command::TRIM | command::WRITE_ZEROES);
        if request.command > command::BLOCK_STATUS || request.flags & !request.flags_allowed() != 0 {
            return Err(Errno::Invalid);
        }
        if request.command == command::FLUSH {
            let plain = request.offset == 0 && request.length == 0;
            return if plain { Ok(()) } else { Err(Errno::Invalid) };
        }
        if writes && self.export.is_read_only() {
            return Err(Errno::NotPermitted);
        }
        if request.end().is_none_or(|end| end > self.export.size) {
            let grows = matches!(request.command, command::WRITE | command::WRITE_ZEROES);
            return Err(if grows { Errno::NoSpace } else { Errno::Invalid });
        }
        let data = request.command == command::READ;
        if request.length == 0 || data && request.length > LARGEST {
            return Err(Errno::Invalid);
        }
        Ok(())
    }

    /// The payload is taken in whatever happens: the next request is behind it.
    fn write(&mut self, request: &Request) -> io::Result<Next> {
        if request.length > LARGEST {
            return Err(wrong("a write larger than this server takes"));
        }
        let mut answer = self.allowed(request);
        let (mut done, length) = (0, usize::try_from(request.length).unwrap_or(0));
        while done < length {
            let wanted = (length - done).min(PART);
            if !self.receive(wanted, false)? {
                return Ok(Next::End);
            }
            if answer.is_ok() {
                answer = self.write_piece(request.offset + done as u64, wanted);
            }
            self.input.consume(wanted);
            done += wanted;
        }
        match answer {
            Ok(()) if is_durable(request) => self.later(request)?,
            answer => self.reply(request, answer)?,
        }
        Ok(Next::Go)
    }

    /// Writes what has come in. Where that has to wait for room, what is done already is told first, and a client that has gone is not
    /// waited for: what it still wanted may not come upon what others do meanwhile.
    fn write_piece(&mut self, at: u64, length: usize) -> Answer {
        let Self { channel, export, closing, input, output, .. } = self;
        let answer = export.write(at, &input.available()[..length], &mut || {
            output.send(*channel).is_ok() && !channel.is_gone() && !closing.load(Ordering::Relaxed)
        });
        closing.fetch_or(answer == Err(Errno::Shutdown), Ordering::Relaxed);
        answer
    }

    /// As [`perform`], for this client.
    fn perform(&mut self, request: &Request) -> Answer {
        let Self { channel, export, closing, .. } = self;
        let answer = perform(export, request, closing, &mut || !channel.is_gone() && !closing.load(Ordering::Relaxed));
        closing.fetch_or(answer == Err(Errno::Shutdown), Ordering::Relaxed);
        answer
    }

    fn read(&mut self, request: &Request) -> io::Result<()> {
        let length = usize::try_from(request.length).unwrap_or(0);
        if length > PART {
            return self.read_large(request, length);
        }
        self.output.reserve(self.channel, SIMPLE_REPLY_SIZE + length)?;
        let (header, rest) = self.output.spare().split_at_mut(SIMPLE_REPLY_SIZE);
        if let Err(error) = self.export.read(request.offset, &mut rest[..length]) {
            return self.fail(request, error);
        }
        header.copy_from_slice(&simple_reply(request.cookie, None));
        self.output.advance(SIMPLE_REPLY_SIZE + length);
        Ok(())
    }

    /// A simple reply in parts. Once its header is sent an error can be told in one way only: by ending the connection.
    fn read_large(&mut self, request: &Request, length: usize) -> io::Result<()> {
        self.output.send(self.channel)?;
        self.output.reserve(self.channel, PART)?;
        let (export, spare) = (&self.export, self.output.spare());
        if let Err(error) = export.read(request.offset, &mut spare[..PART]) {
            return self.fail(request, error);
        }
        let header = simple_reply(request.cookie, None);
        self.channel.send_with(&mut |to| {
            to.write_all(&header)?;
            to.write_all(&spare[..PART])?;
            let mut done = PART;
            while done < length {
                let part = (length - done).min(PART);
                let read = export.read(request.offset + done as u64, &mut spare[..part]);
                read.map_err(|error| io::Error::other(format!("{error:?} within a reply that had begun")))?;
                to.write_all(&spare[..part])?;
                done += part;
            }
            Ok(())
        })
    }

    fn read_in_chunks(&mut self, request: &Request) -> io::Result<()> {
        let length = usize::try_from(request.length).unwrap_or(0);
        let whole = request.has(command_flag::DF);
        if whole && length > PART {
            return self.fail(request, Errno::Overflow);
        }
        let mut done = 0;
        while done < length {
            let part = (length - done).min(PART);
            let last = if done + part == length { chunk::DONE } else { 0 };
            let offset = request.offset + done as u64;
            let sent = if !whole && part >= SPARSE && self.is_hole(offset, part) {
                self.hole(request, last, offset, part)
            } else {
                self.data(request, last, offset, part)
            }?;
            if let Err(error) = sent {
                return self.fail(request, error);
            }
            done += part;
        }
        Ok(())
    }

    fn is_hole(&mut self, offset: u64, length: usize) -> bool {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let found = status::of_range(&self.export, Context::Allocation, offset, length, 1, &mut self.extents);
        found.is_ok() && self.extents.first().is_some_and(|first| first.length == length && first.flags != 0)
    }

    fn hole(&mut self, request: &Request, flags: u16, offset: u64, length: usize) -> io::Result<Answer> {
        self.output.reserve(self.channel, CHUNK_SIZE + 12)?;
        self.output.push(&chunk_header(request.cookie, flags, chunk::OFFSET_HOLE, 12));
        self.output.push(&offset.to_be_bytes());
        self.output.push(&u32::try_from(length).unwrap_or(0).to_be_bytes());
        Ok(Ok(()))
    }

    fn data(&mut self, request: &Request, flags: u16, offset: u64, length: usize) -> io::Result<Answer> {
        const HEADER: usize = CHUNK_SIZE + 8;
        self.output.reserve(self.channel, HEADER + length)?;
        let (header, rest) = self.output.spare().split_at_mut(HEADER);
        let answer = self.export.read(offset, &mut rest[..length]);
        if answer.is_ok() {
            let size = u32::try_from(length + 8).unwrap_or(0);
            header[..CHUNK_SIZE].copy_from_slice(&chunk_header(request.cookie, flags, chunk::OFFSET_DATA, size));
            header[CHUNK_SIZE..].copy_from_slice(&offset.to_be_bytes());
            self.output.advance(HEADER + length);
        }
        Ok(answer)
    }

    /// One chunk for each context.
    fn block_status(&mut self, request: &Request) -> io::Result<()> {
        if self.contexts.is_empty() {
            return self.fail(request, Errno::Invalid);
        }
        let most = if request.has(command_flag::REQ_ONE) { 1 } else { EXTENTS };
        for number in 0..self.contexts.len() {
            let context = self.contexts[number];
            let (offset, length) = (request.offset, request.length);
            if let Err(error) = status::of_range(&self.export, context, offset, length, most, &mut self.extents) {
                return self.fail(request, error);
            }
            let last = if number + 1 == self.contexts.len() { chunk::DONE } else { 0 };
            self.extents_chunk(request, last, number)?;
        }
        Ok(())
    }

    fn extents_chunk(&mut self, request: &Request, flags: u16, number: usize) -> io::Result<()> {
        let size = 4 + 8 * self.extents.len();
        self.output.reserve(self.channel, CHUNK_SIZE + size)?;
        let length = u32::try_from(size).unwrap_or(0);
        self.output.push(&chunk_header(request.cookie, flags, chunk::BLOCK_STATUS, length));
        self.output.push(&u32::try_from(number + 1).unwrap_or(0).to_be_bytes());
        for extent in &self.extents {
            self.output.push(&extent.length.to_be_bytes());
            self.output.push(&extent.flags.to_be_bytes());
        }
        Ok(())
    }

    /// Requests without payload and without data in the reply.
    fn other(&mut self, request: &Request) -> io::Result<()> {
        if takes_long(request) {
            return self.later(request);
        }
        let answer = self.perform(request);
        self.reply(request, answer)
    }

    /// Hands the request to the completer, or does it here where there can be none.
    fn later(&mut self, request: &Request) -> io::Result<()> {
        if self.completer.is_none()
            && let Some(sender) = self.channel.sender()
        {
            self.completer = Completer::start(&self.export, sender, &self.closing);
        }
        if let Some(completer) = &self.completer {
            // What was done before is told before.
            self.output.send(self.channel)?;
            completer.take(*request);
            return Ok(());
        }
        let mut answer = self.perform(request);
        if answer.is_ok() && is_durable(request) {
            answer = self.export.flush();
        }
        self.reply(request, answer)
    }

    fn reply(&mut self, request: &Request, answer: Answer) -> io::Result<()> {
        match answer {
            Ok(()) => {
                self.output.reserve(self.channel, SIMPLE_REPLY_SIZE)?;
                self.output.push(&simple_reply(request.cookie, None));
                Ok(())
            }
            Err(error) => self.fail(request, error),
        }
    }

    /// Where chunks were agreed upon, reading fails in a chunk.
    fn fail(&mut self, request: &Request, error: Errno) -> io::Result<()> {
        self.output.reserve(self.channel, CHUNK_SIZE + 6)?;
        if self.structured && matches!(request.command, command::READ | command::BLOCK_STATUS) {
            self.output.push(&chunk_header(request.cookie, chunk::DONE, chunk::ERROR, 6));
            self.output.push(&error.number().to_be_bytes());
            self.output.push(&[0, 0]);
        } else {
            self.output.push(&simple_reply(request.cookie, Some(error)));
        }
        Ok(())
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
