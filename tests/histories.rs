//! Random histories over many shapes of pools, compared with the model after every operation.

use cowl_host::sim::{Config, random_history};

/// Seeds for each shape; each history has two hundred operations.
const SEEDS: u64 = 24;

#[test]
fn random_histories_agree_with_the_model_on_every_shape() {
    let mut operations = 0;
    for (number, config) in Config::shapes().iter().enumerate() {
        let seeds = if config.sectors > 50 { SEEDS / 6 } else { SEEDS };
        for seed in 0..seeds {
            let tally =
                random_history(config, seed, 200).unwrap_or_else(|why| panic!("shape {number} seed {seed}: {why}"));
            operations += tally.operations;
        }
    }
    assert!(operations > 50_000, "only {operations} operations took effect");
}
