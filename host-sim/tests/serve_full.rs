//! The NBD server on a file system that becomes full under it: nothing is lost, and it goes on when there is room.

mod serving;

use std::{fs, process::Command, sync::mpsc, thread, time::Duration};

use cowl_host::real::SmallFilesystem;
use serving::{
    Bench, SIZE, Server,
    client::{FLUSH, READ, TRIM, WRITE},
    lacking,
};

/// A pool on a file system of its own, of 32 MiB; `None` where none can be mounted.
fn small_disk() -> Option<(tempfile::TempDir, SmallFilesystem, Bench)> {
    let dir = tempfile::tempdir().unwrap();
    match SmallFilesystem::mount(dir.path(), 32 << 20) {
        Ok(disk) => {
            let bench = Bench::at(tempfile::tempdir().unwrap(), disk.dir().join("p.cowl"));
            Some((dir, disk, bench))
        }
        Err(why) => {
            lacking(&why);
            None
        }
    }
}

/// Serves the pool; the socket lies where there is room.
fn serve(bench: &Bench, how: &[&str]) -> Server {
    let socket = bench.path("p.cowl.nbd").display().to_string();
    bench.serve(&[&["--socket", &socket], how].concat())
}

#[test]
fn on_a_full_host_disk_writes_get_no_space_nothing_is_lost_and_it_goes_on_when_there_is_room() {
    let Some((dir, disk, bench)) = small_disk() else { return };
    let server = serve(&bench, &[]);
    let mut client = server.client("vm");
    client.write(0, &vec![1; 1 << 20]);
    client.flush();
    disk.fill(3 << 20).unwrap();
    let mut done = 0;
    let mut refused = 0;
    while refused < 20 {
        let offset = (1 << 20) + (done + refused) * 65_536;
        match client.ask(WRITE, 0, offset, 65_536, &vec![2; 65_536]).error {
            0 => done += 1,
            28 => refused += 1,
            error => panic!("{error}: {}", server.log()),
        }
        assert!(offset < SIZE as u64 - 65_536, "the disk never became full");
    }
    client.flush();
    assert!(client.read(0, 1 << 20) == vec![1; 1 << 20]);
    // A command that works through the server is told the same, and does not stop the pool either. The file system is asked now
    // and then, not for each write.
    thread::sleep(Duration::from_millis(300));
    fs::write(bench.path("more"), vec![4; 65_536]).unwrap();
    let write = || {
        let from = fs::File::open(bench.path("more")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cowl"));
        let written = command.args(["write", &bench.pool(), "vm", "--offset", "7M"]).stdin(from).output().unwrap();
        (written.status.code(), String::from_utf8(written.stderr).unwrap())
    };
    let (code, said) = write();
    assert!(code == Some(4) && said.contains("make room"), "{code:?}: {said}");
    disk.empty().unwrap();
    let (code, said) = write();
    assert!(code == Some(0), "{code:?}: {said}; {}", server.log());
    client.write(6 << 20, &vec![3; 1 << 20]);
    client.flush();
    server.kill();
    let content = bench.content("vm");
    assert!(content[..1 << 20] == vec![1; 1 << 20] && content[6 << 20..7 << 20] == vec![3; 1 << 20]);
    assert!(content[7 << 20..][..65_536].iter().all(|byte| *byte == 4));
    let kept = usize::try_from(done).unwrap() * 65_536;
    assert!(content[1 << 20..][..kept].iter().all(|byte| *byte == 2));
    bench.is_sound();
    drop((bench, disk, dir));
}

#[test]
fn writes_that_are_to_wait_for_room_are_answered_when_there_is_some() {
    let Some((dir, disk, bench)) = small_disk() else { return };
    let server = serve(&bench, &["--when-full", "wait"]);
    let mut client = server.client("vm");
    client.write(0, &vec![1; 1 << 20]);
    client.flush();
    disk.fill(3 << 20).unwrap();
    let (told, done) = mpsc::channel();
    let mut writer = server.client("vm");
    let writing = thread::spawn(move || {
        for offset in (1 << 20..8 << 20).step_by(65_536) {
            writer.write(offset, &vec![2; 65_536]);
            told.send(offset).unwrap();
        }
        writer.flush();
    });
    let mut last = 0;
    while let Ok(offset) = done.recv_timeout(Duration::from_secs(2)) {
        last = offset;
    }
    assert!((1 << 20..6 << 20).contains(&last), "it stood still behind {last}: {}", server.log());
    assert!(server.log().contains("held back"), "{}", server.log());
    // Meanwhile others read, and what was written is flushed.
    assert!(client.read(0, 1 << 20) == vec![1; 1 << 20]);
    client.flush();
    disk.empty().unwrap();
    writing.join().unwrap();
    server.kill();
    let content = bench.content("vm");
    assert!(content[..1 << 20] == vec![1; 1 << 20] && content[1 << 20..8 << 20] == vec![2; 7 << 20]);
    bench.is_sound();
    drop((bench, disk, dir));
}

#[test]
fn what_a_client_wanted_that_has_gone_while_it_waited_is_not_done() {
    let Some((dir, disk, bench)) = small_disk() else { return };
    let server = serve(&bench, &["--when-full", "wait"]);
    let mut client = server.client("vm");
    client.write(0, &vec![1; 8 << 20]);
    client.flush();
    disk.fill(1 << 20).unwrap();
    // The file system is asked now and then, not for each write.
    thread::sleep(Duration::from_millis(200));
    let mut gone = server.client("vm");
    gone.send(READ, 0, 0, 4096, &[]);
    for offset in [1 << 20, 2 << 20, 3 << 20] {
        gone.send(WRITE, 0, offset, 65_536, &vec![9; 65_536]);
    }
    assert_eq!(gone.reply().error, 0, "what is done is told before the rest waits");
    server.says("held back");
    drop(gone);
    thread::sleep(Duration::from_millis(300));
    disk.empty().unwrap();
    client.write(5 << 20, &[2; 4096]);
    client.flush();
    thread::sleep(Duration::from_millis(300));
    let content = client.read(0, 8 << 20);
    assert!(content.iter().all(|byte| *byte != 9), "a write of somebody who has gone");
    assert!(content[5 << 20..][..4096] == [2; 4096]);
    server.ends_well();
    bench.is_sound();
    drop((bench, disk, dir));
}

#[test]
fn a_server_whose_clients_wait_for_room_ends_when_it_is_asked_to() {
    let Some((dir, disk, bench)) = small_disk() else { return };
    let mut server = serve(&bench, &["--when-full", "wait"]);
    let mut client = server.client("vm");
    client.write(0, &vec![1; 1 << 20]);
    client.flush();
    disk.fill(1 << 20).unwrap();
    // The file system is asked now and then, not for each write.
    thread::sleep(Duration::from_millis(200));
    client.send(WRITE, 0, 2 << 20, 65_536, &vec![2; 65_536]);
    server.says("held back");
    let (status, time) = server.stop();
    assert!(status.success() && time < Duration::from_secs(2), "{status} after {time:?}: {}", server.log());
    disk.empty().unwrap();
    assert!(bench.content("vm")[..1 << 20] == vec![1; 1 << 20]);
    bench.is_sound();
    drop((bench, disk, dir));
}

/// What is trimmed needs no room, until a checkpoint does.
#[test]
fn a_pool_whose_own_structures_find_no_room_waits_and_goes_on() {
    const STEP: usize = 64 << 10;
    for ended in [false, true] {
        let Some((dir, disk, bench)) = small_disk() else { return };
        let mut server = serve(&bench, &[]);
        let mut client = server.client("vm");
        client.write(0, &vec![1; SIZE]);
        client.flush();
        disk.fill_up().unwrap();
        let (told, done) = mpsc::channel();
        let trimming = thread::spawn(move || {
            let mut trims = (1 << 20..SIZE as u64).step_by(STEP);
            let trimmed = trims.all(|at| client.attempt(TRIM, 0, at, STEP, &[]).is_ok());
            let trimmed = trimmed && client.attempt(FLUSH, 0, 0, 0, &[]).is_ok();
            let _ = told.send(());
            trimmed
        });
        server.says("full to the last byte");
        assert!(done.recv_timeout(Duration::from_millis(500)).is_err(), "a checkpoint without room");
        if ended {
            let (status, time) = server.stop();
            assert!(!status.success() && time < Duration::from_secs(3), "{status} after {time:?}: {}", server.log());
            assert!(!trimming.join().unwrap_or(false), "it cannot have been flushed");
            disk.empty().unwrap();
        } else {
            disk.empty().unwrap();
            assert!(trimming.join().unwrap(), "{}", server.log());
            server.client("vm").write(2 << 20, &vec![3; 1 << 20]);
            server.client("vm").flush();
            server.kill();
            let content = bench.content("vm");
            assert!(content[2 << 20..3 << 20] == vec![3; 1 << 20]);
            assert!(content[3 << 20..].iter().all(|byte| *byte == 0), "what was trimmed stays so");
        }
        assert!(bench.content("vm")[..1 << 20] == vec![1; 1 << 20]);
        bench.is_sound();
        drop((bench, disk, dir));
    }
}
