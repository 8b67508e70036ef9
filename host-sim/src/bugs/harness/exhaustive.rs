//! Every short history of a small alphabet on the smallest pool: cuts at every device write, cuts again after a recovery, an error
//! at every device call; and every byte of a reference image.

use std::time::Duration;

use cowl::{LayerFlags, Pool};

use super::{
    Clock, cuts, damage, errors,
    judge::{Judge, after, fate},
    text,
};
use crate::sim::{Config, Fate, Image, Model, Op, Rng, SimDisk, apply, crash_history, found, mount, start};

const ALPHABET: [Op; 12] = [
    Op::Write(0, 0, 1, 1),
    Op::Flush,
    Op::Write(0, 1, 2, 2),
    Op::Snapshot(0),
    Op::Discard(0, 0, 1),
    Op::Merge(300),
    Op::Delete(1),
    Op::Rollback(0, 0, false),
    Op::Clone(0),
    Op::Checkpoint,
    Op::Resize(0, 2),
    Op::Kill,
];

/// What comes after a recovery.
const AFTERWARDS: [&[Op]; 3] =
    [&[Op::Write(0, 0, 1, 3), Op::Flush], &[Op::Flush, Op::Write(0, 0, 1, 3), Op::Flush], &[Op::Snapshot(0)]];

pub(super) fn run(clock: &Clock, time: Duration) -> Result<(), String> {
    damage::proven_units(0)?;
    damage::wipe_is_lost(0)?;
    cuts::formatted_again(0)?;
    cuts::torn_units()?;
    damage::sweep(&damage::reference(1)?, &clock.part(time / 4))?;
    for length in 1..=2 {
        every(length, &clock.part(time / 4), &mut |ops| {
            let mut rng = Rng::new(1);
            let tiny = Config { sectors: 3, ..Config::TINY };
            for at in 0..errors::calls_of(&tiny, ops)? {
                errors::failing(&tiny, ops, at, at % 2 == 0, &mut rng).map_err(|why| format!("call {at}: {why}"))?;
            }
            Ok(())
        })?;
    }
    let shapes = [
        Config::TINY,
        Config { block_size: 1024, flags: LayerFlags::INTEGRITY, blocks: 300, ..Config::TINY },
        Config { flags: LayerFlags::GUARANTEED, blocks: 700, ..Config::TINY },
    ];
    for length in 1..=6 {
        for config in &shapes {
            every(length, clock, &mut |ops| {
                crash_history(config, ops, 4, 1).map(drop).map_err(|why| why.to_string())?;
                twice(config, ops)
            })?;
        }
    }
    Ok(())
}

/// Every history of this length, while there is time.
fn every(length: u32, clock: &Clock, run: &mut dyn FnMut(&[Op]) -> Result<(), String>) -> Result<(), String> {
    let letters = ALPHABET.len() as u64;
    for number in 0..letters.pow(length) {
        let ops: Vec<Op> = (0..length).map(|i| ALPHABET[(number / letters.pow(i) % letters) as usize]).collect();
        run(&ops).map_err(|why| format!("{why}; history {ops:?}"))?;
        if clock.is_over() {
            break;
        }
    }
    Ok(())
}

/// A history that is cut in its last operation, mounted, goes on, and is cut again.
fn twice(config: &Config, ops: &[Op]) -> Result<(), String> {
    let Some((last, before)) = ops.split_last() else { return Ok(()) };
    let mut disk = SimDisk::new(config.sector_size, config.device_sectors());
    let mut workspace = config.workspace();
    Pool::format(disk.clone(), &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
    let mut model = start(&mut pool, config).map_err(text("create"))?;
    for op in before.iter().filter(|op| **op != Op::Kill) {
        apply(&mut pool, &mut model, *op).map_err(text("operation"))?;
    }
    disk.start_cuts();
    let before = model.clone();
    if *last != Op::Kill {
        apply(&mut pool, &mut model, *last).map_err(text("operation"))?;
    }
    drop(pool);
    let during = before.during(&model, !matches!(last, Op::Write(..) | Op::Zero(..) | Op::Discard(..) | Op::Kill));
    let mut cuts = disk.take_cuts();
    cuts.push(disk.image());
    for cut in cuts.iter().filter(|cut| cut.pending.len() <= 3) {
        for choice in 0..3u64.pow(cut.pending.len() as u32) {
            let fates: Vec<Fate> = (0..cut.pending.len()).map(|i| fate(choice / 3u64.pow(i as u32))).collect();
            for more in AFTERWARDS {
                disk = SimDisk::from_sectors(config.sector_size, after(cut, &fates));
                again(config, &disk, &mut workspace, &during, more)
                    .map_err(|why| format!("first cut {fates:?}, then {more:?}: {why}"))?;
            }
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
        let during = before.during(&model, !matches!(op, Op::Write(..)));
        let mut cuts: Vec<(Image, &Model)> = disk.take_cuts().into_iter().map(|cut| (cut, &during)).collect();
        cuts.push((disk.image(), &model));
        for (cut, model) in cuts {
            judge.cut(&cut, model, &mut rng)?;
        }
    }
    Ok(())
}
