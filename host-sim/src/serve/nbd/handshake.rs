//! The handshake: fixed newstyle, option by option, up to a layer to serve.
//!
//! Nothing is read ahead, so that bytes sent in the clear never pass for encrypted ones. The whole takes a limited time, a limited
//! number of options and a limited number of bytes in each; a client that does not keep to the protocol is told so once if it
//! can be, and is left.

use std::{
    io,
    time::{Duration, Instant},
};

use cowl::LayerId;
use tracing::debug;

use super::{
    channel::{Channel, is_timeout, time_left},
    codec::{ContextRequest, InfoRequest, OptionHeader, option_reply},
    export::Export,
    exports::Exports,
    protocol::{GREETING, OPTION_MAGIC, OPTION_SIZE, handshake_flag, info, option, reply, transmission_flag},
    status::{self, Context},
};
use crate::serve::clients::Ticket;

/// Bytes of an option's data, at most.
const DATA: u32 = 64 << 10;
/// An option that announces more than this is not answered.
const ABSURD: u32 = 1 << 20;
/// Options of one client, at most.
const OPTIONS: usize = 100_000;
/// Bytes of a list that are sent at once.
const LISTED: usize = 64 << 10;
/// Contexts that one client can choose, and queries in one option.
const CONTEXTS: usize = 64;
/// The largest request, as clients are told.
pub const LARGEST: u32 = 32 << 20;

/// How encryption stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// There is none.
    Plain,
    /// It has to begin before anything else.
    Required,
    /// It has begun.
    Encrypted,
}

/// What was agreed upon.
#[derive(Debug)]
pub struct Agreed {
    /// What is served.
    pub export: Export,
    /// Replies come in chunks.
    pub structured: bool,
    /// The metadata contexts; their numbers are their places, from 1.
    pub contexts: Vec<Context>,
}

/// How a handshake ends.
#[derive(Debug)]
pub enum End {
    /// With something to serve.
    Agreed(Box<Agreed>),
    /// With encryption, after which it begins anew.
    StartTls,
    /// Without anything.
    Over,
}

/// A handshake.
pub struct Handshake<'a, C> {
    channel: &'a mut C,
    exports: &'a Exports,
    ticket: &'a Ticket,
    security: Security,
    until: Instant,
    padded: bool,
    structured: bool,
    chosen: Option<(String, Vec<Context>)>,
    data: Vec<u8>,
    out: Vec<u8>,
}

type Step = io::Result<Option<End>>;

impl<'a, C: Channel> Handshake<'a, C> {
    /// With a client that has just come, or has just begun encryption.
    pub fn new(
        channel: &'a mut C,
        exports: &'a Exports,
        ticket: &'a Ticket,
        security: Security,
        until: Instant,
    ) -> Self {
        Self {
            channel,
            exports,
            ticket,
            security,
            until,
            padded: true,
            structured: false,
            chosen: None,
            data: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Leads it to its end.
    ///
    /// # Errors
    /// The connection's; the client has taken too long or does not speak the protocol.
    pub fn run(mut self) -> io::Result<End> {
        if self.security != Security::Encrypted {
            self.greet()?;
        }
        for _ in 0..OPTIONS {
            if let Some(end) = self.one_option()? {
                return Ok(end);
            }
        }
        Err(wrong("too many options"))
    }

    fn greet(&mut self) -> io::Result<()> {
        let mut hello = GREETING.to_vec();
        hello.extend_from_slice(&OPTION_MAGIC.to_be_bytes());
        hello.extend_from_slice(&(handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES).to_be_bytes());
        self.send(&hello)?;
        let mut flags = [0; 4];
        self.receive(&mut flags)?;
        let flags = u32::from_be_bytes(flags);
        let known = u32::from(handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES);
        if flags & !known != 0 {
            return Err(wrong("unknown handshake flags: not an NBD client"));
        }
        self.padded = flags & u32::from(handshake_flag::NO_ZEROES) == 0;
        Ok(())
    }

    fn one_option(&mut self) -> Step {
        let mut header = [0; OPTION_SIZE];
        self.receive(&mut header)?;
        let Some(OptionHeader { option, length }) = OptionHeader::decode(&header) else {
            return Err(wrong("an option without its magic number"));
        };
        if length > ABSURD {
            return Err(wrong("an option of absurd length"));
        }
        let mut data = std::mem::take(&mut self.data);
        data.resize(usize::try_from(length).unwrap_or(0), 0);
        self.receive(&mut data)?;
        let step = if length > DATA {
            self.answer(option, reply::ERR_TOO_BIG, "the option's data is too long")
        } else if self.security == Security::Required && !matches!(option, option::STARTTLS | option::ABORT) {
            self.clear_option(option)
        } else {
            self.take(option, &data)
        };
        self.data = data;
        step
    }

    /// An option that would have had to be encrypted.
    fn clear_option(&mut self, option: u32) -> Step {
        if option == option::EXPORT_NAME {
            return Err(wrong("the client wants no TLS, which is required"));
        }
        self.answer(option, reply::ERR_TLS_REQD, "TLS is required")
    }

    fn take(&mut self, option: u32, data: &[u8]) -> Step {
        debug!(client = self.ticket.number(), option, bytes = data.len(), "option");
        match option {
            option::EXPORT_NAME => self.export_name(data),
            option::ABORT => self.answer(option, reply::ACK, "").map(|_| Some(End::Over)),
            option::LIST => self.list(data),
            option::STARTTLS => self.start_tls(data),
            option::INFO | option::GO => self.info(option, data),
            option::STRUCTURED_REPLY if data.is_empty() => {
                self.structured = true;
                self.answer(option, reply::ACK, "")
            }
            option::STRUCTURED_REPLY => self.answer(option, reply::ERR_INVALID, "it takes no data"),
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.contexts(option, data),
            _ => self.answer(option, reply::ERR_UNSUP, "the option is not known"),
        }
    }

    fn export_name(&mut self, data: &[u8]) -> Step {
        let name = std::str::from_utf8(data).map_err(|_| wrong("an export's name that is not UTF-8"))?;
        let Some(export) = self.open(name)? else { return Err(wrong("an unknown export")) };
        let mut out = export.size.to_be_bytes().to_vec();
        out.extend_from_slice(&flags(&export, self.structured).to_be_bytes());
        if self.padded {
            out.resize(out.len() + 124, 0);
        }
        self.send(&out)?;
        Ok(Some(self.agreed(name, export)))
    }

    fn list(&mut self, data: &[u8]) -> Step {
        if !data.is_empty() {
            return self.answer(option::LIST, reply::ERR_INVALID, "it takes no data");
        }
        let (exports, mut out, mut sent) = (self.exports, Vec::new(), Ok(()));
        let listed = exports.each(&mut |name, layer| {
            let text = exports.description(layer);
            let parts: [&[u8]; 3] = [&length_of(name), name.as_bytes(), text.as_bytes()];
            option_reply(&mut out, option::LIST, reply::SERVER, &parts);
            if out.len() >= LISTED {
                sent = self.send(&out);
                out.clear();
            }
            sent.is_ok()
        });
        listed.map_err(io::Error::other)?;
        sent?;
        self.send(&out)?;
        self.answer(option::LIST, reply::ACK, "")
    }

    fn start_tls(&mut self, data: &[u8]) -> Step {
        match self.security {
            _ if !data.is_empty() => self.answer(option::STARTTLS, reply::ERR_INVALID, "it takes no data"),
            Security::Required => self.answer(option::STARTTLS, reply::ACK, "").map(|_| Some(End::StartTls)),
            Security::Encrypted => self.answer(option::STARTTLS, reply::ERR_INVALID, "TLS has begun already"),
            Security::Plain => self.answer(option::STARTTLS, reply::ERR_POLICY, "this server has no certificates"),
        }
    }

    /// `INFO` and `GO`, which differ in what happens at the end.
    fn info(&mut self, option: u32, data: &[u8]) -> Step {
        let Some(request) = InfoRequest::decode(data) else {
            return self.answer(option, reply::ERR_INVALID, "the option's data makes no sense");
        };
        let export = if option == option::GO { self.open(request.name)? } else { self.look_at(request.name)? };
        let Some(export) = export else {
            return self.answer(option, reply::ERR_UNKNOWN, "there is no such export");
        };
        self.tell(option, &request, &export)?;
        self.answer(option, reply::ACK, "")?;
        Ok((option == option::GO).then(|| self.agreed(request.name, export)))
    }

    fn tell(&mut self, option: u32, request: &InfoRequest<'_>, export: &Export) -> io::Result<()> {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let mut add = |kind: u16, data: &[&[u8]]| {
            let mut parts: Vec<&[u8]> = Vec::with_capacity(4);
            let kind = kind.to_be_bytes();
            parts.push(&kind);
            parts.extend_from_slice(data);
            option_reply(&mut out, option, reply::INFO, &parts);
        };
        let flags = flags(export, self.structured).to_be_bytes();
        add(info::EXPORT, &[&export.size.to_be_bytes(), &flags]);
        if request.wants(info::NAME) {
            add(info::NAME, &[request.name.as_bytes()]);
        }
        if request.wants(info::DESCRIPTION) {
            let text = self.exports.description(export.layer);
            if !text.is_empty() {
                add(info::DESCRIPTION, &[text.as_bytes()]);
            }
        }
        if request.wants(info::BLOCK_SIZE) {
            let preferred = export.block.max(512);
            add(info::BLOCK_SIZE, &[&1_u32.to_be_bytes(), &preferred.to_be_bytes(), &LARGEST.to_be_bytes()]);
        }
        let sent = self.send(&out);
        self.out = out;
        sent
    }

    fn contexts(&mut self, option: u32, data: &[u8]) -> Step {
        let set = option == option::SET_META_CONTEXT;
        if set {
            self.chosen = None;
        }
        let Some(request) = ContextRequest::decode(data) else {
            return self.answer(option, reply::ERR_INVALID, "the option's data makes no sense");
        };
        if !self.structured {
            return self.answer(option, reply::ERR_INVALID, "structured replies have to be agreed upon first");
        }
        if request.queries.len() > CONTEXTS {
            return self.answer(option, reply::ERR_TOO_BIG, "too many contexts at once");
        }
        let Some(layer) = self.exports.find(request.name).map_err(io::Error::other)? else {
            return self.answer(option, reply::ERR_UNKNOWN, "there is no such export");
        };
        let chosen = self.send_contexts(option, layer, &request.queries)?;
        if set {
            self.chosen = Some((request.name.to_owned(), chosen));
        }
        self.answer(option, reply::ACK, "")
    }

    /// Sends the contexts that the queries stand for; to set them, only those that are named in full.
    fn send_contexts(&mut self, option: u32, layer: LayerId, queries: &[&str]) -> io::Result<Vec<Context>> {
        let set = option == option::SET_META_CONTEXT;
        let all: &[&str] = if queries.is_empty() && !set { &[""] } else { queries };
        let mut chosen = Vec::new();
        let mut out = Vec::new();
        for query in all {
            let found = status::find(&self.exports.backend().shared, layer, query, &mut |name, context| {
                if set && (*query != name || chosen.contains(&context)) {
                    return;
                }
                chosen.push(context);
                let number = if set { u32::try_from(chosen.len()).unwrap_or(0) } else { 0 };
                option_reply(&mut out, option, reply::META_CONTEXT, &[&number.to_be_bytes(), name.as_bytes()]);
            });
            found.map_err(io::Error::other)?;
            self.send(&out)?;
            out.clear();
        }
        Ok(chosen)
    }

    /// The export of a name, for good: the client counts as the layer's from now on.
    fn open(&mut self, name: &str) -> io::Result<Option<Export>> {
        let Some(layer) = self.exports.find(name).map_err(io::Error::other)? else { return Ok(None) };
        self.ticket.enter(layer);
        // Whoever kept the layer for himself until now may have changed it.
        let export = self.open_layer(layer)?;
        if export.is_none() {
            self.ticket.leave();
        }
        Ok(export)
    }

    fn look_at(&mut self, name: &str) -> io::Result<Option<Export>> {
        match self.exports.find(name).map_err(io::Error::other)? {
            Some(layer) => self.open_layer(layer),
            None => Ok(None),
        }
    }

    fn open_layer(&self, layer: LayerId) -> io::Result<Option<Export>> {
        self.exports.open(layer).map_err(|error| io::Error::other(format!("the pool failed: {error:?}")))
    }

    /// Contexts are those of the export that they were chosen for.
    fn agreed(&mut self, name: &str, export: Export) -> End {
        let contexts =
            self.chosen.take().filter(|(of, _)| of == name).map(|(_, contexts)| contexts).unwrap_or_default();
        End::Agreed(Box::new(Agreed { export, structured: self.structured, contexts }))
    }

    fn answer(&mut self, option: u32, kind: u32, text: &str) -> Step {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        option_reply(&mut out, option, kind, &[text.as_bytes()]);
        let sent = self.send(&out);
        self.out = out;
        sent.map(|()| None)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.channel.set_timeout(time_left(self.until)?)?;
        self.channel.send(bytes)
    }

    fn receive(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            // A client that sends byte by byte does not get more time by it.
            let left: Duration = time_left(self.until)?;
            self.channel.set_timeout(left)?;
            match self.channel.receive(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => buffer = buffer.split_at_mut(count).1,
                // Then there is no time left, which is told in better words.
                Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What an export can do.
fn flags(export: &Export, structured: bool) -> u16 {
    use transmission_flag::{
        CAN_MULTI_CONN, HAS_FLAGS, READ_ONLY, SEND_CACHE, SEND_DF, SEND_FAST_ZERO, SEND_FLUSH, SEND_FUA, SEND_TRIM,
        SEND_WRITE_ZEROES,
    };
    let all = HAS_FLAGS | SEND_FLUSH | SEND_FUA | CAN_MULTI_CONN | SEND_CACHE;
    let structured = if structured { SEND_DF } else { 0 };
    let writable = if export.read_only { READ_ONLY } else { SEND_TRIM | SEND_WRITE_ZEROES | SEND_FAST_ZERO };
    all | structured | writable
}

fn length_of(text: &str) -> [u8; 4] {
    u32::try_from(text.len()).unwrap_or(0).to_be_bytes()
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
