//! Commands among clients: what they see of each other, merge in the background, what ends in the middle.

use std::{io::Write, process::Child};

use cowl::{Attributes, LayerId};
use cowl_host::{cli::pool::AnyPool, serve::control::Remote};
use rustix::process::{Pid, Signal, kill_process};

use super::bench::{Bench, Server, eventually, noise};

fn bench() -> Bench {
    let bench = Bench::new(&["--size", "64M"]);
    bench.ok(&["create", "p.cowl", "vm", "--size", "32M"]);
    bench
}

/// Snapshots that each own something, so that deleting them leaves work.
fn snapshots(bench: &Bench, count: u32) -> Vec<String> {
    let take = |number: u32| {
        bench.write("vm", 0, &noise(4 << 20, number + 1));
        let name = format!("s{number}");
        bench.ok(&["snapshot", "p.cowl", "vm", "--name", &name]);
        name
    };
    (0..count).map(take).collect()
}

#[test]
fn a_command_sees_what_clients_have_written_and_they_see_what_it_wrote() {
    let bench = bench();
    let server = Server::start(&bench);
    let (shared, vm) = (&server.service.shared, server.id("vm"));
    shared.write(vm, 8, &[7; 4096]).unwrap();
    let seen = bench.run(&["read", "p.cowl", "vm", "--offset", "4K", "--length", "4K"], b"").stdout;
    assert_eq!(seen, [7; 4096]);
    bench.write("vm", 4097, b"hello");
    let mut sector = [0; 512];
    shared.read(vm, 8, &mut sector).unwrap();
    assert_eq!((&sector[..7]), b"\x07hello\x07");
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "s"]);
    shared.write(vm, 8, &[8; 4096]).unwrap();
    let kept = bench.run(&["read", "p.cowl", "s", "--offset", "4K", "--length", "1"], b"").stdout;
    assert_eq!(kept, [7]);
}

#[test]
fn merge_pauses_and_goes_on_by_itself() {
    let bench = bench();
    let names = snapshots(&bench, 3);
    let server = Server::start(&bench);
    bench.ok(&["merge", "p.cowl", "--pause"]);
    bench.ok(&["delete", "p.cowl", &names[0], &names[1]]);
    let merge = bench.json(&["info", "p.cowl"])["merge"].clone();
    assert_eq!(merge["paused"], true);
    assert!(merge["left"].as_u64().unwrap() >= 8 << 20, "{merge}");
    assert!(bench.ok(&["info", "p.cowl"]).contains("paused, 8."));
    assert!(bench.fails(7, &["merge", "p.cowl"]).contains("--resume"));
    let steps = server.service.merge.status(&server.service.shared).unwrap().steps;
    assert_eq!(steps, 0, "it was paused before there was anything to do");
    bench.ok(&["merge", "p.cowl", "--resume"]);
    eventually("merge ends", || bench.json(&["info", "p.cowl"])["merge"].is_null());
    let deleted = bench.json(&["info", "p.cowl"])["deleted"].clone();
    assert_eq!(deleted, 0);
    assert!(server.service.merge.status(&server.service.shared).unwrap().steps > 1, "in more than one step");
    bench.ok(&["check", "p.cowl", "--scrub"]);
}

#[test]
fn a_server_goes_on_with_the_merge_that_it_finds() {
    let bench = bench();
    let names = snapshots(&bench, 3);
    bench.ok(&["delete", "p.cowl", &names[0], &names[1], "--no-merge"]);
    assert_eq!(bench.json(&["info", "p.cowl"])["deleted"], 2);
    let _server = Server::start(&bench);
    eventually("merge ends", || bench.json(&["info", "p.cowl"])["deleted"] == 0);
    bench.ok(&["check", "p.cowl", "--scrub"]);
}

#[test]
fn merge_ends_although_somebody_always_writes() {
    let bench = bench();
    let names = snapshots(&bench, 3);
    bench.ok(&["delete", "p.cowl", &names[0], &names[1], "--no-merge"]);
    let server = Server::start(&bench);
    let (shared, metrics, vm) = (&server.service.shared, &server.service.metrics, server.id("vm"));
    let bytes = noise(4096, 1);
    let mut turn = 0;
    eventually("merge ends", || {
        for _ in 0..50 {
            let began = std::time::Instant::now();
            turn += 1;
            shared.write(vm, turn % 4096 * 8, &bytes).unwrap();
            metrics.count(cowl_host::serve::metrics::Operation::Write, 4096, began.elapsed());
        }
        shared.lock().info().deleted == 0
    });
}

#[test]
fn counts_are_there_for_prometheus() {
    let bench = bench();
    let server = Server::start(&bench);
    let _client = server.client_of("vm");
    bench.write("vm", 0, &noise(1 << 20, 1));
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "s"]);
    bench.fails(7, &["rollback", "p.cowl", "vm", "s"]);
    let text = bench.ok(&["metrics", "p.cowl"]);
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '));
        line.unwrap_or_else(|| panic!("{name} is missing in\n{text}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    assert!((value("cowl_operation_bytes_total{operation=\"write\"}") - 1_048_576.0).abs() < 0.5);
    assert!((value("cowl_operation_seconds_count{operation=\"snapshot\"}") - 1.0).abs() < 0.5);
    assert!((value("cowl_clients") - 1.0).abs() < 0.5);
    let free = bench.json(&["info", "p.cowl"])["free"].as_f64().unwrap();
    assert!((value("cowl_free_bytes") - free).abs() < 0.5);
    assert!(value("cowl_device_writes_total") > 1.0 && value("cowl_merge_debt_bytes").abs() < 0.5);
}

/// A command that writes, and has already written more than a pipe holds.
fn writing(bench: &Bench) -> Child {
    let mut child = bench.spawn(&["write", "p.cowl", "vm"]);
    child.stdin.as_mut().unwrap().write_all(&vec![5; 3 << 20]).unwrap();
    child
}

#[test]
fn ctrl_c_ends_one_command_and_keeps_what_it_did() {
    let bench = bench();
    let _server = Server::start(&bench);
    let child = writing(&bench);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    // Its input stays open: only the signal can end it.
    let mut child = child;
    let input = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let count = said.strip_prefix("cowl: ").and_then(|said| said.split_once(" bytes were written"));
    let count: usize = count.unwrap_or_else(|| panic!("{said}")).0.parse().unwrap();
    assert!(count >= 2 << 20, "{said}");
    let first = bench.run(&["read", "p.cowl", "vm", "--length", &count.to_string()], b"").stdout;
    assert!(first == vec![5; count]);
}

#[test]
fn a_killed_command_leaves_the_pool_to_the_others() {
    let bench = bench();
    let _server = Server::start(&bench);
    let mut child = writing(&bench);
    child.kill().unwrap();
    child.wait().unwrap();
    bench.ok(&["delete", "p.cowl", "vm"]);
    bench.ok(&["check", "p.cowl", "--scrub"]);
}

#[test]
fn attachments_that_a_command_did_not_bind_go_with_it() {
    let bench = bench();
    let server = Server::start(&bench);
    let mut remote = Remote::connect(&bench.path("p.cowl")).unwrap().unwrap();
    let new = |name| Attributes { name, ..Attributes::default() };
    let bound = remote.stage_attachment(&new("bound"), 5000).unwrap();
    let lost = remote.stage_attachment(&new("lost"), 5000).unwrap();
    remote.write(lost, 0, &[1; 4096]).unwrap();
    let vm: LayerId = server.id("vm");
    remote.attach(vm, bound).unwrap();
    assert_eq!(bench.json(&["info", "p.cowl"])["attachments"], 2);
    drop(remote);
    eventually("the other one is gone", || bench.json(&["info", "p.cowl"])["attachments"] == 1);
    eventually("and merged", || bench.json(&["info", "p.cowl"])["deleted"] == 0);
    assert_eq!(bench.json(&["info", "p.cowl", "vm"])["attachments"].as_array().unwrap().len(), 1);
}
