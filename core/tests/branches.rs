//! Deleted branching points: which of them a merge has to look at again.

// An interpreter takes minutes; `small_exploration.rs` is made for it.
#![cfg(not(miri))]

use cowl::{Attributes, BlockDevice, Error, FormatOptions, LayerFlags, LayerId, Merge, MountOptions, Pool, RamDisk};

fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

/// The flags of a record, deleted or not.
fn flags<D: BlockDevice>(pool: &mut Pool<'_, D>, id: LayerId) -> LayerFlags {
    pool.next_record(Some(LayerId(id.0 - 1))).unwrap().unwrap().flags
}

/// A block that is replaced in one branch was written before the branching point's parent was closed, or after: only in the second
/// case the branching point owned it, and may now keep it for nobody.
#[test]
fn a_branching_point_is_looked_at_again_only_if_a_block_of_its_own_was_replaced() {
    for own in [false, true] {
        let (mut bytes, mut memory) = (vec![0; 600 * 512], vec![0; 40_000]);
        let mut disk = RamDisk::new(&mut bytes);
        Pool::format(&mut disk, &mut memory, &FormatOptions::new(512, [7; 16])).unwrap();
        let mut pool = Pool::mount(&mut disk, &mut memory, &MountOptions::default()).unwrap();
        let volume = pool.create(&named("v"), 50, LayerFlags::empty()).unwrap();
        pool.write(volume, 0, &[1; 512]).unwrap();
        pool.snapshot(volume, &named("below")).unwrap();
        if own {
            pool.write(volume, 0, &[2; 512]).unwrap();
        }
        let point = pool.snapshot(volume, &named("point")).unwrap();
        let branch = pool.clone_snapshot(point, &named("branch"), false).unwrap();
        pool.delete(point).unwrap();
        pool.merge_all(2000).unwrap();
        assert_eq!(flags(&mut pool, point), LayerFlags::DELETED);
        pool.write(volume, 0, &[3; 512]).unwrap();
        pool.checkpoint().unwrap();
        assert_eq!(flags(&mut pool, point).contains(LayerFlags::ARMED), own);
        pool.write(branch, 0, &[4; 512]).unwrap();
        pool.checkpoint().unwrap();
        let free = pool.space().free;
        pool.merge_all(2000).unwrap();
        assert_eq!(pool.space().free > free, own, "the block that nobody reads is given back");
        assert!(!flags(&mut pool, point).contains(LayerFlags::ARMED));
    }
}

/// A merge has stopped half way: what lies before the front is the child's, what lies at it is not yet.
#[test]
fn at_the_front_of_a_merge_a_block_is_still_the_parents() {
    const SECTORS: u64 = 1500;
    let (mut bytes, mut memory) = (vec![0; 6000 * 512], vec![0; 60_000]);
    let mut disk = RamDisk::new(&mut bytes);
    let options = FormatOptions { pending: 4, journal_units: 3, ..FormatOptions::new(512, [7; 16]) };
    Pool::format(&mut disk, &mut memory, &options).unwrap();
    let mut pool = Pool::mount(&mut disk, &mut memory, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), SECTORS, LayerFlags::empty()).unwrap();
    pool.write(volume, 0, &vec![1; 1500 * 512]).unwrap();
    let below = pool.snapshot(volume, &named("below")).unwrap();
    (1..SECTORS).step_by(2).for_each(|sector| pool.write(volume, sector, &[2; 512]).unwrap());
    pool.delete(below).unwrap();
    pool.unmount().unwrap();
    let mut least = 0;
    while let Err(Error::WorkspaceTooSmall { needed }) =
        Pool::mount(&mut disk, &mut memory[..least], &MountOptions::default()).map(drop)
    {
        least = needed;
    }
    let mut pool = Pool::mount(&mut disk, &mut memory[..least], &MountOptions::default()).unwrap();
    let Err(Error::BudgetTooSmall { needed }) = pool.merge_step(1) else { panic!("one operation is too few") };
    let mut discarded = Vec::new();
    while pool.merge_step(needed).unwrap() != Merge::Idle {
        let Some((_, front)) =
            pool.info().merging.filter(|(_, front)| *front > 0 && *front < SECTORS && front % 4 == 0)
        else {
            continue;
        };
        discarded.extend([front - 2, front]);
        for sector in &discarded[discarded.len() - 2..] {
            pool.discard(volume, *sector, 1).unwrap();
        }
    }
    assert!(discarded.len() > 6, "the merge stopped {} times", discarded.len() / 2);
    let found = pool.check(&mut [0; 1024], false, &mut |finding| panic!("{finding:?}"));
    assert_eq!(found.unwrap().findings, 0);
    for sector in 0..SECTORS {
        let (mut read, written) = ([9; 512], if sector % 2 == 0 { 1 } else { 2 });
        pool.read(volume, sector, &mut read).unwrap();
        let expected = if discarded.contains(&sector) { 0 } else { written };
        assert!(read == [expected; 512], "sector {sector}");
    }
}
