//! The same history makes the same device calls, with the same bytes, and gives the same answers: always, on every machine.
//!
//! Nothing in the core is left to chance, so all that it does in long histories of every verb on pools of many shapes, with failing
//! calls, power cuts and new mounts between, comes down to one number for each shape. A number that changes is no fault by itself: a
//! change that is meant takes the new one. One that is not meant shows here first, however small it is: a block placed elsewhere, a
//! read more, a record one byte off. Between all that a check must find nothing wrong, and the small reader must show what the pool shows.

// An interpreter takes minutes; `small_exploration.rs` is made for it.
#![cfg(not(miri))]

#[path = "same_bytes/device.rs"]
mod device;
#[path = "same_bytes/history.rs"]
mod history;

use history::{Shape, digest};

const SMALL: Shape = Shape {
    block_size: 512,
    sector_size: 512,
    physical_size: 512,
    blocks: 300,
    pending: 3,
    journal_units: 3,
    spare_slots: 0,
    sectors: 70,
    base: 0,
    failing: 0,
    growing: false,
    operations: 400,
};

const LARGE: Shape = Shape { block_size: 4096, blocks: 500, pending: 40, journal_units: 12, spare_slots: 20, ..SMALL };

/// Each of these pools, with its seed, comes down to its number.
fn come_down_to(numbers: &[u32], pools: &[(u64, Shape)]) {
    let found: Vec<u32> = pools.iter().map(|(seed, shape)| digest(shape, *seed)).collect();
    assert_eq!(found, numbers, "found: {found:#x?}");
}

#[test]
fn a_few_operations_on_a_small_pool() {
    come_down_to(&[0x6e5d_bb5a], &[(1, Shape { operations: 40, ..SMALL })]);
}

#[test]
fn pools_of_small_blocks_with_the_least_memory() {
    let groups = Shape { blocks: 4096 * 2 + 100, pending: 12, journal_units: 16, sectors: 1500, ..SMALL };
    let levels = Shape { blocks: 4096 * 33 + 50, sectors: 1 << 40, ..SMALL };
    come_down_to(
        &[0xb11e_aa5f, 0xccdc_e719, 0x5c47_68f9, 0x32ef_89e0, 0x0b29_ee95, 0x9e0d_02cd],
        &[(2, SMALL), (3, SMALL), (4, groups), (5, groups), (6, levels), (7, levels)],
    );
}

#[test]
fn pools_that_are_always_nearly_full() {
    let tight = Shape { blocks: 150, sectors: 60, ..SMALL };
    let longer = Shape { blocks: 240, sectors: 150, pending: 6, journal_units: 5, ..SMALL };
    come_down_to(
        &[0x66b6_8a07, 0x7049_260b, 0x1daf_685f, 0xf08c_2b6d],
        &[(8, tight), (9, tight), (10, longer), (11, longer)],
    );
}

#[test]
fn pools_of_larger_blocks() {
    let medium = Shape { block_size: 1024, physical_size: 1024, pending: 9, spare_slots: 9, ..SMALL };
    let narrow = Shape { sectors: 300, ..LARGE };
    let wide = Shape { physical_size: 4096, sectors: 3000, ..LARGE };
    let native = Shape { sector_size: 4096, physical_size: 4096, sectors: 60, ..LARGE };
    come_down_to(
        &[0x712f_fd51, 0x202a_8bfd, 0x95d8_a3ac, 0x9f44_bfce, 0x614e_a273, 0xbe00_ff62],
        &[(12, medium), (13, medium), (14, narrow), (15, narrow), (16, wide), (17, native)],
    );
}

#[test]
fn pools_on_a_base_device() {
    let small = Shape { base: 45, ..SMALL };
    let large = Shape { base: 101, sectors: 130, ..LARGE };
    come_down_to(&[0xd69d_eb9b, 0xc29e_2079], &[(18, small), (19, large)]);
}

#[test]
fn pools_on_devices_that_fail_now_and_then() {
    let often = Shape { failing: 97, ..SMALL };
    let seldom = Shape { failing: 211, block_size: 2048, pending: 12, journal_units: 9, ..SMALL };
    come_down_to(&[0xb509_2094, 0xcbb8_8091, 0xe3dc_b471], &[(20, often), (21, often), (22, seldom)]);
}

#[test]
fn pools_that_grow() {
    let small = Shape { growing: true, blocks: 200, ..SMALL };
    let large = Shape { growing: true, blocks: 4096 * 31, sectors: 1 << 20, ..SMALL };
    come_down_to(&[0x8e68_6ddf, 0xca94_4185, 0x8a8f_7c85], &[(23, small), (24, small), (25, large)]);
}
