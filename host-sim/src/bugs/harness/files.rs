//! Histories and the contract on real files: the same, through the operating system.

use cowl::Pool;

use super::{
    Clock, contract,
    medium::{Disk, Medium, OnFiles},
    text,
};
use crate::sim::{Config, Op, Rng, apply, found, mount, random_op, sound, start};

pub(super) fn run(clock: &Clock) -> Result<(), String> {
    let medium = OnFiles::new()?;
    for seed in 0.. {
        contract::round(&medium, seed, clock)?;
        // A base device on a file is the contract harness's.
        let shapes = Config::shapes().into_iter().filter(|config| config.base == 0);
        for (number, config) in shapes.enumerate().skip(seed as usize % 3).step_by(3) {
            history(&medium, &config, seed).map_err(|why| format!("shape {number} seed {seed}: {why}"))?;
            if clock.is_over() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A random history on a file, which is closed and opened at every kill.
fn history(medium: &OnFiles, config: &Config, seed: u64) -> Result<(), String> {
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    let mut model = start(&mut pool, config).map_err(text("create"))?;
    drop(pool);
    let mut rng = Rng::new(seed ^ 0xf11e);
    let ops: Vec<Op> = (0..60).map(|i| random_op(&mut rng, config.sectors, i + 1, seed.is_multiple_of(2))).collect();
    let mut told = Vec::new();
    // Whatever a mount with much memory leaves, one with the least must be able to take in.
    let mut least = Config { more_workspace: 0, ..*config }.workspace();
    for (number, part) in ops.chunks(15).enumerate() {
        told.extend_from_slice(part);
        let why = |why: String| format!("{why} after {told:?}");
        let mut pool = mount(disk.open()?, if number % 2 == 0 { &mut workspace } else { &mut least })
            .map_err(text("mount"))
            .map_err(why)?;
        model.adopt(&found(&mut pool).map_err(text("read"))?, config.sector_size).map_err(why)?;
        for op in part.iter().filter(|op| **op != Op::Kill) {
            apply(&mut pool, &mut model, *op).map_err(text("operation")).map_err(why)?;
            model.compare(&found(&mut pool).map_err(text("read"))?, config.sector_size).map_err(why)?;
        }
        sound(&mut pool, true).map_err(why)?;
    }
    Ok(())
}
