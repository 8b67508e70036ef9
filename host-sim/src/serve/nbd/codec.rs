//! Headers, options and chunks of the NBD protocol, from bytes and to bytes.
//!
//! Everything here is a pure function over bytes. All numbers are big-endian. What comes from outside is decoded into a value or
//! into nothing; no length is believed before it has been compared with the bytes that are there.

use super::protocol::{
    CHUNK_MAGIC, CHUNK_SIZE, OPTION_MAGIC, OPTION_REPLY_MAGIC, OPTION_SIZE, REQUEST_MAGIC, REQUEST_SIZE,
    SIMPLE_REPLY_MAGIC, SIMPLE_REPLY_SIZE, STRING_LIMIT, command, command_flag,
};

/// Why a request failed, as the protocol numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Errno {
    /// The export is read-only.
    NotPermitted = 1,
    /// The device failed, or there is damage.
    Io = 5,
    /// Not enough memory.
    NoMemory = 12,
    /// The request makes no sense.
    Invalid = 22,
    /// No space is left.
    NoSpace = 28,
    /// The answer would be too long.
    Overflow = 75,
    /// It is not supported.
    NotSupported = 95,
    /// The server is ending.
    Shutdown = 108,
}

impl Errno {
    /// The number.
    pub fn number(self) -> u32 {
        self as u32
    }
}

/// A request without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Its flags.
    pub flags: u16,
    /// What is asked.
    pub command: u16,
    /// The client's mark, which the reply repeats.
    pub cookie: u64,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u32,
}

impl Request {
    /// Decodes a header; `None` if it does not begin as a request does.
    pub fn decode(bytes: &[u8; REQUEST_SIZE]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.u32()? != REQUEST_MAGIC {
            return None;
        }
        Some(Self {
            flags: fields.u16()?,
            command: fields.u16()?,
            cookie: fields.u64()?,
            offset: fields.u64()?,
            length: fields.u32()?,
        })
    }

    /// The header as bytes, as a client sends it.
    pub fn encode(&self) -> [u8; REQUEST_SIZE] {
        let mut bytes = [0; REQUEST_SIZE];
        bytes[..4].copy_from_slice(&REQUEST_MAGIC.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.flags.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.command.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.cookie.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_be_bytes());
        bytes[24..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// The flag is set.
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// The byte behind the range; `None` if there can be none.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.length))
    }

    /// The flags that make sense with the command. `FUA` is allowed everywhere and means nothing where nothing is written.
    pub fn flags_allowed(&self) -> u16 {
        use command_flag::{DF, FAST_ZERO, FUA, NO_HOLE, REQ_ONE};
        match self.command {
            command::READ => FUA | DF,
            command::WRITE_ZEROES => FUA | NO_HOLE | FAST_ZERO,
            command::BLOCK_STATUS => FUA | REQ_ONE,
            _ => FUA,
        }
    }
}

/// The header of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionHeader {
    /// Which option.
    pub option: u32,
    /// Bytes of data that follow.
    pub length: u32,
}

impl OptionHeader {
    /// Decodes a header; `None` if it does not begin as an option does.
    pub fn decode(bytes: &[u8; OPTION_SIZE]) -> Option<Self> {
        let mut fields = Fields(bytes);
        (fields.u64()? == OPTION_MAGIC).then_some(())?;
        Some(Self { option: fields.u32()?, length: fields.u32()? })
    }
}

/// What a client wants to know of an export (`INFO` and `GO`).
#[derive(Debug, PartialEq, Eq)]
pub struct InfoRequest<'a> {
    /// The export's name.
    pub name: &'a str,
    wanted: &'a [u8],
}

impl<'a> InfoRequest<'a> {
    /// Decodes the data of the option; `None` if it is not exactly one request.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let name = fields.string()?;
        let count = fields.u16()?;
        let wanted = fields.take(usize::from(count) * 2)?;
        fields.ends().then_some(Self { name, wanted })
    }

    /// This kind of information is asked for.
    pub fn wants(&self, kind: u16) -> bool {
        self.wanted.chunks_exact(2).any(|pair| pair == kind.to_be_bytes())
    }
}

/// Which contexts of which export (`LIST_META_CONTEXT` and `SET_META_CONTEXT`).
#[derive(Debug, PartialEq, Eq)]
pub struct ContextRequest<'a> {
    /// The export's name.
    pub name: &'a str,
    /// Names of contexts, or patterns of them.
    pub queries: Vec<&'a str>,
}

impl<'a> ContextRequest<'a> {
    /// Decodes the data of the option; `None` if it is not exactly one request.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let name = fields.string()?;
        let count = fields.u32()?;
        let mut queries = Vec::new();
        for _ in 0..count {
            // The bytes that are there bound the loop: each query takes at least four.
            queries.push(fields.string()?);
        }
        fields.ends().then_some(Self { name, queries })
    }
}

/// Appends a reply to an option.
pub fn option_reply(out: &mut Vec<u8>, option: u32, kind: u32, data: &[&[u8]]) {
    let length: usize = data.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&OPTION_REPLY_MAGIC.to_be_bytes());
    out.extend_from_slice(&option.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    for part in data {
        out.extend_from_slice(part);
    }
}

/// A simple reply without data.
pub fn simple_reply(cookie: u64, error: Option<Errno>) -> [u8; SIMPLE_REPLY_SIZE] {
    let mut bytes = [0; SIMPLE_REPLY_SIZE];
    bytes[..4].copy_from_slice(&SIMPLE_REPLY_MAGIC.to_be_bytes());
    bytes[4..8].copy_from_slice(&error.map_or(0, Errno::number).to_be_bytes());
    bytes[8..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// The header of a chunk.
pub fn chunk_header(cookie: u64, flags: u16, kind: u16, length: u32) -> [u8; CHUNK_SIZE] {
    let mut bytes = [0; CHUNK_SIZE];
    bytes[..4].copy_from_slice(&CHUNK_MAGIC.to_be_bytes());
    bytes[4..6].copy_from_slice(&flags.to_be_bytes());
    bytes[6..8].copy_from_slice(&kind.to_be_bytes());
    bytes[8..16].copy_from_slice(&cookie.to_be_bytes());
    bytes[16..].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Fields one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(part)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// A length of four bytes, and so many bytes of UTF-8.
    fn string(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.u32()?).ok().filter(|length| *length <= STRING_LIMIT)?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn ends(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{ContextRequest, Errno, InfoRequest, OptionHeader, Request, chunk_header, option_reply, simple_reply};
    use crate::serve::nbd::protocol::{OPTION_SIZE, command, command_flag, info};

    fn string(text: &str) -> Vec<u8> {
        let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn a_request_is_decoded_as_it_was_encoded() {
        let request =
            Request { flags: 5, command: command::READ, cookie: 0x0102_0304_0506_0708, offset: 1 << 40, length: 9 };
        let bytes = request.encode();
        assert_eq!(bytes[..8], [0x25, 0x60, 0x95, 0x13, 0, 5, 0, 0]);
        assert_eq!(Request::decode(&bytes), Some(request));
        for place in 0..4 {
            let mut wrong = bytes;
            wrong[place] ^= 1;
            assert_eq!(Request::decode(&wrong), None);
        }
    }

    #[test]
    fn a_range_past_the_last_number_has_no_end() {
        let request = Request { flags: 0, command: command::READ, cookie: 0, offset: u64::MAX, length: 1 };
        assert_eq!(request.end(), None);
        assert_eq!(Request { offset: u64::MAX - 1, ..request }.end(), Some(u64::MAX));
    }

    #[test]
    fn flags_belong_to_their_commands() {
        let allowed = |command| Request { flags: 0, command, cookie: 0, offset: 0, length: 0 }.flags_allowed();
        assert_eq!(allowed(command::READ), command_flag::FUA | command_flag::DF);
        assert_eq!(allowed(command::WRITE), command_flag::FUA);
        assert_eq!(allowed(command::BLOCK_STATUS) & command_flag::DF, 0);
    }

    #[test]
    fn an_option_without_its_magic_is_none() {
        let mut bytes = [0; OPTION_SIZE];
        bytes[..8].copy_from_slice(b"IHAVEOPT");
        bytes[11] = 7;
        bytes[15] = 3;
        assert_eq!(OptionHeader::decode(&bytes), Some(OptionHeader { option: 7, length: 3 }));
        bytes[0] = b'i';
        assert_eq!(OptionHeader::decode(&bytes), None);
    }

    #[test]
    fn information_is_asked_for_by_number_and_a_length_that_lies_is_none() {
        let mut bytes = string("vm");
        bytes.extend_from_slice(&[0, 2, 0, 3, 0, 1]);
        let request = InfoRequest::decode(&bytes).unwrap();
        assert_eq!(request.name, "vm");
        assert!(request.wants(info::BLOCK_SIZE) && request.wants(info::NAME) && !request.wants(info::DESCRIPTION));
        for length in 0..bytes.len() {
            assert_eq!(InfoRequest::decode(&bytes[..length]), None, "{length} bytes of {}", bytes.len());
        }
        bytes.push(0);
        assert_eq!(InfoRequest::decode(&bytes), None);
        assert_eq!(InfoRequest::decode(&[0xff; 12]), None);
        assert_eq!(InfoRequest::decode(&[0, 0, 0, 1, 0xff, 0, 0]), None, "not UTF-8");
    }

    #[test]
    fn contexts_are_counted_by_what_is_there_not_by_what_is_said() {
        let mut bytes = string("vm");
        bytes.extend_from_slice(&2_u32.to_be_bytes());
        bytes.extend_from_slice(&string("base:allocation"));
        bytes.extend_from_slice(&string("qemu:"));
        let request = ContextRequest::decode(&bytes).unwrap();
        assert_eq!((request.name, request.queries.as_slice()), ("vm", ["base:allocation", "qemu:"].as_slice()));
        let mut lie = string("vm");
        lie.extend_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(ContextRequest::decode(&lie), None);
    }

    #[test]
    fn a_name_longer_than_the_protocol_allows_is_none() {
        let mut bytes = string(&"n".repeat(4097));
        bytes.extend_from_slice(&[0, 0]);
        assert_eq!(InfoRequest::decode(&bytes), None);
        let mut bytes = string(&"n".repeat(4096));
        bytes.extend_from_slice(&[0, 0]);
        assert!(InfoRequest::decode(&bytes).is_some());
    }

    #[test]
    fn replies_have_the_bytes_of_the_specification() {
        assert_eq!(
            simple_reply(2, Some(Errno::NoSpace)),
            [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 2]
        );
        let chunk = chunk_header(3, 1, 5, 12);
        assert_eq!(chunk, [0x66, 0x8e, 0x33, 0xef, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 12]);
        let mut out = Vec::new();
        option_reply(&mut out, 7, 1, &[b"ab", b"c"]);
        assert_eq!(out[..8], [0, 3, 0xe8, 0x89, 4, 0x55, 0x65, 0xa9]);
        assert_eq!(out[8..], [0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 3, b'a', b'b', b'c']);
    }
}
