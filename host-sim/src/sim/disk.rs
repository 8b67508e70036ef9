//! The simulated disk: what is durable, and what was written since the last flush.
//!
//! Sectors are shared between copies, so that a disk is cheap to fork. A *cut* is taken after a chosen write: it holds the
//! durable image and the writes that were pending, from which every state that power loss may leave is made.

use std::{cell::RefCell, rc::Rc};

use cowl::{BlockDevice, Geometry};

/// A sector's bytes; `None` is zeros.
pub type Sector = Option<Rc<[u8]>>;

/// A call that reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// So many sectors were written from this one on.
    Write(u64, u64),
    /// A flush.
    Flush,
}

/// The state of a disk at a moment: durable sectors, pending writes in order.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// What survives.
    pub durable: Vec<Sector>,
    /// What may or may not.
    pub pending: Vec<(u64, Rc<[u8]>)>,
}

/// What happens to a pending sector at a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It keeps its old bytes.
    Old,
    /// It has the new bytes.
    New,
    /// It is torn.
    Garbage,
}

impl Fate {
    /// Counts through them.
    pub fn nth(number: u64) -> Self {
        match number % 3 {
            0 => Self::New,
            1 => Self::Old,
            _ => Self::Garbage,
        }
    }
}

impl Image {
    /// What was pending is durable.
    fn settle(&mut self) {
        for (sector, bytes) in self.pending.drain(..) {
            self.durable[sector as usize] = Some(bytes);
        }
    }

    /// Everything that may happen to the pending sectors, torn in one way.
    pub fn fates(&self) -> impl Iterator<Item = Vec<Fate>> + use<> {
        let pending = self.pending.len() as u32;
        (0..3u64.pow(pending)).map(move |choice| (0..pending).map(|i| Fate::nth(choice / 3u64.pow(i))).collect())
    }

    /// The disk after a power cut, given what happens to each pending sector.
    pub fn after_cut(&self, fate: impl Fn(usize) -> Fate) -> Vec<Sector> {
        let mut sectors = self.durable.clone();
        for (i, (sector, bytes)) in self.pending.iter().enumerate() {
            match fate(i) {
                Fate::Old => {}
                Fate::New => sectors[*sector as usize] = Some(bytes.clone()),
                Fate::Garbage => sectors[*sector as usize] = Some(garbage(bytes.len())),
            }
        }
        sectors
    }
}

/// What a torn sector holds: never a tag, never zeros.
fn garbage(length: usize) -> Rc<[u8]> {
    (0..length).map(|at| garbage_byte(false, at)).collect()
}

/// A byte of one of two kinds of garbage.
pub fn garbage_byte(second: bool, at: usize) -> u8 {
    let at = at as u8;
    if second { at.wrapping_mul(101) ^ 0x3c } else { at.wrapping_mul(31) ^ 0xa5 }
}

#[derive(Debug, Default)]
struct State {
    image: Image,
    current: Vec<Sector>,
    sector_size: usize,
    calls: Vec<Call>,
    cuts: Option<Cuts>,
    lying: bool,
}

/// From what the images of cuts are made: the state before the first of the writes, and then each write and flush.
#[derive(Debug, Default)]
struct Cuts {
    before: Image,
    log: Vec<Logged>,
    writes: usize,
}

#[derive(Debug)]
enum Logged {
    Write(Vec<(u64, Rc<[u8]>)>),
    Flush,
}

impl Cuts {
    /// Calls `see` with the image behind each write until it says that it has seen enough.
    fn each(self, mut see: impl FnMut(&Image) -> bool) {
        let mut image = self.before;
        for logged in self.log {
            match logged {
                Logged::Flush => image.settle(),
                Logged::Write(sectors) => {
                    image.pending.extend(sectors);
                    if see(&image) {
                        return;
                    }
                }
            }
        }
    }
}

/// A disk in memory that remembers what a flush has made durable. Copies of the handle are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Rc<RefCell<State>>,
}

/// The simulated disk refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

impl SimDisk {
    /// A disk of zeros.
    pub fn new(sector_size: usize, sectors: usize) -> Self {
        Self::from_sectors(sector_size, vec![None; sectors])
    }

    /// A disk with this content, all of it durable.
    pub fn from_sectors(sector_size: usize, sectors: Vec<Sector>) -> Self {
        let image = Image { durable: sectors.clone(), pending: Vec::new() };
        let state = State { image, current: sectors, sector_size, ..State::default() };
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// Another disk in the same state, pending writes included.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.state.borrow();
        let state = State {
            image: state.image.clone(),
            current: state.current.clone(),
            sector_size: state.sector_size,
            lying: state.lying,
            ..State::default()
        };
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// The durable image and the pending writes.
    pub fn image(&self) -> Image {
        self.state.borrow().image.clone()
    }

    /// Takes an image after every write from now on.
    pub fn start_cuts(&self) {
        let state = &mut *self.state.borrow_mut();
        state.cuts = Some(Cuts { before: state.image.clone(), ..Cuts::default() });
    }

    /// The images that were taken, one for each write.
    pub fn take_cuts(&self) -> Vec<Image> {
        let cuts = self.state.borrow_mut().cuts.take().unwrap_or_default();
        let mut images = Vec::with_capacity(cuts.writes);
        cuts.each(|image| {
            images.push(image.clone());
            false
        });
        images
    }

    /// How many images there are to be taken.
    pub fn cuts(&self) -> usize {
        self.state.borrow().cuts.as_ref().map_or(0, |cuts| cuts.writes)
    }

    /// One of these images, counted from 0, in place of all; none if there are not so many.
    pub fn take_cut(&self, number: usize) -> Option<Image> {
        let cuts = self.state.borrow_mut().cuts.take()?;
        let (mut taken, mut left) = (None, number);
        cuts.each(|image| {
            if left == 0 {
                taken = Some(image.clone());
            }
            left = left.saturating_sub(1);
            taken.is_some()
        });
        taken
    }

    /// The calls since the last time.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state.borrow_mut().calls)
    }

    /// From now on a flush says yes and does nothing.
    pub fn lie(&self) {
        self.state.borrow_mut().lying = true;
    }
}

impl BlockDevice for SimDisk {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        let state = self.state.borrow();
        Geometry::new(state.sector_size as u32, state.current.len() as u64)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        let state = self.state.borrow();
        for (i, part) in buffer.chunks_mut(state.sector_size).enumerate() {
            match state.current.get(sector as usize + i).ok_or(Failed)? {
                Some(bytes) => part.copy_from_slice(bytes),
                None => part.fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        let state = &mut *self.state.borrow_mut();
        let first = state.image.pending.len();
        for (i, part) in buffer.chunks(state.sector_size).enumerate() {
            let bytes: Rc<[u8]> = part.into();
            *state.current.get_mut(sector as usize + i).ok_or(Failed)? = Some(bytes.clone());
            state.image.pending.push((sector + i as u64, bytes));
        }
        state.calls.push(Call::Write(sector, (buffer.len() / state.sector_size) as u64));
        if let Some(cuts) = &mut state.cuts {
            cuts.log.push(Logged::Write(state.image.pending[first..].to_vec()));
            cuts.writes += 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failed> {
        let state = &mut *self.state.borrow_mut();
        state.calls.push(Call::Flush);
        if !state.lying {
            state.image.settle();
            if let Some(cuts) = &mut state.cuts {
                cuts.log.push(Logged::Flush);
            }
        }
        Ok(())
    }
}
