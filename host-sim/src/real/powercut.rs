//! Power cuts under a real process: a worker on a file of [`CutDisk`], killed, its un-synced writes kept, dropped or torn.

use std::path::Path;

use super::{CutDisk, Outcome, Round, Stop, Target, target};
use crate::sim::Rng;

/// What power cuts have come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Power cuts.
    pub cuts: u64,
    /// Operations acknowledged.
    pub acknowledged: u64,
    /// Sectors in flight that were kept, dropped, torn.
    pub fates: [u64; 3],
}

/// A pool on a disk that loses its power again and again.
#[derive(Debug)]
pub struct Victim {
    disk: CutDisk,
    target: Target,
    rounds: u64,
}

impl Victim {
    /// Mounts a disk with a fresh pool.
    ///
    /// # Errors
    /// There is no FUSE here.
    pub fn new(dir: &Path, shape: usize) -> Outcome<Self> {
        let config = target::SHAPES[shape % target::SHAPES.len()];
        let (bytes, model) = target::fresh(&config)?;
        let disk = CutDisk::mount(dir, bytes)?;
        let path = disk.path().to_path_buf();
        Ok(Self { disk, target: Target { path, config, model }, rounds: 0 })
    }

    /// One power cut at a random moment; the pool is then opened through the same mount, and judged.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn cut(&mut self, program: &Path, seed: u64, cuts: &mut Cuts) -> Outcome<()> {
        let mut rng = Rng::new(seed);
        self.rounds += 1;
        if self.rounds.is_multiple_of(100) {
            // A pool that has grown full has little left to lose.
            let (bytes, model) = target::fresh(&self.target.config)?;
            self.disk.replace(bytes);
            self.target.model = model;
        }
        let stop = Stop::Power(self.disk.fail_after(rng.below(90)));
        let path = self.target.path.clone();
        let round = Round { program: program.to_path_buf(), path, seed, count: 40, stop };
        let mut fates = [0; 3];
        let ended = round.play_from(&self.disk.bytes(), &mut self.target, || fates = self.disk.cut(&mut rng))?;
        cuts.cuts += 1;
        cuts.acknowledged += ended.answers.len() as u64;
        (0..3).for_each(|fate| cuts.fates[fate] += fates[fate]);
        Ok(())
    }
}
