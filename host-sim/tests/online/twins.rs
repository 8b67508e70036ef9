//! Two copies of one pool, one of them served: every command gives the same on both.

use std::{fs, process::Output};

use serde_json::Value;

use super::bench::{Bench, Server, noise, twin};

/// What differs between two runs of one command: identifiers, times, and how often the pool was closed.
const OWN: [&str; 6] = ["uuid", "created", "created_utc", "reverted_at", "generation", "epoch"];

struct Twins {
    offline: Bench,
    served: Bench,
    _server: Server,
}

impl Twins {
    fn new(format: &[&str], prepare: impl Fn(&Bench)) -> Self {
        let offline = Bench::new(format);
        prepare(&offline);
        let served = twin(&offline);
        let server = Server::start(&served);
        Self { offline, served, _server: server }
    }

    fn both(&self, args: &[&str], input: &[u8]) -> (Output, Output) {
        (self.offline.run(args, input), self.served.run(args, input))
    }

    /// Exit code, output and messages are the same, as text to the byte.
    fn same(&self, args: &[&str], input: &[u8]) -> i32 {
        let (a, b) = self.both(args, input);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(a.status.code(), b.status.code(), "{args:?}: {} {}", text(&a.stderr), text(&b.stderr));
        assert_eq!(text(&a.stdout), text(&b.stdout), "{args:?}");
        assert_eq!(text(&a.stderr), text(&b.stderr), "{args:?}");
        a.status.code().unwrap()
    }

    /// As [`same`](Self::same), with `--json`, save for what is each one's own.
    fn same_json(&self, args: &[&str], input: &[u8]) {
        let args = [args, &["--json"]].concat();
        let (a, b) = self.both(&args, input);
        assert!(a.status.success() && b.status.success(), "{args:?}: {a:?} {b:?}");
        let parse = |output: &Output| {
            let mut value: Value = serde_json::from_slice(&output.stdout).unwrap();
            strip(&mut value);
            value
        };
        assert_eq!(parse(&a), parse(&b), "{args:?}");
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        for bench in [&self.offline, &self.served] {
            fs::write(bench.path(name), bytes).unwrap();
        }
    }

    fn same_file(&self, name: &str) -> Vec<u8> {
        let bytes = fs::read(self.offline.path(name)).unwrap();
        assert!(bytes == fs::read(self.served.path(name)).unwrap(), "{name} differs");
        bytes
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !OWN.contains(&key.as_str()));
            map.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}

/// A volume of noise, two snapshots of it, and changes.
fn history(bench: &Bench) {
    bench.ok(&["create", "p.cowl", "vm", "--size", "8M"]);
    bench.write("vm", 0, &noise(3 << 20, 1));
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "monday", "--description", "two\nlines"]);
    bench.write("vm", 100_000, &noise(500_000, 2));
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "tuesday"]);
    bench.write("vm", 1 << 20, &noise(70_000, 3));
}

#[test]
fn what_only_looks_shows_the_same() {
    let twins = Twins::new(&["--size", "64M"], history);
    let looks: &[&[&str]] = &[
        &["list", "p.cowl"],
        &["list", "p.cowl", "--tree"],
        &["list", "p.cowl", "--all", "--uuid"],
        &["info", "p.cowl", "monday"],
        &["describe", "p.cowl", "monday"],
        &["read", "p.cowl", "vm", "--offset", "99999", "--length", "3M"],
        &["read", "p.cowl", "#1", "--offset", "8388600"],
        &["diff", "p.cowl", "monday", "vm"],
        &["diff", "p.cowl", "tuesday", "monday", "--summary"],
        &["what-if", "p.cowl"],
        &["what-if", "p.cowl", "monday", "tuesday"],
        &["check", "p.cowl"],
        &["check", "p.cowl", "--scrub", "--memory", "64"],
        &["inspect", "p.cowl", "vm"],
        &["inspect", "p.cowl", "--data"],
        &["export", "p.cowl", "tuesday", "-"],
    ];
    for args in looks {
        assert_eq!(twins.same(args, b""), 0, "{args:?}");
    }
    twins.same_json(&["info", "p.cowl"], b"");
    twins.same_json(&["list", "p.cowl"], b"");
    twins.same_json(&["inspect", "p.cowl"], b"");
    assert_eq!(twins.same(&["export", "p.cowl", "vm", "out.img"], b""), 0);
    twins.same_file("out.img");
}

#[test]
fn what_changes_the_pool_changes_it_in_the_same_way() {
    let twins = Twins::new(&["--size", "64M"], history);
    let image = noise(5 << 20, 7);
    twins.file("disk.img", &image);
    twins.file("vm.mem", &noise(100_001, 8));
    let changes: &[&[&str]] = &[
        &["create", "p.cowl", "db", "--size", "4M", "--guaranteed", "--integrity"],
        &["import", "p.cowl", "new", "disk.img"],
        &["import", "p.cowl", "vm", "disk.img"],
        &["snapshot", "p.cowl", "vm", "db", "--name", "both"],
        &["snapshot", "p.cowl", "vm", "--name", "running", "--attach", "memory=vm.mem"],
        &["attach", "p.cowl", "vm", "config=vm.mem"],
        &["clone", "p.cowl", "monday", "test"],
        &["rename", "p.cowl", "test", "trial"],
        &["describe", "p.cowl", "trial", "said of it"],
        &["discard", "p.cowl", "vm", "--offset", "1M", "--length", "64K"],
        &["discard", "p.cowl", "vm", "--offset", "512", "--length", "512", "--zero"],
        &["resize", "p.cowl", "trial", "16M"],
        &["resize", "p.cowl", "trial", "2M", "--shrink"],
        &["rollback", "p.cowl", "vm", "monday", "--keep", "broken"],
        &["switch", "p.cowl", "new", "running"],
        &["delete", "p.cowl", "tuesday", "trial"],
        &["merge", "p.cowl"],
        &["grow", "p.cowl", "--size", "96M"],
    ];
    for args in changes {
        if args[0] == "switch" {
            // Of another tree: refused on both.
            assert_eq!(twins.same(args, b""), 7);
            continue;
        }
        twins.same_json(args, b"");
        twins.same_json(&["list", "p.cowl", "--all"], b"");
    }
    twins.same_json(&["write", "p.cowl", "vm", "--offset", "511"], &noise(2_500_001, 9));
    twins.same_json(&["info", "p.cowl"], b"");
    for layer in ["vm", "monday", "running", "broken", "new", "db"] {
        twins.same(&["export", "p.cowl", layer, "out.img", "--force"], b"");
        let exported = twins.same_file("out.img");
        assert!(layer != "new" || exported == image);
    }
    assert_eq!(twins.same(&["export", "p.cowl", "running", "back", "--attachment", "memory"], b""), 0);
    assert_eq!(twins.same_file("back"), noise(100_001, 8));
    assert_eq!(twins.same(&["check", "p.cowl", "--scrub"], b""), 0);
}

#[test]
fn what_fails_fails_with_the_same_code_and_words() {
    let twins = Twins::new(&["--size", "16M"], |bench| {
        bench.ok(&["create", "p.cowl", "vm", "--size", "1M"]);
        bench.ok(&["snapshot", "p.cowl", "vm", "--name", "s"]);
    });
    twins.file("text", b"hello");
    let cases: &[(i32, &[&str])] = &[
        (2, &["create", "p.cowl", "x", "--size", "1000"]),
        (2, &["create", "p.cowl", "", "--size", "1M"]),
        (2, &["read", "p.cowl", "vm", "--offset", "1M", "--length", "1"]),
        (2, &["snapshot", "p.cowl", "vm", "vm", "--name", "x"]),
        (2, &["write", "p.cowl", "vm", "--offset", "2M"]),
        (3, &["info", "p.cowl", "nothing"]),
        (3, &["info", "p.cowl", "#77"]),
        (3, &["info", "p.cowl", "00000000-0000-0000-0000-000000000000"]),
        (3, &["rollback", "p.cowl", "vm", "#77"]),
        (3, &["import", "p.cowl", "x", "nothing.img"]),
        (3, &["export", "p.cowl", "vm", "out", "--attachment", "x"]),
        (4, &["create", "p.cowl", "x", "--size", "1G", "--guaranteed"]),
        (7, &["create", "p.cowl", "vm", "--size", "1M"]),
        (7, &["rename", "p.cowl", "s", "vm"]),
        (7, &["discard", "p.cowl", "s", "--offset", "0", "--length", "4K"]),
        (7, &["write", "p.cowl", "s"]),
        (7, &["rollback", "p.cowl", "vm", "vm"]),
        (7, &["resize", "p.cowl", "vm", "512K"]),
        (7, &["grow", "p.cowl", "--size", "8M"]),
        (7, &["export", "p.cowl", "vm", "text"]),
        (7, &["import", "p.cowl", "s", "text"]),
    ];
    for (code, args) in cases {
        assert_eq!(twins.same(args, b""), *code, "{args:?}");
    }
    assert_eq!(twins.same(&["write", "p.cowl", "vm", "--offset", "1048575"], b"56"), 7);
    let (_, said) = twins.both(&["info", "p.cowl", "nothing", "--json"], b"");
    let said: Value = serde_json::from_slice(&said.stderr).unwrap();
    assert_eq!(said["error"]["code"], 3);
    assert_eq!(twins.same(&["check", "p.cowl", "--scrub"], b""), 0);
}
