//! The NBD server as a well-behaved client sees it: exports, data, metadata, and what the end of the server leaves.

mod serving;

use std::{os::unix::net::UnixStream, time::Duration};

use serving::{
    Bench, SIZE,
    client::{
        ACK, CACHE, Client, DF, FAST_ZERO, FLUSH, FUA, NO_HOLE, READ, REQ_ONE, TRIM, WRITE, WRITE_ZEROES,
        context_query, info_query, number,
    },
};

const EPERM: u32 = 1;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;
const EOVERFLOW: u32 = 75;
const ENOTSUP: u32 = 95;
const ERR_UNSUP: u32 = (1 << 31) + 1;
const ERR_POLICY: u32 = (1 << 31) + 2;
const ERR_INVALID: u32 = (1 << 31) + 3;
const ERR_UNKNOWN: u32 = (1 << 31) + 6;

#[test]
fn every_layer_is_an_export_by_its_name() {
    let bench = Bench::new();
    bench.cowl(&["snapshot", &bench.pool(), "vm", "--name", "old", "--description", "clean install"]);
    let server = bench.serve(&["--export", "root=vm", "--export", "früher=#2"]);
    let mut client = Client::new(server.connect());
    let listed = client.option(3, b"");
    let names: Vec<_> = listed.iter().filter(|(kind, _)| *kind == 2).map(|(_, data)| &data[4..]).collect();
    // Behind the name comes what was said of the layer.
    assert_eq!(names, ["früherclean install".as_bytes(), b"root", b"vm", b"oldclean install"]);

    for (name, read_only) in [("vm", false), ("root", false), ("", false), ("old", true), ("früher", true)] {
        let replies = client.option(6, &info_query(name, &[1, 2, 3]));
        let about =
            |kind: u8| replies.iter().find(|(_, data)| data.get(..2) == Some(&[0, kind])).map(|(_, data)| &data[2..]);
        assert_eq!(number(&about(0).unwrap()[..8]), SIZE as u64);
        assert_eq!(about(0).unwrap()[9] & 2 != 0, read_only, "{name}");
        assert_eq!(about(1), Some(name.as_bytes()));
        assert_eq!(about(3), Some(&[0, 0, 0, 1, 0, 0, 0x10, 0, 2, 0, 0, 0][..]));
        assert_eq!(about(2), if read_only { Some(&b"clean install"[..]) } else { None });
    }
    assert_eq!(client.option(6, &info_query("nothing", &[]))[0].0, ERR_UNKNOWN);
    assert_eq!(client.option(7, &info_query("nothing", &[]))[0].0, ERR_UNKNOWN);
    assert_eq!(client.option(99, b"what?")[0].0, ERR_UNSUP);
    assert_eq!(client.option(5, b"")[0].0, ERR_POLICY, "no certificates");
    assert_eq!(client.option(3, b"x")[0].0, ERR_INVALID);
    assert_eq!(client.option(2, b"")[0].0, ACK);
    assert!(client.is_ended(Duration::from_secs(5)));
    server.ends_well();
}

#[test]
fn a_tool_may_ask_a_thousand_layers_three_things_each() {
    let bench = Bench::new();
    let server = bench.serve(&[]);
    let mut client = Client::new(server.connect());
    for _ in 0..3000 {
        assert_eq!(client.option(6, &info_query("vm", &[])).last().unwrap().0, ACK);
    }
    server.ends_well();
}

#[test]
fn the_empty_name_is_the_only_volume_and_nothing_where_there_are_two() {
    let bench = Bench::new();
    bench.cowl(&["create", &bench.pool(), "other", "--size", "1M"]);
    let server = bench.serve(&[]);
    assert_eq!(Client::new(server.connect()).option(6, &info_query("", &[]))[0].0, ERR_UNKNOWN);
    server.ends_well();
    let server = bench.serve(&["--export", "=other"]);
    assert_eq!(server.client("").size, 1 << 20);
}

/// Writes, zeros and trims of any shape, by two clients, with and without chunks; a plain copy beside them says what must be read.
#[test]
fn data_is_what_a_disk_would_have() {
    let bench = Bench::new();
    let server = bench.serve(&[]);
    let mut plain = vec![0; SIZE];
    let mut clients = [server.client("vm"), Client::new(server.connect()).go("vm")];
    let mut random = 77_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    for round in 0..400_u32 {
        let client = &mut clients[next(2)];
        let (offset, most) = (next(SIZE - 1), if round % 40 == 0 { 3 << 20 } else { 20_000 });
        let length = 1 + next(most.min(SIZE - offset));
        let range = offset..offset + length;
        let byte = 1 + u8::try_from(round % 250).unwrap();
        match next(6) {
            0 | 1 => {
                client.write(offset as u64, &vec![byte; length]);
                plain[range].fill(byte);
            }
            2 => {
                let flags = [0, FUA, NO_HOLE, FAST_ZERO, FUA | NO_HOLE][next(5)];
                assert_eq!(client.ask(WRITE_ZEROES, flags, offset as u64, length, b"").error, 0);
                plain[range].fill(0);
            }
            3 => {
                assert_eq!(client.ask(TRIM, 0, offset as u64, length, b"").error, 0);
                let (first, end) = (offset.next_multiple_of(4096), (offset + length) / 4096 * 4096);
                if first < end {
                    plain[first..end].fill(0);
                }
            }
            _ => assert!(client.read(offset as u64, length) == plain[range], "{offset} {length}"),
        }
    }
    assert!(clients[0].read(0, SIZE) == plain && clients[1].read(0, SIZE) == plain);
    server.ends_well();
    assert!(bench.content("vm") == plain);
    bench.is_sound();
}

#[test]
fn many_requests_at_once_are_each_answered_once() {
    const REQUESTS: usize = 64 * 2 + 8;
    let bench = Bench::new();
    let server = bench.serve(&[]);
    let mut client = server.client("vm");
    let (mut listener, mut open) = (client.listener(), std::collections::BTreeMap::new());
    // A client that sends without taking its replies waits for a server that waits for it.
    let replies = std::thread::spawn(move || (0..REQUESTS).map(|_| listener.reply()).collect::<Vec<_>>());
    for i in 0..64_u8 {
        let offset = u64::from(i) * 8192;
        open.insert(client.send(WRITE, if i % 3 == 0 { FUA } else { 0 }, offset, 8192, &[i; 8192]), None);
        open.insert(client.send(READ, 0, offset, 8192, b""), Some(i));
        if i % 8 == 0 {
            open.insert(client.send(FLUSH, 0, 0, 0, b""), None);
        }
    }
    assert_eq!(open.len(), REQUESTS);
    for reply in replies.join().unwrap() {
        assert_eq!(reply.error, 0);
        if let Some(i) = open.remove(&reply.cookie).expect("an open request") {
            assert!(reply.data == [i; 8192]);
        }
    }
    server.ends_well();
}

#[test]
fn requests_that_make_no_sense_get_the_errors_of_the_specification() {
    let bench = Bench::new();
    bench.cowl(&["snapshot", &bench.pool(), "vm", "--name", "old"]);
    let server = bench.serve(&[]);
    let mut client = server.client("vm");
    let end = SIZE as u64;
    let mut error =
        |command, flags, offset, length, payload: &[u8]| client.ask(command, flags, offset, length, payload).error;
    assert_eq!(error(READ, 0, end, 1, b""), EINVAL);
    assert_eq!(error(READ, 0, end - 1, 2, b""), EINVAL);
    assert_eq!(error(READ, 0, u64::MAX, 1, b""), EINVAL);
    assert_eq!(error(READ, 0, 0, 0, b""), EINVAL);
    assert_eq!(error(READ, 0, 0, u32::MAX as usize, b""), EINVAL);
    assert_eq!(error(READ, NO_HOLE, 0, 1, b""), EINVAL);
    assert_eq!(error(READ, DF, 0, 2 << 20, b""), EOVERFLOW);
    assert_eq!(error(WRITE, 0, end - 1, 2, b"ab"), ENOSPC);
    assert_eq!(error(WRITE, 1 << 9, 0, 2, b"ab"), EINVAL);
    assert_eq!(error(WRITE_ZEROES, 0, end, 1, b""), ENOSPC);
    assert_eq!(error(WRITE_ZEROES, NO_HOLE | FAST_ZERO, 0, 4096, b""), ENOTSUP);
    assert_eq!(error(TRIM, 0, end, 1, b""), EINVAL);
    assert_eq!(error(CACHE, 0, end, 1, b""), EINVAL);
    assert_eq!(error(CACHE, 0, 0, SIZE, b""), 0);
    assert_eq!(error(FLUSH, 0, 1, 0, b""), EINVAL);
    assert_eq!(error(7, REQ_ONE, 0, 4096, b""), EINVAL, "no contexts");
    assert_eq!(error(8, 0, 0, 0, b""), EINVAL, "an unknown command");
    let mut old = server.client("old");
    assert_eq!(old.ask(WRITE, 0, 0, 2, b"ab").error, EPERM);
    assert_eq!(old.ask(TRIM, 0, 0, 4096, b"").error, EPERM);
    assert_eq!(old.ask(WRITE_ZEROES, FUA, 0, 4096, b"").error, EPERM);
    assert_eq!(old.read(0, 2), [0, 0]);
    old.flush();
    server.ends_well();
    let server = bench.serve(&["--read-only"]);
    assert_eq!(server.client("vm").ask(WRITE, 0, 0, 2, b"ab").error, EPERM);
    bench.cowl(&["info", &bench.pool()]);
    server.ends_well();
}

#[test]
fn zeros_are_not_sent_where_chunks_can_say_so() {
    let bench = Bench::new();
    let server = bench.serve(&[]);
    let mut client = server.client("vm");
    client.write(4 << 20, &[1; 4096]);
    let sparse = client.ask(READ, 0, 0, 1 << 20, b"");
    assert!(sparse.holes == 1 && sparse.data == vec![0; 1 << 20]);
    let whole = client.ask(READ, DF, 0, 1 << 20, b"");
    assert!(whole.holes == 0 && whole.data == vec![0; 1 << 20]);
    assert_eq!(client.ask(READ, 0, 4 << 20, 1 << 20, b"").holes, 0);
}

#[test]
fn contexts_tell_what_is_allocated_how_deep_and_what_has_changed_also_after_a_kill() {
    let bench = Bench::new();
    let write = |server: &serving::Server, blocks: &[u64]| {
        let mut client = server.client("vm");
        for block in blocks {
            client.write(block * 4096, &[7; 4096]);
        }
        client.flush();
    };
    let server = bench.serve(&[]);
    write(&server, &[0, 1, 2, 8]);
    server.ends_well();
    bench.cowl(&["snapshot", &bench.pool(), "vm", "--name", "old"]);
    let server = bench.serve(&[]);
    write(&server, &[1, 9]);
    server.kill();
    bench.cowl(&["snapshot", &bench.pool(), "vm", "--name", "new"]);
    let server = bench.serve(&[]);
    write(&server, &[2]);
    assert_eq!(server.client("vm").ask(TRIM, 0, 8 * 4096, 4096, b"").error, 0);

    let mut client = Client::new(server.connect()).structured();
    let names = ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:old", "qemu:dirty-bitmap:new"];
    let listed = client.option(9, &context_query("vm", &[]));
    let listed: Vec<_> = listed
        .iter()
        .filter(|(kind, _)| *kind == 4)
        .map(|(_, data)| String::from_utf8(data[4..].to_vec()).unwrap())
        .collect();
    assert_eq!(listed, names);
    assert_eq!(client.option(9, &context_query("vm", &["qemu:dirty-bitmap:"])).len(), 3);
    assert_eq!(client.option(9, &context_query("nothing", &[]))[0].0, ERR_UNKNOWN);
    assert!(client.contexts("vm", &["base:", "qemu:dirty-bitmap:vm", "x:y"]).is_empty());
    assert_eq!(client.contexts("vm", &names), names);
    let mut client = client.go("vm");
    let blocks =
        |lengths: &[(u32, u32)]| lengths.iter().map(|(blocks, flags)| (blocks * 4096, *flags)).collect::<Vec<_>>();
    let found = client.status(0, 12 * 4096);
    assert_eq!(found[0], blocks(&[(3, 0), (6, 3), (1, 0), (2, 3)]), "allocation");
    assert_eq!(found[1], blocks(&[(1, 3), (1, 2), (1, 1), (6, 0), (1, 2), (2, 0)]), "depth");
    assert_eq!(found[2], blocks(&[(1, 0), (2, 1), (5, 0), (2, 1), (2, 0)]), "since old");
    assert_eq!(found[3], blocks(&[(2, 0), (1, 1), (5, 0), (1, 1), (3, 0)]), "since new");
    let one = client.ask(7, REQ_ONE, 100, 12 * 4096 - 100, b"").contexts;
    assert_eq!(one[0].1, [(3 * 4096 - 100, 0)]);
    assert!(one.iter().all(|(_, extents)| extents.len() == 1));
    server.ends_well();
}

#[test]
fn contexts_need_chunks_and_hold_for_their_export_alone() {
    let bench = Bench::new();
    let server = bench.serve(&["--export", "alias=vm"]);
    let mut client = Client::new(server.connect());
    assert_eq!(client.option(10, &context_query("vm", &["base:allocation"]))[0].0, ERR_INVALID);
    let mut client = Client::new(server.connect()).structured();
    client.contexts("alias", &["base:allocation"]);
    assert_eq!(client.go("vm").ask(7, 0, 0, 4096, b"").error, EINVAL);
}

#[test]
fn a_kill_loses_nothing_that_was_flushed_on_any_connection() {
    let bench = Bench::new();
    let server = bench.serve(&[]);
    let mut clients: Vec<Client<UnixStream>> = (0..4).map(|_| server.client("vm")).collect();
    for (i, client) in (0..).zip(&mut clients) {
        client.write(i * 100_000, &vec![u8::try_from(i).unwrap() + 1; 70_000]);
    }
    clients[3].flush();
    assert_eq!(clients[0].ask(WRITE, FUA, 5 << 20, 4096, &[99; 4096]).error, 0);
    server.kill();
    let content = bench.content("vm");
    for i in 0..4 {
        assert!(content[i * 100_000..][..70_000].iter().all(|byte| usize::from(*byte) == i + 1), "client {i}");
    }
    assert!(content[5 << 20..][..4096] == [99; 4096]);
    bench.is_sound();
    bench.serve(&[]).ends_well();
}

#[test]
fn sigterm_ends_it_within_a_second_whatever_the_clients_do() {
    let bench = Bench::new();
    let server = bench.serve(&[]);
    let idle = server.client("vm");
    let silent = server.connect();
    let mut stalled = server.client("vm");
    stalled.send(WRITE, 0, 0, 100_000, &[1; 10]);
    let mut deaf = server.client("vm");
    for _ in 0..60 {
        deaf.send(READ, DF, 0, 1 << 20, b"");
    }
    let mut busy = server.client("vm");
    busy.write(0, &[5; 4096]);
    let socket = server.socket.clone();
    server.ends_well();
    assert!(!socket.exists());
    assert!(busy.is_ended(Duration::from_secs(1)));
    drop((idle, silent, stalled, deaf));
    assert_eq!(bench.content("vm")[..4096], [5; 4096], "a clean end flushes");
    bench.is_sound();
}

#[test]
fn an_old_client_enters_by_name_alone() {
    use std::io::Write;
    let bench = Bench::new();
    let server = bench.serve(&[]);
    let mut client = Client::new(server.connect());
    client.send_option(1, b"vm");
    let about = client.take(10);
    assert_eq!(number(&about[..8]), SIZE as u64);
    client.write(9, b"nine");
    assert_eq!(client.read(8, 6), b"\0nine\0");
    client.stream.write_all(&serving::client::request(2, 0, 1, 0, 0)).unwrap();
    assert!(client.is_ended(Duration::from_secs(5)));
    let mut client = Client::new(server.connect());
    client.send_option(1, b"nothing");
    assert!(client.is_ended(Duration::from_secs(5)));
    server.ends_well();
}
