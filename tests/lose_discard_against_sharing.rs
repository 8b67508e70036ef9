//! Discard against sharing: what a snapshot holds, a discard of the volume must not touch.

use cowl_host::sim::Op::{Checkpoint, Clone, Delete, Discard, Flush, Kill, Merge, Rollback, Snapshot, Write, Zero};
use cowl_tests::survives;

#[test]
fn a_discard_after_a_snapshot_leaves_the_snapshot_its_data() {
    survives(&[Write(0, 0, 4, 11), Flush, Snapshot(0), Discard(0, 0, 4), Flush, Checkpoint, Kill, Write(0, 1, 1, 12)]);
}

#[test]
fn a_discard_before_a_snapshot_is_in_the_snapshot() {
    survives(&[
        Write(0, 0, 4, 21),
        Checkpoint,
        Discard(0, 0, 2),
        Snapshot(0),
        Write(0, 0, 2, 22),
        Rollback(0, 0, true),
    ]);
}

#[test]
fn a_block_discarded_in_one_branch_stays_in_the_other() {
    survives(&[
        Write(0, 0, 4, 31),
        Snapshot(0),
        Clone(0),
        Discard(0, 0, 4),
        Flush,
        Delete(1),
        Merge(300),
        Merge(300),
        Write(0, 0, 4, 32),
        Flush,
    ]);
}

#[test]
fn a_discarded_and_rewritten_block_never_shows_its_old_data() {
    survives(&[
        Write(0, 0, 2, 41),
        Flush,
        Discard(0, 0, 2),
        Flush,
        Write(0, 0, 1, 42),
        Flush,
        Kill,
        Discard(0, 0, 1),
        Flush,
    ]);
}

#[test]
fn zeroes_over_shared_blocks_are_zeroes_only_in_the_volume() {
    survives(&[Write(0, 0, 4, 51), Snapshot(0), Zero(0, 1, 2), Flush, Merge(300), Rollback(0, 0, false), Merge(300)]);
}
