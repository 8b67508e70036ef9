//! `stream`: the bytes of a client of the NBD server, as hostile as they like.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant},
};

use cowl::{Attributes, FormatOptions, LayerFlags, LayerId, Pool};
use rustix::fs::{MemfdFlags, memfd_create};

use super::{
    input::Input,
    replies::{Expected, check},
};
use crate::{
    FileOptions, HostDevice,
    device::Base,
    serve::{
        clients::Clients,
        metrics::Metrics,
        mount,
        nbd::{
            channel::Channel,
            codec::Request,
            export::Backend,
            exports::Exports,
            handshake::{Agreed, End, Handshake, Security},
            protocol::{OPTION_MAGIC, command, command_flag},
            status::Context,
            transmission::Transmission,
        },
        room::{Room, WhenFull},
        shared::Shared,
    },
};

/// Bytes of the volume that clients write to.
pub(super) const SIZE: usize = 24 << 10;
/// Bytes in a block of the pool.
pub(super) const BLOCK: usize = 1024;
/// Pieces in which a client's bytes come, at most.
const PIECES: usize = 400;
/// Bytes in the layer that no client may reach.
const GUARD: usize = 8192;

/// A server without sockets, over a pool in memory.
struct Bench {
    exports: Exports,
    clients: Clients,
    volume: LayerId,
    snapshot: LayerId,
    guard: LayerId,
}

/// Sends the bytes to a server, as they are, as options, or as requests. The server must come to an end with them, answer every
/// whole request once and as a disk would, and change no other layer.
pub fn stream(data: &[u8]) {
    static BENCH: OnceLock<Mutex<Bench>> = OnceLock::new();
    let bench = BENCH.get_or_init(|| Mutex::new(Bench::new()));
    let bench = bench.lock().unwrap_or_else(PoisonError::into_inner);
    bench.reset();
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => bench.raw(input.rest()),
        1 => bench.options(&mut input),
        _ => bench.requests(&mut input),
    }
    bench.guard_is_whole();
}

impl Bench {
    fn new() -> Self {
        let file = File::from(memfd_create("cowl", MemfdFlags::CLOEXEC).expect("memory"));
        file.set_len(4 << 20).expect("memory");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let path = Path::new(&path);
        let mut device = HostDevice::open(path, &FileOptions::new().physical_size(512)).expect("a file in memory");
        let block = u32::try_from(BLOCK).expect("a block");
        let options = FormatOptions { pending: 24, journal_units: 16, ..FormatOptions::new(block, [7; 16]) };
        Pool::format(&mut device, &mut vec![0; 1 << 20], &options).expect("a new pool");
        let mut pool = mount::mount(device, Base::None, 1 << 20, false, false).expect("a pool that was just made");
        let named = |name| Attributes { name, description: "text", ..Attributes::default() };
        let none = LayerFlags::empty();
        let volume = pool.create(&named("vm"), SIZE as u64 / 512, none).expect("room");
        pool.write(volume, 0, &vec![9; 8 * BLOCK]).expect("room");
        let snapshot = pool.snapshot(volume, &named("old")).expect("room");
        let guard = pool.create(&named("guard"), GUARD as u64 / 512, none).expect("room");
        pool.write(guard, 0, &[0xaa; GUARD]).expect("room");
        let room = Arc::new(Room::new(path, &pool.info(), WhenFull::Refuse));
        let shared = Arc::new(Shared::new(pool));
        let metrics = Arc::new(Metrics::new().expect("names of their own"));
        let backend = Backend { shared, room, failures: AtomicU64::new(0), metrics };
        let exports = Exports::new(Arc::new(backend), [("alias".to_owned(), volume)].into(), false);
        Self { exports, clients: Clients::new(4), volume, snapshot, guard }
    }

    fn shared(&self) -> &Shared {
        &self.exports.backend().shared
    }

    /// Every run begins with a volume of zeros.
    fn reset(&self) {
        self.shared().write_zeroes(self.volume, 0, SIZE as u64 / 512).expect("zeros need no room");
    }

    fn guard_is_whole(&self) {
        let mut bytes = vec![0; GUARD];
        self.shared().read(self.guard, 0, &mut bytes).expect("a pool that works");
        assert!(bytes.iter().all(|byte| *byte == 0xaa), "a layer that nobody asked for has changed");
    }

    /// The whole stream is the fuzzer's; only the guard's name is not given away.
    fn raw(&self, bytes: &[u8]) {
        if bytes.windows(5).any(|part| part == b"guard") {
            return;
        }
        self.converse(&mut Client::new(bytes.to_vec(), 4096));
    }

    /// Options with a header as it should be, then whatever follows.
    fn options(&self, input: &mut Input<'_>) {
        let mut bytes = vec![0, 0, 0, input.byte() & 3];
        let piece = usize::from(input.byte()) + 1;
        while input.goes_on() {
            let option = u32::from(input.byte() % 12);
            let data = option_data(input);
            bytes.extend_from_slice(&OPTION_MAGIC.to_be_bytes());
            bytes.extend_from_slice(&option.to_be_bytes());
            bytes.extend_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
            bytes.extend_from_slice(&data);
        }
        self.converse(&mut Client::new(bytes, piece));
    }

    fn converse(&self, client: &mut Client) {
        let ticket = self.clients.admit(|| {}).expect("one client at a time");
        let until = Instant::now() + Duration::from_secs(3600);
        let end = Handshake::new(client, &self.exports, &ticket, Security::Plain, until).run();
        assert!(client.sent.starts_with(b"NBDMAGICIHAVEOPT"));
        if let Ok(End::Agreed(agreed)) = end {
            // How it ends is the client's affair; that it ends is not.
            let _ = Transmission::new(client, *agreed, Arc::default()).run();
        }
    }

    /// Requests with a header as it should be; every answer is compared with what a disk would say.
    fn requests(&self, input: &mut Input<'_>) {
        let choice = input.byte();
        let structured = choice & 1 != 0;
        let all = [Context::Allocation, Context::Depth, Context::ChangedSince(self.snapshot)];
        let contexts = if structured { all[..usize::from(choice >> 1) % 4].to_vec() } else { Vec::new() };
        let mut export = self.exports.open(self.volume).expect("a pool that works").expect("the volume");
        export.read_only = choice & 0x80 != 0;
        let mut expected = Expected::new(structured, contexts.len(), export.read_only);
        let mut bytes = Vec::new();
        let piece = usize::from(input.byte()) * 64 + 1;
        while input.goes_on() && !expected.has_ended() {
            let (request, payload) = request(input, expected.count());
            bytes.extend_from_slice(&request.encode());
            bytes.extend_from_slice(&payload);
            expected.add(&request, &payload);
        }
        let mut client = Client::new(bytes, piece);
        let closing = Arc::new(AtomicBool::new(false));
        let end = Transmission::new(&mut client, Agreed { export, structured, contexts }, closing).run();
        check(&expected, &client.sent, end.is_ok());
    }
}

/// The data of an option, in a form that gets past the first look, or any bytes.
fn option_data(input: &mut Input<'_>) -> Vec<u8> {
    let names: [&[u8]; 6] = [b"vm", b"old", b"alias", b"", b"nothing", b"\xff\xfe"];
    let string = |text: &[u8]| [&u32::try_from(text.len()).unwrap_or(0).to_be_bytes(), text].concat();
    let name = names[usize::from(input.byte()) % names.len()];
    match input.byte() % 5 {
        0 => Vec::new(),
        1 => name.to_vec(),
        2 => [string(name), vec![0, 2, 0, input.byte() % 5, 0, 3]].concat(),
        3 => {
            let queries: [&[u8]; 6] =
                [b"base:allocation", b"qemu:", b"qemu:dirty-bitmap:old", b"qemu:dirty-bitmap:vm", b"", b"base:"];
            let query = queries[usize::from(input.byte()) % queries.len()];
            [string(name), vec![0, 0, 0, 1 + input.byte() % 2], string(query)].concat()
        }
        _ => (0..input.byte()).map(|_| input.byte()).collect(),
    }
}

/// A request, and its payload if it is a write. The mark is the request's number.
fn request(input: &mut Input<'_>, number: u64) -> (Request, Vec<u8>) {
    let kind = input.byte();
    // Mostly flags that make sense.
    let flags = match kind >> 5 {
        0 => u16::from(input.byte()),
        1 => command_flag::FUA,
        2 => command_flag::NO_HOLE,
        3 => command_flag::DF,
        4 => command_flag::REQ_ONE,
        _ => 0,
    };
    let command = match kind & 31 {
        0..=7 => command::WRITE,
        15..=17 => command::TRIM,
        18..=20 => command::WRITE_ZEROES,
        21..=24 => command::BLOCK_STATUS,
        25 => command::CACHE,
        26 => command::FLUSH,
        27 => command::DISC,
        28 => 1000,
        _ => command::READ,
    };
    let place = u64::from(input.short() / 4);
    let (offset, length) = match input.byte() {
        0 => (u64::MAX - place, u32::from(input.short())),
        1 => (place, u32::MAX - u32::from(input.short())),
        2 => (0, 0),
        byte if byte & 1 == 0 => (place / 512 * 512 * 2, u32::from(byte / 4) * 512),
        _ => (place, u32::from(input.short() % 2250)),
    };
    // No fuzzer has four gigabytes to send.
    let length = if command == command::WRITE { length.min(70_000) } else { length };
    let payload = if command == command::WRITE { vec![input.byte(); length as usize] } else { Vec::new() };
    (Request { flags, command, cookie: number, offset, length }, payload)
}

/// A client whose bytes are there from the beginning.
struct Client {
    bytes: Vec<u8>,
    at: usize,
    /// So many come at once, but not in more than some hundred pieces: what can be cut in a surprising place is short.
    piece: usize,
    sent: Vec<u8>,
}

impl Client {
    fn new(bytes: Vec<u8>, piece: usize) -> Self {
        let piece = piece.max(bytes.len() / PIECES);
        Self { bytes, at: 0, piece, sent: Vec::new() }
    }
}

impl Channel for Client {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.piece).min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }

    fn send_with(&mut self, send: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        send(&mut self.sent)
    }

    fn set_timeout(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn is_gone(&self) -> bool {
        self.at == self.bytes.len()
    }
}
