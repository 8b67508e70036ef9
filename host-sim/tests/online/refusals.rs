//! Who is not let in, what is not done, and what harms nobody.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    thread,
    time::Duration,
};

use cowl_host::{FileOptions, HostDevice, serve::control::socket_of};

use super::bench::{Bench, Server, message, noise};

const HELLO: &str = r#"{"cowl":1,"version":"0"}"#;

fn bench() -> Bench {
    let bench = Bench::new(&["--size", "64M"]);
    bench.ok(&["create", "p.cowl", "vm", "--size", "8M"]);
    bench
}

#[test]
fn a_pool_that_somebody_holds_without_serving_it_says_so() {
    let bench = bench();
    let device = HostDevice::open(bench.path("p.cowl"), &FileOptions::new()).unwrap();
    for verb in ["info", "check", "inspect", "merge", "metrics"] {
        let said = bench.fails(6, &[verb, "p.cowl"]);
        assert!(said.contains("not being served"), "{said}");
    }
    drop(device);
    bench.ok(&["info", "p.cowl"]);
    // Nor does a dead server's socket.
    drop(UnixListener::bind(bench.path("p.cowl.control")).unwrap());
    let _device = HostDevice::open(bench.path("p.cowl"), &FileOptions::new()).unwrap();
    assert!(bench.fails(6, &["info", "p.cowl"]).contains("not being served"));
}

#[test]
fn what_needs_a_server_says_so() {
    let bench = bench();
    for args in [&["metrics", "p.cowl"][..], &["merge", "p.cowl", "--pause"], &["merge", "p.cowl", "--resume"]] {
        assert!(bench.fails(7, args).contains("not being served"));
    }
}

#[test]
fn the_socket_goes_with_the_server_and_is_its_owners_alone() {
    let bench = bench();
    let mut server = Server::start(&bench);
    let socket = bench.path("p.cowl.control");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    bench.ok(&["info", "p.cowl"]);
    server.listener.take().unwrap().stop();
    assert!(!socket.exists());
    assert!(bench.fails(6, &["info", "p.cowl"]).contains("not being served"));
}

#[test]
fn another_user_is_not_let_in_even_by_an_open_socket() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be another user");
        assert!(std::env::var_os("COWL_REQUIRE_ALL").is_none());
        return;
    }
    let bench = bench();
    let _server = Server::start(&bench);
    for (name, mode) in [(".", 0o755), ("p.cowl", 0o666)] {
        fs::set_permissions(bench.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    // A copy where that user can run it. Made by a process of its own: a program that is still open for writing cannot be run, and what
    // another test starts meanwhile would have inherited it open.
    let cowl = bench.path("cowl");
    let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_cowl")).arg(&cowl).status();
    assert!(copied.unwrap().success());
    let stranger = || {
        let mut command = std::process::Command::new(&cowl);
        let output = command.args(["info", "p.cowl"]).current_dir(bench.dir.path()).uid(65_534).output().unwrap();
        assert_eq!(output.status.code(), Some(9), "{output:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("another user"));
    };
    stranger();
    fs::set_permissions(bench.path("p.cowl.control"), fs::Permissions::from_mode(0o666)).unwrap();
    stranger();
    bench.ok(&["info", "p.cowl"]);
}

#[test]
fn garbage_and_stalled_commands_harm_nobody() {
    let bench = bench();
    let server = Server::start(&bench);
    let socket = socket_of(&bench.path("p.cowl")).unwrap();
    let connect = || UnixStream::connect(&socket).unwrap();
    let mut openings: Vec<Vec<u8>> = vec![Vec::new(), vec![0; 8], vec![0xff; 8], message("", b""), message("{}", b"")];
    openings.extend((1..40_u32).map(|seed| noise(usize::try_from(seed * seed * 7).unwrap(), seed)));
    for call in [r#""Nothing""#, r#"{"Read":{"layer":1}}"#, "[", r#"{"Layer":{"id":-1}}"#, &"[".repeat(100_000)] {
        openings.push([message(HELLO, b""), message(call, b"")].concat());
    }
    for opening in &openings {
        let mut stream = connect();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The server may have hung up before all of it was sent.
        let _ = stream.write_all(opening);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    // Half a header, half a message, a greeting and no more, and one that never takes its answers.
    let greeting = message(HELLO, b"");
    let read = message(r#"{"Read":{"layer":1,"sector":0,"length":1048576}}"#, b"");
    let mut stalled = Vec::new();
    for bytes in [&greeting[..3], &greeting[..12], &greeting, &[greeting.clone(), read.repeat(20)].concat()] {
        let mut stream = connect();
        stream.write_all(bytes).unwrap();
        stalled.push(stream);
    }
    bench.write("vm", 0, b"hello");
    assert_eq!(bench.ok(&["read", "p.cowl", "vm", "--length", "5"]), "hello");
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "s"]);
    bench.ok(&["check", "p.cowl", "--scrub"]);
    assert_eq!(server.service.shared.lock().info().layers, 2);
}

#[test]
fn calls_out_of_range_are_failures_and_the_connection_goes_on() {
    let bench = bench();
    let _server = Server::start(&bench);
    let mut stream = UnixStream::connect(bench.path("p.cowl.control")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut ask = |text: &str, data: &[u8]| {
        stream.write_all(&message(text, data)).unwrap();
        let mut head = [0; 8];
        stream.read_exact(&mut head).unwrap();
        let length = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let mut reply = vec![0; length(0) + length(4)];
        stream.read_exact(&mut reply).unwrap();
        String::from_utf8(reply).unwrap()
    };
    assert!(ask(HELLO, b"").contains("\"cowl\":1"));
    for (text, data) in [
        (r#"{"Read":{"layer":1,"sector":18446744073709551615,"length":512}}"#, &b""[..]),
        (r#"{"Read":{"layer":1,"sector":0,"length":4294967295}}"#, b""),
        (r#"{"Read":{"layer":99,"sector":0,"length":512}}"#, b""),
        (r#"{"Write":{"volume":1,"sector":16383}}"#, &[7; 1024]),
        (r#"{"Write":{"volume":1,"sector":0}}"#, &[7; 100]),
        (r#"{"WriteBytes":{"volume":1,"offset":18446744073709551615}}"#, &[7; 100]),
        (r#"{"Discard":{"volume":1,"sector":1,"count":18446744073709551615}}"#, b""),
        (r#"{"Extent":{"layer":1,"sector":18446744073709551615}}"#, b""),
        (r#"{"WhatIfFreed":{"set":[1,2,3,4294967295]}}"#, b""),
        (r#"{"Rollback":{"volume":1,"snapshot":1,"time":0,"keep":null,"force":true}}"#, b""),
        (r#"{"Grow":{"size":1}}"#, b""),
    ] {
        assert!(ask(text, data).contains("Failed"), "{text}");
    }
    assert!(ask(r#""Space""#, b"").contains("Done"));
    bench.ok(&["check", "p.cowl", "--scrub"]);
}

#[test]
fn one_command_too_many_is_told_to_come_again() {
    let bench = bench();
    let _server = Server::start(&bench);
    let connect = || {
        let mut stream = UnixStream::connect(bench.path("p.cowl.control")).unwrap();
        stream.write_all(&message(HELLO, b"")).unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        stream
    };
    let idle: Vec<UnixStream> = (0..64).map(|_| connect()).collect();
    assert!(bench.fails(6, &["info", "p.cowl"]).contains("too many commands"));
    drop(idle);
    super::bench::eventually("a command is let in again", || bench.run(&["info", "p.cowl"], b"").status.success());
}

#[test]
fn a_server_of_another_version_and_what_is_no_server_are_told_apart() {
    for (answer, code, said) in [
        (message(r#"{"cowl":999,"version":"9.9"}"#, b""), 7, "version 999"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), 8, "no server of cowl"),
        (Vec::new(), 8, "gone away"),
        (message(r#"{"cowl":1,"version":"0"}"#, b""), 8, "gone away"),
    ] {
        let bench = bench();
        let _device = HostDevice::open(bench.path("p.cowl"), &FileOptions::new()).unwrap();
        let listener = UnixListener::bind(bench.path("p.cowl.control")).unwrap();
        let other = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 8]).unwrap();
            stream.write_all(&answer).unwrap();
        });
        let heard = bench.fails(code, &["info", "p.cowl"]);
        assert!(heard.contains(said), "{heard}");
        other.join().unwrap();
    }
}

#[test]
fn a_layer_in_use_is_changed_under_its_clients_only_by_force() {
    let bench = bench();
    bench.write("vm", 0, &noise(1 << 20, 5));
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "s"]);
    bench.ok(&["clone", "p.cowl", "s", "other"]);
    let server = Server::start(&bench);
    let changes: &[(&str, &[&str])] = &[
        ("vm", &["rollback", "p.cowl", "vm", "s"]),
        ("vm", &["resize", "p.cowl", "vm", "4M", "--shrink"]),
        ("s", &["delete", "p.cowl", "s"]),
        ("vm", &["delete", "p.cowl", "vm"]),
    ];
    for (layer, args) in changes {
        let client = server.client_of(layer);
        let before = bench.json(&["list", "p.cowl"]);
        let said = bench.fails(7, args);
        assert!(said.contains(&format!("`{layer}` is in use by a client")) && said.contains("--force"), "{said}");
        assert_eq!(bench.json(&["list", "p.cowl"]), before);
        assert!(client.lock().unwrap().is_some(), "nobody was cut off");
        bench.ok(&[*args, &["--force"]].concat());
        assert!(client.lock().unwrap().is_none(), "the client was cut off");
    }
    // What takes nothing away from a client needs no force, and clients of others are left alone.
    let client = server.client_of("other");
    bench.ok(&["resize", "p.cowl", "other", "16M"]);
    bench.ok(&["snapshot", "p.cowl", "other", "--name", "t"]);
    bench.ok(&["rename", "p.cowl", "other", "still"]);
    assert!(client.lock().unwrap().is_some());
    bench.ok(&["check", "p.cowl", "--scrub"]);
}
