//! Looking at crash images: every admissible one of a cut, or some of them.

use cowl::{BlockDevice, Finding, Pool};

use super::text;
use crate::sim::{Config, Fate, Found, Image, Model, Rng, Sector, SimDisk, found, mount};

/// Mounts crash images and compares them with a model.
pub(super) struct Judge {
    config: Config,
    workspace: Vec<u8>,
    /// Cuts with no more pending sectors than this are judged in every state.
    exact: usize,
    /// Every so many images the pool goes on working.
    alive: u64,
    images: u64,
}

impl Judge {
    pub(super) fn new(config: &Config, exact: usize, alive: u64) -> Self {
        Self { config: *config, workspace: least(config).workspace(), exact, alive, images: 0 }
    }

    /// All states that the cut may have left, or a few.
    pub(super) fn cut(&mut self, cut: &Image, model: &Model, rng: &mut Rng) -> Result<(), String> {
        let pending = cut.pending.len();
        if pending <= self.exact {
            for choice in 0..3u64.pow(u32::try_from(pending).unwrap_or(0)) {
                let fates: Vec<Fate> =
                    (0..pending).map(|i| fate(choice / 3u64.pow(u32::try_from(i).unwrap_or(0)))).collect();
                self.image(cut, model, &fates)?;
            }
            return Ok(());
        }
        for _ in 0..6 {
            let fates = fates(pending, rng);
            self.image(cut, model, &fates)?;
        }
        Ok(())
    }

    /// All states in which one pending sector fares otherwise than the rest.
    pub(super) fn odd_ones(&mut self, cut: &Image, model: &Model) -> Result<(), String> {
        let pending = cut.pending.len();
        for (rest, one) in [(Fate::New, Fate::Old), (Fate::New, Fate::Garbage), (Fate::Old, Fate::New)] {
            for odd in 0..=pending {
                let fates: Vec<Fate> = (0..pending).map(|i| if i == odd { one } else { rest }).collect();
                self.image(cut, model, &fates)?;
            }
        }
        Ok(())
    }

    fn image(&mut self, cut: &Image, model: &Model, fates: &[Fate]) -> Result<(), String> {
        self.images += 1;
        let told = |why: String| format!("{why}; pending sectors were {fates:?}");
        let disk = SimDisk::from_sectors(self.config.sector_size, cut.after_cut(|i| fates[i]));
        let seen = self.look(&disk).map_err(told)?;
        model.compare_after_crash(&seen, self.config.sector_size).map_err(told)?;
        if self.images.is_multiple_of(self.alive) { self.goes_on(disk, &seen).map_err(told) } else { Ok(()) }
    }

    /// What a mount shows; it costs one flush and no write.
    fn look(&mut self, disk: &SimDisk) -> Result<Found, String> {
        disk.take_calls();
        let mut pool = mount(disk.clone(), &mut self.workspace).map_err(text("mount after a cut"))?;
        let seen = found(&mut pool).map_err(text("read after a cut"))?;
        let calls = disk.take_calls();
        if calls == [crate::sim::Call::Flush] { Ok(seen) } else { Err(format!("a mount of {calls:?}")) }
    }

    /// The pool works, and goes on showing what it has shown.
    fn goes_on(&mut self, disk: SimDisk, seen: &Found) -> Result<(), String> {
        let mut pool = mount(disk, &mut self.workspace).map_err(text("mount again"))?;
        pool.checkpoint().map_err(text("checkpoint after a cut"))?;
        sound(&mut pool)?;
        let again = found(&mut pool).map_err(text("read again"))?;
        if again == *seen { Ok(()) } else { Err("what was shown has changed".into()) }
    }
}

/// The same pool with the least workspace: whatever one mount leaves the smallest must be able to take in.
fn least(config: &Config) -> Config {
    Config { more_workspace: 0, ..*config }
}

/// What happens to a pending sector.
pub(super) fn fate(choice: u64) -> Fate {
    match choice % 3 {
        0 => Fate::New,
        1 => Fate::Old,
        _ => Fate::Garbage,
    }
}

/// Random fates: all alike, all but one alike, or mixed, for what goes wrong is often one lost sector among many.
pub(super) fn fates(pending: usize, rng: &mut Rng) -> Vec<Fate> {
    let (style, common) = (rng.below(3), fate(rng.below(2)));
    let odd = usize::try_from(rng.below(pending.max(1) as u64)).unwrap_or(0);
    (0..pending)
        .map(|i| match style {
            0 => fate(rng.below(3)),
            _ if i == odd => fate(rng.below(3)),
            _ => common,
        })
        .collect()
}

/// The pool's own check finds nothing.
pub(super) fn sound<D: BlockDevice>(pool: &mut Pool<'_, D>) -> Result<(), String>
where
    D::Error: std::fmt::Debug,
{
    let mut findings = Vec::new();
    let mut scratch = vec![0; 4096];
    pool.check(&mut scratch, true, &mut |finding| findings.push(*finding)).map_err(text("check"))?;
    // A slot of the superblock that was being written may be torn.
    findings.retain(|finding| !matches!(finding, Finding::SuperblockCopy { .. }));
    if findings.is_empty() { Ok(()) } else { Err(format!("check: {findings:?}")) }
}

/// A disk's durable sectors with the pending ones as given.
pub(super) fn after(cut: &Image, fates: &[Fate]) -> Vec<Sector> {
    cut.after_cut(|i| fates[i])
}
