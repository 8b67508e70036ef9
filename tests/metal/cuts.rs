//! Power cuts: the record is played on a simulated disk, and what a cut after each write may leave is opened.

use cowl::{Error, MountOptions, Pool, Reader};
use cowl_host::sim::{Fate, Found, Image, Model, Rng, Sector, SimDisk, mount, recovered, works_on};
use cowl_scenario::WORKSPACE;

use crate::{attached, record::Entry, reference::Reference};

/// What was tried.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Writes after which the power was cut.
    pub writes: u64,
    /// States of the disk that were opened.
    pub images: u64,
    /// Those that were written to afterwards.
    pub worked_on: u64,
    /// Attachments that were found, each whole.
    pub attachments: u64,
}

/// A disk with this content.
pub fn disk_of(image: &[u8]) -> SimDisk {
    SimDisk::from_sectors(512, image.chunks(512).map(|sector| Some(sector.into())).collect())
}

/// What a pool on this disk shows after a power cut.
pub fn seen(image: &[u8]) -> Found {
    recovered(&disk_of(image), &mut [0; WORKSPACE]).expect("recovers on the host")
}

/// What judges a state of the disk.
enum Expected<'a> {
    /// No pool yet, or the empty one.
    New,
    /// What the model allows.
    Model(&'a Model),
}

struct Player<'a> {
    disk: SimDisk,
    judge: &'a mut dyn FnMut(&Image, &Expected<'_>) -> Result<(), String>,
}

impl Player<'_> {
    fn play(&mut self, log: &[Entry], during: &Expected<'_>) -> Result<(), String> {
        for entry in log {
            self.disk.start_cuts();
            match entry {
                Entry::Write(sector, bytes) => {
                    cowl::BlockDevice::write(&mut self.disk, *sector, bytes).map_err(|_| "past the end")?;
                }
                Entry::Flush => cowl::BlockDevice::flush(&mut self.disk).map_err(|_| "a flush")?,
            }
            self.disk.take_cuts().iter().try_for_each(|cut| (self.judge)(cut, during))?;
        }
        Ok(())
    }
}

/// Plays the record of a life; `judge` sees the disk after each write, and what may be on it.
fn play(
    reference: &Reference,
    log: &[Entry],
    judge: &mut dyn FnMut(&Image, &Expected<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut player = Player { disk: SimDisk::new(512, reference.image.len() / 512), judge };
    let mut at = 0;
    let mut between = Expected::New;
    for (number, span) in reference.spans.iter().enumerate() {
        let place = |why| format!("action {number}, entries {} to {}: {why}", span.from, span.to);
        player.play(&log[at..span.from], &between).map_err(place)?;
        player.play(&log[span.from..span.to], &Expected::Model(&span.during)).map_err(place)?;
        between = Expected::Model(&span.after);
        at = span.to;
    }
    player.play(&log[at..], &between)
}

/// Opens every state that a cut after each write of the record may leave: all combinations for up to `exact` pending sectors, else all
/// of them old, all new, and four at random.
pub fn explore(reference: &Reference, log: &[Entry], exact: usize) -> Result<Tally, String> {
    let mut rng = Rng::new(1);
    let mut tally = Tally::default();
    play(reference, log, &mut |cut, expected| {
        tally.writes += 1;
        let pending = cut.pending.len();
        if pending <= exact {
            return cut.fates().try_for_each(|fates| judged(cut, &fates, expected, &mut tally));
        }
        judged(cut, &vec![Fate::New; pending], expected, &mut tally)?;
        judged(cut, &vec![Fate::Old; pending], expected, &mut tally)?;
        (0..4).try_for_each(|_| {
            let fates: Vec<Fate> = (0..pending).map(|_| Fate::nth(rng.below(3))).collect();
            judged(cut, &fates, expected, &mut tally)
        })
    })?;
    Ok(tally)
}

fn text<E: std::fmt::Debug>(error: E) -> String {
    format!("{error:?}")
}

fn judged(cut: &Image, fates: &[Fate], expected: &Expected<'_>, tally: &mut Tally) -> Result<(), String> {
    tally.images += 1;
    let sectors = cut.after_cut(|i| fates[i]);
    let mut workspace = [0; WORKSPACE];
    match expected {
        Expected::New => {
            match Pool::mount(disk(sectors), &mut workspace, &MountOptions::default()).map(|pool| pool.info()) {
                Err(Error::NotAPool) => Ok(()),
                Ok(info) if info.layers == 0 => Ok(()),
                other => Err(format!("while formatting: {other:?}")),
            }
        }
        Expected::Model(model) => {
            let disk = disk(sectors);
            let seen = recovered(&disk, &mut workspace)?;
            model.compare_after_crash(&seen, 512)?;
            let mut pool = mount(disk.clone(), &mut workspace).map_err(text)?;
            tally.attachments += attached::judged(&mut pool)?;
            drop(pool);
            attached::read_small(&mut Reader::mount(disk.clone(), &mut workspace, cowl::crc32c).map_err(text)?)?;
            if tally.images.is_multiple_of(32) {
                tally.worked_on += 1;
                works_on(disk, &mut workspace, &seen)?;
            }
            Ok(())
        }
    }
}

fn disk(sectors: Vec<Sector>) -> SimDisk {
    SimDisk::from_sectors(512, sectors)
}

/// What a cut in the middle of formatting leaves, of which nothing is a pool: the pending sectors are old or new in turn.
pub fn while_formatting(reference: &Reference) -> Vec<u8> {
    let mut image = Vec::new();
    let taken = play(reference, &reference.log, &mut |cut, expected| {
        let fates: Vec<Fate> = (0..cut.pending.len()).map(|i| if i % 2 == 0 { Fate::New } else { Fate::Old }).collect();
        let sectors = cut.after_cut(|i| fates[i]);
        let mut workspace = [0; WORKSPACE];
        let mounted = Pool::mount(disk(sectors.clone()), &mut workspace, &MountOptions::default());
        if matches!(expected, Expected::New) && matches!(mounted, Err(Error::NotAPool)) {
            image = flat(&sectors);
        }
        Ok(())
    });
    taken.expect("nothing is judged");
    image
}

fn flat(sectors: &[Sector]) -> Vec<u8> {
    let zeros = vec![0; 512];
    sectors.iter().flat_map(|sector| sector.as_deref().unwrap_or(&zeros).to_vec()).collect()
}

/// Some states that a cut may leave, spread over the life: of the pending sectors some are old, some new, some torn.
pub fn sample(reference: &Reference, count: usize) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(7);
    let writes = reference.log.iter().filter(|entry| matches!(entry, Entry::Write(..))).count();
    let (mut number, mut images) = (0, Vec::<Vec<u8>>::new());
    let taken = play(reference, &reference.log, &mut |cut, expected| {
        number += 1;
        let wanted = number * (count + 1) / writes > images.len();
        if wanted && matches!(expected, Expected::Model(model) if !model.now.is_empty()) && images.len() < count {
            let fates: Vec<Fate> = cut.pending.iter().map(|_| Fate::nth(rng.below(3))).collect();
            images.push(flat(&cut.after_cut(|i| fates[i])));
        }
        Ok(())
    });
    taken.expect("nothing is judged");
    // Each of them has a pool; which the host sees too.
    for image in &images {
        drop(mount(disk_of(image), &mut [0; WORKSPACE]).expect("a pool"));
    }
    images
}
