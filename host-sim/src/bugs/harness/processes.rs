//! Real processes on a real file whose disk loses its power: workers are killed, their un-synced writes kept, dropped or torn.

use std::{fs, path::Path, process::Command};

use super::{Clock, text};
use crate::real::{CutDisk, Target, Victim, this_program};

/// Where in its temporary folder the disk is mounted.
const PLACE: &str = "disk";
/// Cuts on one pool before another shape is taken.
const ROUNDS: u64 = 40;

/// Why this cannot run here, if it cannot.
pub(super) fn missing() -> Option<String> {
    let mounted = tempfile::tempdir().map_err(|error| error.to_string());
    mounted.and_then(|folder| CutDisk::mount(folder.path(), vec![0; 4096]).map(drop)).err()
}

pub(super) fn run(clock: &Clock) -> Result<(), String> {
    let program = this_program()?;
    for shape in 0.. {
        let folder = tempfile::tempdir().map_err(text("a folder"))?;
        Target::create(&folder.path().join("pool.cowl"), shape)?;
        let place = folder.path().join(PLACE);
        fs::create_dir(&place).map_err(text("a folder"))?;
        let mut victim = Victim::new(&place, shape)?;
        for round in 0..ROUNDS {
            let seed = 1 + shape as u64 * ROUNDS + round;
            victim.cut(&program, seed).map_err(|why| format!("power cut, seed {seed}: {why}"))?;
            if clock.is_over() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Takes away what a process that was ended has left mounted in folders of this folder.
pub(super) fn unmount_left_behind(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // What is not mounted is refused.
        let _ = Command::new("fusermount3").arg("-uz").arg(entry.path().join(PLACE)).output();
    }
}
