//! Power cuts at every device write of random and of all short histories.

#![allow(clippy::cast_possible_truncation)]

use cowl::LayerFlags;
use cowl_host::sim::{Config, Op, Rng, crash_history, random_op};
use cowl_tests::histories;

const ALPHABET: [Op; 10] = [
    Op::Write(0, 0, 1, 1),
    Op::Write(0, 0, 2, 2),
    Op::Write(0, 1, 1, 1),
    Op::Flush,
    Op::Snapshot(0),
    Op::Rollback(0, 0, false),
    Op::Delete(1),
    Op::Merge(300),
    Op::Discard(0, 0, 1),
    Op::Kill,
];

/// Every history of a length over the alphabet; images of up to four pending sectors are all checked.
fn all_histories(config: &Config, length: u32) -> u64 {
    let mut images = 0;
    for (number, ops) in (0..).zip(histories(&ALPHABET, length)) {
        images += crash_history(config, &ops, 4, number).unwrap_or_else(|why| panic!("history {number}: {why}")).images;
    }
    images
}

#[test]
fn every_cut_of_every_short_history_leaves_what_a_plain_disk_could() {
    let images = all_histories(&Config::TINY, 3);
    assert!(images > 60_000, "only {images} images");
}

#[test]
fn every_cut_of_every_short_history_with_integrity_leaves_whole_blocks() {
    let config = Config { block_size: 1024, flags: LayerFlags::INTEGRITY, blocks: 300, ..Config::TINY };
    assert!(all_histories(&config, 2) > 1000);
}

#[test]
fn cuts_of_long_random_histories_leave_what_a_plain_disk_could() {
    let mut images = 0;
    for seed in 0..150 {
        let config = Config { pending: 2 + (seed % 3) as u32, sectors: 8, ..Config::TINY };
        let mut rng = Rng::new(seed);
        let ops: Vec<Op> = (0..60).map(|i| random_op(&mut rng, config.sectors, i + 1, seed % 2 == 0)).collect();
        images += crash_history(&config, &ops, 3, seed).unwrap_or_else(|why| panic!("seed {seed}: {why}")).images;
    }
    assert!(images > 50_000, "only {images} images");
}
