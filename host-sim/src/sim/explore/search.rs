//! The search through the images of one sequence: every cut, every choice of what became of each sector, and what follows.

use super::{
    choices::Choices,
    commit_point::CommitPoint,
    disk::{CrashDisk, Cut},
    judge::{Bench, Broken},
    play::Played,
    scenario::Scenario,
    walk::Watch,
};
use crate::sim::{
    model::{Model, Outcome},
    random::Rng,
};

/// What a search through the images of one sequence has found.
#[derive(Debug, Default)]
pub struct Tally {
    /// Moments looked at.
    pub cuts: u64,
    /// Recoveries.
    pub runs: u64,
    /// Images, none left out.
    pub exact: u128,
    /// Images drawn at random.
    pub sampled: u64,
    /// Cuts with such.
    pub sampled_cuts: u64,
    /// The first promise broken: at which cut, by which choices.
    pub broken: Option<(usize, Vec<u16>, Broken)>,
    /// Somebody ended it before everything was seen.
    pub stopped: bool,
}

/// A search through the images of one sequence.
#[derive(Debug)]
pub struct Search<'a> {
    /// Where it began.
    pub scenario: &'a Scenario,
    /// Memory.
    pub bench: &'a mut Bench,
    /// Runs at one cut before the rest is sampled.
    pub limit: usize,
    /// Another operation and another cut follow.
    pub second: bool,
    /// Who may end it: one sequence can take minutes.
    pub watch: &'a Watch,
}

/// One run: what was found first, and how many images it stands for.
struct Run {
    outcome: Outcome,
    images: u128,
}

/// A random draw for every so many runs that were not made.
const SAMPLES: usize = 500;

impl Search<'_> {
    /// All cuts of a sequence that was played.
    pub fn sequence(&mut self, played: &Played) -> Tally {
        let mut tally = Tally::default();
        let mut point = CommitPoint::default();
        let last = played.cuts.len() - 1;
        for (number, cut) in played.cuts.iter().enumerate() {
            if number == last && !played.barrier {
                break;
            }
            tally.cuts += 1;
            let model = if number == last { &played.after } else { &played.during };
            if let Err((choices, broken)) = self.images(played, number, cut, model, &mut tally, &mut point) {
                tally.broken = Some((number, choices, broken));
                return tally;
            }
            if tally.stopped {
                // A commit point is judged over all images of all cuts.
                return tally;
            }
        }
        if let Err(broken) = point.verdict() {
            tally.broken = Some((0, Vec::new(), broken));
        }
        tally
    }

    /// One image, by its choices.
    ///
    /// # Errors
    /// The promise that was broken.
    pub fn one(&mut self, played: &Played, cut: usize, choices: &mut Choices) -> Result<(), Broken> {
        let Some(at) = played.cuts.get(cut) else { return Ok(()) };
        let model = if cut + 1 == played.cuts.len() { &played.after } else { &played.during };
        if choices.is_empty() {
            // A commit point is judged over all images of all cuts.
            return self.sequence(played).broken.map_or(Ok(()), |(_, _, broken)| Err(broken));
        }
        self.run(&played.disk, at, model, choices).map(drop)
    }

    fn images(
        &mut self,
        played: &Played,
        number: usize,
        cut: &Cut,
        model: &Model,
        tally: &mut Tally,
        point: &mut CommitPoint,
    ) -> Result<(), (Vec<u16>, Broken)> {
        let mut choices = Choices::default();
        let mut runs = 0;
        loop {
            let run = self.run(&played.disk, cut, model, &mut choices).map_err(|broken| (choices.path(), broken))?;
            if number + 1 < played.cuts.len() {
                point.saw(number, run.outcome, runs == 0);
            }
            runs += 1;
            tally.runs += 1;
            tally.exact = tally.exact.saturating_add(run.images);
            if !choices.advance() {
                return Ok(());
            }
            if self.watch.over() {
                tally.stopped = true;
                return Ok(());
            }
            if runs == self.limit {
                break;
            }
        }
        tally.sampled_cuts += 1;
        let mut rng = Rng::new(number as u64);
        for _ in 0..SAMPLES {
            let path: Vec<u16> = (0..64).map(|_| rng.below(0xffff) as u16).collect();
            choices.restart(&path);
            self.run(&played.disk, cut, model, &mut choices).map_err(|broken| (choices.path(), broken))?;
            tally.runs += 1;
            tally.sampled += 1;
        }
        Ok(())
    }

    /// One image, and what follows it.
    fn run(&mut self, disk: &CrashDisk, cut: &Cut, model: &Model, choices: &mut Choices) -> Result<Run, Broken> {
        let first = disk.after(cut, std::mem::take(choices));
        let result = self.first(&first, model.clone(), choices);
        if result.is_err() && choices.path().is_empty() {
            *choices = first.take_choices();
        }
        result
    }

    fn first(&mut self, disk: &CrashDisk, mut model: Model, choices: &mut Choices) -> Result<Run, Broken> {
        let outcome = self.bench.recover(disk, &mut model, self.second)?;
        let images = disk.images();
        let op = if self.second { disk.choose(self.scenario.second.len() + 1) } else { 0 };
        let Some(op) = op.checked_sub(1) else {
            *choices = disk.take_choices();
            if self.second {
                self.bench.live(disk, model)?;
            }
            return Ok(Run { outcome, images });
        };
        let op = self.scenario.second[op];
        let (during, after) = self.bench.go_on(disk, model, op)?;
        let cuts = disk.cuts();
        let ways = cuts.len() - usize::from(!op.is_barrier());
        if ways == 0 {
            *choices = disk.take_choices();
            return Ok(Run { outcome, images: 0 });
        }
        let number = disk.choose(ways);
        let disk = disk.after(&cuts[number], disk.take_choices());
        let mut model = if number + 1 == cuts.len() { after } else { during };
        let result = self.bench.recover(&disk, &mut model, false);
        let images = disk.images();
        *choices = disk.take_choices();
        result.map_err(|broken| Broken { what: format!("after a second power cut: {}", broken.what), ..broken })?;
        Ok(Run { outcome, images })
    }
}
