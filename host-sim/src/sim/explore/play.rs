//! Playing a history on the explorer's disk, with its last operation watched.

use super::{
    disk::{CrashDisk, Cut},
    scenario::Scenario,
};
use crate::sim::{
    history::{Op, apply, found, mount},
    model::Model,
    verdict::text,
};

/// A history that was played, and what its last operation did.
#[derive(Debug)]
pub struct Played {
    /// The disk.
    pub disk: CrashDisk,
    /// The moments at which the power may fail; the last is the moment after the operation.
    pub cuts: Vec<Cut>,
    /// What may be found after a cut while the operation was on its way.
    pub during: Model,
    /// What may be found after it returned.
    pub after: Model,
    /// It changes the tree of layers or makes something durable.
    pub barrier: bool,
    /// It did something.
    pub applied: bool,
}

/// The operation with a tag that no other one in the history has.
pub fn tagged(op: Op, position: usize) -> Op {
    match op {
        Op::Write(volume, sector, count, _) => Op::Write(volume, sector, count, (position as u64 + 1) << 8 | 0x77),
        op => op,
    }
}

impl Scenario {
    /// The device in the state to start from.
    pub fn disk(&self, tearings: usize) -> CrashDisk {
        let disk = CrashDisk::new(self.config.sector_size, self.physical_size, self.base.clone(), tearings);
        if self.lying {
            disk.lie();
        }
        disk
    }

    /// The whole history: what comes before, and the operations with their tags.
    pub fn history(&self, ops: &[Op]) -> Vec<Op> {
        let ops = ops.iter().enumerate().map(|(i, op)| tagged(*op, i));
        self.warming.iter().copied().chain(ops).collect()
    }

    /// Plays a history of at least one operation; the last one is watched.
    ///
    /// # Errors
    /// What the running pool did wrong.
    pub fn play(&self, ops: &[Op], kinds: usize, workspace: &mut [u8]) -> Result<Played, String> {
        let disk = self.disk(kinds);
        let mut model = self.model.clone();
        let history = self.history(ops);
        let mut at = 0;
        loop {
            if at == history.len() {
                disk.record();
            }
            let mut pool = mount(disk.clone(), workspace).map_err(text("mount"))?;
            let seen = found(&mut pool).map_err(text("read after a mount"))?;
            model.adopt(&seen, self.config.sector_size)?;
            if at == history.len() {
                let cuts = disk.cuts();
                return Ok(Played { disk, cuts, during: model.clone(), after: model, barrier: true, applied: true });
            }
            while at + 1 < history.len() && history[at] != Op::Kill {
                apply(&mut pool, &mut model, history[at]).map_err(text("operation"))?;
                at += 1;
            }
            at += 1;
            if history[at - 1] == Op::Kill {
                continue;
            }
            let (op, before) = (history[at - 1], model.clone());
            disk.record();
            let applied = apply(&mut pool, &mut model, op).map_err(text("operation"))?;
            let cuts = disk.cuts();
            let seen = found(&mut pool).map_err(text("read"))?;
            model.compare(&seen, self.config.sector_size).map_err(|what| format!("in the running pool: {what}"))?;
            let during = before.during(&model, op.is_barrier());
            return Ok(Played { disk, cuts, during, after: model, barrier: op.is_barrier(), applied });
        }
    }
}
