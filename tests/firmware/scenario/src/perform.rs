//! Playing a script on a pool.

use cowl::{Attributes, BlockDevice, Error, Finding, LayerFlags, LayerId, Merge, Pool, SnapshotOf};

use crate::{
    BUFFER,
    script::{Action, MARK, Outcome, Piece, SCRATCH, Step},
};

/// Bytes in a sector of every disk here.
const SECTOR: usize = 512;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fault<E> {
    /// Actions that had been done before.
    pub action: u32,
    /// What was wanted.
    pub what: Wanted<E>,
}

/// What was wanted, and what there was instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Wanted<E> {
    /// A call should have succeeded.
    Success(Error<E>),
    /// A sector of a layer should have held this number.
    Content {
        /// The sector.
        sector: u64,
        /// The number.
        tag: u64,
    },
    /// The check should have found nothing.
    NoFindings(u64),
    /// There should have been a layer of this name.
    Layer(&'static str),
}

impl<E> Fault<E> {
    /// The device cannot be used at all.
    pub fn of_device(error: E) -> Self {
        Self::at_start(Error::Device(error))
    }

    /// Before any action.
    pub(crate) fn at_start(error: Error<E>) -> Self {
        Self { action: 0, what: Wanted::Success(error) }
    }
}

/// Sees every action before and after.
pub trait Witness {
    /// An action begins.
    fn begins(&mut self, action: &Action);
    /// It has ended.
    fn ended(&mut self, action: &Action, outcome: Outcome);
}

/// Looks at nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Witness for Silent {
    fn begins(&mut self, _: &Action) {}
    fn ended(&mut self, _: &Action, _: Outcome) {}
}

/// A mounted pool, and who plays on it.
pub(crate) struct Player<'a, 'w, D: BlockDevice, W> {
    pool: &'a mut Pool<'w, D>,
    buffer: &'a mut [u8; BUFFER],
    witness: &'a mut W,
    actions: u32,
}

type Result<T, D> = core::result::Result<T, Fault<<D as BlockDevice>::Error>>;

impl<'w, D: BlockDevice, W: Witness> Player<'_, 'w, D, W> {
    /// Works off one step.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), D> {
        match *step {
            Step::Create(name, sectors, flags) => self.create(name, sectors, flags),
            Step::Write(piece) => self.pairs(piece, Self::write),
            Step::Expect(piece) => self.pairs(piece, Self::expect),
            Step::Discard(volume, sector, count) => self.discard(volume, sector, count),
            Step::Flush => self.flush(),
            Step::Snapshot(volume, name, attachment) => self.snapshot(volume, name, attachment),
            Step::Rollback(volume, snapshot, keep) => self.rollback(volume, snapshot, keep),
            Step::Clone(snapshot, name) => self.branch(snapshot, name),
            Step::Delete(name) => self.delete(name),
            Step::Rename(name, to) => self.rename(name, to),
            Step::Idle => self.idle(),
            Step::Fill(volume, tag) => self.fill(volume, tag),
            Step::Check => self.check(false),
        }
    }

    /// After a power cut: the pool is whole, work goes on, and a mark is left.
    pub(crate) fn recover(&mut self) -> Result<(), D> {
        self.check(true)?;
        self.idle()?;
        if self.find(MARK)?.is_none() && self.leave_mark()? == Outcome::Full {
            self.step(&Step::Delete(SCRATCH))?;
            self.idle()?;
            self.leave_mark()?;
        }
        self.check(true)
    }

    /// Makes the volume [`MARK`] and writes to it; all of it or nothing.
    #[inline(never)]
    fn leave_mark(&mut self) -> Result<Outcome, D> {
        let action = Action::Create(MARK, 2);
        let create = |pool: &mut Pool<'w, D>| pool.create(&named(MARK), 2, LayerFlags::GUARANTEED).map(made);
        let outcome = self.may_be_full(action, create)?;
        if outcome != Outcome::Full {
            self.step(&Step::Write(Piece { layer: MARK, sector: 0, count: 2, tag: 0xf000 }))?;
            self.step(&Step::Flush)?;
        }
        Ok(outcome)
    }

    #[inline(never)]
    fn create(&mut self, name: &'static str, sectors: u64, flags: LayerFlags) -> Result<(), D> {
        let create = |pool: &mut Pool<'w, D>| pool.create(&named(name), sectors, flags).map(made);
        self.act(Action::Create(name, sectors), create)
    }

    #[inline(never)]
    fn discard(&mut self, volume: &'static str, sector: u64, count: u64) -> Result<(), D> {
        let id = self.id(volume)?;
        let action = Action::Discard(volume, sector, count);
        self.act(action, |pool| pool.discard(id, sector, count).map(|()| Outcome::Done(None)))
    }

    #[inline(never)]
    fn flush(&mut self) -> Result<(), D> {
        self.act(Action::Flush, |pool| pool.flush().map(|()| Outcome::Done(None)))
    }

    #[inline(never)]
    fn branch(&mut self, snapshot: &'static str, name: &'static str) -> Result<(), D> {
        let id = self.id(snapshot)?;
        self.act(Action::Clone(snapshot, name), |pool| pool.clone_snapshot(id, &named(name), false).map(made))
    }

    #[inline(never)]
    fn delete(&mut self, name: &'static str) -> Result<(), D> {
        let id = self.id(name)?;
        self.act(Action::Delete(name), |pool| pool.delete(id).map(|()| Outcome::Done(None)))
    }

    #[inline(never)]
    fn rename(&mut self, name: &'static str, to: &'static str) -> Result<(), D> {
        let id = self.id(name)?;
        self.act(Action::Rename(name, to), |pool| pool.rename(id, to).map(|()| Outcome::Done(None)))
    }

    #[inline(never)]
    fn snapshot(&mut self, volume: &'static str, name: &'static str, attachment: Option<Piece>) -> Result<(), D> {
        let id = self.id(volume)?;
        let staged = match attachment {
            Some(piece) => Some(self.stage(piece)?),
            None => None,
        };
        let of = SnapshotOf { volume: id, attributes: named(name), attachments: staged.as_slice() };
        self.act(Action::Snapshot(volume, name), |pool| pool.snapshot_all(&[of]).map(made))
    }

    #[inline(never)]
    fn stage(&mut self, piece: Piece) -> Result<LayerId, D> {
        let mut staged = LayerId(0);
        self.act(Action::Stage, |pool| {
            staged = pool.stage_attachment(&named(piece.layer), piece.count * SECTOR as u64)?;
            Ok(Outcome::Done(None))
        })?;
        for sector in 0..piece.count {
            let bytes = filled(self.buffer, 1, piece.tag + sector);
            let written = {
                self.witness.begins(&Action::WriteStaged);
                self.pool.write(staged, sector, bytes).map(|()| Outcome::Done(None))
            };
            self.ended(Action::WriteStaged, written, false)?;
        }
        Ok(staged)
    }

    #[inline(never)]
    fn rollback(&mut self, volume: &'static str, snapshot: &'static str, keep: Option<&'static str>) -> Result<(), D> {
        let (id, to) = (self.id(volume)?, self.id(snapshot)?);
        let kept = keep.map(named);
        self.act(Action::Rollback(volume, snapshot, keep), |pool| {
            let kept = pool.rollback(id, to, 1, kept.as_ref())?;
            Ok(Outcome::Done(kept.map(|id| id.0)))
        })
    }

    /// Merge in the smallest steps that work.
    #[inline(never)]
    fn idle(&mut self) -> Result<(), D> {
        loop {
            let mut idle = false;
            self.act(Action::Merge, |pool| {
                let step = match pool.merge_step(8) {
                    Err(Error::BudgetTooSmall { needed }) => pool.merge_step(needed)?,
                    step => step?,
                };
                idle = step == Merge::Idle;
                Ok(if idle { Outcome::Nothing } else { Outcome::Done(None) })
            })?;
            if idle {
                return Ok(());
            }
        }
    }

    #[inline(never)]
    fn fill(&mut self, volume: &'static str, tag: u64) -> Result<(), D> {
        let id = self.id(volume)?;
        for sector in 0.. {
            let action = Action::Write(Piece { layer: volume, sector, count: 1, tag: tag + sector });
            let bytes = filled(self.buffer, 1, tag + sector);
            self.witness.begins(&action);
            let written = self.pool.write(id, sector, bytes).map(|()| Outcome::Done(None));
            if self.ended(action, written, true)? == Outcome::Full {
                break;
            }
        }
        Ok(())
    }

    /// Nothing is wrong; after a power cut one slot of the superblock may be torn, which the next checkpoints write anew.
    #[inline(never)]
    fn check(&mut self, torn_slot: bool) -> Result<(), D> {
        let mut findings = 0;
        let mut count = |finding: &Finding| {
            findings += u64::from(!(torn_slot && matches!(finding, Finding::SuperblockCopy { .. })));
        };
        let checked = self.pool.check(self.buffer, true, &mut count);
        checked.map_err(|error| self.wrong(Wanted::Success(error)))?;
        if findings == 0 { Ok(()) } else { Err(self.wrong(Wanted::NoFindings(findings))) }
    }

    /// Sectors two by two.
    #[inline(never)]
    fn pairs(&mut self, piece: Piece, each: fn(&mut Self, LayerId, Piece) -> Result<(), D>) -> Result<(), D> {
        let id = self.id(piece.layer)?;
        let end = piece.sector + piece.count;
        for sector in (piece.sector..end).step_by(2) {
            each(self, id, Piece { sector, count: (end - sector).min(2), tag: piece.tag + sector, ..piece })?;
        }
        Ok(())
    }

    fn write(&mut self, id: LayerId, piece: Piece) -> Result<(), D> {
        let bytes = filled(self.buffer, piece.count, piece.tag);
        self.witness.begins(&Action::Write(piece));
        let written = self.pool.write(id, piece.sector, bytes).map(|()| Outcome::Done(None));
        self.ended(Action::Write(piece), written, false).map(drop)
    }

    fn expect(&mut self, id: LayerId, piece: Piece) -> Result<(), D> {
        let bytes = filled(self.buffer, piece.count, !piece.tag);
        self.pool
            .read(id, piece.sector, bytes)
            .map_err(|error| Fault { action: self.actions, what: Wanted::Success(error) })?;
        if bytes.chunks(8).all(|word| word == piece.tag.to_le_bytes()) {
            return Ok(());
        }
        Err(self.wrong(Wanted::Content { sector: piece.sector, tag: piece.tag }))
    }

    /// The number of a layer that must be there.
    fn id(&mut self, name: &'static str) -> Result<LayerId, D> {
        self.find(name)?.ok_or(self.wrong(Wanted::Layer(name)))
    }

    #[inline(never)]
    fn find(&mut self, name: &'static str) -> Result<Option<LayerId>, D> {
        let found = self.pool.find(name).map_err(|error| self.wrong(Wanted::Success(error)))?;
        Ok(found.map(|info| info.id))
    }

    fn act(
        &mut self,
        action: Action,
        call: impl FnOnce(&mut Pool<'w, D>) -> core::result::Result<Outcome, Error<D::Error>>,
    ) -> Result<(), D> {
        self.witness.begins(&action);
        let result = call(self.pool);
        self.ended(action, result, false).map(drop)
    }

    fn may_be_full(
        &mut self,
        action: Action,
        call: impl FnOnce(&mut Pool<'w, D>) -> core::result::Result<Outcome, Error<D::Error>>,
    ) -> Result<Outcome, D> {
        self.witness.begins(&action);
        let result = call(self.pool);
        self.ended(action, result, true)
    }

    fn ended(
        &mut self,
        action: Action,
        result: core::result::Result<Outcome, Error<D::Error>>,
        may_be_full: bool,
    ) -> Result<Outcome, D> {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(Error::NoSpace { .. }) if may_be_full => Outcome::Full,
            Err(error) => return Err(self.wrong(Wanted::Success(error))),
        };
        self.witness.ended(&action, outcome);
        self.actions += 1;
        Ok(outcome)
    }

    fn wrong(&self, what: Wanted<D::Error>) -> Fault<D::Error> {
        Fault { action: self.actions, what }
    }
}

/// A pool as it was mounted. It is handed around as it is: every move would cost its size in stack.
pub(crate) type Mounted<'w, D> = core::result::Result<Pool<'w, D>, Error<<D as BlockDevice>::Error>>;

/// Works off the steps; the number of actions so far.
pub(crate) fn part<D: BlockDevice, W: Witness>(
    pool: &mut Pool<'_, D>,
    buffer: &mut [u8; BUFFER],
    witness: &mut W,
    actions: u32,
    steps: &[Step],
) -> Result<u32, D> {
    let mut player = Player { pool, buffer, witness, actions };
    for step in steps {
        player.step(step)?;
    }
    Ok(player.actions)
}

/// After a power cut; the number of actions.
pub(crate) fn recover<D: BlockDevice, W: Witness>(
    pool: &mut Pool<'_, D>,
    buffer: &mut [u8; BUFFER],
    witness: &mut W,
) -> Result<u32, D> {
    let mut player = Player { pool, buffer, witness, actions: 0 };
    player.recover()?;
    Ok(player.actions)
}

/// Ends a mount in order. The pool moves into this function's stack, not into its caller's.
#[inline(never)]
pub(crate) fn unmount<D: BlockDevice>(
    mounted: &mut Mounted<'_, D>,
    witness: &mut impl Witness,
    action: u32,
) -> Result<(), D> {
    let Ok(pool) = core::mem::replace(mounted, Err(Error::Poisoned)) else { return Ok(()) };
    witness.begins(&Action::Unmount);
    pool.unmount().map_err(|error| Fault { action, what: Wanted::Success(error) })?;
    witness.ended(&Action::Unmount, Outcome::Done(None));
    Ok(())
}

fn named(name: &'static str) -> Attributes<'static> {
    Attributes { name, ..Attributes::default() }
}

fn made(id: LayerId) -> Outcome {
    Outcome::Done(Some(id.0))
}

/// So many sectors of the buffer, filled with a number.
pub(crate) fn filled(buffer: &mut [u8; BUFFER], sectors: u64, tag: u64) -> &mut [u8] {
    let length = usize::try_from(sectors).map_or(BUFFER, |sectors| sectors * SECTOR).min(BUFFER);
    let (bytes, _) = buffer.split_at_mut(length);
    bytes.chunks_mut(8).for_each(|word| word.copy_from_slice(&tag.to_le_bytes()));
    bytes
}
