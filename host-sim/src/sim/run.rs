//! Running histories: against the model after every operation, warm and after a remount, and with power cuts.

use cowl::{BlockDevice, Error, MountOptions, Pool};

use super::{
    config::Config,
    disk::{Call, Failed, Fate, Image, Sector, SimDisk},
    history::{Op, Prepared, apply, find_again, found, mount, mount_options, random_op, start},
    model::{Found, Model, bytes_of},
    random::Rng,
    verdict::{leaves_nothing, reads_alike, recovered, sound, text, works_on},
};

/// What a run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations that took effect.
    pub operations: u64,
    /// Crash images checked, all of them exact states that the fault model allows.
    pub images: u64,
}

/// A history that went wrong: which, where, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The operations up to the one that failed.
    pub history: Vec<Op>,
    /// What was wrong.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} after {:?}", self.what, self.history)
    }
}

/// Runs a random history and compares everything after every operation.
///
/// # Errors
/// The history that went wrong.
pub fn random_history(config: &Config, seed: u64, length: usize) -> Result<Tally, Failure> {
    let mut rng = Rng::new(seed);
    let few = seed % 2 == 1;
    let ops: Vec<Op> = (0..length).map(|i| random_op(&mut rng, config.sectors, i as u64 + 1, few)).collect();
    run_history(config, &ops)
}

/// Runs a history; after every operation compares everything, on the pool that is open and on one that is mounted beside it, read-only
/// and in the least workspace, and checks that one. The open one is checked at times: that makes a checkpoint.
///
/// # Errors
/// The operations up to the one that went wrong.
pub fn run_history(config: &Config, ops: &[Op]) -> Result<Tally, Failure> {
    let mut done = 0;
    let result = if config.base == 0 { bare(config, ops, &mut done) } else { on_base(config, ops, &mut done) };
    result.map_err(|what| Failure { history: ops[..done].to_vec(), what })
}

fn bare(config: &Config, ops: &[Op], done: &mut usize) -> Result<Tally, String> {
    let disk = SimDisk::new(config.sector_size, config.device_sectors());
    Pool::format(disk.clone(), &mut config.workspace(), &config.format()).map_err(text("format"))?;
    history(config, &disk, ops, done, |disk, workspace, options| Pool::mount(disk, workspace, options))
}

fn on_base(config: &Config, ops: &[Op], done: &mut usize) -> Result<Tally, String> {
    let disk = SimDisk::new(config.sector_size, config.device_sectors());
    let content = config.base_content();
    let sector = |tag: &u64| Some(bytes_of(*tag, config.sector_size).into());
    let base = SimDisk::from_sectors(config.sector_size, content.iter().map(sector).collect());
    Pool::format_on_base(disk.clone(), base.clone(), &mut config.workspace(), &config.format())
        .map_err(text("format"))?;
    let tally = history(config, &disk, ops, done, |disk, workspace, options| {
        Pool::mount_on_base(disk, base.clone(), workspace, options)
    })?;
    if base.take_calls().is_empty() { Ok(tally) } else { Err("the base device was written or flushed".into()) }
}

fn history<B: BlockDevice<Error = Failed>>(
    config: &Config,
    disk: &SimDisk,
    ops: &[Op],
    done: &mut usize,
    open: impl for<'w> Fn(SimDisk, &'w mut [u8], &MountOptions) -> Result<Pool<'w, SimDisk, B>, Error<Failed>>,
) -> Result<Tally, String> {
    let options = mount_options();
    let looking = MountOptions { read_only: true, ..options };
    let mut workspace = config.workspace();
    let mut least = Config { more_workspace: 0, ..*config }.workspace();
    let (mut model, fresh) = {
        let mut pool = open(disk.clone(), &mut workspace, &options).map_err(text("mount"))?;
        let fresh = pool.space().free;
        (start(&mut pool, config).map_err(text("create"))?, fresh)
    };
    let mut tally = Tally::default();
    let mut seen = Found::new();
    while *done < ops.len() {
        let mut pool = open(disk.clone(), &mut workspace, &options).map_err(text("mount"))?;
        while *done < ops.len() {
            let op = ops[*done];
            *done += 1;
            if op == Op::Kill {
                break;
            }
            tally.operations += u64::from(apply(&mut pool, &mut model, op).map_err(text("operation"))?);
            find_again(&mut pool, &mut seen).map_err(text("read"))?;
            model.compare(&seen, config.sector_size)?;
            disk.take_calls();
            let mut again = open(disk.clone(), &mut least, &looking).map_err(text("mount beside"))?;
            find_again(&mut again, &mut seen).map_err(text("read beside"))?;
            model.compare_after_crash(&seen, config.sector_size).map_err(|why| format!("mounted beside: {why}"))?;
            sound(&mut again, true)?;
            let based = again.info().base_sectors > 0;
            drop(again);
            if !based {
                reads_alike(disk.clone(), &mut least, &seen)?;
            }
            let calls = disk.take_calls();
            if calls.len() != 2 - usize::from(based) || calls.iter().any(|call| *call != Call::Flush) {
                return Err(format!("mounting, reading and checking is not one flush: {calls:?}"));
            }
            if (*done).is_multiple_of(8) {
                sound(&mut pool, true)?;
            }
        }
        drop(pool);
        let mut pool = open(disk.clone(), &mut workspace, &options).map_err(text("mount after a kill"))?;
        let seen = found(&mut pool).map_err(text("read after a kill"))?;
        model.adopt(&seen, config.sector_size)?;
    }
    let mut pool = open(disk.clone(), &mut workspace, &options).map_err(text("mount"))?;
    sound(&mut pool, true)?;
    leaves_nothing(&mut pool, &model, fresh)?;
    Ok(tally)
}

/// Runs a history; at every device write of every operation, and after every operation, checks crash images: all of them where no
/// more than `exact` sectors are pending, else a few at random.
///
/// # Errors
/// The operations up to the one that went wrong.
pub fn crash_history(config: &Config, ops: &[Op], exact: usize, seed: u64) -> Result<Tally, Failure> {
    let mut done = 0;
    crashes(config, ops, exact, seed, &mut done).map_err(|what| Failure { history: ops[..done].to_vec(), what })
}

fn crashes(config: &Config, ops: &[Op], exact: usize, seed: u64, done: &mut usize) -> Result<Tally, String> {
    let mut rng = Rng::new(seed);
    let Prepared { disk, mut model, .. } = Prepared::new(config).map_err(text("a new pool"))?;
    let mut workspace = config.workspace();
    let mut judge = Judge { config: *config, workspace: config.workspace(), tally: Tally::default(), exact };
    while *done < ops.len() {
        let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
        let seen = found(&mut pool).map_err(text("read after a kill"))?;
        model.adopt(&seen, config.sector_size)?;
        while *done < ops.len() {
            let op = ops[*done];
            *done += 1;
            if op == Op::Kill {
                break;
            }
            disk.start_cuts();
            let before = model.clone();
            let applied = apply(&mut pool, &mut model, op).map_err(text("operation"))?;
            judge.tally.operations += u64::from(applied);
            let during = before.during(&model, op.is_barrier());
            for cut in disk.take_cuts() {
                judge.images(&cut, &during, &mut rng)?;
            }
            judge.images(&disk.image(), &model, &mut rng)?;
        }
    }
    Ok(judge.tally)
}

/// Mounts crash images and looks at what is there.
struct Judge {
    config: Config,
    workspace: Vec<u8>,
    tally: Tally,
    exact: usize,
}

impl Judge {
    fn images(&mut self, cut: &Image, model: &Model, rng: &mut Rng) -> Result<(), String> {
        let pending = cut.pending.len();
        if pending <= self.exact {
            return cut.fates().try_for_each(|fates| self.image(cut, model, &fates));
        }
        for _ in 0..8 {
            let fates: Vec<Fate> = (0..pending).map(|_| Fate::nth(rng.below(3))).collect();
            self.image(cut, model, &fates)?;
        }
        Ok(())
    }

    fn image(&mut self, cut: &Image, model: &Model, fates: &[Fate]) -> Result<(), String> {
        self.tally.images += 1;
        let sectors: Vec<Sector> = cut.after_cut(|i| fates[i]);
        let disk = SimDisk::from_sectors(self.config.sector_size, sectors);
        let seen = recovered(&disk, &mut self.workspace)?;
        model.compare_after_crash(&seen, self.config.sector_size)?;
        if self.tally.images.is_multiple_of(16) { works_on(disk, &mut self.workspace, &seen) } else { Ok(()) }
    }
}
