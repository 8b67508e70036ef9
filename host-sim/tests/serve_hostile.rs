//! The NBD server and those who mean it no good, or have no luck: nobody else is harmed.

mod serving;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use serving::{
    Bench, SIZE, Server,
    client::{Client, DF, READ, WRITE, context_query, info_query, request},
};

const SOON: Duration = Duration::from_secs(5);

/// A decent client is served, and its layer is as it was.
fn serves_others(server: &Server, client: &mut Client<UnixStream>) {
    client.write(4096, b"decent");
    assert_eq!(client.read(4096, 6), b"decent");
    assert_eq!(server.client("vm").read(4096, 6), b"decent");
}

fn ends(mut stream: UnixStream) -> bool {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn garbage_ends_a_connection_and_nothing_else() {
    let bench = Bench::new();
    let server = bench.serve(&[]);
    let mut decent = server.client("vm");
    let option = |option: u32, length: u32, data: &[u8]| {
        [&[0, 0, 0, 3], &b"IHAVEOPT"[..], &option.to_be_bytes(), &length.to_be_bytes(), data].concat()
    };
    let garbage: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 4096],
        vec![0; 100_000],
        [&[0, 0, 0, 3], &[0x55; 64][..]].concat(),
        option(3, u32::MAX, b""),
        option(7, (1 << 20) + 1, b""),
        option(1, 7, b"unknown"),
        option(1, 2, &[0xff, 0xfe]),
    ];
    for bytes in garbage {
        let mut stream = server.connect();
        // The server may have ended it before everything was sent.
        let _ = stream.write_all(&bytes);
        assert!(ends(stream), "{:?}", &bytes[..bytes.len().min(20)]);
        serves_others(&server, &mut decent);
    }
    for bytes in [vec![0; 28], b"not a request at all, no, no".to_vec(), request(WRITE, 0, 1, 0, (32 << 20) + 1)] {
        let mut client = server.client("vm");
        client.stream.write_all(&bytes).unwrap();
        assert!(client.is_ended(SOON), "{bytes:?}");
        serves_others(&server, &mut decent);
    }
    server.ends_well();
    bench.is_sound();
}

#[test]
fn options_that_lie_are_refused_and_the_handshake_goes_on() {
    let bench = Bench::new();
    let server = bench.serve(&[]);
    let mut client = Client::new(server.connect()).structured();
    let refused = |replies: Vec<(u32, Vec<u8>)>| replies.last().unwrap().0 >> 31 == 1;
    let lies: [&[u8]; 6] =
        [b"", b"\xff\xff\xff\xff", b"\0\0\0\x02vm", b"\0\0\0\x02vm\xff\xff", b"\0\0\0\x03vm\0\0", b"\0\0\0\x02vm\0\0x"];
    for lie in lies {
        for option in [6, 7, 9, 10] {
            assert!(refused(client.option(option, lie)), "{option} {lie:?}");
        }
    }
    let mut count = context_query("vm", &["base:allocation"]);
    count[6..10].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(refused(client.option(10, &count)));
    assert!(refused(client.option(10, &context_query("vm", &["base:allocation"; 65]))));
    assert!(refused(client.option(6, &info_query(&"n".repeat(4097), &[]))));
    assert!(refused(client.option(6, &info_query(&"n".repeat(4096), &[]))));
    assert!(refused(client.option(6, &vec![0; 70_000])));
    assert_eq!(client.go("vm").read(0, 1), [0]);
    server.ends_well();
}

#[test]
fn a_client_that_stalls_is_left_and_one_that_is_silent_between_requests_is_not() {
    let bench = Bench::new();
    let server = bench.serve(&["--patience", "1"]);
    let mut silent = server.client("vm");
    let mute = server.connect();
    let mut slow = server.connect();
    let drip = thread::spawn(move || {
        // One byte at a time does not buy more time.
        let begun = Instant::now();
        while begun.elapsed() < SOON && slow.write_all(&[0]).is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
        begun.elapsed()
    });
    let mut in_header = server.client("vm");
    in_header.stream.write_all(&request(READ, 0, 1, 0, 1)[..20]).unwrap();
    let mut in_payload = server.client("vm");
    in_payload.send(WRITE, 0, 0, 3 << 20, &[1; 5000]);
    let mut deaf = server.client("vm");
    for _ in 0..20 {
        deaf.send(READ, DF, 0, 1 << 20, b"");
    }
    let begun = Instant::now();
    assert!(ends(mute) && in_header.is_ended(SOON) && in_payload.is_ended(SOON));
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(drip.join().unwrap() < SOON);
    server.says("the handshake took too long");
    server.says("stalled within a request");
    server.says("does not take its replies");
    assert!(deaf.is_ended(SOON));
    serves_others(&server, &mut silent);
    server.ends_well();
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_payload_leaves_what_a_disk_could_hold() {
    let bench = Bench::new();
    let server = bench.serve(&[]);
    let mut decent = server.client("vm");
    decent.write(0, &vec![1; 2 << 20]);
    for sent in [0, 1, 4096, 100_000, (1 << 20) + 5, (2 << 20) - 1] {
        let mut client = server.client("vm");
        client.send(WRITE, 0, 0, 2 << 20, &vec![2; sent]);
        drop(client);
    }
    server.says("unexpected end of file");
    serves_others(&server, &mut decent);
    let mut content = decent.read(0, 2 << 20);
    content.drain(4096..4608);
    assert!(content.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0] && (1..3).contains(byte))));
    server.ends_well();
    bench.is_sound();
}

#[test]
fn a_hundred_connections_are_served_and_one_more_than_allowed_is_not() {
    let bench = Bench::new();
    let server = bench.serve(&["--connections", "100"]);
    let mut clients: Vec<_> = (0..100).map(|_| server.client("vm")).collect();
    assert!(ends(server.connect()));
    thread::scope(|scope| {
        for (i, client) in (0_u8..).zip(&mut clients) {
            scope.spawn(move || {
                let offset = u64::from(i) * 5000;
                for round in 0..10 {
                    client.write(offset, &[i + round; 5000]);
                    assert!(client.read(offset, 5000) == [i + round; 5000]);
                }
                client.flush();
            });
        }
    });
    drop(clients.pop());
    server.says("disconnected");
    drop(server.client("vm"));
    drop(clients);
    server.ends_well();
    let content = bench.content("vm");
    assert!((0..100).all(|i| content[i * 5000..][..5000].iter().all(|byte| usize::from(*byte) == i + 9)));
}

#[test]
fn what_cannot_be_served_is_said_before_anything_is() {
    let bench = Bench::new();
    let fails = |code: i32, args: &[&str], why: &str| {
        let (found, _, said) = bench.try_cowl(&[&["serve", &bench.pool()], args].concat());
        assert_eq!(found, Some(code), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    };
    fails(3, &["--export", "x=nothing"], "no layer `nothing`");
    fails(2, &["--export", "x"], "NAME=LAYER");
    fails(2, &["--export", "x=vm", "--export", "x=#1"], "twice");
    fails(2, &["--socket", &"s".repeat(108)], "108 bytes");
    fails(7, &["--socket", "p.cowl"], "something else");
    fails(3, &["--socket", "no/such/directory/s"], "no/such/directory/s");
    fails(7, &["--tcp", "0.0.0.0:0"], "TLS");
    fails(2, &["--tcp", "nonsense:x"], "nonsense");
    fails(2, &["--tcp", "0", "--tls-certificates", "."], "server-cert.pem");
    fails(2, &["--log", "loud=very"], "loud");
    fails(2, &["--connections", "0"], "connections");
    let server = bench.serve(&[]);
    fails(6, &["--socket", "other"], "another process");
    bench.cowl(&["format", "q.cowl", "--size", "8M"]);
    let (code, _, said) = bench.try_cowl(&["serve", "q.cowl", "--socket", "p.cowl.nbd"]);
    assert!(code == Some(6) && said.contains("another server"), "{code:?} {said}");
    assert!(server.socket.exists(), "the second server left the first one's socket alone");
    let socket = server.socket.clone();
    server.kill();
    assert!(socket.exists());
    bench.serve(&[]).ends_well();
}

#[test]
fn a_tcp_server_listens_on_the_loopback() {
    let bench = Bench::new();
    let server = bench.serve(&["--tcp", "0"]);
    let address = server.uri.strip_prefix("nbd://").unwrap().trim_end_matches('/');
    assert!(address.starts_with("127.0.0.1:"));
    let mut stream = TcpStream::connect(address).unwrap();
    let mut hello = [0; 8];
    stream.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"NBDMAGIC");
    server.ends_well();
}

#[test]
fn a_pool_file_that_shrinks_under_the_server_costs_what_was_cut_off() {
    let bench = Bench::new();
    let mut server = bench.serve(&[]);
    let mut client = server.client("vm");
    client.write(0, &vec![3; SIZE]);
    client.flush();
    let pool = fs::OpenOptions::new().write(true).open(bench.pool()).unwrap();
    pool.set_len(1 << 20).unwrap();
    assert_eq!(client.ask(READ, 0, SIZE as u64 - 4096, 4096, b"").error, 5);
    assert_eq!(server.client("vm").ask(READ, DF, SIZE as u64 / 2, 4096, b"").error, 5);
    server.says("somebody has made it shorter");
    assert!(server.is_alive());
    let (_, took) = server.stop();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
