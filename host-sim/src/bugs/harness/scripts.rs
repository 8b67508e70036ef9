//! Histories that are known to be dangerous: each was once the shortest way to break a rule of the protocol. Every cut is judged, a
//! second cut after going on too.

use super::{
    judge::{Judge, after},
    text,
};
use crate::sim::{Config, Model, Op, Prepared, Rng, SimDisk, apply, crash_history, found, mount};

const A: Op = Op::Write(0, 0, 1, 11);
const AGAIN: Op = Op::Write(0, 0, 1, 12);
const THIRD: Op = Op::Write(0, 0, 1, 13);
const B: Op = Op::Write(0, 1, 1, 21);
const F: Op = Op::Flush;
const S: Op = Op::Snapshot(0);

/// Histories on the smallest pool, with the rules that they try.
const SMALL: [&[Op]; 9] = [
    // W2, J4: overwriting what the unproven tail names.
    &[A, F, AGAIN, F, B, F, THIRD],
    // J3, C5: marks and proofs of an earlier generation.
    &[A, F, B, F, S, AGAIN, F, THIRD],
    &[A, F, B, F, AGAIN, F, S, THIRD, F],
    // J4: the journal gets full while the table does not.
    &[A, F, AGAIN, F, THIRD, F, A, F, AGAIN, F, THIRD, Op::Kill, S, B, F, Op::Kill, A, F],
    // J5: of several records of an address the last counts.
    &[A, F, AGAIN, F, THIRD, F, Op::Kill, A],
    // M3: what the journal names is not free.
    &[A, B, F, Op::Kill, S, AGAIN, F, Op::Kill, S],
    // A2: nothing freed is reused before barrier 2.
    &[A, S, AGAIN, S, THIRD, Op::Delete(1), Op::Merge(0), S, A, Op::Merge(300), B, S],
    // G1: writes behind and before the front.
    &[A, B, S, AGAIN, Op::Delete(1), Op::Merge(0), B, F, Op::Merge(300), THIRD, S],
    // M1: what was shown after a kill stays.
    &[S, A, F, Op::Kill, B, Op::Kill, AGAIN, F],
];

/// What comes before a first cut, in the last operation, and what after it.
const TWICE: [(&[Op], &[Op]); 4] = [
    // M4: a later unit must not vouch for a record that was rejected.
    (&[A, S, AGAIN, F], &[THIRD, F]),
    (&[A, F, S, AGAIN, B, F], &[THIRD, F, A]),
    (&[A, S, AGAIN, F, B, F], &[F, THIRD, F]),
    (&[A, B, S, AGAIN, F], &[S, B, F]),
];

pub(super) fn run() -> Result<(), String> {
    for ops in SMALL {
        crash_history(&Config::TINY, ops, 4, 3).map_err(|why| why.to_string())?;
    }
    for (before, behind) in TWICE {
        twice(&Config::TINY, before, behind).map_err(|why| format!("{before:?}, cut, {behind:?}: {why}"))?;
    }
    unmounted()?;
    let groups = Config { pending: 40, journal_units: 9, sectors: 60, blocks: 900, ..Config::TINY };
    let writes = |tag| [Op::Write(0, 0, 20, tag), F, Op::Write(0, 30, 18, tag + 1), F];
    odd_ones(&groups, &writes(31)).map_err(|why| format!("flushes of several units: {why}"))?;
    let roomy = Config { more_workspace: 1 << 16, journal_units: 12, sectors: 60, ..Config::TINY };
    let spread: Vec<Op> = (0..8).flat_map(|i| [Op::Write(0, 7 * i, 1, 41 + u64::from(i)), F]).collect();
    odd_ones(&roomy, &spread).map_err(|why| format!("more memory than the next mount: {why}"))
}

/// Every write of these operations: each pending sector alone lost, torn, or kept.
fn odd_ones(config: &Config, ops: &[Op]) -> Result<(), String> {
    let mut workspace = config.workspace();
    let Prepared { disk, mut model, .. } = Prepared::new(config).map_err(text("a new pool"))?;
    let mut judge = Judge::new(config, 2, 50);
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
    for op in ops {
        disk.start_cuts();
        let before = model.clone();
        apply(&mut pool, &mut model, *op).map_err(text("operation"))?;
        let during = before.during(&model, op.is_barrier());
        let cuts = disk.take_cuts();
        let last = cuts.last().filter(|_| op.is_barrier()).map(|cut| (cut, &during));
        let now = disk.image();
        for (cut, model) in last.into_iter().chain([(&now, &model)]) {
            judge.odd_ones(cut, model)?;
        }
    }
    Ok(())
}

/// Cuts in the last of some operations, more operations after the recovery, cuts in these.
pub(super) fn twice(config: &Config, before: &[Op], behind: &[Op]) -> Result<(), String> {
    let Some((last, first)) = before.split_last() else { return Ok(()) };
    let mut workspace = config.workspace();
    let Prepared { disk, mut model, .. } = Prepared::new(config).map_err(text("a new pool"))?;
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
    for op in first.iter().filter(|op| **op != Op::Kill) {
        apply(&mut pool, &mut model, *op).map_err(text("operation"))?;
    }
    disk.start_cuts();
    let before = model.clone();
    if *last != Op::Kill {
        apply(&mut pool, &mut model, *last).map_err(text("operation"))?;
    }
    drop(pool);
    let during = before.during(&model, last.is_barrier() && *last != Op::Kill);
    let mut cuts = disk.take_cuts();
    cuts.push(disk.image());
    for cut in cuts.iter().filter(|cut| cut.pending.len() <= 3) {
        for fates in cut.fates() {
            let disk = SimDisk::from_sectors(config.sector_size, after(cut, &fates));
            again(config, &disk, &mut workspace, &during, behind)
                .map_err(|why| format!("first cut {fates:?}: {why}"))?;
        }
    }
    Ok(())
}

/// Goes on after a cut; every cut of that is judged.
fn again(config: &Config, disk: &SimDisk, workspace: &mut [u8], model: &Model, ops: &[Op]) -> Result<(), String> {
    let mut model = model.clone();
    let mut judge = Judge::new(config, 2, 7);
    let mut rng = Rng::new(7);
    let mut pool = mount(disk.clone(), workspace).map_err(text("mount"))?;
    model.adopt(&found(&mut pool).map_err(text("read"))?, config.sector_size)?;
    for op in ops {
        disk.start_cuts();
        let before = model.clone();
        apply(&mut pool, &mut model, *op).map_err(text("operation"))?;
        let during = before.during(&model, op.is_barrier());
        for cut in disk.take_cuts() {
            judge.cut(&cut, &during, &mut rng)?;
        }
        judge.cut(&disk.image(), &model, &mut rng)?;
    }
    Ok(())
}

/// What was written before an unmount is there after the next cut.
fn unmounted() -> Result<(), String> {
    let config = Config::TINY;
    let mut workspace = config.workspace();
    let Prepared { disk, mut model, .. } = Prepared::new(&config).map_err(text("a new pool"))?;
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
    for op in [A, F, B, AGAIN] {
        apply(&mut pool, &mut model, op).map_err(text("operation"))?;
    }
    model.begin(model.now.clone());
    pool.unmount().map_err(text("unmount"))?;
    model.complete();
    let mut judge = Judge::new(&config, 4, 1);
    judge.cut(&disk.image(), &model, &mut Rng::new(1)).map_err(|why| format!("after an unmount: {why}"))
}
