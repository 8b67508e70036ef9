//! Power cuts under a real process: a worker on a file of [`CutDisk`], killed, its un-synced writes kept, dropped or torn.

use std::path::Path;

use super::{CutDisk, Outcome, Round, Stop, Target, open_and_judge, target};
use crate::sim::Rng;

/// Every so many rounds the pool is also opened and judged through the mount, as any program would.
const REOPENED: u64 = 16;

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

impl Cuts {
    /// Adds what another has come to.
    pub fn add(&mut self, other: &Self) {
        self.cuts += other.cuts;
        self.acknowledged += other.acknowledged;
        self.fates.iter_mut().zip(other.fates).for_each(|(sum, more)| *sum += more);
    }
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

    /// One power cut at a random moment; what is left is judged, now and then by opening the pool through the same mount.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn cut(&mut self, program: &Path, seed: u64) -> Outcome<Cuts> {
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
        let ended = round.play_from(&mut self.disk.bytes(), &mut self.target, |_| {
            fates = self.disk.cut(&mut rng);
            Ok(self.disk.bytes())
        })?;
        if self.rounds.is_multiple_of(REOPENED) {
            open_and_judge(&self.target.path, &self.target.config, &mut self.target.model)?;
        }
        Ok(Cuts { cuts: 1, acknowledged: ended.answers.len() as u64, fates })
    }
}
