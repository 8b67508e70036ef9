//! The explorer, to a bound that grows while there is time.

use super::Clock;
use crate::sim::explore::{Bound, Seed, Shape, Shard, Watch, explore};

pub(super) fn run(clock: &Clock) -> Result<(), String> {
    let places: Vec<_> = Shape::ALL.iter().flat_map(|shape| Seed::ALL.iter().map(|seed| (*shape, *seed))).collect();
    for ops in 1_usize.. {
        let bound = Bound { second: ops.saturating_sub(1).max(1), errors: ops, ..Bound::new(ops) };
        let watch = Watch::default();
        let report = clock.stops(&watch.stop, || explore(&places, &bound, Shard { index: 0, of: 1 }, 1, &watch))?;
        if let Some(violation) = report.violations.first() {
            return Err(format!("{}; cowl sim replay {}", violation.broken.what, violation.token));
        }
        if clock.is_over() {
            break;
        }
    }
    Ok(())
}
