//! The server is killed again and again while clients write and snapshots come and go.

mod serving;

use std::{
    os::unix::net::UnixStream,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use cowl_host::sim::Rng;
use serving::{
    Bench, SIZE,
    client::{Client, FLUSH, FUA, WRITE},
};

const ROUNDS: u64 = 12;
/// Blocks that each client writes to.
const BLOCKS: u64 = 48;
const BLOCK: usize = 4096;
const SECTOR: usize = 512;
/// Snapshots above which the oldest goes.
const SNAPSHOTS: usize = 4;

/// What is known of each sector: the numbers that were written to it only grow.
#[derive(Debug, Clone)]
struct Known {
    /// The last that a flush covered.
    kept: Vec<u64>,
    /// The last that was answered.
    answered: Vec<u64>,
    /// The last that was sent.
    sent: Vec<u64>,
}

impl Known {
    fn new() -> Self {
        let zeros = vec![0; SIZE / SECTOR];
        Self { kept: zeros.clone(), answered: zeros.clone(), sent: zeros }
    }
}

/// The number that fills each sector.
fn numbers(content: &[u8]) -> Vec<u64> {
    let number = |sector: &[u8]| {
        let first = u64::from_le_bytes(*sector.first_chunk().unwrap());
        assert!(sector.chunks(8).all(|bytes| bytes == first.to_le_bytes()), "a sector is a mix");
        first
    };
    content.chunks(SECTOR).map(number).collect()
}

fn within(what: &str, found: &[u64], low: &[u64], high: &[u64]) {
    for (sector, ((found, low), high)) in found.iter().zip(low).zip(high).enumerate() {
        assert!((low..=high).contains(&found), "{what}, sector {sector}: {found} is not in {low} to {high}");
    }
}

/// Writes to blocks of its own until the server is gone.
fn write(mut client: Client<UnixStream>, number: &mut u64, first: u64, mut random: Rng, known: &Mutex<Known>) {
    let sectors = |block: u64| {
        let start = usize::try_from(block).unwrap() * (BLOCK / SECTOR);
        start..start + BLOCK / SECTOR
    };
    let mine = sectors(first).start..sectors(first + BLOCKS).start;
    loop {
        let block = first + random.below(BLOCKS);
        *number += 1;
        known.lock().unwrap().sent[sectors(block)].fill(*number);
        let flags = if random.below(8) == 0 { FUA } else { 0 };
        let bytes = number.to_le_bytes().repeat(BLOCK / 8);
        if client.attempt(WRITE, flags, block * BLOCK as u64, BLOCK, &bytes).is_err() {
            return;
        }
        let answered = {
            let mut known = known.lock().unwrap();
            known.answered[sectors(block)].fill(*number);
            if flags == FUA {
                known.kept[sectors(block)].fill(*number);
            }
            known.answered[mine.clone()].to_vec()
        };
        if random.below(6) == 0 {
            if client.attempt(FLUSH, 0, 0, 0, b"").is_err() {
                return;
            }
            known.lock().unwrap().kept[mine.clone()].copy_from_slice(&answered);
        }
    }
}

/// A snapshot, and what it must hold: between two bounds until it was read, then exactly that.
struct Snapshot {
    name: String,
    low: Vec<u64>,
    high: Vec<u64>,
}

/// Takes snapshots for a while, and deletes old ones. The last command may have been cut off.
fn change_layers(bench: &Bench, round: u64, count: u64, known: &Mutex<Known>, snapshots: &mut Vec<Snapshot>) {
    for i in 0..count {
        let name = format!("s{round}-{i}");
        let low = known.lock().unwrap().answered.clone();
        bench.cowl(&["snapshot", &bench.pool(), "vm", "--name", &name]);
        let high = known.lock().unwrap().sent.clone();
        snapshots.push(Snapshot { name, low, high });
        if snapshots.len() > SNAPSHOTS {
            let oldest = snapshots.remove(usize::from(i % 2 == 1));
            bench.cowl(&["delete", &bench.pool(), "--no-merge", &oldest.name]);
        }
    }
}

#[test]
fn a_server_killed_under_load_loses_nothing_that_was_flushed_and_no_snapshot() {
    let bench = Bench::new();
    let known = Arc::new(Mutex::new(Known::new()));
    let mut random = Rng::new(7);
    // The last number of each of three clients.
    let mut last = [0; 3];
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for round in 0..ROUNDS {
        let server = bench.serve(&[]);
        let (changes, pause) = (random.below(4), Duration::from_millis(20 + random.below(120)));
        thread::scope(|scope| {
            for (writer, number) in (0..).zip(&mut last) {
                // Without chunks, so that each reply is as long as the next.
                let client = Client::new(server.connect()).go("vm");
                let random = Rng::new(round << 8 | writer);
                let known = known.clone();
                scope.spawn(move || write(client, number, writer * BLOCKS, random, &known));
            }
            thread::sleep(pause);
            change_layers(&bench, round, changes, &known, &mut snapshots);
            server.kill();
        });
        let mut known = known.lock().unwrap();
        let found = numbers(&bench.content("vm"));
        within("vm", &found, &known.kept, &known.sent);
        // What was found is there to stay.
        *known = Known { kept: found.clone(), answered: found.clone(), sent: found };
        for snapshot in &mut snapshots {
            let found = numbers(&bench.content(&snapshot.name));
            within(&snapshot.name, &found, &snapshot.low, &snapshot.high);
            (snapshot.low, snapshot.high) = (found.clone(), found);
        }
        bench.is_sound();
    }
    assert!(last.iter().all(|number| *number > 100), "too little was written: {last:?}");
    assert!(snapshots.len() >= SNAPSHOTS, "only {} snapshots", snapshots.len());
}
