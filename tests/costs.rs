//! Costs are promises: exact counts of device operations, at any depth and size.

use cowl::{Error, FormatOptions, LayerFlags, LayerId, Limits, Merge, MountOptions, Pool, workspace_size};
use cowl_tests::{Counted, CountedPool, SparseDisk, cost, deepen, formatted, mounted, named};

const MIB: u64 = 1 << 20;
const BLOCK: usize = 4096;
/// Depths and volume sizes at which every cost is measured.
const CASES: [(u32, u64); 5] = [(1, MIB), (1, MIB << 20), (100, MIB << 10), (1000, MIB), (10_000, MIB << 20)];

fn disk() -> Counted {
    formatted(512 * MIB, &FormatOptions::new(4096, [1; 16]))
}

/// A pool with a volume that is so many snapshots deep; nothing is pending.
fn deep(workspace: &mut [u8], depth: u32, size: u64) -> (CountedPool<'_>, LayerId, LayerId) {
    let mut pool = mounted(disk(), workspace);
    let volume = pool.create(&named("volume"), size / 512, LayerFlags::empty()).expect("create");
    let last = deepen(&mut pool, volume, depth).expect("at least one");
    (pool, volume, last)
}

fn ample() -> Vec<u8> {
    vec![0; 32 << 20]
}

#[test]
fn reading_and_overwriting_cost_the_same_at_every_depth_and_size() {
    let mut seen = Vec::new();
    for (depth, size) in CASES {
        let mut workspace = ample();
        let (mut pool, volume, _) = deep(&mut workspace, depth, size);
        let mut block = vec![3; BLOCK];
        pool.write(volume, 64, &block).unwrap();
        pool.checkpoint().unwrap();
        pool.read(volume, 64, &mut block).unwrap();
        let ((), read) = cost(&mut pool, |pool| pool.read(volume, 64, &mut vec![0; BLOCK]).unwrap());
        assert_eq!((read.reads, read.writes, read.flushes), (1, 0, 0), "depth {depth}");
        let ((), write) = cost(&mut pool, |pool| pool.write(volume, 64, &block).unwrap());
        assert_eq!((write.reads, write.writes, write.flushes), (0, 1, 0), "depth {depth}");
        let ((), flush) = cost(&mut pool, |pool| pool.flush().unwrap());
        assert_eq!((flush.reads, flush.writes, flush.flushes), (0, 0, 1), "depth {depth}");
        seen.push((read, write, flush));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_first_write_and_its_flush_cost_the_data_one_unit_and_one_flush() {
    for (depth, size) in CASES {
        let mut workspace = ample();
        let (mut pool, volume, _) = deep(&mut workspace, depth, size);
        // The first write after a checkpoint may look for free blocks; the next ones find them at hand.
        pool.write(volume, 800, &[1; BLOCK]).unwrap();
        pool.flush().unwrap();
        for sector in [0, 808] {
            let ((), counted) = cost(&mut pool, |pool| {
                pool.write(volume, sector, &[2; BLOCK]).unwrap();
                pool.flush().unwrap();
            });
            assert_eq!((counted.reads, counted.writes, counted.flushes), (0, 2, 1), "depth {depth} sector {sector}");
            assert_eq!(counted.sectors_written, 8 + 1, "one block of data and one physical unit of journal");
        }
    }
}

#[test]
fn operations_on_layers_cost_at_most_twelve_writes_and_two_flushes() {
    for (depth, size) in CASES {
        let mut workspace = ample();
        let (mut pool, volume, last) = deep(&mut workspace, depth, size);
        let check = |name: &str, pool: &mut CountedPool<'_>, counted: cowl::Counters| {
            assert!(counted.writes <= 12 && counted.flushes <= 2, "{name} at depth {depth}: {counted:?}");
            assert_eq!(pool.info().pending_used, 0);
        };
        for round in 0..6 {
            let name = |what: &str| format!("{what}{round}");
            let (made, counted) =
                cost(&mut pool, |pool| pool.create(&named(&name("made")), 64, LayerFlags::empty()).unwrap());
            check("create", &mut pool, counted);
            let (_, counted) = cost(&mut pool, |pool| pool.snapshot(volume, &named(&name("snapshot"))).unwrap());
            check("snapshot", &mut pool, counted);
            pool.write(volume, 16, &[9; BLOCK]).unwrap();
            pool.checkpoint().unwrap();
            let first = pool.find("deep0").unwrap().unwrap().id;
            let target = if round % 2 == 0 { last } else { first };
            let (_, counted) = cost(&mut pool, |pool| pool.rollback(volume, target, 1, None).unwrap());
            check("rollback", &mut pool, counted);
            let (copy, counted) =
                cost(&mut pool, |pool| pool.clone_snapshot(last, &named(&name("copy")), false).unwrap());
            check("clone", &mut pool, counted);
            for layer in [made, copy] {
                let ((), counted) = cost(&mut pool, |pool| pool.delete(layer).unwrap());
                check("delete", &mut pool, counted);
            }
        }
    }
}

#[test]
fn a_block_that_is_not_in_memory_costs_one_node_for_each_level() {
    let options = FormatOptions::new(4096, [1; 16]);
    let mut limits = Limits::new(4096, 512 * MIB / 4096);
    limits.volume_blocks = (MIB << 20) / 4096;
    let mut workspace = vec![0; workspace_size(4096, limits) + 4 * 4096];
    let mut pool = mounted(formatted(512 * MIB, &options), &mut workspace);
    let volume = pool.create(&named("volume"), (MIB << 20) / 512, LayerFlags::empty()).unwrap();
    let levels = u64::from(pool.info().heights.0);
    let far = |i: u64| i * (MIB << 20) / 512 / 64;
    for i in 0..64 {
        pool.write(volume, far(i), &[1; BLOCK]).unwrap();
    }
    pool.checkpoint().unwrap();
    pool.read(volume, 0, &mut [0; BLOCK]).unwrap();
    for i in 0..64 {
        let ((), counted) = cost(&mut pool, |pool| pool.read(volume, far(i * 37 % 64), &mut [0; BLOCK]).unwrap());
        assert!(counted.reads <= 1 + levels, "{counted:?} with {levels} levels");
    }
}

#[test]
fn merge_moves_no_data_and_keeps_to_its_budget() {
    let mut workspace = ample();
    let (mut pool, volume, _) = deep(&mut workspace, 4, 64 * MIB);
    for sector in (0..16_384).step_by(8) {
        pool.write(volume, sector, &[1; BLOCK]).unwrap();
    }
    let middle = pool.snapshot(volume, &named("middle")).unwrap();
    for sector in (0..8192).step_by(8) {
        pool.write(volume, sector, &[2; BLOCK]).unwrap();
    }
    pool.snapshot(volume, &named("after")).unwrap();
    let before = pool.space().free;
    let ((), deleted) = cost(&mut pool, |pool| pool.delete(middle).unwrap());
    assert!(deleted.writes <= 12);
    let Err(Error::BudgetTooSmall { needed }) = pool.merge_step(1) else { panic!("one operation is too little") };
    let mut operations = 0;
    for (budget, most) in [(needed, 60), (needed + 50, 60), (4000, u32::MAX)] {
        for _ in 0..most {
            let (step, counted) = cost(&mut pool, |pool| pool.merge_step(budget).unwrap());
            let spent = counted.reads + counted.writes + counted.flushes;
            assert!(spent <= u64::from(budget), "{spent} operations with a budget of {budget}");
            operations += if budget == 4000 { spent } else { 0 };
            if step == Merge::Idle {
                break;
            }
        }
    }
    assert_eq!(
        pool.space().free,
        before + 1024 + 5,
        "the blocks that were written again, their four lowest nodes and the root"
    );
    // The 8 MiB of data that were freed or kept are 2048 device operations; the metadata is a small part of that.
    assert!(operations < 400, "{operations} operations");
    pool.read(volume, 0, &mut [0; BLOCK]).unwrap();
}

#[test]
fn merging_in_a_deep_chain_costs_no_more_than_in_a_short_one() {
    let mut spent = Vec::new();
    for depth in [10, 10_000] {
        let mut workspace = ample();
        let (mut pool, _, _) = deep(&mut workspace, depth, MIB);
        let middle = pool.find(&format!("deep{}", depth / 2)).unwrap().unwrap().id;
        pool.delete(middle).unwrap();
        let (_, counted) = cost(&mut pool, |pool| pool.merge_step(2000).unwrap());
        assert_eq!(pool.merge_step(2000).unwrap(), Merge::Idle);
        spent.push(counted.reads + counted.writes + counted.flushes);
    }
    assert!(spent[1] <= spent[0] + 6, "{spent:?}: only the catalog's path may be longer");
}

#[test]
fn a_mount_writes_nothing_flushes_once_and_does_not_read_more_of_a_larger_pool() {
    let mut reads = Vec::new();
    for size in [64 * MIB, MIB << 10, MIB << 20] {
        let disk = formatted(size, &FormatOptions::new(4096, [1; 16]));
        let mut workspace = ample();
        let mut pool = mounted(disk, &mut workspace);
        let counted = pool.device_mut().take();
        assert_eq!((counted.writes, counted.flushes), (0, 1));
        reads.push(counted.reads);
    }
    assert!(reads.iter().all(|count| *count == reads[0]), "{reads:?}");
    let units = u64::from(FormatOptions::new(4096, [1; 16]).journal_units);
    assert!(reads[0] <= units + 40, "{reads:?}");
}

/// Uses a pool through and through with as little memory as it says it needs.
fn exercise(block_size: u32, bytes: u64, memory: usize) {
    let options = FormatOptions::new(block_size, [1; 16]);
    let mut disk = formatted(bytes, &options);
    let mut workspace = vec![0; memory];
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).expect("mounts in that memory");
    let size = bytes / 512;
    let volume = pool.create(&named("volume"), size, LayerFlags::empty()).expect("create");
    let block = vec![5; block_size as usize];
    let spb = u64::from(block_size / 512);
    for round in 0..3 {
        for i in 0..60 {
            pool.write(volume, i * 7919 % (size / spb) * spb, &block).expect("write");
        }
        pool.flush().expect("flush");
        pool.snapshot(volume, &named(&format!("snapshot{round}"))).expect("snapshot");
    }
    let first = pool.find("snapshot0").unwrap().unwrap().id;
    pool.rollback(volume, first, 1, None).expect("rollback");
    pool.delete(first).expect("delete");
    let mut budget = 1;
    loop {
        match pool.merge_step(budget) {
            Ok(Merge::Idle) => break,
            Ok(Merge::Progress { .. }) => {}
            Err(Error::BudgetTooSmall { needed }) => budget = needed,
            Err(error) => panic!("{error:?}"),
        }
    }
    let mut read = vec![0; block_size as usize];
    pool.read(volume, 7919 * spb, &mut read).expect("read");
    assert_eq!(read, block);
    pool.unmount().expect("unmount");
}

#[test]
fn a_gibibyte_of_small_blocks_is_mounted_and_used_in_eight_kibibytes() {
    exercise(512, MIB << 10, 8 << 10);
}

#[test]
fn sixteen_tebibytes_are_mounted_and_used_in_sixty_four_kibibytes() {
    exercise(4096, 16 * (MIB << 20), 64 << 10);
}

#[test]
fn the_same_pool_reads_less_from_its_device_with_more_memory() {
    let mut reads = Vec::new();
    for memory in [64 << 10, 64 << 20] {
        let mut workspace = vec![0; memory];
        let mut pool = mounted(disk(), &mut workspace);
        let volume = pool.create(&named("volume"), (MIB << 10) / 512, LayerFlags::empty()).unwrap();
        for i in 0..512 {
            pool.write(volume, i * 4096, &[1; BLOCK]).unwrap();
        }
        pool.checkpoint().unwrap();
        let ((), counted) = cost(&mut pool, |pool| {
            for i in 0..512 {
                pool.read(volume, i * 997 % 512 * 4096, &mut [0; BLOCK]).unwrap();
            }
        });
        reads.push(counted.reads);
    }
    assert_eq!(reads[1], 512, "nothing but the data");
    assert!(reads[0] > reads[1]);
}

#[test]
fn a_workspace_that_is_too_small_is_refused_with_the_size_that_works() {
    let mut disk = SparseDisk::new(512, 64 * MIB);
    let options = FormatOptions::new(512, [1; 16]);
    let Err(Error::WorkspaceTooSmall { needed }) = Pool::format(&mut disk, &mut [0; 900], &options) else {
        panic!("900 bytes are too little")
    };
    Pool::format(&mut disk, &mut vec![0; needed], &options).unwrap();
    let Err(Error::WorkspaceTooSmall { needed }) = Pool::mount(&mut disk, &mut [0; 900], &MountOptions::default())
    else {
        panic!("900 bytes are too little")
    };
    assert!(Pool::mount(&mut disk, &mut vec![0; needed - 1], &MountOptions::default()).is_err());
    Pool::mount(&mut disk, &mut vec![0; needed], &MountOptions::default()).unwrap();
    assert!(needed <= workspace_size(512, Limits::new(512, 64 * MIB / 512)));
}
