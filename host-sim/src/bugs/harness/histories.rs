//! Random histories on every shape of pool.

use super::{Clock, cold};
use crate::sim::{Config, random_history};

/// Short histories on all shapes first, then longer ones; between them small pools are looked at more closely.
pub(super) fn run(clock: &Clock) -> Result<(), String> {
    let mut closely = 0..;
    for seed in 0.. {
        let length = 40 + 40 * (seed as usize % 4);
        for (number, config) in Config::shapes().iter().enumerate() {
            random_history(config, seed, length).map_err(|why| format!("shape {number} seed {seed}: {why}"))?;
            for cold in closely.by_ref().take(2) {
                cold::history(cold).map_err(|why| format!("seed {cold}: {why}"))?;
            }
            if clock.is_over() {
                return Ok(());
            }
        }
    }
    Ok(())
}
