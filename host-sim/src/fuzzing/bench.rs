//! Where runs take place: pools that were formatted once and brought into a state from which few operations reach much.

use std::{cell::RefCell, fmt::Debug, rc::Rc};

use cowl::{BlockDevice, Error, LayerFlags, Pool};

use super::{flat::FlatDisk, input::Input};
use crate::sim::{
    Config, Fate, Found, Image, Model, SimDisk,
    explore::{Built, Seed},
    find_again,
};

/// The pools that runs begin with. Two of them have the least memory, in which nothing stays.
const SHAPES: [Config; 6] = [
    Config { blocks: 200, ..Config::TINY },
    Config { blocks: 200, sectors: 40, more_workspace: 1 << 13, ..Config::TINY },
    Config { blocks: 200, flags: LayerFlags::INTEGRITY, more_workspace: 1 << 13, ..Config::TINY },
    Config { blocks: 500, flags: LayerFlags::GUARANTEED, ..Config::TINY },
    Config {
        block_size: 1024,
        blocks: 200,
        sectors: 9,
        pending: 4,
        journal_units: 4,
        more_workspace: 1 << 13,
        ..Config::TINY
    },
    Config {
        block_size: 2048,
        blocks: 200,
        sectors: 13,
        flags: LayerFlags::INTEGRITY,
        more_workspace: 1 << 14,
        ..Config::TINY
    },
];

/// The states that they are in: short runs must not spend themselves on getting anywhere.
const STATES: [Seed; 7] =
    [Seed::Empty, Seed::Diverged, Seed::Chain, Seed::HalfMerged, Seed::Branching, Seed::OneShort, Seed::Dirty];

const STARTS: usize = SHAPES.len() * STATES.len();

thread_local! {
    static PREPARED: RefCell<[Option<Rc<Start>>; STARTS]> = const { RefCell::new([const { None }; STARTS]) };
}

/// A pool in a state, and the model of it.
pub(super) struct Start {
    pub(super) config: Config,
    disk: SimDisk,
    flat: FlatDisk,
    pub(super) model: Model,
    /// Free blocks before the volume was made.
    pub(super) fresh: u64,
}

impl Start {
    /// The one that a byte chooses.
    pub(super) fn of(choice: u8) -> Rc<Self> {
        let number = usize::from(choice) % STARTS;
        let new = || Rc::new(Self::new(SHAPES[number % SHAPES.len()], STATES[number / SHAPES.len()]));
        PREPARED.with_borrow_mut(|starts| starts[number].get_or_insert_with(new).clone())
    }

    fn new(mut config: Config, state: Seed) -> Self {
        if state == Seed::OneShort {
            // What fills it is read again and again.
            config.blocks = if config.flags.contains(LayerFlags::GUARANTEED) { 180 } else { 116 };
        }
        let disk = SimDisk::new(config.sector_size, config.device_sectors());
        let built = state.build(&config, disk.clone(), &mut config.workspace());
        let Built { model, fresh } = built.expect("a shape that can be in any state");
        let mut bytes = vec![0; config.device_sectors() * config.sector_size];
        disk.clone().read(0, &mut bytes).expect("the whole disk");
        Self { config, disk, flat: FlatDisk::new(config.sector_size, bytes), model, fresh }
    }

    /// The same content on a disk that knows of no power cuts, and is faster.
    pub(super) fn flat(&self) -> FlatDisk {
        self.flat.reset();
        self.flat.clone()
    }

    /// A copy of the disk.
    pub(super) fn disk(&self) -> SimDisk {
        self.disk.fork()
    }
}

/// Plays a run on the pool of that number; what goes wrong is told with the story so far.
pub(super) fn play<E: Debug>(
    choice: u8,
    input: &mut Input<'_>,
    run: impl FnOnce(&Start, &mut Input<'_>, &mut Vec<E>) -> Result<(), String>,
) {
    let start = Start::of(choice);
    let mut story = Vec::new();
    if let Err(what) = run(&start, input, &mut story) {
        panic!("{what} after {story:?} on {:?}", start.config);
    }
}

/// Everything that a pool shows, in the memory of what was seen before. A byte of every sector is spoilt first: what is not read
/// again is no answer.
pub(super) fn look<D: BlockDevice>(pool: &mut Pool<'_, D>, seen: &mut Found) -> Result<(), Error<D::Error>> {
    let sector_size = pool.info().sector_size as usize;
    for (_, bytes) in seen.values_mut() {
        for first in bytes.iter_mut().step_by(sector_size) {
            *first ^= 0xee;
        }
    }
    find_again(pool, seen)
}

/// The disk after a power cut in which the bytes choose what becomes of each pending sector; they are told in the second part.
pub(super) fn power_cut(image: &Image, input: &mut Input<'_>, sector_size: usize) -> (SimDisk, Vec<Fate>) {
    let fates = input.fates();
    let told = (0..image.pending.len()).map(&fates).collect();
    (SimDisk::from_sectors(sector_size, image.after_cut(fates)), told)
}
