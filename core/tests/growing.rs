//! Pools of several groups, and pools that grow by groups and by levels of the space map: every count and every bit is right after each step.

// An interpreter takes minutes; `small_exploration.rs` is made for it.
#![cfg(not(miri))]

use std::collections::HashMap;

use cowl::{
    Attributes, BlockDevice, FormatOptions, Geometry, LayerFlags, LayerId, Limits, MountOptions, Pool, workspace_size,
};

const BLOCK: usize = 512;
/// Blocks of a group.
const GROUP: u64 = 4096;

/// A disk of any length: only sectors that were written take space.
struct Disk {
    sectors: HashMap<u64, [u8; BLOCK]>,
    length: u64,
}

impl BlockDevice for Disk {
    type Error = ();

    fn geometry(&self) -> Geometry {
        Geometry::new(512, self.length)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), ()> {
        for (number, part) in (sector..).zip(buffer.chunks_mut(BLOCK)) {
            part.copy_from_slice(self.sectors.get(&number).unwrap_or(&[0; BLOCK]));
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), ()> {
        for (number, part) in (sector..).zip(buffer.chunks(BLOCK)) {
            self.sectors.insert(number, part.try_into().unwrap());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        Ok(())
    }
}

fn memory() -> Vec<u8> {
    vec![0; workspace_size(512, Limits { layers: 8, ..Limits::new(512, 1 << 24) })]
}

/// Mounts, works, looks at every count and bit; the blocks that are free then.
fn work(disk: &mut Disk, work: impl FnOnce(&mut Pool<'_, &mut Disk>)) -> u64 {
    let mut memory = memory();
    let mut pool = Pool::mount(&mut *disk, &mut memory, &MountOptions::default()).unwrap();
    work(&mut pool);
    pool.checkpoint().unwrap();
    let mut findings = Vec::new();
    let bits = usize::try_from(pool.space().total / 8 + 64).unwrap();
    pool.check(&mut vec![0; bits], true, &mut |finding| findings.push(*finding)).unwrap();
    assert_eq!(findings, []);
    pool.space().free
}

fn pool_of(length: u64) -> Disk {
    let mut disk = Disk { sectors: HashMap::new(), length };
    Pool::format(&mut disk, &mut memory(), &FormatOptions::new(512, [7; 16])).unwrap();
    work(&mut disk, |pool| {
        let named = Attributes { name: "v", ..Attributes::default() };
        assert_eq!(pool.create(&named, 1 << 20, LayerFlags::empty()), Ok(LayerId(1)));
    });
    disk
}

/// Writes blocks one behind the other, and reads them back.
fn fill(pool: &mut Pool<'_, &mut Disk>, from: u64, count: u64, value: u8) {
    let mut bytes = vec![value; usize::try_from(count).unwrap() * BLOCK];
    pool.write(LayerId(1), from, &bytes).unwrap();
    bytes.fill(0);
    pool.read(LayerId(1), from, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == value));
}

#[test]
fn a_pool_of_several_groups_uses_them_all_and_gets_every_block_back() {
    let mut disk = pool_of(3 * GROUP + 100);
    let before = work(&mut disk, |_| {});
    for (round, value) in [(0, 1), (1, 2), (2, 3)] {
        work(&mut disk, |pool| (0..10).for_each(|part| fill(pool, part * 1000, 1000, value)));
        let free = work(&mut disk, |pool| pool.discard(LayerId(1), 0, 1 << 20).unwrap());
        assert_eq!(free, before, "round {round}");
    }
}

#[test]
fn a_full_pool_of_several_groups_has_no_block_left_that_could_be_used() {
    for length in [GROUP, GROUP + 3, GROUP + 200, 2 * GROUP + 50] {
        let mut disk = pool_of(length);
        work(&mut disk, |pool| {
            let mut at = 0;
            for size in [500, 50, 5, 1] {
                while pool.write(LayerId(1), at, &vec![4; size * BLOCK]).is_ok() {
                    at += size as u64;
                }
            }
            assert!(pool.space().available() < 8, "{:?} after {at} blocks", pool.space());
        });
    }
}

#[test]
fn a_pool_grows_within_a_group_by_groups_and_by_levels() {
    let ways: [&[u64]; 7] = [
        &[600, 601, 900, GROUP],
        &[4000, GROUP + 2, GROUP + 3, GROUP + 900, 3 * GROUP],
        &[600, 2 * GROUP + 77, 31 * GROUP + 4000],
        &[31 * GROUP, 32 * GROUP, 32 * GROUP + 5, 33 * GROUP + 9],
        &[20 * GROUP + 70, 33 * GROUP, 65 * GROUP + 100, 100 * GROUP],
        &[600, 40 * GROUP + 11],
        &[1000, 1025 * GROUP + 600, 1100 * GROUP],
    ];
    for way in ways {
        let mut disk = pool_of(way[0]);
        let mut lengths = way.windows(2);
        while let Some([old, new]) = lengths.next() {
            work(&mut disk, |pool| fill(pool, *old % 777, 20, 5));
            disk.length = *new;
            let free = work(&mut disk, |pool| {
                let before = pool.space().free;
                let total = pool.grow().unwrap();
                // A last group of nothing but its own fixed blocks is left out.
                assert!(total == *new || total == *new / GROUP * GROUP, "{total} of {new}");
                assert!(pool.space().free <= before + (new - old));
            });
            let after = work(&mut disk, |pool| fill(pool, 5000, 40, 6));
            assert!(after < free);
            // To the groups that are new, wherever the allocation stands.
            if *new < 4 * GROUP {
                work(&mut disk, |pool| (0..(new - old) / 700).for_each(|part| fill(pool, 9000 + part * 600, 600, 7)));
            }
            work(&mut disk, |pool| pool.discard(LayerId(1), 5000, 1 << 19).unwrap());
        }
    }
}
