//! Promise O14: an operation takes effect at one device write, and at no other.

use super::judge::Broken;
use crate::sim::model::Outcome;

/// What was found at each cut of one operation if everything before it had arrived, and what was found at all.
#[derive(Debug, Default)]
pub struct CommitPoint {
    whole: Vec<Outcome>,
    first_after: Option<usize>,
}

impl CommitPoint {
    /// An image of a cut was judged; `whole`: nothing was lost.
    pub fn saw(&mut self, cut: usize, outcome: Outcome, whole: bool) {
        if whole {
            self.whole.resize(cut + 1, Outcome::Either);
            self.whole[cut] = outcome;
        }
        if outcome == Outcome::After && self.first_after.is_none_or(|first| cut < first) {
            self.first_after = Some(cut);
        }
    }

    /// The operation has exactly one point of commit.
    ///
    /// # Errors
    /// It has none although it took effect, or it went back.
    pub fn verdict(&self) -> Result<(), Broken> {
        let Some(first) = self.first_after else { return Ok(()) };
        let backwards = self.whole.iter().enumerate().find(|(cut, outcome)| match outcome {
            Outcome::Before => *cut >= first,
            Outcome::After => *cut < first,
            Outcome::Either => false,
        });
        match backwards {
            None => Ok(()),
            Some((cut, outcome)) => {
                let what = format!(
                    "took effect at cut {first}, but with everything written up to cut {cut} it is {outcome:?}"
                );
                Err(Broken { promise: "O14", what })
            }
        }
    }
}
