//! The server is killed, or loses its power, again and again while clients write and snapshots come and go.

mod serving;

use std::{
    fs,
    os::unix::net::UnixStream,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use cowl_host::{real::CutDisk, sim::Rng};
use serving::{
    Bench, SIZE, Server,
    client::{Client, FLUSH, FUA, WRITE},
};

const ROUNDS: u64 = 12;
/// Rounds that end with the power.
const CUTS: u64 = 30;
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
    /// A power cut tore it, and no flush has covered a write since.
    torn: Vec<bool>,
    /// The same, and no write was answered since.
    torn_still: Vec<bool>,
}

impl Known {
    fn new() -> Self {
        let zeros = vec![0; SIZE / SECTOR];
        let whole = vec![false; SIZE / SECTOR];
        Self { kept: zeros.clone(), answered: zeros.clone(), sent: zeros, torn: whole.clone(), torn_still: whole }
    }
}

/// The number that fills a sector; none if it is torn.
fn number(sector: &[u8]) -> Option<u64> {
    let first = u64::from_le_bytes(*sector.first_chunk().unwrap());
    sector.chunks(8).all(|bytes| bytes == first.to_le_bytes()).then_some(first)
}

/// What each sector of a layer may hold: a number between two bounds, or garbage. What was found is there to stay.
#[derive(Debug, Clone)]
struct Bounds {
    low: Vec<u64>,
    high: Vec<u64>,
    torn: Vec<bool>,
}

impl Bounds {
    fn narrow(&mut self, what: &str, content: &[u8]) {
        for (sector, found) in content.chunks(SECTOR).map(number).enumerate() {
            let (low, high, torn) = (&mut self.low[sector], &mut self.high[sector], &mut self.torn[sector]);
            let allowed = found.map_or(*torn, |number| (*low..=*high).contains(&number));
            assert!(allowed, "{what}, sector {sector}: {found:?} is not in {low} to {high}, torn: {torn}");
            *torn = found.is_none();
            if let Some(number) = found {
                (*low, *high) = (number, number);
            }
        }
    }
}

/// Writes to blocks of its own, with one flush for about `rarely` writes, until the server is gone.
fn write(
    mut client: Client<UnixStream>,
    number: &mut u64,
    first: u64,
    (mut random, rarely): (Rng, u64),
    known: &Mutex<Known>,
) {
    let sectors = |block: u64| {
        let start = usize::try_from(block).unwrap() * (BLOCK / SECTOR);
        start..start + BLOCK / SECTOR
    };
    let mine = sectors(first).start..sectors(first + BLOCKS).start;
    loop {
        let block = first + random.below(BLOCKS);
        *number += 1;
        known.lock().unwrap().sent[sectors(block)].fill(*number);
        let flags = if random.below(2 * rarely) == 0 { FUA } else { 0 };
        let bytes = number.to_le_bytes().repeat(BLOCK / 8);
        if client.attempt(WRITE, flags, block * BLOCK as u64, BLOCK, &bytes).is_err() {
            return;
        }
        let answered = {
            let mut known = known.lock().unwrap();
            known.answered[sectors(block)].fill(*number);
            known.torn_still[sectors(block)].fill(false);
            if flags == FUA {
                known.kept[sectors(block)].fill(*number);
                known.torn[sectors(block)].fill(false);
            }
            (known.answered[mine.clone()].to_vec(), known.torn_still[mine.clone()].to_vec())
        };
        if random.below(rarely) == 0 {
            if client.attempt(FLUSH, 0, 0, 0, b"").is_err() {
                return;
            }
            let mut known = known.lock().unwrap();
            known.kept[mine.clone()].copy_from_slice(&answered.0);
            known.torn[mine.clone()].copy_from_slice(&answered.1);
        }
    }
}

struct Snapshot {
    name: String,
    holds: Bounds,
}

/// Takes snapshots for a while, and deletes old ones, until a command fails or the server is
/// `ending`: from then on a command may find the pool as the server has left it. Layers of which it is not known whether they are there.
fn change_layers(
    bench: &Bench,
    names: &[String],
    known: &Mutex<Known>,
    ending: &AtomicBool,
    snapshots: &mut Vec<Snapshot>,
) -> Vec<String> {
    let works = |args: &[&str]| bench.try_cowl(args).0 == Some(0);
    for (i, name) in names.iter().enumerate() {
        let before = known.lock().unwrap().clone();
        let done = works(&["snapshot", &bench.pool(), "vm", "--name", name]);
        let high = known.lock().unwrap().sent.clone();
        let ended = ending.load(Ordering::SeqCst);
        let (low, torn) = if ended { (before.kept, before.torn) } else { (before.answered, before.torn_still) };
        snapshots.push(Snapshot { name: name.clone(), holds: Bounds { low, high, torn } });
        if !done {
            return vec![name.clone()];
        }
        if ended {
            break;
        }
        if snapshots.len() > SNAPSHOTS {
            let oldest = snapshots[usize::from(i % 2 == 1)].name.clone();
            if !works(&["delete", &bench.pool(), "--no-merge", &oldest]) {
                return vec![oldest];
            }
            snapshots.retain(|snapshot| snapshot.name != oldest);
        }
    }
    Vec::new()
}

/// A pool, its clients, and what they know.
struct Storm {
    bench: Bench,
    known: Mutex<Known>,
    random: Rng,
    /// The last number of each of three clients.
    last: [u64; 3],
    snapshots: Vec<Snapshot>,
}

impl Storm {
    fn new(bench: Bench) -> Self {
        let known = Mutex::new(Known::new());
        Self { bench, known, random: Rng::new(7), last: [0; 3], snapshots: Vec::new() }
    }

    /// Serves the pool until `end` has ended the server; layers of which it is not known whether they are there.
    fn serve(&mut self, round: u64, changes: u64, end: impl FnOnce(Server, &AtomicBool) + Send) -> Vec<String> {
        let names: Vec<String> = (0..changes).map(|i| format!("s{round}-{i}")).collect();
        let server = self.bench.serve(&["--socket", "p.cowl.nbd"]);
        let ending = &AtomicBool::new(false);
        thread::scope(|scope| {
            for (writer, number) in (0..).zip(&mut self.last) {
                // Without chunks, so that each reply is as long as the next.
                let client = Client::new(server.connect()).go("vm");
                let random = Rng::new(round << 8 | writer);
                let known = &self.known;
                scope.spawn(move || write(client, number, writer * BLOCKS, (random, 4 << (round % 6)), known));
            }
            scope.spawn(move || end(server, ending));
            change_layers(&self.bench, &names, &self.known, ending, &mut self.snapshots)
        })
    }

    /// Every sector of every layer is what it may be, and the pool is sound. If the power failed, what was on its way may be torn;
    /// a snapshot was flushed before it became one.
    fn judge(&mut self, unsure: &[String], power_failed: bool) {
        let mut known = self.known.lock().unwrap();
        let Known { kept: low, sent: high, mut torn, .. } = known.clone();
        for (torn, (low, high)) in torn.iter_mut().zip(low.iter().zip(&high)) {
            *torn |= power_failed && low < high;
        }
        let mut volume = Bounds { low, high, torn };
        volume.narrow("vm", &self.bench.content("vm"));
        let (low, torn) = (volume.low, volume.torn);
        *known = Known { kept: low.clone(), answered: low, sent: volume.high, torn: torn.clone(), torn_still: torn };
        let is_there =
            |name: &str| self.bench.try_cowl(&["export", &self.bench.pool(), name, "content.img", "--force"]);
        self.snapshots.retain(|snapshot| !unsure.contains(&snapshot.name) || is_there(&snapshot.name).0 == Some(0));
        for Snapshot { name, holds } in &mut self.snapshots {
            holds.narrow(name, &self.bench.content(name));
        }
        self.bench.is_sound();
    }

    fn was_a_storm(&self) {
        assert!(self.last.iter().all(|number| *number > 100), "too little was written: {:?}", self.last);
        assert!(self.snapshots.len() >= SNAPSHOTS, "only {} snapshots", self.snapshots.len());
    }
}

#[test]
fn a_server_killed_under_load_loses_nothing_that_was_flushed_and_no_snapshot() {
    let mut storm = Storm::new(Bench::new());
    for round in 0..ROUNDS {
        let (changes, pause) = (storm.random.below(4), Duration::from_millis(20 + storm.random.below(120)));
        let unsure = storm.serve(round, changes, |server, ending| {
            thread::sleep(pause);
            ending.store(true, Ordering::SeqCst);
            server.kill();
        });
        storm.judge(&unsure, false);
    }
    storm.was_a_storm();
}

#[test]
fn a_server_that_loses_its_power_under_load_loses_nothing_that_was_flushed_and_no_snapshot() {
    let bench = Bench::new();
    let dir = tempfile::tempdir().unwrap();
    let disk = match CutDisk::mount(dir.path(), fs::read(bench.pool()).unwrap()) {
        Ok(disk) => disk,
        Err(why) => return serving::lacking(&why),
    };
    let mut storm = Storm::new(bench.moved_to(disk.path().to_path_buf()));
    let mut fates = [0; 3];
    for round in 0..CUTS {
        let (changes, calls) = (storm.random.below(4), storm.random.below(400));
        let unsure = storm.serve(round, changes, |server, ending| {
            let power = disk.fail_after(calls);
            assert!(power.is_gone_within(Duration::from_secs(60)), "nobody writes");
            ending.store(true, Ordering::SeqCst);
            server.kill_stuck(|| power.release());
        });
        let became = disk.cut(&mut storm.random);
        fates.iter_mut().zip(became).for_each(|(sum, more)| *sum += more);
        storm.judge(&unsure, true);
    }
    storm.was_a_storm();
    assert!(fates.iter().all(|number| *number > 50), "kept, dropped, torn: {fates:?}");
}
