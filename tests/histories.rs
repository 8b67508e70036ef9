//! Random histories over many shapes of pools, compared with the model after every operation.

use cowl_host::sim::{Config, random_history};

/// Seeds for each shape; each history has two hundred operations.
const SEEDS: u64 = 46;

/// Every second shape, about a thousand histories.
fn histories(part: usize) {
    let (mut histories, mut operations) = (0, 0);
    for (number, config) in Config::shapes().iter().enumerate().skip(part).step_by(2) {
        let seeds = if config.sectors > 50 { SEEDS / 6 } else { SEEDS };
        for seed in 0..seeds {
            let tally =
                random_history(config, seed, 200).unwrap_or_else(|why| panic!("shape {number} seed {seed}: {why}"));
            operations += tally.operations;
            histories += 1;
        }
    }
    assert!(
        histories > 1000 && operations > 100_000,
        "only {histories} histories, {operations} operations took effect"
    );
}

#[test]
fn random_histories_agree_with_the_model_on_every_shape() {
    histories(0);
}

#[test]
fn random_histories_agree_with_the_model_on_every_other_shape() {
    histories(1);
}
