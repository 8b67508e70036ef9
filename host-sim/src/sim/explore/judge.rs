//! What is asked of every image after a power cut.

use cowl::{Pool, Reader};

use super::{disk::CrashDisk, play::tagged};
use crate::sim::{
    disk::Call,
    history::{Op, apply, find_again, found, mount},
    model::{Found, Model, Outcome},
    verdict::{all_alike, sound},
};

/// Compares without deciding what sectors of data became: everything that they may hold must be allowed.
fn undecided(
    pool: &mut Pool<'_, CrashDisk>,
    disk: &CrashDisk,
    model: &Model,
    sector_size: usize,
    seen: &mut Found,
) -> Option<Outcome> {
    disk.stand_in(true);
    let read = find_again(pool, seen);
    disk.stand_in(false);
    read.ok()?;
    model.compare_undecided(seen, sector_size, &|bytes| disk.ways(bytes)).ok()
}

/// A promise of the oracle, by its number in the documentation of [`super`].
pub type Promise = &'static str;

/// A promise that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The promise.
    pub promise: Promise,
    /// What was seen.
    pub what: String,
}

fn broken<E: std::fmt::Debug>(promise: Promise, what: &str) -> impl Fn(E) -> Broken + '_ {
    move |error| Broken { promise, what: format!("{what}: {error:?}") }
}

/// Memory that judging needs, used again and again.
#[derive(Debug)]
pub struct Bench {
    /// The pool's workspace.
    pub workspace: Vec<u8>,
    beside: Beside,
    /// What the pool shows.
    seen: Found,
    sector_size: usize,
}

/// What the small reader needs.
#[derive(Debug)]
struct Beside {
    workspace: Vec<u8>,
    bytes: Vec<u8>,
}

impl Bench {
    /// For pools that need so large a workspace.
    pub fn new(workspace: Vec<u8>, sector_size: usize) -> Self {
        let beside = Beside { workspace: vec![0; workspace.len()], bytes: Vec::new() };
        Self { workspace, beside, seen: Found::new(), sector_size }
    }

    /// Mounts the image and compares everything with what the model allows.
    ///
    /// If nothing `follows`, sectors of data are not decided; else the model goes on from what was found.
    ///
    /// # Errors
    /// The promise that was broken.
    pub fn recover(&mut self, disk: &CrashDisk, model: &mut Model, follows: bool) -> Result<Outcome, Broken> {
        let Self { workspace, beside, seen, sector_size } = self;
        let mut pool = mount(disk.clone(), workspace).map_err(broken("O12", "it does not mount"))?;
        let calls = disk.calls();
        if calls != [Call::Flush] {
            return Err(Broken { promise: "O8", what: format!("the mount is more than one flush: {calls:?}") });
        }
        let whole = (!follows).then(|| undecided(&mut pool, disk, model, *sector_size, seen)).flatten();
        let outcome = if let Some(outcome) = whole {
            outcome
        } else {
            // Not all that a sector may hold is allowed in the same state: look at each for itself.
            drop(pool);
            pool = mount(disk.clone(), workspace).map_err(broken("O12", "it does not mount again"))?;
            disk.calls();
            find_again(&mut pool, seen).map_err(broken("O1", "it cannot be read"))?;
            model.adopt(seen, *sector_size).map_err(|what| Broken { promise: "O1 to O6", what })?
        };
        beside.reads(disk, seen, whole.is_some())?;
        let calls = disk.calls();
        if !calls.is_empty() {
            return Err(Broken { promise: "O8", what: format!("reading wrote: {calls:?}") });
        }
        check(&mut pool)?;
        Ok(outcome)
    }

    /// Goes on with an operation, watched; the model becomes what may be found while it is on its way, and behind it.
    ///
    /// # Errors
    /// The promise that was broken.
    pub fn go_on(&mut self, disk: &CrashDisk, model: Model, op: Op) -> Result<(Model, Model), Broken> {
        let mut pool = mount(disk.clone(), &mut self.workspace).map_err(broken("O12", "it does not mount again"))?;
        let mut after = model.clone();
        disk.record();
        apply(&mut pool, &mut after, tagged(op, 200)).map_err(broken("O12", "it does not work any more"))?;
        let during = model.during(&after, op.is_barrier());
        Ok((during, after))
    }

    /// Writes, flushes, takes a snapshot, deletes, merges, and deletes everything.
    ///
    /// # Errors
    /// The promise that was broken.
    pub fn live(&mut self, disk: &CrashDisk, mut model: Model) -> Result<(), Broken> {
        let mut pool = mount(disk.clone(), &mut self.workspace).map_err(broken("O12", "it does not mount again"))?;
        for op in [Op::Write(0, 0, 1, 0), Op::Flush, Op::Snapshot(0), Op::Delete(1), Op::Merge(300), Op::Checkpoint] {
            apply(&mut pool, &mut model, tagged(op, 210)).map_err(broken("O12", "it does not work any more"))?;
            let seen = found(&mut pool).map_err(broken("O12", "it cannot be read any more"))?;
            model.compare(&seen, self.sector_size).map_err(|what| Broken { promise: "O7", what })?;
        }
        check(&mut pool)
    }
}

impl Beside {
    /// The small reader shows what the pool showed. Sectors of data that nobody has decided may be left so.
    fn reads(&mut self, disk: &CrashDisk, seen: &Found, undecided: bool) -> Result<(), Broken> {
        let mut reader = Reader::mount(disk.clone(), &mut self.workspace, crate::crc32c)
            .map_err(broken("O15", "the reader does not mount it"))?;
        let calls = disk.calls();
        if calls != [Call::Flush] {
            return Err(Broken {
                promise: "O8",
                what: format!("the reader's mount is more than one flush: {calls:?}"),
            });
        }
        disk.stand_in(undecided);
        let alike = all_alike(&mut reader, seen, &mut self.bytes);
        disk.stand_in(false);
        alike.map_err(|what| Broken { promise: "O15", what })
    }
}

fn check(pool: &mut Pool<'_, CrashDisk>) -> Result<(), Broken> {
    sound(pool, false).map_err(|what| Broken { promise: "O10", what })
}
