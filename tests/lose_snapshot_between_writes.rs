//! A snapshot between two writes: the first is in it, the second is not.

use cowl_host::sim::Op::{Delete, Flush, Kill, Merge, Rollback, Snapshot, Write};
use cowl_tests::survives;

#[test]
fn a_write_before_the_snapshot_is_in_it_without_a_flush() {
    survives(&[Write(0, 0, 4, 11), Snapshot(0), Write(0, 0, 4, 12), Kill, Rollback(0, 0, true)]);
}

#[test]
fn a_write_after_the_snapshot_is_never_in_it() {
    survives(&[Write(0, 0, 2, 21), Flush, Snapshot(0), Write(0, 0, 2, 22), Flush, Write(0, 0, 1, 23), Flush, Kill]);
}

#[test]
fn overwriting_what_was_flushed_before_the_snapshot_moves_it() {
    survives(&[
        Write(0, 0, 1, 31),
        Flush,
        Write(0, 0, 1, 32),
        Flush,
        Snapshot(0),
        Write(0, 0, 1, 33),
        Write(0, 0, 1, 34),
        Flush,
    ]);
}

#[test]
fn snapshots_without_a_write_between_them_are_equal() {
    survives(&[Write(0, 1, 2, 41), Snapshot(0), Snapshot(0), Delete(1), Merge(300), Write(0, 1, 2, 42), Flush]);
}

#[test]
fn a_snapshot_during_a_merge_sees_what_the_volume_shows() {
    survives(&[
        Write(0, 0, 4, 51),
        Snapshot(0),
        Write(0, 1, 2, 52),
        Snapshot(0),
        Delete(1),
        Merge(0),
        Write(0, 0, 4, 53),
        Snapshot(0),
        Merge(0),
        Merge(0),
        Merge(300),
    ]);
}
