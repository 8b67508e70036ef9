//! A device that fails on demand.

use std::{cell::Cell, rc::Rc};

use cowl::{BlockDevice, Geometry};

use crate::sim::{SimDisk, garbage_byte};

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Flush,
}

/// What is to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// So many calls of the kind still succeed.
    pub(super) after: u8,
    /// Every later call of the kind fails too.
    pub(super) lasting: bool,
    /// What a write that fails stores all the same.
    pub(super) stored: Stored,
}

/// What a write that fails stores all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    Nothing,
    Everything,
    /// The first sector, torn.
    Torn,
}

/// The device failed as it was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told(pub(super) Kind);

/// What is to fail next, and what has failed; copies of the handle are the same plan.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    fault: Rc<Cell<Option<Fault>>>,
    /// The kind of the last failure, until it is asked for.
    failed: Rc<Cell<Option<Kind>>>,
}

impl Plan {
    pub(super) fn set(&self, fault: Option<Fault>) {
        self.fault.set(fault);
    }

    pub(super) fn take_failed(&self) -> Option<Kind> {
        self.failed.take()
    }

    /// Does something while nothing fails.
    pub(super) fn pause<T>(&self, work: impl FnOnce() -> T) -> T {
        let fault = self.fault.take();
        let result = work();
        self.fault.set(fault);
        result
    }

    /// Does this call fail, and what does it store all the same?
    fn strikes(&self, kind: Kind) -> Option<Stored> {
        let fault = self.fault.get().filter(|fault| fault.kind == kind)?;
        if fault.after > 0 {
            self.fault.set(Some(Fault { after: fault.after - 1, ..fault }));
            return None;
        }
        if !fault.lasting {
            self.fault.set(None);
        }
        self.failed.set(Some(kind));
        Some(fault.stored)
    }
}

/// A simulated disk with a plan of failures.
#[derive(Debug, Clone)]
pub(super) struct Faulty {
    disk: SimDisk,
    plan: Plan,
}

impl Faulty {
    pub(super) fn new(disk: SimDisk, plan: Plan) -> Self {
        Self { disk, plan }
    }
}

/// The simulated disk itself has no failures set.
fn works<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.expect("a simulated disk in its bounds")
}

impl BlockDevice for Faulty {
    type Error = Told;

    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Told> {
        if self.plan.strikes(Kind::Read).is_some() {
            buffer.fill(0xee);
            return Err(Told(Kind::Read));
        }
        works(self.disk.read(sector, buffer));
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Told> {
        let Some(stored) = self.plan.strikes(Kind::Write) else {
            works(self.disk.write(sector, buffer));
            return Ok(());
        };
        let size = self.disk.geometry().sector_size as usize;
        match stored {
            Stored::Nothing => {}
            Stored::Everything => works(self.disk.write(sector, buffer)),
            Stored::Torn => {
                let torn: Vec<u8> = (0..size).map(|at| garbage_byte(false, at)).collect();
                works(self.disk.write(sector, &torn));
            }
        }
        Err(Told(Kind::Write))
    }

    fn flush(&mut self) -> Result<(), Told> {
        if self.plan.strikes(Kind::Flush).is_some() {
            return Err(Told(Kind::Flush));
        }
        works(self.disk.flush());
        Ok(())
    }
}
