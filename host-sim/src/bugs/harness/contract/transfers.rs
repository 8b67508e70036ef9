//! Transfers outside the pool, one case for each rule: what is under way is respected by everything else the pool does, and a
//! process that opens the disk afterwards finds what was flushed.

use cowl::{Attributes, BlockDevice, Error, LayerFlags, LayerId, Pool, Writing};

use super::{
    super::{
        medium::{Disk, Medium},
        text,
    },
    filled, same, values,
};
use crate::sim::{Config, mount, sound};

const SECTORS: usize = 12;

struct Case<'w, D: BlockDevice> {
    pool: Pool<'w, D>,
    volume: LayerId,
}

// A method's own name is not general enough here.
#[allow(clippy::redundant_closure_for_method_calls)]
pub(super) fn run(medium: &impl Medium, seed: u64) -> Result<(), String> {
    in_a_pool(medium, seed, |case| case.nothing_is_committed())?;
    in_a_pool(medium, seed, |case| case.two_over_one_block())?;
    in_a_pool(medium, seed, |case| case.what_is_held_is_there())?;
    in_a_pool(medium, seed, |case| case.an_old_flush_says_nothing())?;
    in_a_pool(medium, seed, |case| case.what_is_cancelled())?;
    in_a_pool(medium, seed, |case| case.a_block_that_is_no_longer_mapped())
}

/// Plays a case, and looks at the disk as the next process does: `play` returns what must be there.
fn in_a_pool<M: Medium>(
    medium: &M,
    seed: u64,
    play: impl FnOnce(&mut Case<'_, <M::Disk as Disk>::Device>) -> Result<Vec<u64>, String>,
) -> Result<(), String> {
    let config = Config { pending: 4 + (seed % 3) as u32, journal_units: 6, blocks: 300, ..Config::TINY };
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    let named = Attributes { name: "v", ..Attributes::default() };
    let volume = pool.create(&named, SECTORS as u64, LayerFlags::empty()).map_err(text("create"))?;
    let mut case = Case { pool, volume };
    let expected = play(&mut case)?;
    let found = values(&mut case.pool, volume, SECTORS).map_err(text("read"))?;
    same(&found, &expected)?;
    drop(case);
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount again"))?;
    let found = values(&mut pool, volume, SECTORS).map_err(text("read again"))?;
    same(&found, &expected).map_err(|why| format!("mounted again: {why}"))?;
    sound(&mut pool, true)
}

fn expected(written: &[(usize, u64)]) -> Vec<u64> {
    let mut content = vec![0; SECTORS];
    for (sector, value) in written {
        content[*sector] = *value;
    }
    content
}

impl<D: BlockDevice<Error: std::fmt::Debug>> Case<'_, D> {
    fn prepare(&mut self, sector: u64) -> Result<Writing, String> {
        let prepared = self.pool.prepare(self.volume, sector, 1).map_err(text("prepare"))?;
        prepared.ok_or_else(|| "there is plenty of room, and the pool wants to write itself".into())
    }

    fn write(&mut self, sector: u64, value: u64) -> Result<(), String> {
        self.pool.write(self.volume, sector, &filled(value, 1)).map_err(text("write"))
    }

    fn transfer(&mut self, writing: &Writing, value: u64) -> Result<(), String> {
        self.pool.device_mut().write(writing.sector(), &filled(value, 1)).map_err(text("device"))
    }

    fn commit(&mut self, writing: Writing, value: u64) -> Result<(), String> {
        self.pool.commit(writing, &[crate::crc32c(0, &filled(value, 1))]).map_err(text("commit"))
    }

    fn busy(result: Result<(), Error<D::Error>>, what: &str) -> Result<(), String> {
        match result {
            Err(Error::Busy { .. }) => Ok(()),
            other => Err(format!("{what} during a transfer: {other:?}")),
        }
    }

    fn nothing_is_committed(&mut self) -> Result<Vec<u64>, String> {
        self.write(0, 5)?;
        self.pool.flush().map_err(text("flush"))?;
        let writing = self.prepare(1)?;
        Self::busy(self.pool.checkpoint(), "a checkpoint")?;
        let named = Attributes { name: "s", ..Attributes::default() };
        Self::busy(self.pool.snapshot(self.volume, &named).map(drop), "a snapshot")?;
        self.transfer(&writing, 6)?;
        self.commit(writing, 6)?;
        self.pool.snapshot(self.volume, &named).map_err(text("snapshot"))?;
        Ok(expected(&[(0, 5), (1, 6)]))
    }

    fn two_over_one_block(&mut self) -> Result<Vec<u64>, String> {
        self.pool.checkpoint().map_err(text("checkpoint"))?;
        self.write(2, 1)?;
        let (first, second) = (self.prepare(2)?, self.prepare(2)?);
        self.transfer(&second, 8)?;
        Self::busy(self.pool.flush(), "a flush of the block's record")?;
        self.commit(first, 7)?;
        Self::busy(self.pool.flush(), "a flush of the block's record")?;
        // What the device took last is there, whoever of the two is committed last and says what it is.
        self.transfer(&second, 9)?;
        self.commit(second, 8)?;
        self.pool.flush().map_err(text("flush"))?;
        Ok(expected(&[(2, 9)]))
    }

    fn what_is_held_is_there(&mut self) -> Result<Vec<u64>, String> {
        self.pool.checkpoint().map_err(text("checkpoint"))?;
        let (first, second) = (self.prepare(0)?, self.prepare(1)?);
        let mut content = vec![(0, 3), (1, 4)];
        for sector in 2..SECTORS {
            match self.pool.write(self.volume, sector as u64, &filled(2, 1)) {
                Ok(()) => content.push((sector, 2)),
                result => {
                    Self::busy(result, "a write into a full table")?;
                    break;
                }
            }
        }
        self.transfer(&first, 3)?;
        self.transfer(&second, 4)?;
        self.commit(first, 3)?;
        self.commit(second, 4)?;
        self.pool.flush().map_err(text("flush"))?;
        Ok(expected(&content))
    }

    /// It belonged to another generation: what is journaled since is not proven by it.
    fn an_old_flush_says_nothing(&mut self) -> Result<Vec<u64>, String> {
        self.pool.checkpoint().map_err(text("checkpoint"))?;
        self.write(0, 1)?;
        self.pool.flush().map_err(text("flush"))?;
        self.write(1, 1)?;
        let old = self.pool.begin_flush().map_err(text("begin of a flush"))?.ok_or("nothing to flush")?;
        self.pool.checkpoint().map_err(text("checkpoint"))?;
        self.pool.end_flush(old, Ok(())).map_err(text("end of a flush"))?;
        self.write(3, 7)?;
        self.pool.flush().map_err(text("flush"))?;
        // Not proven, so not written over: were it, the half-written block would take the record with it.
        let writing = self.prepare(3)?;
        self.transfer(&writing, 8)?;
        self.pool.cancel(writing);
        Ok(expected(&[(0, 1), (1, 1), (3, 7)]))
    }

    /// In place the device has it; a new block is nobody's.
    fn what_is_cancelled(&mut self) -> Result<Vec<u64>, String> {
        self.pool.checkpoint().map_err(text("checkpoint"))?;
        self.write(5, 1)?;
        let (over, fresh) = (self.prepare(5)?, self.prepare(6)?);
        self.transfer(&over, 2)?;
        self.transfer(&fresh, 3)?;
        self.pool.cancel(over);
        self.pool.cancel(fresh);
        self.pool.flush().map_err(text("flush"))?;
        Ok(expected(&[(5, 2)]))
    }

    fn a_block_that_is_no_longer_mapped(&mut self) -> Result<Vec<u64>, String> {
        self.pool.checkpoint().map_err(text("checkpoint"))?;
        self.write(4, 1)?;
        let over = self.prepare(4)?;
        self.pool.discard(self.volume, 4, 1).map_err(text("discard"))?;
        let fresh = self.prepare(4)?;
        self.transfer(&fresh, 2)?;
        self.commit(fresh, 2)?;
        self.transfer(&over, 3)?;
        self.commit(over, 3)?;
        self.pool.flush().map_err(text("flush"))?;
        Ok(expected(&[(4, 2)]))
    }
}
