//! The shadow of a worker: the same operations on a simulated disk, and the model beside it.

use super::{Outcome, said, worker::layers_of};
use crate::sim::{Call, Config, Model, Op, Sector, SimDisk, apply, mount};

/// What a worker must have done after so many operations.
#[derive(Debug)]
pub struct Shadow {
    config: Config,
    disk: SimDisk,
    model: Model,
}

impl Shadow {
    /// Begins with a file's bytes and what they must show.
    pub fn new(config: &Config, bytes: &[u8], model: &Model) -> Self {
        let sectors = bytes
            .chunks(config.sector_size)
            .map(|sector| (!sector.iter().all(|byte| *byte == 0)).then(|| sector.into()));
        let sectors: Vec<Sector> = sectors.collect();
        Self { config: *config, disk: SimDisk::from_sectors(config.sector_size, sectors), model: model.clone() }
    }

    /// Runs the operations that were acknowledged; then what may be found if the next one, if any, was on its way.
    ///
    /// # Errors
    /// The simulated pool did not do what the worker did.
    pub fn after(self, ops: &[Op], answers: &[u8]) -> Outcome<Model> {
        let Self { config, disk, mut model } = self;
        let mut workspace = config.workspace();
        let mut pool = mount(disk.clone(), &mut workspace).map_err(said("the shadow's mount"))?;
        let seen = crate::sim::found(&mut pool).map_err(said("the shadow's reading"))?;
        model.adopt(&seen, config.sector_size)?;
        // The worker's reads, no others: a merge step's budget counts what is not in memory.
        let mut pool = mount(disk, &mut workspace).map_err(said("the shadow's mount"))?;
        layers_of(&mut pool).map_err(said("the shadow's list"))?;
        for (i, op) in ops.iter().take(answers.len() + 1).enumerate() {
            let before = model.clone();
            let done = apply(&mut pool, &mut model, *op).map_err(said("the shadow's operation"))?;
            let Some(answer) = answers.get(i) else {
                return Ok(before.during(&model, op.is_barrier()));
            };
            match *answer {
                super::ACK_FAILED => return Ok(before.during(&model, op.is_barrier())),
                super::ACK_DONE if done => {}
                super::ACK_REFUSED if !done => {}
                other => return Err(format!("operation {i}, {op:?}: {} instead of {done}", char::from(other))),
            }
        }
        Ok(model)
    }

    /// The device calls that a worker makes for these operations, its mount included.
    ///
    /// # Errors
    /// The simulated pool failed.
    pub fn calls(self, ops: &[Op]) -> Outcome<Vec<Call>> {
        let mut workspace = self.config.workspace();
        let mut pool = mount(self.disk.clone(), &mut workspace).map_err(said("the shadow's mount"))?;
        let mut model = layers_of(&mut pool).map_err(said("the shadow's list"))?;
        for op in ops {
            apply(&mut pool, &mut model, *op).map_err(said("the shadow's operation"))?;
        }
        Ok(self.disk.take_calls())
    }
}
