//! The server as a process of its own: what it was doing goes on when it is started again, however it ended.

use std::{
    io::{BufRead, BufReader},
    process::Child,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::bench::{Bench, eventually, noise};

/// Starts a server and waits until it serves.
fn serve(bench: &Bench) -> Child {
    let mut server = bench.spawn(&["serve", "p.cowl", "--log", "error"]);
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("serving"), "{line}");
    server
}

fn bench_with_debt() -> Bench {
    let bench = Bench::new(&["--size", "64M", "--block", "512"]);
    bench.ok(&["create", "p.cowl", "vm", "--size", "8M"]);
    let names: Vec<String> = (0..4).map(|number| format!("s{number}")).collect();
    for (number, name) in (1..).zip(&names) {
        bench.write("vm", 0, &noise(4 << 20, number));
        bench.ok(&["snapshot", "p.cowl", "vm", "--name", name]);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    bench.ok(&[&["delete", "p.cowl", "--no-merge"], names.as_slice()].concat());
    bench
}

#[test]
fn merge_goes_on_after_every_kill_of_the_server() {
    let bench = bench_with_debt();
    let left = |bench: &Bench| bench.json(&["info", "p.cowl"])["deleted"].as_u64().unwrap();
    assert_eq!(left(&bench), 4);
    let mut unfinished = 0;
    for round in 0..12 {
        let mut server = serve(&bench);
        thread::sleep(Duration::from_millis(5 * round));
        server.kill().unwrap();
        server.wait().unwrap();
        bench.ok(&["check", "p.cowl"]);
        unfinished += u32::from(left(&bench) > 0);
    }
    assert!(unfinished > 0, "no kill came before the end");
    let mut server = serve(&bench);
    eventually("merge ends", || left(&bench) == 0);
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert!(!bench.path("p.cowl.control").exists());
    bench.ok(&["check", "p.cowl", "--scrub"]);
}

#[test]
fn a_read_only_server_lets_others_read_and_still_tells_its_counts() {
    let bench = bench_with_debt();
    let mut server = bench.spawn(&["serve", "p.cowl", "--read-only", "--log", "error"]);
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    bench.ok(&["list", "p.cowl"]);
    assert!(bench.ok(&["metrics", "p.cowl"]).contains("cowl_pool_bytes 67108864"));
    bench.fails(7, &["create", "p.cowl", "x", "--size", "1M"]);
    server.kill().unwrap();
    server.wait().unwrap();
}
