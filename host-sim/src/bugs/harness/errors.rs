//! Histories in which a device call fails, once or from then on.
//!
//! A failed write or flush poisons the pool: it refuses changes, above all it never again reports a flush, and goes on reading. A
//! failed read changes nothing. In both cases a later mount finds what a power cut at that call could have left.

use std::{cell::Cell, rc::Rc};

use cowl::{BlockDevice, Error, Geometry, LayerId, Pool};

use super::{
    Clock,
    cuts::shape,
    judge::{after, fates},
    mixes::Mix,
    text,
};
use crate::sim::{Config, Failed, Model, Op, Rng, SimDisk, apply, found, mount, sound, start};

/// What a device call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Read,
    Change,
}

/// When calls fail.
#[derive(Debug, Default)]
struct Plan {
    armed: Cell<bool>,
    calls: Cell<u64>,
    at: Cell<u64>,
    for_good: Cell<bool>,
    failed: Cell<Option<What>>,
}

impl Plan {
    fn call(&self, what: What) -> Result<(), Failed> {
        if !self.armed.get() {
            return Ok(());
        }
        let number = self.calls.replace(self.calls.get() + 1);
        if number == self.at.get() || self.for_good.get() && number > self.at.get() {
            self.failed.set(Some(self.failed.get().filter(|old| *old == What::Change).unwrap_or(what)));
            return Err(Failed);
        }
        Ok(())
    }
}

/// A simulated disk of which some calls fail.
#[derive(Debug, Clone)]
struct Flaky {
    disk: SimDisk,
    plan: Rc<Plan>,
}

impl BlockDevice for Flaky {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        self.plan.call(What::Read)?;
        self.disk.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        self.plan.call(What::Change)?;
        self.disk.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.plan.call(What::Change)?;
        self.disk.flush()
    }
}

pub(super) fn run(clock: &Clock) -> Result<(), String> {
    for seed in 0.. {
        let config = shape(seed);
        let mut rng = Rng::new(seed ^ 0xe44);
        let ops: Vec<Op> =
            if seed % 3 == 2 { Mix::Journal } else { Mix::Everything }.ops(&mut rng, config.sectors, 10, seed % 2 == 0);
        let calls = calls_of(&config, &ops)?;
        for _ in 0..8 {
            let at = rng.below(calls.max(1));
            failing(&config, &ops, at, rng.below(2) == 0, &mut rng)
                .map_err(|why| format!("seed {seed}, device call {at} fails: {why}; {ops:?}"))?;
            if clock.is_over() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// How many device calls a history makes.
pub(super) fn calls_of(config: &Config, ops: &[Op]) -> Result<u64, String> {
    let (device, plan, mut workspace, mut model) = prepared(config)?;
    plan.at.set(u64::MAX);
    plan.armed.set(true);
    let mut pool = mount(device.clone(), &mut workspace).map_err(text("mount"))?;
    for op in ops.iter().filter(|op| **op != Op::Kill) {
        apply(&mut pool, &mut model, *op).map_err(text("operation"))?;
    }
    Ok(plan.calls.get())
}

type Prepared = (Flaky, Rc<Plan>, Vec<u8>, Model);

fn prepared(config: &Config) -> Result<Prepared, String> {
    let plan = Rc::new(Plan::default());
    let disk = SimDisk::new(config.sector_size, config.device_sectors());
    let device = Flaky { disk, plan: plan.clone() };
    let mut workspace = config.workspace();
    Pool::format(device.clone(), &mut workspace, &config.format()).map_err(text("format"))?;
    let model =
        start(&mut mount(device.clone(), &mut workspace).map_err(text("mount"))?, config).map_err(text("create"))?;
    Ok((device, plan, workspace, model))
}

/// Runs a history until the call fails, and looks at what the pool makes of it.
pub(super) fn failing(config: &Config, ops: &[Op], at: u64, for_good: bool, rng: &mut Rng) -> Result<(), String> {
    let (device, plan, mut workspace, mut model) = prepared(config)?;
    plan.at.set(at);
    plan.for_good.set(for_good);
    plan.armed.set(true);
    let mut pool = match mount(device.clone(), &mut workspace) {
        Ok(pool) => pool,
        Err(Error::Device(Failed)) => return mounts_again(config, &device, &model),
        Err(error) => return Err(text("mount")(error)),
    };
    for op in ops.iter().filter(|op| **op != Op::Kill) {
        let result = apply(&mut pool, &mut model, *op);
        match (result, plan.failed.get()) {
            (Ok(_), None) => {}
            (Ok(_), Some(What::Read)) => plan.failed.set(None),
            (Ok(_), Some(What::Change)) => return Err(format!("{op:?} reported no error")),
            (Err(Error::Device(Failed)), Some(what)) => {
                return behind_the_error(config, &device, pool, &model, what, rng);
            }
            (Err(error), _) => return Err(format!("{op:?}: {error:?}")),
        }
    }
    Ok(())
}

fn mounts_again(config: &Config, device: &Flaky, model: &Model) -> Result<(), String> {
    device.plan.armed.set(false);
    let mut workspace = config.workspace();
    let mut pool = mount(device.clone(), &mut workspace).map_err(text("mount after an error"))?;
    model.compare(&found(&mut pool).map_err(text("read"))?, config.sector_size)
}

fn behind_the_error(
    config: &Config,
    device: &Flaky,
    mut pool: Pool<'_, Flaky>,
    during: &Model,
    what: What,
    rng: &mut Rng,
) -> Result<(), String> {
    device.plan.armed.set(false);
    let seen = found(&mut pool).map_err(text("read after an error"))?;
    during.compare_after_crash(&seen, config.sector_size).map_err(|why| format!("after an error: {why}"))?;
    if what == What::Change {
        if !matches!(pool.flush(), Err(Error::Poisoned)) {
            return Err("a flush after a failed write or flush".into());
        }
        let volume = LayerId(*seen.keys().next().ok_or("no layer")?);
        let refused = [pool.delete(volume), pool.checkpoint(), pool.write(volume, 0, &vec![1; config.sector_size])];
        if !refused.iter().all(|result| matches!(result, Err(Error::Poisoned | Error::ReadOnly))) {
            return Err(format!("changes after a failed write or flush: {refused:?}"));
        }
    }
    drop(pool);
    let image = device.disk.image();
    for _ in 0..4 {
        let fates = fates(image.pending.len(), rng);
        let disk = SimDisk::from_sectors(config.sector_size, after(&image, &fates));
        let mut workspace = config.workspace();
        let mut pool = mount(disk, &mut workspace).map_err(text("mount after an error and a cut"))?;
        let seen = found(&mut pool).map_err(text("read after an error and a cut"))?;
        during.compare_after_crash(&seen, config.sector_size)?;
        pool.checkpoint().map_err(text("checkpoint after an error and a cut"))?;
        sound(&mut pool, true)?;
    }
    Ok(())
}
