//! The NBD server with the clients that people use: libnbd's tools, QEMU's, and fio.

mod serving;

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::Value;
use serving::{Bench, SIZE, Server, has, run};

/// A pool with a history: an image with holes, a snapshot, and changes since.
struct Story {
    bench: Bench,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Story {
    fn new() -> Self {
        let bench = Bench::new();
        let mut old = vec![0; SIZE];
        old[..100_000].fill(1);
        old[3 << 20..4 << 20].fill(2);
        let mut new = old.clone();
        new[8192..12_288].fill(3);
        new[5 << 20..(5 << 20) + 65_536].fill(4);
        let story = Self { bench, old, new };
        story.fill("vm", &story.old);
        story.bench.cowl(&["snapshot", &story.bench.pool(), "vm", "--name", "old"]);
        for range in [8192..12_288, 5 << 20..(5 << 20) + 65_536] {
            fs::write(story.bench.path("part"), &story.new[range.clone()]).unwrap();
            let file = fs::File::open(story.bench.path("part")).unwrap();
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cowl"));
            let offset = range.start.to_string();
            assert!(
                command
                    .args(["write", &story.bench.pool(), "vm", "--offset", &offset])
                    .stdin(file)
                    .status()
                    .unwrap()
                    .success()
            );
        }
        story
    }

    fn fill(&self, volume: &str, bytes: &[u8]) {
        fs::write(self.bench.path("image"), bytes).unwrap();
        self.bench.cowl(&["delete", &self.bench.pool(), volume]);
        self.bench.cowl(&["import", &self.bench.pool(), volume, "image"]);
    }

    fn run(&self, words: &[&str]) -> String {
        run(&self.bench.path(""), words)
    }

    /// Lets fio read and write at random, flush after so many writes, and compare what it wrote.
    fn verified(&self, server: &Server, words: &[&str], group: u32) {
        let (uri, fsync) = (format!("--uri={}", server.export("vm")), format!("--fsync={group}"));
        let backlog = format!("--verify_backlog={group}");
        let always = ["fio", "--name=t", "--ioengine=nbd", "--rw=randrw", "--verify=crc32c", "--do_verify=1"];
        let more = [uri.as_str(), &fsync, &backlog, "--output-format=json"];
        let said = self.run(&[&always, words, &more].concat());
        let report: Value = serde_json::from_str(&said[said.find('{').unwrap()..]).unwrap();
        assert_eq!(report["jobs"][0]["error"], 0);
    }

    fn map(&self, server: &Server, export: &str, context: &str) -> Vec<(u64, u64, u64)> {
        let text = self.run(&["nbdinfo", "--json", &format!("--map={context}"), &server.export(export)]);
        let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
        let entry = |entry: &Value| {
            let field = |name: &str| entry[name].as_u64().unwrap();
            (field("offset"), field("length"), field("type"))
        };
        entries.iter().map(entry).collect()
    }
}

#[test]
fn nbdinfo_lists_describes_and_maps() {
    if !has("nbdinfo") {
        return;
    }
    let story = Story::new();
    let server = story.bench.serve(&[]);
    let all: Value = serde_json::from_str(&story.run(&["nbdinfo", "--list", "--json", &server.export("")])).unwrap();
    let exports = all["exports"].as_array().unwrap();
    let mut names: Vec<_> = exports.iter().map(|export| export["export-name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["old", "vm"]);
    let vm = exports.iter().find(|export| export["export-name"] == "vm").unwrap();
    assert_eq!(vm["export-size"], SIZE as u64);
    for (can, expected) in [
        ("is_read_only", false),
        ("can_multi_conn", true),
        ("can_trim", true),
        ("can_zero", true),
        ("can_fast_zero", true),
        ("can_fua", true),
        ("can_df", true),
        ("can_cache", true),
    ] {
        assert_eq!(vm[can], expected, "{can}");
    }
    let contexts: Vec<_> = vm["contexts"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(contexts, ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:old"]);

    let total = SIZE as u64;
    let allocation = story.map(&server, "vm", "base:allocation");
    let data: u64 = allocation.iter().filter(|(_, _, kind)| *kind == 0).map(|(_, length, _)| length).sum();
    assert_eq!(data, 102_400 + (1 << 20) + 65_536);
    assert_eq!(allocation.iter().map(|(_, length, _)| length).sum::<u64>(), total);
    let changed = story.map(&server, "vm", "qemu:dirty-bitmap:old");
    let dirty: Vec<_> = changed.iter().filter(|(_, _, kind)| *kind == 1).copied().collect();
    assert_eq!(dirty, [(8192, 4096, 1), (5 << 20, 65_536, 1)]);
    let depth = story.map(&server, "vm", "qemu:allocation-depth");
    assert!(depth.contains(&(8192, 4096, 1)) && depth.contains(&(3 << 20, 1 << 20, 2)), "{depth:?}");
    server.ends_well();
}

#[test]
fn nbdcopy_copies_both_ways() {
    if !has("nbdcopy") {
        return;
    }
    let story = Story::new();
    let server = story.bench.serve(&[]);
    for (export, content) in [("old", &story.old), ("vm", &story.new)] {
        story.run(&["nbdcopy", &server.export(export), "copy.img"]);
        assert!(fs::read(story.bench.path("copy.img")).unwrap() == *content, "{export}");
    }
    let image: Vec<u8> =
        (0..SIZE).map(|i| if i >> 20 & 1 == 0 { u8::try_from(i >> 9 & 0xff).unwrap() } else { 0 }).collect();
    fs::write(story.bench.path("new.img"), &image).unwrap();
    story.run(&["nbdcopy", "--flush", "new.img", &server.export("vm")]);
    story.run(&["nbdcopy", &server.export("vm"), "back.img"]);
    assert!(fs::read(story.bench.path("back.img")).unwrap() == image);
    server.ends_well();
    assert!(story.bench.content("vm") == image && story.bench.content("old") == story.old);
    story.bench.is_sound();
}

#[test]
fn qemu_img_reads_converts_compares_and_maps() {
    if !has("qemu-img") {
        return;
    }
    let story = Story::new();
    let server = story.bench.serve(&[]);
    let (vm, old) = (server.export("vm"), server.export("old"));
    let about: Value = serde_json::from_str(&story.run(&["qemu-img", "info", "--output=json", &vm])).unwrap();
    assert_eq!((about["virtual-size"].as_u64(), about["format"].as_str()), (Some(SIZE as u64), Some("raw")));
    story.run(&["qemu-img", "convert", "-f", "raw", "-O", "qcow2", &vm, "copy.qcow2"]);
    story.run(&["qemu-img", "compare", "-f", "raw", "-F", "qcow2", &vm, "copy.qcow2"]);
    story.run(&["qemu-img", "convert", "-O", "raw", "copy.qcow2", "copy.img"]);
    assert!(fs::read(story.bench.path("copy.img")).unwrap() == story.new);
    let changed = format!(
        "driver=nbd,server.type=unix,server.path={},export=vm,x-dirty-bitmap=qemu:dirty-bitmap:old",
        server.socket.display()
    );
    let map: Vec<Value> =
        serde_json::from_str(&story.run(&["qemu-img", "map", "--output=json", "--image-opts", &changed])).unwrap();
    // With this option QEMU shows what has changed as a hole.
    let dirty: Vec<_> = map
        .iter()
        .filter(|part| part["data"] == false)
        .map(|part| (part["start"].as_u64(), part["length"].as_u64()))
        .collect();
    assert_eq!(dirty, [(Some(8192), Some(4096)), (Some(5 << 20), Some(65_536))], "{map:?}");
    // The backup that follows the bitmap: what changed, over the old image.
    story.run(&["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", &old, "copy.img"]);
    assert!(fs::read(story.bench.path("copy.img")).unwrap() == story.old);
    story.run(&["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", "copy.img", &vm]);
    story.run(&["qemu-img", "compare", "-f", "raw", "-F", "raw", &vm, &old]);
    server.ends_well();
    assert!(story.bench.content("vm") == story.old);
}

#[test]
fn qemu_io_writes_discards_and_zeroes() {
    if !has("qemu-io") {
        return;
    }
    let story = Story::new();
    let server = story.bench.serve(&[]);
    let commands = [
        "write -P 0x5a 1M 1M",
        "read -P 0x5a 1M 1M",
        "write -f -P 0x77 1234 999",
        "read -P 0x77 1234 999",
        "write -z 1M 64k",
        "read -P 0 1M 64k",
        "write -z -u 1100k 64k",
        "read -P 0 1100k 64k",
        "discard 1536k 128k",
        "read -P 0 1536k 128k",
        "flush",
        "aio_write -P 1 6M 1M",
        "aio_write -P 2 7M 1M",
        "aio_flush",
        "read -P 2 7M 1M",
    ];
    let mut words = vec!["qemu-io", "-f", "raw", "-d", "unmap"];
    for command in commands {
        words.extend(["-c", command]);
    }
    let uri = server.export("vm");
    words.push(&uri);
    let said = story.run(&words);
    assert!(!said.contains("failed") && !said.contains("rror"), "{said}");
    server.ends_well();
    story.bench.is_sound();
}

#[test]
fn fio_verifies_what_it_wrote() {
    if !has("fio") {
        return;
    }
    let story = Story::new();
    let server = story.bench.serve(&[]);
    story.verified(&server, &["--bsrange=512-64k", "--size=8M", "--io_size=48M", "--iodepth=16", "--loops=2"], 64);
    server.ends_well();
    story.bench.is_sound();
}

/// Snapshots, clones, rollbacks of the clones and deletes, so that there is always something to merge, until `done`.
fn change_layers(bench: &Bench, done: &AtomicBool) -> u32 {
    let pool = bench.pool();
    let mut rounds = 0u32;
    while !done.load(Ordering::Relaxed) {
        let (name, clone) = (format!("s{rounds}"), format!("c{rounds}"));
        bench.cowl(&["snapshot", &pool, "vm", "--name", &name]);
        bench.cowl(&["clone", &pool, &name, &clone]);
        bench.cowl(&["discard", &pool, &clone, "--offset", "0", "--length", "1M"]);
        bench.cowl(&["rollback", &pool, &clone, &name]);
        if let Some(old) = rounds.checked_sub(2) {
            bench.cowl(&["delete", &pool, "--no-merge", &format!("s{old}"), &format!("c{old}")]);
        }
        rounds += 1;
    }
    rounds
}

#[test]
fn fio_verifies_what_it_wrote_while_layers_come_and_go() {
    if !has("fio") {
        return;
    }
    let story = Story::new();
    let server = story.bench.serve(&[]);
    let done = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let changes = scope.spawn(|| change_layers(&story.bench, &done));
        story.verified(&server, &["--bs=4k", "--size=6M", "--io_size=24M", "--iodepth=8"], 32);
        done.store(true, Ordering::Relaxed);
        changes.join().unwrap()
    });
    assert!(rounds >= 3, "only {rounds} snapshots were taken meanwhile");
    server.ends_well();
    story.bench.is_sound();
}

/// nbdkit's filters in front: slow requests, errors at times that the client tries again, and writes of what is there already.
#[test]
fn filters_in_front_see_a_disk_like_any_other() {
    if !has("nbdkit") || !has("nbdcopy") {
        return;
    }
    let story = Story::new();
    let server = story.bench.serve(&[]);
    fs::write(story.bench.path("old.img"), &story.old).unwrap();
    let through = |filter: &str, options: &str, command: &str| {
        let nbd = server.export("vm");
        story.run(&["sh", "-c", &format!("nbdkit -U - --filter={filter} nbd '{nbd}' {options} --run '{command}'")]);
    };
    through("delay", "rdelay=2ms wdelay=2ms", "nbdcopy \"$uri\" copy.img");
    assert!(fs::read(story.bench.path("copy.img")).unwrap() == story.new);
    through("retry-request", "retry-request-retries=3", "nbdcopy old.img \"$uri\"");
    // Every write must be of what is there.
    through("checkwrite", "", "nbdcopy old.img \"$uri\"");
    through("blocksize", "minblock=512 maxdata=4k maxlen=64k", "nbdcopy \"$uri\" copy.img");
    assert!(fs::read(story.bench.path("copy.img")).unwrap() == story.old);
    server.ends_well();
    story.bench.is_sound();
}

#[test]
fn nbdkit_is_a_client_too() {
    if !has("nbdkit") || !has("nbdcopy") {
        return;
    }
    let story = Story::new();
    let server = story.bench.serve(&[]);
    let proxy = format!("nbdkit -U - nbd '{}' --run 'nbdcopy \"$uri\" copy.img'", server.export("vm"));
    story.run(&["sh", "-c", &proxy]);
    assert!(fs::read(story.bench.path("copy.img")).unwrap() == story.new);
    server.ends_well();
}

#[test]
fn programs_that_bring_a_socket_start_the_server_themselves() {
    if !has("nbdinfo") {
        return;
    }
    let story = Story::new();
    let (cowl, pool) = (env!("CARGO_BIN_EXE_cowl"), &story.bench.pool());
    let told: Value = serde_json::from_str(&story.run(&["nbdinfo", "--json", "[", cowl, "serve", pool, "]"])).unwrap();
    assert_eq!(told["exports"][0]["export-size"], SIZE as u64, "and nothing but the answer on standard output");
    for (layer, expected) in [("old", &story.old), ("vm", &story.new)] {
        let export = format!("={layer}");
        story.run(&["nbdcopy", "--", "[", cowl, "serve", pool, "--export", &export, "]", "copy"]);
        assert!(fs::read(story.bench.path("copy")).unwrap() == *expected, "{layer}");
    }
    story.bench.cowl(&["check", pool]);
}

#[test]
fn sockets_that_cannot_be_served_are_refused() {
    let bench = Bench::new();
    // The shell becomes the server, so that the process is the one that the socket is meant for.
    let started = |variables: &str, arguments: &str, socket: &str| {
        let line = format!(
            "LISTEN_PID=$$ {variables} exec {} serve {} {arguments} 3<{socket}",
            env!("CARGO_BIN_EXE_cowl"),
            bench.pool()
        );
        let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (variables, arguments, socket, expected) in [
        ("LISTEN_FDS=2", "", "/dev/null", "there are 2"),
        ("LISTEN_FDS=1", "", "/dev/null", "cannot be served"),
        ("LISTEN_FDS=1", "--socket s", "/dev/null", "--socket, and a socket to listen on"),
        ("LISTEN_FDS=1", "--tcp 0", "/dev/null", "--tcp, and a socket to listen on"),
    ] {
        let (code, said) = started(variables, arguments, socket);
        assert!(code == Some(2) && said.contains(expected), "{variables} {arguments}: {code:?} {said}");
    }
}
