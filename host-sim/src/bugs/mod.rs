//! Planted bugs: is the harness any good?
//!
//! A simulator that has never failed proves little. Here are mistakes that a good engineer could make in the core, one for every rule
//! of the protocol and more, each as a patch of a few words ([`all`]). A copy of the sources gets all of them at once, each behind
//! a switch, and is built once ([`build`]); then [`Harness`] after harness runs against each bug in a process of its own and must
//! find it ([`run`]). The shipped sources hold no trace of this.
//!
//! - A bug counts as *killed* by a harness that reports a failure, panics, or does not come to an end.
//! - Every bug must be killed by at least two harnesses; one that only weakens the harness itself, by one.
//! - Without a bug no harness may report anything, however long it runs.

// Sectors, tags and choices are small by construction.
#![allow(clippy::cast_possible_truncation)]

mod harness;
mod plant;
pub mod process;
mod run;
mod table;
mod tree;

pub use harness::{Harness, used};
pub use plant::plant;
pub use process::Answer;
pub use run::{Plan, Row, Verdict, run, tasks};
pub use table::all;
pub use tree::{build, own_sources};

/// What a bug is planted into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The core.
    Core,
    /// The harness: a simulated disk that breaks its contract, a reference model that overlooks something.
    Harness,
}

impl Kind {
    /// How many harnesses must kill such a bug. What blinds one harness is seen by that one alone.
    pub fn kills_needed(self) -> usize {
        if self == Self::Harness { 1 } else { 2 }
    }
}

/// A change of one place in the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// The source, from the root of the workspace.
    pub file: &'static str,
    /// Its exact text, there exactly once: whole statements, or an expression. If a part is between « and », only that part is
    /// replaced and the rest says where it is.
    pub original: &'static str,
    /// What takes its place.
    pub replacement: &'static str,
}

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bug {
    /// Its number, never given to another.
    pub number: u32,
    /// The rule of the protocol (`core/docs/DESIGN.md`) that it breaks, or the invariant or oracle.
    pub rule: &'static str,
    /// What is wrong, in a few words.
    pub name: &'static str,
    /// Where.
    pub edits: &'static [Edit],
}

impl Bug {
    /// What it is planted into.
    pub fn kind(&self) -> Kind {
        let core = self.edits.iter().any(|edit| edit.file.starts_with("core/"));
        if core { Kind::Core } else { Kind::Harness }
    }
}
