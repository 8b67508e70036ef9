//! Working off deleted layers, with a progress bar, step by step: each step is one commit.

use cowl::Merge;

use super::{
    failure::Failure,
    interrupt,
    pool::AnyPool,
    ui::{Ui, Unit},
};

/// Device operations of one step: some ten milliseconds on a disk.
const BUDGET: u32 = 512;

/// Merges until no deleted layer is left to work on, or the server's merge is made to pause; gives the number of steps.
///
/// # Errors
/// Those of the pool, or Ctrl-C: what is done stays done, `cowl merge` goes on.
pub fn merge_all(ui: &Ui, pool: &mut dyn AnyPool) -> Result<u64, Failure> {
    let mut total = pool.space()?.reclaimable;
    let mut bar = ui.progress("merge", total, Unit::Steps);
    let mut steps = 0;
    loop {
        interrupt::check(
            "the merge is not finished; what it has done is kept",
            "`cowl merge POOL` goes on where it stopped",
        )?;
        let done = pool.merge_step(BUDGET).map_err(|failure| failure.during("merge"))?;
        let Merge::Progress { left, .. } = done else { break };
        total = total.max(left);
        bar.set_total(total);
        bar.set(total - left);
        steps += 1;
    }
    bar.finish();
    Ok(steps)
}

/// Tells the device about the pool's free space, so that a file gets holes there.
///
/// # Errors
/// Those of the pool.
pub fn trim(ui: &Ui, pool: &mut dyn AnyPool) -> Result<(), Failure> {
    let mut bar = ui.progress("trim", pool.space()?.total, Unit::Steps);
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
