//! A client of the NBD protocol that shares nothing with the server but the specification.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISC: u16 = 2;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const CACHE: u16 = 5;
pub const WRITE_ZEROES: u16 = 6;
pub const BLOCK_STATUS: u16 = 7;

pub const FUA: u16 = 1;
pub const NO_HOLE: u16 = 2;
pub const DF: u16 = 4;
pub const REQ_ONE: u16 = 8;
pub const FAST_ZERO: u16 = 16;

pub const ACK: u32 = 1;

/// A stream whose reads end.
pub trait Stream: Read + Write {
    fn hurry(&self, timeout: Duration);
}

impl Stream for UnixStream {
    fn hurry(&self, timeout: Duration) {
        self.set_read_timeout(Some(timeout)).unwrap();
    }
}

/// A client after the greeting.
pub struct Client<S> {
    pub stream: S,
    pub size: u64,
    pub flags: u16,
    chunks: bool,
    cookie: u64,
}

/// The reply to a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub cookie: u64,
    pub error: u32,
    /// What was read.
    pub data: Vec<u8>,
    /// Chunks of zeros among it.
    pub holes: usize,
    /// For each context its number, and lengths with flags.
    pub contexts: Vec<(u32, Vec<(u32, u32)>)>,
}

impl Client<UnixStream> {
    /// The same connection, to take replies on another thread.
    pub fn listener(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), ..*self }
    }
}

impl<S: Stream> Client<S> {
    /// Greets and is greeted.
    pub fn new(mut stream: S) -> Self {
        stream.hurry(Duration::from_secs(20));
        let mut hello = [0; 18];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(hello, *b"NBDMAGICIHAVEOPT\x00\x03");
        stream.write_all(&3_u32.to_be_bytes()).unwrap();
        Self::encrypted(stream)
    }

    /// One that has been greeted before encryption began.
    pub fn encrypted(stream: S) -> Self {
        Self { stream, size: 0, flags: 0, chunks: false, cookie: 0 }
    }

    /// Sends an option.
    pub fn send_option(&mut self, option: u32, data: &[u8]) {
        let length = u32::try_from(data.len()).unwrap();
        let header = [b"IHAVEOPT", &option.to_be_bytes()[..], &length.to_be_bytes()].concat();
        self.stream.write_all(&[&header, data].concat()).unwrap();
    }

    /// Sends an option; the replies to it, the last of which is an acknowledgement or an error.
    pub fn option(&mut self, option: u32, data: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.send_option(option, data);
        let mut replies = Vec::new();
        loop {
            let header = self.take(20);
            assert_eq!(header[..8], [0, 3, 0xe8, 0x89, 4, 0x55, 0x65, 0xa9]);
            assert_eq!(number(&header[8..12]), u64::from(option));
            let kind = u32::try_from(number(&header[12..16])).unwrap();
            let data = self.take(usize::try_from(number(&header[16..])).unwrap());
            replies.push((kind, data));
            if kind == ACK || kind >> 31 == 1 {
                return replies;
            }
        }
    }

    /// Agrees upon chunks.
    pub fn structured(mut self) -> Self {
        assert_eq!(self.option(8, b""), [(ACK, Vec::new())]);
        self.chunks = true;
        self
    }

    /// Chooses contexts; the names that the server has given numbers to, in their order.
    pub fn contexts(&mut self, export: &str, names: &[&str]) -> Vec<String> {
        let replies = self.option(10, &context_query(export, names));
        let (last, found) = replies.split_last().unwrap();
        assert_eq!(last.0, ACK, "{}", String::from_utf8_lossy(&last.1));
        let name = |(place, (kind, data)): (usize, &(u32, Vec<u8>))| {
            assert_eq!((*kind, number(&data[..4])), (4, place as u64 + 1));
            String::from_utf8(data[4..].to_vec()).unwrap()
        };
        found.iter().enumerate().map(name).collect()
    }

    /// Begins transmission.
    pub fn go(mut self, export: &str) -> Self {
        let replies = self.option(7, &info_query(export, &[3]));
        assert_eq!(replies.last().unwrap().0, ACK, "{replies:?}");
        let about = replies.iter().find(|(kind, data)| *kind == 3 && data[..2] == [0, 0]).unwrap();
        self.size = number(&about.1[2..10]);
        self.flags = u16::try_from(number(&about.1[10..])).unwrap();
        self
    }

    /// Sends a request; its mark.
    pub fn send(&mut self, command: u16, flags: u16, offset: u64, length: usize, payload: &[u8]) -> u64 {
        self.cookie += 1;
        let length = u32::try_from(length).unwrap();
        let bytes = [&request(command, flags, self.cookie, offset, length), payload].concat();
        self.stream.write_all(&bytes).unwrap();
        self.cookie
    }

    /// The next reply, whole.
    pub fn reply(&mut self) -> Reply {
        let mut reply = Reply::default();
        loop {
            let head = self.take(16);
            match number(&head[..4]) {
                0x6744_6698 => {
                    (reply.error, reply.cookie) = (small(&head[4..8]), number(&head[8..]));
                    return reply;
                }
                0x668e_33ef => {
                    reply.cookie = number(&head[8..]);
                    let length = number(&self.take(4));
                    let payload = self.take(usize::try_from(length).unwrap());
                    reply.chunk(number(&head[6..8]), &payload);
                    if head[5] & 1 == 1 {
                        return reply;
                    }
                }
                magic => panic!("a reply with the magic number {magic:#x}"),
            }
        }
    }

    /// Does a request, which is answered next.
    pub fn ask(&mut self, command: u16, flags: u16, offset: u64, length: usize, payload: &[u8]) -> Reply {
        let cookie = self.send(command, flags, offset, length, payload);
        let mut reply = self.reply();
        if command == READ && !self.chunks && reply.error == 0 {
            reply.data = self.take(length);
        }
        assert_eq!(reply.cookie, cookie);
        reply
    }

    /// Does a request of a client without chunks on a server that may end at any moment.
    pub fn attempt(&mut self, command: u16, flags: u16, offset: u64, length: usize, payload: &[u8]) -> io::Result<()> {
        self.cookie += 1;
        let request = request(command, flags, self.cookie, offset, u32::try_from(length).unwrap());
        self.stream.write_all(&[&request, payload].concat())?;
        let mut reply = [0; 16];
        self.stream.read_exact(&mut reply)?;
        assert_eq!((small(&reply[4..8]), number(&reply[8..])), (0, self.cookie));
        Ok(())
    }

    pub fn read(&mut self, offset: u64, length: usize) -> Vec<u8> {
        let reply = self.ask(READ, 0, offset, length, b"");
        assert_eq!((reply.error, reply.data.len()), (0, length));
        reply.data
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert_eq!(self.ask(WRITE, 0, offset, bytes.len(), bytes).error, 0);
    }

    pub fn flush(&mut self) {
        assert_eq!(self.ask(FLUSH, 0, 0, 0, b"").error, 0);
    }

    /// The extents of the contexts over a range, joined over as many requests as it takes.
    pub fn status(&mut self, offset: u64, length: usize) -> Vec<Vec<(u32, u32)>> {
        let reply = self.ask(BLOCK_STATUS, 0, offset, length, b"");
        assert_eq!(reply.error, 0);
        reply.contexts.into_iter().map(|(_, extents)| extents).collect()
    }

    /// The server has ended the connection, or does so in time.
    pub fn is_ended(&mut self, patience: Duration) -> bool {
        self.stream.hurry(patience);
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }
}

impl Reply {
    fn chunk(&mut self, kind: u64, payload: &[u8]) {
        match kind {
            0 => assert!(payload.is_empty()),
            1 => self.data.extend_from_slice(&payload[8..]),
            2 => {
                self.holes += 1;
                self.data.resize(self.data.len() + usize::try_from(number(&payload[8..])).unwrap(), 0);
            }
            5 => {
                let extent = |bytes: &[u8]| (small(&bytes[..4]), small(&bytes[4..]));
                self.contexts.push((small(&payload[..4]), payload[4..].chunks(8).map(extent).collect()));
            }
            0x8001 => self.error = small(&payload[..4]),
            kind => panic!("a chunk of kind {kind}"),
        }
    }
}

/// The header of a request.
pub fn request(command: u16, flags: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let magic: &[u8] = &[0x25, 0x60, 0x95, 0x13];
    let (flags, command) = (flags.to_be_bytes(), command.to_be_bytes());
    [magic, &flags, &command, &cookie.to_be_bytes(), &offset.to_be_bytes(), &length.to_be_bytes()].concat()
}

/// The data of INFO and GO.
pub fn info_query(export: &str, wanted: &[u16]) -> Vec<u8> {
    let mut data = string(export);
    data.extend_from_slice(&u16::try_from(wanted.len()).unwrap().to_be_bytes());
    for kind in wanted {
        data.extend_from_slice(&kind.to_be_bytes());
    }
    data
}

/// The data of `LIST_META_CONTEXT` and `SET_META_CONTEXT`.
pub fn context_query(export: &str, names: &[&str]) -> Vec<u8> {
    let mut data = string(export);
    data.extend_from_slice(&u32::try_from(names.len()).unwrap().to_be_bytes());
    for name in names {
        data.extend_from_slice(&string(name));
    }
    data
}

fn string(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

pub fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn small(bytes: &[u8]) -> u32 {
    u32::try_from(number(bytes)).unwrap()
}
