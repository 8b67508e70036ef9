//! Operations of many device writes, cut at every one: wholly there or wholly not.

use cowl_host::sim::Op::{Clone, Delete, Flush, Merge, Resize, Rollback, Snapshot, Write};
use cowl_tests::survives;

#[test]
fn a_snapshot_cut_anywhere_is_whole_or_absent() {
    survives(&[Write(0, 0, 4, 11), Snapshot(0), Write(0, 1, 2, 12), Snapshot(0), Write(0, 0, 4, 13), Snapshot(0)]);
}

#[test]
fn a_rollback_cut_anywhere_is_whole_or_absent() {
    survives(&[
        Write(0, 0, 4, 21),
        Snapshot(0),
        Write(0, 0, 4, 22),
        Snapshot(0),
        Rollback(0, 0, false),
        Rollback(0, 1, true),
        Rollback(0, 0, true),
    ]);
}

#[test]
fn a_delete_and_its_merge_cut_anywhere_are_invisible_to_the_others() {
    survives(&[
        Write(0, 0, 4, 31),
        Snapshot(0),
        Write(0, 0, 2, 32),
        Snapshot(0),
        Write(0, 1, 2, 33),
        Delete(1),
        Merge(0),
        Merge(0),
        Merge(0),
        Merge(0),
        Delete(1),
        Merge(0),
        Merge(0),
        Merge(0),
    ]);
}

#[test]
fn trimming_a_branching_point_cut_anywhere_is_invisible() {
    survives(&[
        Write(0, 0, 4, 41),
        Snapshot(0),
        Clone(0),
        Write(0, 0, 2, 42),
        Write(1, 2, 2, 43),
        Delete(1),
        Merge(0),
        Merge(0),
        Merge(0),
        Write(1, 0, 2, 44),
        Merge(0),
        Merge(0),
        Delete(1),
        Merge(300),
        Merge(300),
    ]);
}

#[test]
fn a_resize_cut_anywhere_has_the_old_size_or_the_new() {
    survives(&[
        Write(0, 0, 4, 51),
        Resize(0, 2),
        Merge(300),
        Resize(0, 40),
        Write(0, 35, 3, 52),
        Flush,
        Snapshot(0),
        Resize(0, 1),
        Merge(0),
        Merge(0),
    ]);
}
