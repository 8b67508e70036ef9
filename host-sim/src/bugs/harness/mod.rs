//! The harnesses that a planted bug has to get past.
//!
//! Each runs until its time is over or something is wrong. All are deterministic: the same bug dies of the same history.

mod contract;
mod cuts;
mod damage;
mod errors;
mod exhaustive;
mod explorer;
mod files;
mod histories;
mod judge;
mod medium;
mod oracle;
mod scripts;

use std::time::{Duration, Instant};

/// A way to find bugs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Harness {
    /// Random histories against the model, on every shape of pool.
    Histories,
    /// What histories do not reach: full pools, promises, bases, names, attachments, refused operations.
    Contract,
    /// Power cuts in random histories, and again after the recovery.
    Cuts,
    /// Every short history: cuts, a second cut, an error at every device call, every byte of an image damaged.
    Exhaustive,
    /// The explorer: every crash state up to a bound that grows while there is time.
    Explorer,
    /// Random histories in which a device call fails.
    Errors,
    /// Images with one thing in them damaged, lost or out of place.
    Damage,
    /// Histories and the contract on a real file.
    Files,
    /// The oracle itself, and the contract of the simulated disk, against hand-made cases.
    Oracle,
}

impl Harness {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Histories,
        Self::Contract,
        Self::Cuts,
        Self::Exhaustive,
        Self::Explorer,
        Self::Errors,
        Self::Damage,
        Self::Files,
        Self::Oracle,
    ];

    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Histories => "histories",
            Self::Contract => "contract",
            Self::Cuts => "cuts",
            Self::Exhaustive => "exhaustive",
            Self::Explorer => "explorer",
            Self::Errors => "errors",
            Self::Damage => "damage",
            Self::Files => "files",
            Self::Oracle => "oracle",
        }
    }

    /// The harness of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|harness| harness.name() == name)
    }

    /// Runs it for about this long.
    ///
    /// # Errors
    /// What is wrong, with what is needed to see it again.
    pub fn run(self, time: Duration) -> Result<(), String> {
        let clock = Clock { end: Instant::now() + time };
        match self {
            Self::Histories => histories::run(&clock),
            Self::Contract => contract::run(&medium::InMemory, &clock),
            Self::Cuts => cuts::run(&clock),
            Self::Exhaustive => exhaustive::run(&clock, time),
            Self::Explorer => explorer::run(&clock),
            Self::Errors => errors::run(&clock),
            Self::Damage => damage::run(&clock),
            Self::Files => files::run(&clock),
            Self::Oracle => oracle::run(),
        }
    }
}

/// How long a harness still has.
#[derive(Debug, Clone, Copy)]
struct Clock {
    end: Instant,
}

impl Clock {
    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// A clock that ends earlier.
    fn part(&self, time: Duration) -> Self {
        Self { end: self.end.min(Instant::now() + time) }
    }
}

/// Turns an error into the text of a failure.
fn text<T: std::fmt::Debug>(what: &str) -> impl Fn(T) -> String + '_ {
    move |error| format!("{what}: {error:?}")
}
