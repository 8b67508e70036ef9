//! Every short history of a small alphabet on the smallest pool: cuts at every device write, cuts again after a recovery, an error
//! at every device call; and every byte of a reference image.

use std::time::Duration;

use cowl::LayerFlags;

use super::{Clock, cuts, damage, errors, scripts};
use crate::sim::{Config, Op, Rng, crash_history};

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
    scripts::run()?;
    cuts::formatted_again(0)?;
    cuts::torn_units()?;
    cuts::brim(1)?;
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
                AFTERWARDS.iter().try_for_each(|behind| scripts::twice(config, ops, behind))
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
