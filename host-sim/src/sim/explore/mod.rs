//! The explorer: every crash state up to a stated bound.
//!
//! From each [`Seed`] of each [`Shape`] it plays every sequence of operations up to a length. At every sector that the last
//! operation writes, and after it, the power fails: every un-flushed sector, independently, is old, new, or torn in several
//! ways. Each such image is mounted and held against the reference model; from short sequences it goes on with another operation
//! and a second power cut.
//!
//! What became of a sector is decided only when somebody reads it, so one *run* stands for all *images* that
//! differ in sectors nobody looked at. Both are counted; where more than [`COUNTED`] sectors are in flight, all images are covered but
//! only the runs are counted. Where a cut has more runs than the limit, the rest is sampled
//! at random, and counted apart.
//!
//! # The promises
//!
//! | | |
//! |---|---|
//! | O1 to O6 | flushed data is there; operations on layers are whole or absent; snapshots, and layers beside a merge, are as they were; nothing stale, no mix |
//! | O7 | what a mount has shown stays |
//! | O8 | a mount writes nothing and flushes once |
//! | O9 | nothing invalid becomes valid later: the second power cut |
//! | O10 | allocated is reachable, counted afresh by `check` |
//! | O11 | an error changes nothing, or poisons: the error sweep |
//! | O12 | the pool works after any crash |
//! | O13 | the running pool shows what a fresh mount shows |
//! | O14 | an operation takes effect at one device write |
//! | O15 | [`cowl::Reader`] shows what a mount shows |

mod choices;
mod commit_point;
mod disk;
mod errors;
mod judge;
mod play;
mod scenario;
mod search;
mod token;
mod walk;

pub use choices::Choices;
pub use disk::{COUNTED, CrashDisk, Cut, Fault, TEARINGS};
pub use judge::{Bench, Broken};
pub use play::Played;
pub(crate) use scenario::Built;
pub use scenario::{Scenario, Seed, Shape};
pub use token::{Token, narrate};
pub use walk::{Bound, Report, Shard, Violation, Watch, explore};
