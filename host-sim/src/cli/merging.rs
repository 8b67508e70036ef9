//! Working off deleted layers, with a progress bar, step by step: each step is one commit.

use cowl::{Error, Merge};

use super::{
    failure::Failure,
    interrupt,
    session::HostPool,
    ui::{Ui, Unit},
};

/// Device operations of one step: some ten milliseconds on a disk.
const BUDGET: u32 = 512;

/// Merges until no deleted layer is left to work on; gives the number of steps.
///
/// # Errors
/// Those of the pool, or Ctrl-C: what is done stays done, `cowl merge` goes on.
pub fn merge_all(ui: &Ui, pool: &mut HostPool<'_, '_>) -> Result<u64, Failure> {
    let mut bar = ui.progress("merge", pool.space().reclaimable, Unit::Steps);
    let mut budget = BUDGET;
    let mut steps = 0;
    let mut total = 0;
    loop {
        interrupt::check(
            "the merge is not finished; what it has done is kept",
            "`cowl merge POOL` goes on where it stopped",
        )?;
        match pool.merge_step(budget) {
            Ok(Merge::Idle) => break,
            Ok(Merge::Progress { left, .. }) => {
                total = total.max(left).max(pool.space().reclaimable);
                bar.set_total(total);
                bar.set(total - left.min(total));
                steps += 1;
            }
            Err(Error::BudgetTooSmall { needed }) if needed > budget => budget = needed,
            Err(error) => return Err(Failure::from(error).during("merge")),
        }
    }
    bar.finish();
    Ok(steps)
}

/// Tells the device about the pool's free space, so that a file gets holes there.
///
/// # Errors
/// Those of the pool.
pub fn trim(ui: &Ui, pool: &mut HostPool<'_, '_>) -> Result<(), Failure> {
    let mut bar = ui.progress("trim", pool.space().total, Unit::Steps);
    let mut from = 0;
    while let Some(next) = pool.discard_free(from, BUDGET)? {
        if interrupt::asked() {
            break;
        }
        from = next;
        bar.set(from);
    }
    bar.finish();
    Ok(())
}
