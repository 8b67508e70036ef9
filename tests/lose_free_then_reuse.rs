//! Free, then reuse: a block is given out again only when its being free is durable.

use cowl_host::sim::Op::{Checkpoint, Delete, Discard, Flush, Kill, Merge, Rollback, Snapshot, Write};
use cowl_tests::survives;

#[test]
fn a_superseded_block_is_not_reused_before_the_checkpoint_is_durable() {
    survives(&[
        Write(0, 0, 1, 11),
        Flush,
        Write(0, 0, 1, 12),
        Flush,
        Write(0, 0, 1, 13),
        Flush,
        Write(0, 1, 2, 14),
        Flush,
    ]);
}

#[test]
fn the_blocks_of_a_deleted_snapshot_are_reused_only_after_the_step_that_freed_them() {
    survives(&[
        Write(0, 0, 4, 21),
        Snapshot(0),
        Write(0, 0, 4, 22),
        Flush,
        Delete(1),
        Merge(300),
        Write(0, 0, 4, 23),
        Snapshot(0),
        Merge(300),
        Write(0, 0, 4, 24),
        Flush,
    ]);
}

#[test]
fn the_blocks_of_an_old_head_are_reused_only_after_its_merge() {
    survives(&[
        Write(0, 0, 2, 31),
        Snapshot(0),
        Write(0, 0, 4, 32),
        Rollback(0, 0, false),
        Write(0, 0, 4, 33),
        Merge(50),
        Write(0, 0, 4, 34),
        Merge(300),
        Flush,
    ]);
}

#[test]
fn discarded_blocks_written_again_elsewhere_never_come_back() {
    survives(&[
        Write(0, 0, 4, 41),
        Checkpoint,
        Discard(0, 0, 4),
        Checkpoint,
        Write(0, 0, 2, 42),
        Kill,
        Write(0, 2, 2, 43),
        Flush,
    ]);
}

#[test]
fn equal_content_in_a_reused_block_does_not_revive_a_rejected_record() {
    survives(&[
        Write(0, 0, 1, 1),
        Flush,
        Kill,
        Write(0, 0, 1, 2),
        Flush,
        Kill,
        Write(0, 0, 1, 1),
        Flush,
        Write(0, 0, 1, 1),
        Flush,
    ]);
}
