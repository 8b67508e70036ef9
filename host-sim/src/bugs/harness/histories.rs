//! Random histories on every shape of pool.

use super::Clock;
use crate::sim::{Config, random_history};

/// Short histories on all shapes first, then longer ones.
pub(super) fn run(clock: &Clock) -> Result<(), String> {
    for seed in 0.. {
        let length = 40 + 40 * (seed as usize % 4);
        for (number, config) in Config::shapes().iter().enumerate() {
            random_history(config, seed, length).map_err(|why| format!("shape {number} seed {seed}: {why}"))?;
            if clock.is_over() {
                return Ok(());
            }
        }
    }
    Ok(())
}
