//! The harnesses that a planted bug has to get past.
//!
//! Each runs until its time is over or something is wrong. Time is the processor's, so that a busy machine changes nothing, and all
//! are deterministic: the same bug dies of the same history.

mod clock;
mod cold;
mod contract;
mod cuts;
mod damage;
mod errors;
mod exhaustive;
mod explorer;
mod files;
mod fuzz;
mod histories;
mod judge;
mod medium;
mod mixes;
mod oracle;
mod processes;
mod scripts;

use std::time::Duration;

use clock::Clock;
pub use clock::{end_after, used};

use super::Kind;
use crate::sim::text;

/// A way to find bugs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Harness {
    /// The oracle itself, and the contract of the simulated disk, against hand-made cases.
    Oracle,
    /// What histories do not reach: full pools, promises, bases, names, attachments, refused operations.
    Contract,
    /// Random histories against the model, on every shape of pool.
    Histories,
    /// The fuzz targets, on their corpora and on what a seeded generator makes.
    Fuzz,
    /// Every short history: cuts, a second cut, an error at every device call, every byte of an image damaged.
    Exhaustive,
    /// Power cuts in random histories, and again after the recovery.
    Cuts,
    /// Random histories in which a device call fails.
    Errors,
    /// Images with one thing in them damaged, lost or out of place.
    Damage,
    /// Histories and the contract on a real file.
    Files,
    /// The explorer: every crash state up to a bound that grows while there is time.
    Explorer,
    /// Real processes on a real file whose disk loses its power.
    Processes,
}

impl Harness {
    /// All of them, the quickest to find something first.
    pub const ALL: [Self; 11] = [
        Self::Oracle,
        Self::Contract,
        Self::Histories,
        Self::Fuzz,
        Self::Exhaustive,
        Self::Cuts,
        Self::Errors,
        Self::Damage,
        Self::Files,
        Self::Explorer,
        Self::Processes,
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
            Self::Fuzz => "fuzz",
            Self::Files => "files",
            Self::Processes => "processes",
            Self::Oracle => "oracle",
        }
    }

    /// The harness of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|harness| harness.name() == name)
    }

    /// A bug of this kind can show in it.
    pub fn concerns(self, kind: Kind) -> bool {
        self != Self::Oracle || kind == Kind::Harness
    }

    /// What it needs and this machine does not have.
    pub fn missing(self) -> Option<String> {
        if self == Self::Processes { processes::missing() } else { None }
    }

    /// Takes away what it has left in its folder for temporary files, if it was ended from outside.
    pub fn clear(self, folder: &std::path::Path) {
        if self == Self::Processes {
            processes::unmount_left_behind(folder);
        }
    }

    /// It comes to an end by itself: more time finds no more.
    pub fn is_finite(self) -> bool {
        self == Self::Oracle
    }

    /// Runs it for about this long, in time of the processor.
    ///
    /// # Errors
    /// What is wrong, with what is needed to see it again.
    pub fn run(self, time: Duration) -> Result<(), String> {
        let clock = Clock::new(time);
        match self {
            Self::Histories => histories::run(&clock),
            Self::Contract => contract::run(&medium::InMemory, &clock),
            Self::Cuts => cuts::run(&clock),
            Self::Exhaustive => exhaustive::run(&clock, time),
            Self::Explorer => explorer::run(&clock),
            Self::Errors => errors::run(&clock),
            Self::Damage => damage::run(&clock),
            Self::Fuzz => fuzz::run(&clock),
            Self::Files => files::run(&clock),
            Self::Processes => processes::run(&clock),
            Self::Oracle => oracle::run(),
        }
    }
}
