//! The pool behind a lock: many threads read and write while layers come and go.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use cowl::{Attributes, FormatOptions, LayerFlags, LayerId, MountOptions, Pool};
use cowl_host::{
    FileOptions, HostDevice,
    device::Base,
    serve::shared::{OwnPool, Shared},
    sim::Rng,
};

const BLOCK: usize = 4096;
const BLOCK_SIZE: u32 = 4096;
const SECTORS: u64 = (BLOCK / 512) as u64;
const BLOCKS: u64 = 2048;

fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

/// A pool in a new file, for as long as the process lives.
fn pool(path: &std::path::Path, size: u64, pending: u32) -> OwnPool {
    let device = FileOptions::new().create(path, size).unwrap();
    let device = Box::leak(Box::new(HostDevice::File(device)));
    let workspace = Box::leak(vec![0; 8 << 20].into_boxed_slice());
    let options = FormatOptions { pending, journal_units: 64, ..FormatOptions::new(BLOCK_SIZE, [7; 16]) };
    Pool::format(&mut *device, workspace, &options).unwrap();
    let base = Box::leak(Box::new(Base::None));
    Pool::mount_on_base(device, base, workspace, &MountOptions::default()).unwrap()
}

/// One thread's blocks of a volume: every n-th. Only it writes them, so it knows what they hold.
struct Stripe {
    volume: LayerId,
    first: u64,
    step: u64,
    held: Vec<u64>,
    rng: Rng,
}

impl Stripe {
    fn new(volume: LayerId, first: u64, step: u64) -> Self {
        let count = usize::try_from((BLOCKS - first).div_ceil(step)).unwrap();
        Self { volume, first, step, held: vec![0; count], rng: Rng::new(first) }
    }

    fn content(tag: u64) -> Vec<u8> {
        tag.to_le_bytes().repeat(BLOCK / 8)
    }

    fn turn(&mut self, shared: &Shared, serial: u64) {
        let mine = usize::try_from(self.rng.below(self.held.len() as u64)).unwrap();
        let sector = (self.first + mine as u64 * self.step) * SECTORS;
        match self.rng.below(10) {
            0..4 => {
                self.held[mine] = serial << 8 | self.first;
                shared.write(self.volume, sector, &Self::content(self.held[mine])).unwrap();
            }
            4 => {
                self.held[mine] = 0;
                shared.discard(self.volume, sector, SECTORS).unwrap();
            }
            5 => shared.flush().unwrap(),
            _ => {
                let mut bytes = vec![1; BLOCK];
                shared.read(self.volume, sector, &mut bytes).unwrap();
                assert!(bytes == Self::content(self.held[mine]), "block {}", sector / SECTORS);
            }
        }
    }
}

#[test]
fn threads_find_what_they_wrote_while_layers_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::new(pool(&dir.path().join("p"), 64 << 20, 64));
    let volume = shared.lock().create(&named("v"), BLOCKS * SECTORS, LayerFlags::empty()).unwrap();
    let (turns, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let stripes: Vec<Stripe> = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|first| {
                let (shared, turns) = (&shared, &turns);
                scope.spawn(move || {
                    let mut stripe = Stripe::new(volume, first, 4);
                    for serial in 1..3000 {
                        stripe.turn(shared, serial);
                        turns.fetch_add(1, Ordering::Relaxed);
                    }
                    stripe
                })
            })
            .collect();
        let layers = scope.spawn(|| {
            let mut made = 0;
            while !stop.load(Ordering::Relaxed) {
                let snapshot = shared.lock().snapshot(volume, &named("s")).unwrap();
                made += 1;
                thread::yield_now();
                let mut pool = shared.lock();
                pool.delete(snapshot).unwrap();
                pool.breathe();
                pool.merge_all(4000).unwrap();
            }
            made
        });
        let stripes = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(layers.join().unwrap() > 10);
        stripes
    });
    assert_eq!(turns.into_inner(), 4 * 2999);
    let mut pool = shared.into_inner();
    assert_eq!(pool.transfers(), 0);
    for stripe in stripes {
        for (mine, tag) in stripe.held.iter().enumerate() {
            let mut bytes = vec![1; BLOCK];
            let sector = (stripe.first + mine as u64 * stripe.step) * SECTORS;
            pool.read(volume, sector, &mut bytes).unwrap();
            assert!(bytes == Stripe::content(*tag), "block {}", sector / SECTORS);
        }
    }
    let checked = pool.check(&mut vec![0; 1 << 16], true, &mut |finding| panic!("{finding:?}")).unwrap();
    assert_eq!(checked.findings, 0);
    pool.unmount().unwrap();
}

#[test]
fn flushes_of_many_threads_share_device_flushes() {
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::new(pool(&dir.path().join("p"), 64 << 20, 512));
    let volume = shared.lock().create(&named("v"), BLOCKS * SECTORS, LayerFlags::empty()).unwrap();
    let before = shared.lock().stats().flushes;
    thread::scope(|scope| {
        for thread in 0..8 {
            let shared = &shared;
            scope.spawn(move || {
                for i in 0..40 {
                    shared.write(volume, (thread * 40 + i) * SECTORS, &[1; BLOCK]).unwrap();
                    shared.flush().unwrap();
                }
            });
        }
    });
    let flushes = shared.lock().stats().flushes - before;
    assert!((40..320).contains(&flushes), "{flushes} device flushes for 320 asked for");
}

#[test]
fn long_and_ragged_ranges_are_written_and_read_piece_by_piece() {
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::new(pool(&dir.path().join("p"), 64 << 20, 64));
    for (name, flags) in [("thin", LayerFlags::empty()), ("safe", LayerFlags::INTEGRITY)] {
        let volume = shared.lock().create(&named(name), BLOCKS * SECTORS, flags).unwrap();
        let mut expected = vec![0; 3 << 20];
        let mut rng = Rng::new(1);
        for _ in 0..60 {
            let start = usize::try_from(rng.below(4096)).unwrap() * 512;
            let length = usize::try_from(1 + rng.below(2047)).unwrap() * 512;
            rng.fill(&mut expected[start..start + length]);
            shared.write(volume, start as u64 / 512, &expected[start..start + length]).unwrap();
        }
        let mut bytes = vec![1; expected.len()];
        shared.read(volume, 0, &mut bytes).unwrap();
        assert!(bytes == expected);
        assert!(shared.write(volume, BLOCKS * SECTORS - 1, &[0; 1024]).is_err());
    }
}
