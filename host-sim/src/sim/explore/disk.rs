//! The explorer's disk: what each un-flushed sector became is decided when somebody reads it, and not before.
//!
//! A run therefore stands for all images that differ only in sectors that nobody looked at. That is exact, because the pool
//! reaches the disk through its trait and nothing else.

mod decide;

use std::{cell::RefCell, rc::Rc};

use cowl::{BlockDevice, Geometry};

use super::choices::Choices;
use crate::sim::{
    disk::{Call, Failed, Sector},
    model::tag_of,
};

type Bytes = Rc<[u8]>;

/// A unit that persists or is lost as a whole: sectors of it were written and not flushed when the power failed.
#[derive(Debug, Clone)]
struct Atom {
    unit: u64,
    /// What was written, in order.
    writes: Vec<(u64, Bytes)>,
    /// It holds the newest write, so that what it was before that belongs to images that were seen already.
    newest: bool,
    /// Which of the ways it took, once somebody wanted to know.
    decided: Option<usize>,
}

/// What the disk held when the power failed: flushed sectors, then sectors in flight.
#[derive(Debug, Clone, Default)]
struct Life {
    flushed: Vec<(u64, Bytes)>,
    atoms: Vec<Atom>,
}

/// A moment at which the power may fail.
#[derive(Debug, Clone, Default)]
pub struct Cut {
    flushed: Vec<(u64, Bytes)>,
    /// Sectors in flight, in order; the last is the newest.
    pending: Vec<(u64, Bytes)>,
    /// Its newest write was not looked at in an earlier cut.
    fresh: bool,
    /// Number of the device call, from 0.
    pub call: usize,
}

impl Cut {
    /// Sectors in flight, in order.
    pub fn pending(&self) -> impl Iterator<Item = u64> + '_ {
        self.pending.iter().map(|(sector, _)| *sector)
    }
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A read.
    Read,
    /// A write.
    Write,
    /// A flush.
    Flush,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The call that fails, counted from 0 over reads, writes and flushes.
    pub call: usize,
    /// Every later one fails too.
    pub for_good: bool,
    /// A write that fails may have reached the disk.
    pub kept: bool,
}

#[derive(Debug, Clone, Default)]
struct State {
    sector_size: usize,
    physical_size: u32,
    base: Rc<Vec<Sector>>,
    lives: Vec<Life>,
    flushed: Vec<(u64, Bytes)>,
    pending: Vec<(u64, Bytes)>,
    calls: Vec<Call>,
    count: usize,
    fault: Option<Fault>,
    failed: Option<Kind>,
    cuts: Option<Vec<Cut>>,
    choices: Choices,
    kinds: usize,
    lying: bool,
    /// Sectors that are not decided are not decided now either: a reader gets something that stands for them.
    standing: bool,
    stood_for: Vec<(usize, usize, u64)>,
}

/// A disk on which every possibility is tried; copies of the handle are the same disk.
#[derive(Debug, Clone, Default)]
pub struct CrashDisk {
    state: Rc<RefCell<State>>,
}

/// Tags from here on stand for sectors that are not decided.
const STANDS_FOR: u64 = 0x5a5a << 40;

/// With more sectors in flight the images are all covered, but not counted: their number would say nothing.
pub const COUNTED: usize = 12;

/// Ways to tear a sector: two kinds of garbage, new bytes before old ones, old before new.
pub const TEARINGS: usize = 4;

impl CrashDisk {
    /// A disk that holds these sectors. Of the ways to tear a sector the first `kinds` are tried.
    pub fn new(sector_size: usize, physical_size: u32, base: Rc<Vec<Sector>>, kinds: usize) -> Self {
        let kinds = kinds.min(TEARINGS);
        let state = State { sector_size, physical_size, base, kinds, ..State::default() };
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// From now on a flush says yes and does nothing.
    pub fn lie(&self) {
        self.state.borrow_mut().lying = true;
    }

    /// The disk after a power cut there, with choices yet to be made.
    #[must_use]
    pub fn after(&self, cut: &Cut, choices: Choices) -> Self {
        let now = self.state.borrow();
        let state = State {
            sector_size: now.sector_size,
            physical_size: now.physical_size,
            base: now.base.clone(),
            lives: now.lives.clone(),
            choices,
            kinds: now.kinds,
            lying: now.lying,
            ..State::default()
        };
        drop(now);
        let disk = Self { state: Rc::new(RefCell::new(state)) };
        disk.lose_power(cut);
        disk
    }

    /// The power fails at that cut, and comes back.
    pub fn lose_power(&self, cut: &Cut) {
        let state = &mut *self.state.borrow_mut();
        let mut atoms: Vec<Atom> = Vec::new();
        for (i, (sector, bytes)) in cut.pending.iter().enumerate() {
            let newest = cut.fresh && i + 1 == cut.pending.len();
            let unit = state.unit_of(*sector);
            let at = atoms.iter().position(|atom| atom.unit == unit).unwrap_or_else(|| {
                atoms.push(Atom { unit, writes: Vec::new(), newest, decided: None });
                atoms.len() - 1
            });
            atoms[at].writes.push((*sector, bytes.clone()));
            atoms[at].newest |= newest;
        }
        state.lives.push(Life { flushed: cut.flushed.clone(), atoms });
        (state.flushed, state.pending, state.cuts, state.fault) = (Vec::new(), Vec::new(), None, None);
        state.calls.clear();
    }

    /// The calls since the last time.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state.borrow_mut().calls)
    }

    /// From now on every write makes a cut, and calls are counted from 0.
    pub fn record(&self) {
        let state = &mut *self.state.borrow_mut();
        let flushed = std::mem::take(&mut state.flushed);
        if !flushed.is_empty() {
            let base = Rc::make_mut(&mut state.base);
            if state.lives.is_empty() {
                for (sector, bytes) in flushed {
                    base[sector as usize] = Some(bytes);
                }
            } else {
                state.flushed = flushed;
            }
        }
        (state.cuts, state.count) = (Some(Vec::new()), 0);
    }

    /// The cuts since, and the present moment as the last one.
    pub fn cuts(&self) -> Vec<Cut> {
        let state = &mut *self.state.borrow_mut();
        let mut cuts = state.cuts.take().unwrap_or_default();
        let (flushed, pending) = (state.flushed.clone(), state.pending.clone());
        cuts.push(Cut { flushed, pending, fresh: false, call: state.count });
        cuts
    }

    /// Calls since [`record`](Self::record).
    pub fn count(&self) -> usize {
        self.state.borrow().count
    }

    /// A call will fail; calls are counted from now on.
    pub fn fail(&self, fault: Fault) {
        let mut state = self.state.borrow_mut();
        (state.fault, state.failed, state.count) = (Some(fault), None, 0);
    }

    /// No call fails any more; what kind of call was the first that did.
    pub fn repair(&self) -> Option<Kind> {
        let mut state = self.state.borrow_mut();
        state.fault = None;
        state.failed.take()
    }

    /// One of `of` possibilities.
    pub fn choose(&self, of: usize) -> usize {
        self.state.borrow_mut().choices.choose(of)
    }

    /// The choices so far.
    pub fn take_choices(&self) -> Choices {
        std::mem::take(&mut self.state.borrow_mut().choices)
    }

    /// From now on a reader of a sector that is not decided gets something that stands for it, instead of a decision.
    pub fn stand_in(&self, on: bool) {
        self.state.borrow_mut().standing = on;
    }

    /// What bytes may be that stand for a sector.
    pub fn ways(&self, bytes: &[u8]) -> Option<Vec<Bytes>> {
        let number = tag_of(bytes)?.checked_sub(STANDS_FOR)?;
        let state = &mut *self.state.borrow_mut();
        let (life, at, sector) = *state.stood_for.get(number as usize)?;
        let ways = state.ways(&state.lives[life].atoms[at]);
        let zeros: Bytes = vec![0; state.sector_size].into();
        Some((0..ways).map(|choice| state.way(life, at, choice, sector).unwrap_or_else(|| zeros.clone())).collect())
    }

    /// How many images the choices stand for that nobody had to make; only 1 if more than [`COUNTED`] sectors were in flight.
    pub fn images(&self) -> u128 {
        let state = self.state.borrow();
        let atoms = || state.lives.iter().flat_map(|life| &life.atoms);
        if atoms().count() > COUNTED {
            return 1;
        }
        let open = atoms().filter(|atom| atom.decided.is_none());
        open.fold(1, |product, atom| product.saturating_mul(state.ways(atom) as u128))
    }

    /// What became of each unit in flight, by its first sector, for people.
    pub fn fates(&self) -> Vec<(u64, &'static str)> {
        let state = self.state.borrow();
        let atoms = state.lives.iter().flat_map(|life| &life.atoms);
        atoms.map(|atom| (atom.unit * state.sectors_in_unit(), state.fate(atom))).collect()
    }

    /// Every sector as it is, with the choices that are left made.
    pub fn sectors(&self) -> Vec<Sector> {
        let state = &mut *self.state.borrow_mut();
        (0..state.base.len() as u64).map(|sector| state.content(sector)).collect()
    }
}

impl State {
    /// Counts a call; true if it fails.
    fn fails(&mut self, kind: Kind) -> bool {
        let number = self.count;
        self.count += 1;
        let fails = self.fault.is_some_and(|fault| fault.call == number || fault.for_good && fault.call < number);
        if fails && self.failed.is_none() {
            self.failed = Some(kind);
        }
        fails
    }
}

impl BlockDevice for CrashDisk {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        let state = self.state.borrow();
        let plain = Geometry::new(state.sector_size as u32, state.base.len() as u64);
        Geometry { physical_size: state.physical_size, ..plain }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        let state = &mut *self.state.borrow_mut();
        if state.fails(Kind::Read) {
            return Err(Failed);
        }
        for (i, part) in buffer.chunks_mut(state.sector_size).enumerate() {
            match state.content(sector + i as u64) {
                Some(bytes) => part.copy_from_slice(&bytes),
                None => part.fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        let state = &mut *self.state.borrow_mut();
        let failed = state.fails(Kind::Write);
        if failed && !state.fault.is_some_and(|fault| fault.kept) {
            return Err(Failed);
        }
        for (i, part) in buffer.chunks(state.sector_size).enumerate() {
            state.pending.push((sector + i as u64, part.into()));
            if let Some(cuts) = &mut state.cuts {
                let (flushed, pending) = (state.flushed.clone(), state.pending.clone());
                cuts.push(Cut { flushed, pending, fresh: true, call: state.count - 1 });
            }
        }
        state.calls.push(Call::Write(sector, (buffer.len() / state.sector_size) as u64));
        if failed { Err(Failed) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failed> {
        let state = &mut *self.state.borrow_mut();
        if state.fails(Kind::Flush) {
            return Err(Failed);
        }
        state.calls.push(Call::Flush);
        if state.lying {
            return Ok(());
        }
        for (sector, bytes) in state.pending.drain(..) {
            match state.flushed.iter_mut().find(|(at, _)| *at == sector) {
                Some((_, old)) => *old = bytes,
                None => state.flushed.push((sector, bytes)),
            }
        }
        Ok(())
    }
}
