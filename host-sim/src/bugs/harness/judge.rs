//! Looking at crash images: every admissible one of a cut, or some of them.

use crate::sim::{Config, Fate, Image, Model, Rng, Sector, SimDisk, recovered, works_on};

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
            return cut.fates().try_for_each(|fates| self.image(cut, model, &fates));
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
        let seen = recovered(&disk, &mut self.workspace).map_err(told)?;
        model.compare_after_crash(&seen, self.config.sector_size).map_err(told)?;
        if self.images.is_multiple_of(self.alive) {
            works_on(disk, &mut self.workspace, &seen).map_err(told)
        } else {
            Ok(())
        }
    }
}

/// The same pool with the least workspace: whatever one mount leaves the smallest must be able to take in.
fn least(config: &Config) -> Config {
    Config { more_workspace: 0, ..*config }
}

/// Random fates: all alike, all but one alike, or mixed, for what goes wrong is often one lost sector among many.
pub(super) fn fates(pending: usize, rng: &mut Rng) -> Vec<Fate> {
    let (style, common) = (rng.below(3), Fate::nth(rng.below(2)));
    let odd = usize::try_from(rng.below(pending.max(1) as u64)).unwrap_or(0);
    (0..pending)
        .map(|i| match style {
            0 => Fate::nth(rng.below(3)),
            _ if i == odd => Fate::nth(rng.below(3)),
            _ => common,
        })
        .collect()
}

/// A disk's durable sectors with the pending ones as given.
pub(super) fn after(cut: &Image, fates: &[Fate]) -> Vec<Sector> {
    cut.after_cut(|i| fates[i])
}
