//! The shadow of a worker: the same operations on a simulated disk, and the model beside it.

use cowl::{BlockDevice, Error, Geometry};

use super::{
    Outcome, Syscall, said,
    worker::{layers_of, perform},
};
use crate::sim::{Asked, Config, Failed, Model, Op, Traced, mount};

/// What a worker must have done after so many operations.
#[derive(Debug)]
pub struct Shadow {
    config: Config,
    disk: Holes,
    model: Model,
}

/// Whether the device below refuses to punch a hole. Numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It never does.
    Never,
    /// The n-th one fails.
    Fails(usize),
    /// At the n-th one it says that it cannot do such a thing, and is not asked again; 0: it is known before.
    Unsupported(usize),
}

/// A disk of plain bytes, with holes: discarded sectors read as zeros.
#[derive(Debug)]
struct Holes {
    bytes: Vec<u8>,
    sector_size: usize,
    refusal: Refusal,
    asked: usize,
}

impl Shadow {
    /// Begins with a file's bytes and what they must show.
    pub fn new(config: &Config, bytes: Vec<u8>, model: &Model) -> Self {
        let disk = Holes { bytes, sector_size: config.sector_size, refusal: Refusal::Never, asked: 0 };
        Self { config: *config, disk, model: model.clone() }
    }

    /// The same, with holes that are refused.
    #[must_use]
    pub fn refusing(mut self, refusal: Refusal) -> Self {
        self.disk.refusal = refusal;
        self
    }

    /// Runs the operations that were acknowledged; then what may be found if the next one, if any, was on its way.
    ///
    /// # Errors
    /// The simulated pool did not do what the worker did.
    pub fn after(self, ops: &[Op], answers: &[u8]) -> Outcome<Model> {
        let Self { config, mut disk, mut model } = self;
        let mut workspace = config.workspace();
        // The worker's reads, no others: a merge step's budget counts what is not in memory.
        let mut pool = mount(&mut disk, &mut workspace).map_err(said("the shadow's mount"))?;
        layers_of(&mut pool).map_err(said("the shadow's list"))?;
        for (i, op) in ops.iter().take(answers.len() + 1).enumerate() {
            let last = matches!(answers.get(i), None | Some(&super::ACK_FAILED));
            let before = last.then(|| model.clone());
            let done = match perform(&mut pool, &mut model, *op) {
                Ok(true) => super::ACK_DONE,
                Ok(false) => super::ACK_REFUSED,
                // A hole that was refused: the checkpoint before it is complete, and nothing keeps the pool from going on.
                Err(Error::Device(Failed)) => super::ACK_FAILED,
                Err(error) => return Err(said("the shadow's operation")(error)),
            };
            match (answers.get(i), before) {
                (Some(answer), _) if *answer == done => {}
                (_, Some(before)) => return Ok(before.during(&model, op.is_barrier())),
                (answer, None) => {
                    let [answer, done] = [answer.copied().unwrap_or_default(), done].map(char::from);
                    return Err(format!("operation {i}, {op:?}: the worker answered {answer:?} instead of {done:?}"));
                }
            }
        }
        Ok(model)
    }

    /// The system calls that a worker makes for these operations, its mount included.
    ///
    /// # Errors
    /// The simulated pool failed.
    pub fn calls(self, ops: &[Op]) -> Outcome<Vec<Syscall>> {
        let mut traced = Traced::new(self.disk);
        let mut workspace = self.config.workspace();
        let mut pool = mount(&mut traced, &mut workspace).map_err(said("the shadow's mount"))?;
        let mut model = layers_of(&mut pool).map_err(said("the shadow's list"))?;
        for op in ops {
            match perform(&mut pool, &mut model, *op) {
                Ok(_) | Err(Error::Device(Failed)) => {}
                Err(error) => return Err(said("the shadow's operation")(error)),
            }
        }
        let size = self.config.sector_size as u64;
        let calls = traced.take().into_iter().filter_map(|line| match line.asked {
            Asked::Read => None,
            Asked::Write => Some(Syscall::Write(line.sector * size, line.count * size)),
            Asked::Flush => Some(Syscall::Sync),
            Asked::Discard => Some(Syscall::Punch(line.sector * size, line.count * size)),
        });
        Ok(calls.collect())
    }
}

impl Holes {
    fn range(&mut self, sector: u64, length: usize) -> Result<&mut [u8], Failed> {
        let from = sector as usize * self.sector_size;
        self.bytes.get_mut(from..from + length).ok_or(Failed)
    }
}

impl BlockDevice for Holes {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        let supported = !matches!(self.refusal, Refusal::Unsupported(number) if self.asked >= number);
        let sectors = self.bytes.len() / self.sector_size;
        Geometry { discard: supported, ..Geometry::new(self.sector_size as u32, sectors as u64) }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        buffer.copy_from_slice(self.range(sector, buffer.len())?);
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        self.range(sector, buffer.len())?.copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failed> {
        Ok(())
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), Failed> {
        self.asked += 1;
        match self.refusal {
            Refusal::Fails(number) if number == self.asked => return Err(Failed),
            Refusal::Unsupported(number) if number <= self.asked => return Ok(()),
            _ => {}
        }
        self.range(sector, count as usize * self.sector_size)?.fill(0);
        Ok(())
    }
}
