//! The `cowl` command as a person uses it: real files, exit codes, and a plain copy kept beside every layer.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A directory with a pool in it, and the bytes that each layer must have.
struct Bench {
    dir: tempfile::TempDir,
    plain: BTreeMap<String, Vec<u8>>,
}

impl Bench {
    fn new(format: &[&str]) -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap(), plain: BTreeMap::new() };
        bench.ok(&[&["format", "p.cowl"], format].concat());
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cowl"));
        let command = command.args(args).current_dir(self.dir.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that fails early does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args, b"");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(&[args, &["--json"]].concat())).unwrap()
    }

    /// Runs a command that must fail with this exit code, and gives what it says.
    fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args, b"");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.len() > 10 && !said.contains("panicked"), "{args:?}: {said}");
        said
    }

    fn write(&mut self, volume: &str, offset: usize, bytes: &[u8]) {
        let output = self.run(&["write", "p.cowl", volume, "--offset", &offset.to_string()], bytes);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.plain.get_mut(volume).unwrap()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn copy(&mut self, from: &str, to: &str) {
        let bytes = self.plain[from].clone();
        self.plain.insert(to.to_owned(), bytes);
    }

    /// Every layer exports byte for byte as the plain copy says, and the pool is sound.
    fn verify(&self) {
        for (name, bytes) in &self.plain {
            self.ok(&["export", "p.cowl", name, "out.img", "--force"]);
            assert!(&fs::read(self.path("out.img")).unwrap() == bytes, "{name} differs");
        }
        let layers = self.json(&["list", "p.cowl"]);
        assert_eq!(layers["layers"].as_array().unwrap().len(), self.plain.len());
        self.ok(&["check", "p.cowl", "--scrub"]);
    }

    fn image(&self, name: &str, size: u64, pieces: &[(u64, u8, usize)]) -> Vec<u8> {
        let file = fs::File::create(self.path(name)).unwrap();
        file.set_len(size).unwrap();
        for (offset, byte, length) in pieces {
            file.write_all_at(&vec![*byte; *length], *offset).unwrap();
        }
        fs::read(self.path(name)).unwrap()
    }
}

#[test]
fn a_week_of_work_leaves_every_layer_as_the_plain_copy_has_it() {
    let mut bench = Bench::new(&["--size", "64M"]);
    let image = bench.image("disk.img", 8 << 20, &[(0, 1, 5000), (3 << 20, 2, 70_000), ((8 << 20) - 10, 3, 10)]);
    bench.ok(&["import", "p.cowl", "vm", "disk.img"]);
    bench.plain.insert("vm".to_owned(), image);
    bench.verify();
    for (number, day) in (1_u8..).zip(["monday", "tuesday", "wednesday"]) {
        bench.ok(&["snapshot", "p.cowl", "vm", "--name", day]);
        bench.copy("vm", day);
        bench.write("vm", 1000 * usize::from(number) + 7, &vec![number + 10; 9001]);
    }
    bench.ok(&["rollback", "p.cowl", "vm", "tuesday", "--keep", "broken"]);
    bench.copy("vm", "broken");
    bench.copy("tuesday", "vm");
    bench.ok(&["clone", "p.cowl", "monday", "test"]);
    bench.copy("monday", "test");
    bench.write("test", 3 << 20, &[99; 4096]);
    bench.verify();
    for name in ["tuesday", "monday", "test"] {
        bench.ok(&["delete", "p.cowl", name]);
        bench.plain.remove(name);
        bench.verify();
    }
    bench.ok(&["switch", "p.cowl", "vm", "broken"]);
    bench.copy("broken", "vm");
    bench.ok(&["delete", "p.cowl", "wednesday", "broken", "--no-merge"]);
    bench.plain.retain(|name, _| name == "vm");
    bench.ok(&["merge", "p.cowl"]);
    bench.verify();
}

#[test]
fn an_import_into_a_volume_that_exists_writes_only_what_differs() {
    let mut bench = Bench::new(&["--size", "64M"]);
    bench.image("disk.img", 4 << 20, &[(0, 1, 1 << 20), (2 << 20, 2, 1 << 20)]);
    bench.ok(&["import", "p.cowl", "vm", "disk.img"]);
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "s"]);
    let changed = bench.image("disk.img", 4 << 20, &[(0, 1, (1 << 20) - 4096), (3 << 20, 2, 4096)]);
    let report = bench.json(&["import", "p.cowl", "vm", "disk.img"]);
    assert_eq!((report["written"].as_u64(), report["unchanged"].as_u64()), (Some(4096), Some((1 << 20) - 4096)));
    bench.plain.insert("vm".to_owned(), changed);
    bench.ok(&["delete", "p.cowl", "s"]);
    bench.verify();
    bench.image("large.img", 5 << 20, &[]);
    assert!(bench.fails(7, &["import", "p.cowl", "vm", "large.img"]).contains("resize"));
}

#[test]
fn a_pool_on_a_base_shows_it_and_refuses_another() {
    let mut bench = Bench::new(&["--size", "16M"]);
    let image = bench.image("golden.img", 2 << 20, &[(0, 7, 2 << 20)]);
    bench.ok(&["format", "p.cowl", "--size", "16M", "--force", "--base", "golden.img"]);
    bench.ok(&["create", "p.cowl", "vm", "--size", "3M", "--base", "golden.img"]);
    bench.ok(&["export", "p.cowl", "vm", "out.img", "--base", "golden.img"]);
    let out = fs::read(bench.path("out.img")).unwrap();
    assert!(out[..2 << 20] == image && out[2 << 20..].iter().all(|byte| *byte == 0));
    // An image of zeros hides the base.
    bench.image("zeros.img", 3 << 20, &[]);
    bench.ok(&["import", "p.cowl", "vm", "zeros.img", "--base", "golden.img"]);
    bench.ok(&["export", "p.cowl", "vm", "out.img", "--force", "--base", "golden.img"]);
    assert!(fs::read(bench.path("out.img")).unwrap().iter().all(|byte| *byte == 0));
    bench.image("other.img", 2 << 20, &[(0, 8, 2 << 20)]);
    bench.fails(7, &["info", "p.cowl"]);
    bench.fails(7, &["info", "p.cowl", "--base", "other.img"]);
    bench.plain.clear();
}

#[test]
fn attachments_come_back_and_go_with_their_snapshot() {
    let bench = Bench::new(&["--size", "16M"]);
    let free = bench.json(&["info", "p.cowl"])["free"].clone();
    bench.ok(&["create", "p.cowl", "vm", "--size", "1M"]);
    let memory: Vec<u8> = (0..100_001_u32).map(|i| (i % 251) as u8).collect();
    fs::write(bench.path("vm.mem"), &memory).unwrap();
    fs::write(bench.path("empty"), b"").unwrap();
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "s", "--attach", "memory=vm.mem", "--attach", "empty"]);
    bench.ok(&["export", "p.cowl", "s", "back", "--attachment", "memory"]);
    assert!(fs::read(bench.path("back")).unwrap() == memory);
    bench.ok(&["export", "p.cowl", "s", "back", "--force", "--attachment", "empty"]);
    assert!(fs::read(bench.path("back")).unwrap().is_empty());
    assert!(bench.fails(3, &["export", "p.cowl", "s", "x", "--attachment", "disk"]).contains("memory"));
    bench.ok(&["attach", "p.cowl", "vm", "config=vm.mem"]);
    bench.fails(7, &["attach", "p.cowl", "vm", "config=vm.mem"]);
    bench.ok(&["delete", "p.cowl", "s", "vm"]);
    assert_eq!(bench.json(&["info", "p.cowl"])["free"], free);
}

#[test]
fn each_kind_of_failure_has_its_exit_code_and_says_what_to_do() {
    let bench = Bench::new(&["--size", "16M"]);
    bench.ok(&["create", "p.cowl", "vm", "--size", "1M"]);
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "s"]);
    fs::write(bench.path("text"), b"hello").unwrap();
    let cases: &[(i32, &[&str])] = &[
        (2, &["format", "new.cowl"]),
        (2, &["format", "new.cowl", "--size", "16M", "--block", "5K"]),
        (2, &["create", "p.cowl", "x", "--size", "1000"]),
        (2, &["read", "p.cowl", "vm", "--offset", "1M", "--length", "1"]),
        (2, &["snapshot", "p.cowl", "vm", "vm", "--name", "x"]),
        (3, &["info", "nothing.cowl"]),
        (3, &["info", "text"]),
        (3, &["info", "p.cowl", "nothing"]),
        (3, &["rollback", "p.cowl", "vm", "#77"]),
        (3, &["import", "p.cowl", "x", "nothing.img"]),
        (4, &["create", "p.cowl", "x", "--size", "1G", "--guaranteed"]),
        (7, &["format", "p.cowl", "--size", "16M"]),
        (7, &["format", "text", "--size", "16M"]),
        (7, &["create", "p.cowl", "vm", "--size", "1M"]),
        (7, &["rename", "p.cowl", "s", "vm"]),
        (7, &["discard", "p.cowl", "s", "--offset", "0", "--length", "4K"]),
        (7, &["rollback", "p.cowl", "vm", "vm"]),
        (7, &["resize", "p.cowl", "vm", "512K"]),
        (7, &["grow", "p.cowl", "--size", "8M"]),
        (7, &["export", "p.cowl", "vm", "text"]),
    ];
    for (code, args) in cases {
        bench.fails(*code, args);
    }
    assert!(!bench.path("new.cowl").exists());
    assert_eq!(fs::read(bench.path("text")).unwrap(), b"hello");
    let said = bench.fails(3, &["info", "p.cowl", "nothing", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["error"]["code"], 3);
    bench.ok(&["check", "p.cowl", "--scrub"]);
}

#[test]
fn a_pool_in_use_is_busy_and_a_killed_command_leaves_it_sound() {
    let bench = Bench::new(&["--size", "64M"]);
    bench.ok(&["create", "p.cowl", "vm", "--size", "32M"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_cowl"));
    let command = command.args(["write", "p.cowl", "vm"]).current_dir(bench.dir.path()).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // More than a pipe holds: when this returns the command has the pool open.
    child.stdin.as_mut().unwrap().write_all(&vec![5; 3 << 20]).unwrap();
    bench.fails(6, &["info", "p.cowl"]);
    child.kill().unwrap();
    child.wait().unwrap();
    bench.ok(&["check", "p.cowl", "--scrub"]);
    bench.ok(&["delete", "p.cowl", "vm"]);
}

#[test]
fn damage_is_found_and_inspect_still_shows_the_rest() {
    let bench = Bench::new(&["--size", "16M"]);
    bench.image("disk.img", 1 << 20, &[(0, 9, 1 << 20)]);
    bench.ok(&["import", "p.cowl", "vm", "disk.img", "--integrity"]);
    let items = bench.json(&["inspect", "p.cowl", "--data"]);
    let data = items["items"].as_array().unwrap().iter().find(|item| item["object"] == "data").unwrap();
    flip(&bench.path("p.cowl"), data["offset"].as_u64().unwrap() + 100);
    bench.ok(&["check", "p.cowl"]);
    bench.fails(5, &["check", "p.cowl", "--scrub"]);
    bench.fails(5, &["export", "p.cowl", "vm", "out.img"]);
    assert!(!bench.path("out.img").exists());
    let map = items["items"].as_array().unwrap().iter().find(|item| item["object"] == "map").unwrap();
    flip(&bench.path("p.cowl"), map["offset"].as_u64().unwrap() + 3);
    bench.fails(5, &["check", "p.cowl"]);
    assert!(bench.ok(&["inspect", "p.cowl"]).contains("DAMAGED"));
}

/// A power cut in the middle of a checkpoint tears a slot: nobody has to restore anything for that.
#[test]
fn a_torn_copy_of_the_superblock_is_told_and_is_no_damage() {
    let bench = Bench::new(&["--size", "16M"]);
    bench.ok(&["create", "p.cowl", "vm", "--size", "1M"]);
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "a"]);
    for slot in 0..4 {
        flip(&bench.path("p.cowl"), slot * 4096 + 100);
        let health = bench.json(&["check", "p.cowl"]);
        assert_eq!((&health["clean"], &health["findings"]), (&true.into(), &0.into()), "{health}");
        assert_eq!(health["unreadable_copies"], serde_json::json!([slot]));
        assert!(bench.ok(&["check", "p.cowl"]).contains(&format!("slot {slot} of the superblock cannot be read")));
        for name in ["b", "c"] {
            bench.ok(&["snapshot", "p.cowl", "vm", "--name", name]);
            bench.ok(&["delete", "p.cowl", name]);
        }
        assert_eq!(bench.json(&["check", "p.cowl"])["unreadable_copies"], serde_json::json!([]));
    }
}

/// A journal that ended within a block was taken for a shorter one, and every node of the space map for damaged.
#[test]
fn inspect_finds_the_space_map_behind_a_journal_that_ends_within_a_block() {
    let bench = Bench::new(&["--size", "16M", "--physical", "512", "--journal", "9"]);
    bench.ok(&["create", "p.cowl", "vm", "--size", "1M"]);
    bench.ok(&["check", "p.cowl"]);
    let shown = bench.ok(&["inspect", "p.cowl"]);
    assert!(shown.contains("bitmap of blocks") && !shown.contains("DAMAGED"), "{shown}");
}

fn flip(path: &Path, offset: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

#[test]
fn reads_and_writes_are_exact_to_the_byte_and_discards_to_the_block() {
    let mut bench = Bench::new(&["--size", "16M", "--block", "512"]);
    bench.ok(&["create", "p.cowl", "vm", "--size", "1M"]);
    bench.plain.insert("vm".to_owned(), vec![0; 1 << 20]);
    bench.write("vm", 511, &[1, 2, 3]);
    bench.write("vm", (1 << 20) - 1, &[4]);
    let read = bench.run(&["read", "p.cowl", "vm", "--offset", "510", "--length", "5"], b"").stdout;
    assert_eq!(read, [0, 1, 2, 3, 0]);
    let differs = bench.run(&["write", "p.cowl", "vm", "--offset", "1048575"], b"56");
    assert_eq!(differs.status.code(), Some(7));
    bench.plain.get_mut("vm").unwrap()[(1 << 20) - 1] = b'5';
    bench.verify();
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "s"]);
    bench.copy("vm", "s");
    bench.ok(&["discard", "p.cowl", "vm", "--offset", "0", "--length", "1K"]);
    bench.plain.get_mut("vm").unwrap()[..1024].fill(0);
    bench.verify();
    let diff = bench.json(&["diff", "p.cowl", "s", "vm"]);
    assert_eq!(diff["changes"], serde_json::json!([{ "offset": 0, "length": 1024, "content": "empty" }]));
}

#[test]
fn what_the_layer_costs_is_measured_beside_a_plain_file_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let plots = tempfile::tempdir().unwrap();
    let small = "--volume 16M --operations 300 --rounds 2 --depth 5 --days 3 --deepest 100 --json";
    let groups = "--only process --only amounts --only stalls --only curves --only month";
    let mut command = Command::new(env!("CARGO_BIN_EXE_cowl"));
    command.arg("bench").arg(dir.path()).args(small.split(' ')).args(groups.split(' '));
    let output = command.arg("--plots").arg(plots.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["depth.svg", "month.svg", "workspace.svg"] {
        assert!(fs::read_to_string(plots.path().join(name)).unwrap().starts_with("<svg"), "{name}");
    }
    let table: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = table["lines"].as_array().unwrap();
    assert_eq!(lines.iter().filter(|line| line["other"].as_f64().is_some_and(|other| other > 0.0)).count(), 5 + 2 + 5);
    let amount = |what: &str| {
        let line = lines.iter().find(|line| line["what"].as_str().unwrap().contains(what)).unwrap();
        line["ours"].as_f64().unwrap()
    };
    // Exact counts, so the same on every machine: a block, a unit for each flush, and now and then a checkpoint.
    assert!((2.0..2.1).contains(&amount("flushed each, units of 4 KiB")), "{table}");
    assert!((1.0..1.2).contains(&amount("flushed each, units of 512 B")), "{table}");
    assert!((1.0..1.15).contains(&amount("sixteen first writes a flush")), "{table}");
    assert!((1.0..2.1).contains(&amount("first write after a snapshot")), "{table}");
    assert!((1.0..1.1).contains(&amount("at leisure")), "{table}");
    assert!(amount("snapshot with 16 MiB of data, bytes") <= 65_536.0, "{table}");
    assert!(amount("random read, 1 snapshots") <= 1.0 && amount("random read, 100 snapshots") <= 1.0, "{table}");
    assert!(amount("blocks in use") < 40_000.0, "{table}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
