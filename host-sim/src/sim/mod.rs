//! The simulator: a disk that can lose power at any write, a model of what must survive, and histories to try it with.
//!
//! - [`SimDisk`] is a block device in memory that knows what is durable and what is pending;
//! - [`Model`] says what a pool must show, now and after a crash, and shares no code with the core;
//! - [`run_history`] applies a history to both and compares after every operation;
//! - [`strategy`] makes histories for `proptest`, also for tests of what stands on top of cowl;
//! - [`explore`] goes through every crash state up to a bound;
//! - [`transfers`] moves data outside the pool, many transfers at once and in any order;
//! - [`crash_history`] checks, at every device write of a history, the states that power loss may leave there: every
//!   combination of old, new and torn for each pending sector where there are few, a sample where there are many;
//! - [`faults`] are devices around devices, each with one thing wrong; [`Traced`] writes down what a device is asked.

// Sectors and tags of simulated disks are small by construction, and the harness ends where it is wrong.
#![allow(clippy::cast_possible_truncation, clippy::missing_errors_doc)]

mod apart;
mod config;
mod disk;
pub mod explore;
pub mod faults;
mod history;
mod model;
mod random;
mod run;
#[cfg(feature = "proptest")]
pub mod strategy;
mod trace;
mod verdict;

pub use apart::{Apart, transfers};
pub use config::Config;
pub use disk::{Call, Failed, Fate, Image, Sector, SimDisk, garbage_byte};
pub(crate) use history::find_again;
pub use history::{Op, Prepared, apply, found, merge_step, mount, random_op, start};
pub use model::{Found, Layer, Layers, Model, Outcome, Ways, bytes_of, tag_of, value_of};
pub use random::Rng;
pub use run::{Failure, Tally, crash_history, random_history, run_history};
pub use trace::{Asked, Line, Region, Traced, is_commit};
pub(crate) use verdict::text;
pub use verdict::{all_alike, leaves_nothing, reads_alike, recovered, sound, works_on};
