//! Kills of a real process: a worker on a real file, killed at a random moment, again and again.

use std::{fs, path::Path, time::Duration};

use super::{Outcome, Round, Stop, Target, open_and_judge, said};
use crate::sim::{Op, Rng};

/// Every so many rounds the parent also opens the file and judges it, as any program would; the check may write.
const REOPENED: u64 = 16;
/// Microseconds that opening a pool takes, or a little more.
const OPENING: u64 = 400;
/// Microseconds that most operations take, or a little more.
const OPERATION: u64 = 120;
/// More operations than any worker gets to.
const ENDLESS: usize = 1 << 20;

/// What a process is killed at.
pub const PARTS: [&str; 10] = [
    "opening",
    "write",
    "zero or discard",
    "flush",
    "snapshot",
    "rollback",
    "clone",
    "delete or resize",
    "merge",
    "checkpoint",
];

/// What kills have come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kills {
    /// Rounds.
    pub rounds: u64,
    /// Operations acknowledged.
    pub acknowledged: u64,
    /// Processes killed, by what they were at.
    pub at: [u64; PARTS.len()],
}

impl Kills {
    /// Adds what another has come to.
    pub fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.acknowledged += other.acknowledged;
        self.at.iter_mut().zip(other.at).for_each(|(sum, more)| *sum += more);
    }
}

/// Where in [`PARTS`] an operation is.
fn part(op: Op) -> usize {
    match op {
        Op::Write(..) => 1,
        Op::Zero(..) | Op::Discard(..) => 2,
        Op::Flush => 3,
        Op::Snapshot(..) => 4,
        Op::Rollback(..) => 5,
        Op::Clone(..) => 6,
        Op::Delete(..) | Op::Resize(..) => 7,
        Op::Merge(..) => 8,
        Op::Checkpoint | Op::Kill => 9,
    }
}

/// A pool in a file, and the many lives of the process that works on it.
#[derive(Debug)]
pub struct Lives {
    target: Target,
    bytes: Vec<u8>,
    rounds: u64,
}

impl Lives {
    /// Makes a new pool in a file, in one of several shapes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(path: &Path, shape: usize) -> Outcome<Self> {
        let target = Target::create(path, shape)?;
        let bytes = target.bytes()?;
        Ok(Self { target, bytes, rounds: 0 })
    }

    /// One life of the process, and its end at a random moment: most while they work, some while they open the pool, some after a long life.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn kill(&mut self, program: &Path, seed: u64) -> Outcome<Kills> {
        let mut rng = Rng::new(seed);
        self.rounds += 1;
        let stop = match rng.below(16) {
            0..2 => Stop::Opening(Duration::from_micros(rng.below(OPENING))),
            2 => acknowledged(rng.below(250), rng.below(OPERATION)),
            3..10 => acknowledged(rng.below(24), 0),
            _ => acknowledged(rng.below(24), rng.below(OPERATION)),
        };
        let (program, path) = (program.to_path_buf(), self.target.path.clone());
        let round = Round { program, path, seed, count: ENDLESS, stop };
        let ended = round.play_from(&mut self.bytes, &mut self.target, Target::bytes)?;
        if self.rounds.is_multiple_of(REOPENED) {
            open_and_judge(&self.target.path, &self.target.config, &mut self.target.model)?;
            self.bytes = self.target.bytes()?;
        }
        let mut kills = Kills { rounds: 1, acknowledged: ended.answers.len() as u64, ..Kills::default() };
        let in_flight = super::operations(&self.target.config, seed).nth(ended.answers.len());
        kills.at[in_flight.filter(|_| ended.opened).map_or(0, part)] += u64::from(ended.killed);
        Ok(kills)
    }

    /// Keeps the evidence of a violation, since no run meets the same moments again: the file as the last process found it and as it
    /// left it. Where that is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, dir: &Path, seed: u64) -> Outcome<String> {
        let name = |what| dir.join(format!("cowl-kill-{seed}.{what}"));
        let (before, after) = (name("before"), name("after"));
        fs::write(&before, &self.bytes).map_err(said("the evidence"))?;
        fs::write(&after, self.target.bytes()?).map_err(said("the evidence"))?;
        Ok(format!("what the process found is in {}, what it left in {}", before.display(), after.display()))
    }
}

fn acknowledged(operations: u64, microseconds: u64) -> Stop {
    Stop::Acknowledged(operations as usize, Duration::from_micros(microseconds))
}
