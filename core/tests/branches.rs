//! Deleted branching points: which of them a merge has to look at again.

use cowl::{Attributes, BlockDevice, FormatOptions, LayerFlags, LayerId, MountOptions, Pool, RamDisk};

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
