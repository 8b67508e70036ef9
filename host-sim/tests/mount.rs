//! `cowl mount` and `cowl umount`: a layer as a file, and the file system in it. Needs root and /dev/fuse.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rustix::fs::{FallocateFlags, fallocate};

mod online {
    #[allow(dead_code)]
    pub mod bench;
}

use online::bench::{Bench, Server, noise};

/// Whether there is what these tests need; without it they say so, or fail if nothing may be left out.
fn possible(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| Command::new(tool).arg("-V").output().is_err());
    let why = match missing {
        Some(tool) => format!("there is no {tool}"),
        None if !rustix::process::geteuid().is_root() => "only root can mount".to_owned(),
        None if !Path::new("/dev/fuse").exists() => "there is no /dev/fuse".to_owned(),
        None => return true,
    };
    assert!(std::env::var_os("COWL_REQUIRE_ALL").is_none(), "{why}");
    println!("skipped: {why}");
    false
}

/// Makes a volume `fs` with an ext4 in it, where there are loop devices to mount it.
fn with_ext4(bench: &Bench) -> bool {
    let loops = Command::new("losetup").arg("-f").output();
    if !loops.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("COWL_REQUIRE_ALL").is_none(), "no loop devices");
        println!("skipped: there are no loop devices");
        return false;
    }
    let image = fs::File::create(bench.path("disk.img")).unwrap();
    image.set_len(16 << 20).unwrap();
    let made = Command::new("mkfs.ext4").arg("-q").arg(bench.path("disk.img")).status().unwrap();
    assert!(made.success());
    bench.ok(&["import", "p.cowl", "fs", "disk.img"]);
    true
}

/// A pool with a volume of noise and a snapshot of it, and a directory to mount on.
fn bench() -> (Bench, Vec<u8>) {
    let bench = Bench::new(&["--size", "64M"]);
    bench.ok(&["create", "p.cowl", "vm", "--size", "8M"]);
    let mut plain = noise(3 << 20, 7);
    bench.write("vm", 0, &plain);
    plain.resize(8 << 20, 0);
    bench.ok(&["snapshot", "p.cowl", "vm", "--name", "monday"]);
    fs::create_dir(bench.path("x")).unwrap();
    (bench, plain)
}

/// Unmounts what a test that fails leaves behind.
struct Mounted<'b>(&'b Bench, &'static str);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.0.run(&["umount", self.1], b""));
        }
    }
}

#[test]
fn a_mounted_snapshot_is_copied_to_a_backup() {
    if !possible(&[]) {
        return;
    }
    let (bench, plain) = bench();
    let said = bench.ok(&["mount", "p.cowl", "monday", "x"]);
    let _mounted = Mounted(&bench, "x");
    assert!(said.contains("x/monday"), "{said}");
    fs::copy(bench.path("x/monday"), bench.path("backup.img")).unwrap();
    assert!(fs::read(bench.path("backup.img")).unwrap() == plain);
    let mut file = fs::File::open(bench.path("x/monday")).unwrap();
    file.seek(SeekFrom::Start((3 << 20) - 3)).unwrap();
    let mut bytes = [9; 7];
    file.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[..3], plain[(3 << 20) - 3..3 << 20]);
    drop(file);
    assert!(fs::OpenOptions::new().write(true).open(bench.path("x/monday")).is_err());
    let names: Vec<_> = fs::read_dir(bench.path("x")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["monday"]);
    // Others may read the pool meanwhile.
    bench.ok(&["list", "p.cowl"]);
    bench.ok(&["umount", "x"]);
    assert!(fs::read_dir(bench.path("x")).unwrap().next().is_none());
    bench.ok(&["delete", "p.cowl", "monday"]);
    assert!(bench.fails(3, &["umount", "x"]).contains("nothing is mounted"));
}

#[test]
fn a_mounted_volume_is_written_and_everything_is_in_the_pool_after_umount() {
    if !possible(&[]) {
        return;
    }
    let (bench, mut plain) = bench();
    bench.ok(&["mount", "p.cowl", "vm", "x"]);
    let _mounted = Mounted(&bench, "x");
    let mut file = fs::OpenOptions::new().read(true).write(true).open(bench.path("x/vm")).unwrap();
    for (offset, length) in [(0, 1), (511, 2), (4096, 4096), (1_000_001, 300_003), ((8 << 20) - 1, 1)] {
        let bytes = noise(length, u32::try_from(offset).unwrap());
        file.write_all_at(&bytes, offset).unwrap();
        let start = usize::try_from(offset).unwrap();
        plain[start..start + length].copy_from_slice(&bytes);
    }
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, hole, 2_000_001, 200_000).unwrap();
    plain[2_000_001..2_200_001].fill(0);
    file.sync_all().unwrap();
    assert!(file.write_all_at(&[1; 2], (8 << 20) - 1).is_err(), "a volume does not grow by being written");
    assert!(file.set_len(1).is_err());
    let mut seen = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut seen).unwrap();
    assert!(seen == plain);
    assert!(bench.fails(6, &["list", "p.cowl"]).contains("not being served"));
    assert!(bench.fails(6, &["mount", "p.cowl", "vm", "x"]).contains("not being served"));
    drop(file);
    bench.ok(&["umount", "x"]);
    bench.ok(&["export", "p.cowl", "vm", "out.img"]);
    assert!(fs::read(bench.path("out.img")).unwrap() == plain);
    bench.ok(&["check", "p.cowl", "--scrub"]);
}

#[test]
fn a_layer_of_a_served_pool_is_mounted_through_the_server_and_counts_as_in_use() {
    if !possible(&[]) {
        return;
    }
    let (bench, plain) = bench();
    let server = Server::start(&bench);
    bench.ok(&["mount", "p.cowl", "vm", "x"]);
    let _mounted = Mounted(&bench, "x");
    let file = fs::OpenOptions::new().read(true).write(true).open(bench.path("x/vm")).unwrap();
    file.write_all_at(b"hello", 100).unwrap();
    assert_eq!(bench.ok(&["read", "p.cowl", "vm", "--offset", "100", "--length", "5"]), "hello");
    bench.write("vm", 100, b"there");
    let mut seen = [0; 5];
    file.read_exact_at(&mut seen, 100).unwrap();
    assert_eq!(&seen, b"there", "what others write is seen");
    assert_eq!(server.service.clients.count(server.id("vm")), 1);
    bench.fails(7, &["rollback", "p.cowl", "vm", "monday"]);
    bench.ok(&["rollback", "p.cowl", "vm", "monday", "--force"]);
    assert!(file.write_all_at(b"late", 100).is_err(), "it was cut off");
    drop(file);
    bench.ok(&["umount", "x"]);
    bench.ok(&["export", "p.cowl", "vm", "out.img"]);
    assert!(fs::read(bench.path("out.img")).unwrap() == plain);
}

#[test]
fn what_cannot_be_mounted_leaves_nothing_behind() {
    if !possible(&["mkfs.ext4", "mount"]) {
        return;
    }
    let (bench, _) = bench();
    bench.fails(3, &["mount", "p.cowl", "nothing", "x"]);
    bench.fails(3, &["mount", "p.cowl", "vm", "no-such-directory"]);
    bench.fails(3, &["mount", "nothing.cowl", "vm", "x"]);
    bench.fails(3, &["umount", "x"]);
    let said = bench.fails(8, &["mount", "p.cowl", "monday", "x", "--filesystem"]);
    assert!(said.contains("`mount` failed"), "{said}");
    bench.ok(&["delete", "p.cowl", "monday", "vm"]);
    assert!(bench.fails(3, &["umount", "/proc"]).contains("not of cowl"));
}

#[test]
fn the_file_system_in_a_layer_is_mounted_in_one_step() {
    if !possible(&["mkfs.ext4", "mount"]) {
        return;
    }
    let (bench, _) = bench();
    if !with_ext4(&bench) {
        return;
    }
    bench.ok(&["mount", "p.cowl", "fs", "x", "--filesystem"]);
    let mounted = Mounted(&bench, "x");
    let bytes = noise(1 << 20, 3);
    fs::File::create(bench.path("x/file")).unwrap().write_all(&bytes).unwrap();
    bench.ok(&["umount", "x"]);
    bench.ok(&["snapshot", "p.cowl", "fs", "--name", "kept"]);
    bench.ok(&["mount", "p.cowl", "kept", "x", "--filesystem"]);
    assert!(fs::read(bench.path("x/file")).unwrap() == bytes);
    assert!(fs::write(bench.path("x/file"), b"no").is_err(), "a snapshot is read-only");
    fs::copy(bench.path("x/file"), bench.path("backup")).unwrap();
    bench.ok(&["umount", "x"]);
    drop(mounted);
    assert!(fs::read(bench.path("backup")).unwrap() == bytes);
    bench.ok(&["check", "p.cowl", "--scrub"]);
}

/// Files are made, written, moved, linked, cut, synced and removed, until `done`.
fn work_on_files(dir: &Path, worker: u32, done: &AtomicBool) -> u32 {
    let place = |number: u32| dir.join(format!("{worker}-{number}"));
    fs::create_dir_all(dir.join(format!("d{worker}"))).unwrap();
    let mut count = 0;
    while !done.load(Ordering::Relaxed) {
        count += 1;
        let bytes = noise(usize::try_from(count * 977 % 60_000).unwrap() + 1, count);
        let mut file = fs::File::create(place(count)).unwrap();
        file.write_all(&bytes).unwrap();
        if count % 5 == 0 {
            file.sync_all().unwrap();
        }
        if count % 3 == 0 {
            fs::rename(place(count), dir.join(format!("d{worker}")).join("latest")).unwrap();
        } else if count % 7 == 0 {
            fs::hard_link(place(count), dir.join(format!("d{worker}")).join(count.to_string())).unwrap();
        } else if count % 11 == 0 {
            file.set_len(1000).unwrap();
        }
        if count > 30 {
            // Some have been moved.
            let _ = fs::remove_file(place(count - 30));
            let _ = fs::remove_file(dir.join(format!("d{worker}")).join((count - 30).to_string()));
        }
    }
    count
}

#[test]
fn every_snapshot_of_a_file_system_under_load_is_as_after_a_power_cut() {
    if !possible(&["mkfs.ext4", "mount", "e2fsck"]) {
        return;
    }
    let bench = Bench::new(&["--size", "128M"]);
    if !with_ext4(&bench) {
        return;
    }
    let _server = Server::start(&bench);
    fs::create_dir(bench.path("x")).unwrap();
    bench.ok(&["mount", "p.cowl", "fs", "x", "--filesystem"]);
    let mounted = Mounted(&bench, "x");
    let done = AtomicBool::new(false);
    let dir = bench.path("x");
    thread::scope(|scope| {
        let workers = [0, 1].map(|worker| {
            let (dir, done) = (&dir, &done);
            scope.spawn(move || work_on_files(dir, worker, done))
        });
        for number in 0..8 {
            thread::sleep(Duration::from_millis(150));
            bench.ok(&["snapshot", "p.cowl", "fs", "--name", &format!("s{number}")]);
            if number % 3 == 2 {
                bench.ok(&["delete", "p.cowl", "--no-merge", &format!("s{}", number - 1)]);
            }
        }
        done.store(true, Ordering::Relaxed);
        for worker in workers {
            let files = worker.join().unwrap();
            assert!(files > 50, "only {files} files");
        }
    });
    bench.ok(&["umount", "x"]);
    drop(mounted);
    let fsck = |how: &[&str], image: &Path| {
        let output = Command::new("e2fsck").args(how).arg(image).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for name in ["s0", "s2", "s3", "s5", "s6", "fs"] {
        let image = bench.path("out.img");
        bench.ok(&["export", "p.cowl", name, "out.img", "--force"]);
        // What a mount does after a power cut: the journal is replayed. Then nothing is left to repair.
        let (code, said) = fsck(&["-p", "-E", "journal_only"], &image);
        assert!(matches!(code, Some(0 | 1)), "{name}: {said}");
        let (code, said) = fsck(&["-f", "-n"], &image);
        assert_eq!(code, Some(0), "{name}: {said}");
    }
}
