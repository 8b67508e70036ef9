//! Histories in which, after every operation, the pool is looked at as it is, as a new process would find it, and as the next power cut
//! would leave it at worst: with nothing but what is durable.

use cowl::{Error, LayerFlags, MountOptions, Pool};

use super::{mixes::Mix, text};
use crate::sim::{Config, Fate, Model, Op, Rng, SimDisk, apply, found, mount, sound, start};

/// A kind of pool, and what is done with it.
struct Course {
    config: Config,
    mix: Mix,
    /// The pool has exactly the memory that it asks for.
    least: bool,
    /// Operations of a history.
    length: usize,
}

const JOURNAL: Config = Config { pending: 6, journal_units: 5, blocks: 160, ..Config::TINY };
const WIDE: Config = Config { sectors: 150, blocks: 900, pending: 4, ..Config::TINY };
const LARGE: Config = Config { sectors: 1200, blocks: 2400, pending: 24, journal_units: 8, ..Config::TINY };

const COURSES: [Course; 13] = [
    Course { config: Config { blocks: 130, ..Config::TINY }, mix: Mix::Journal, least: false, length: 40 },
    Course { config: WIDE, mix: Mix::Merging, least: false, length: 50 },
    Course { config: JOURNAL, mix: Mix::Journal, least: true, length: 40 },
    Course { config: LARGE, mix: Mix::Spread, least: true, length: 60 },
    Course { config: Config { flags: LayerFlags::INTEGRITY, ..JOURNAL }, mix: Mix::Journal, least: false, length: 40 },
    Course { config: Config { blocks: 200, sectors: 60, ..WIDE }, mix: Mix::Merging, least: true, length: 60 },
    Course { config: Config { block_size: 1024, ..JOURNAL }, mix: Mix::Journal, least: false, length: 40 },
    Course { config: Config { pending: 40, ..LARGE }, mix: Mix::Merging, least: true, length: 50 },
    Course {
        config: Config { block_size: 4096, sectors: 60, blocks: 300, ..JOURNAL },
        mix: Mix::Sizes,
        least: false,
        length: 40,
    },
    Course { config: Config { blocks: 200, sectors: 90, ..JOURNAL }, mix: Mix::Brim, least: true, length: 60 },
    Course { config: Config { sectors: 40, blocks: 400, ..JOURNAL }, mix: Mix::Sizes, least: true, length: 40 },
    Course { config: Config { blocks: 150, sectors: 40, ..JOURNAL }, mix: Mix::Everything, least: true, length: 60 },
    Course {
        config: Config { flags: LayerFlags::GUARANTEED, blocks: 300, sectors: 40, ..JOURNAL },
        mix: Mix::Everything,
        least: false,
        length: 60,
    },
];

/// A history of each kind in turn.
pub(super) fn history(seed: u64) -> Result<(), String> {
    let course = &COURSES[(seed % COURSES.len() as u64) as usize];
    let mut rng = Rng::new(seed ^ 0xc01d);
    let few = rng.below(2) == 0;
    let ops = course.mix.ops(&mut rng, course.config.sectors, course.length, few);
    let mut done = 0;
    run(course, &ops, &mut done).map_err(|why| format!("{why} after {:?} on {:?}", &ops[..done], course.config))
}

fn run(course: &Course, ops: &[Op], done: &mut usize) -> Result<(), String> {
    let config = &course.config;
    let disk = SimDisk::new(config.sector_size, config.device_sectors());
    let mut workspace = config.workspace();
    Pool::format(disk.clone(), &mut workspace, &config.format()).map_err(text("format"))?;
    let mut model =
        start(&mut mount(disk.clone(), &mut workspace).map_err(text("mount"))?, config).map_err(text("create"))?;
    let mut cold = Cold { config, workspace: config.workspace() };
    while *done < ops.len() {
        if course.least {
            workspace = vec![0; needed(&disk)?];
        }
        let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
        model.adopt(&found(&mut pool).map_err(text("read after a mount"))?, config.sector_size)?;
        for op in &ops[*done..] {
            *done += 1;
            if *op == Op::Kill {
                break;
            }
            match apply(&mut pool, &mut model, *op) {
                Ok(_) => {}
                // It has grown out of what it was given; the next mount asks for more.
                Err(Error::WorkspaceTooSmall { .. }) if course.least => {
                    model.refused();
                    break;
                }
                Err(error) => return Err(text("operation")(error)),
            }
            model.compare(&found(&mut pool).map_err(text("read"))?, config.sector_size)?;
            sound(&mut pool, true)?;
            cold.look(&disk, &model)?;
        }
    }
    Ok(())
}

/// The memory that a mount asks for: first for its superblock, then for what that says.
fn needed(disk: &SimDisk) -> Result<usize, String> {
    let options = MountOptions { checksum: crate::crc32c, ..MountOptions::default() };
    let mut least = 0;
    for _ in 0..3 {
        match Pool::mount(disk.fork(), &mut vec![0; least], &options) {
            Err(Error::WorkspaceTooSmall { needed }) if needed > least => least = needed,
            Err(error) => return Err(text("a mount with little memory")(error)),
            Ok(_) => return Ok(least),
        }
    }
    Err(format!("a mount that was given the {least} bytes that it had asked for asks for more again"))
}

/// Mounts what another process would find.
struct Cold<'c> {
    config: &'c Config,
    workspace: Vec<u8>,
}

impl Cold<'_> {
    fn look(&mut self, disk: &SimDisk, model: &Model) -> Result<(), String> {
        let size = self.config.sector_size;
        self.mount(disk.fork(), model).map_err(|why| format!("mounted anew: {why}"))?;
        let durable = SimDisk::from_sectors(size, disk.image().after_cut(|_| Fate::Old));
        self.mount(durable, model).map_err(|why| format!("mounted after a power cut: {why}"))
    }

    fn mount(&mut self, disk: SimDisk, model: &Model) -> Result<(), String> {
        let mut pool = mount(disk, &mut self.workspace).map_err(text("mount"))?;
        let seen = found(&mut pool).map_err(text("read"))?;
        model.compare_after_crash(&seen, self.config.sector_size).map(drop)
    }
}
