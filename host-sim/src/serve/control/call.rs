//! What a command can ask of a server, and what it is told.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::{anatomy::Item, failure::Failure, pool::Records};

/// The version of all that is said on the socket. Both sides say theirs first; they must be the same.
pub const PROTOCOL: u32 = 1;

/// The first message of both sides.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of who says it.
    pub cowl: u32,
    /// Version of the program, for people.
    pub version: String,
}

impl Hello {
    /// What this program says.
    pub fn ours() -> Self {
        Self { cowl: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// What is said of a new layer: [`cowl::Attributes`].
#[derive(Debug, Serialize, Deserialize)]
pub struct New {
    pub name: String,
    pub uuid: [u8; 16],
    pub description: String,
    pub time: u64,
}

/// One volume of a snapshot: [`cowl::SnapshotOf`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Taken {
    pub volume: u32,
    pub new: New,
    pub attachments: Vec<u32>,
}

/// A call of [`AnyPool`](crate::cli::pool::AnyPool). What is written or read travels as data behind the text.
#[derive(Debug, Serialize, Deserialize)]
pub enum Call {
    Info,
    Space,
    Find { name: String },
    Layer { id: u32 },
    Records { which: Records, after: Option<u32> },
    Description { layer: u32 },
    Create { new: New, sectors: u64, flags: u32 },
    Snapshot { of: Vec<Taken> },
    Rollback { volume: u32, snapshot: u32, time: u64, keep: Option<New>, force: bool },
    CloneSnapshot { snapshot: u32, new: New, guaranteed: bool },
    Delete { layer: u32, force: bool },
    Rename { layer: u32, name: String },
    Describe { layer: u32, text: String },
    Resize { volume: u32, sectors: u64, force: bool },
    StageAttachment { new: New, length: u64 },
    Attach { layer: u32, staged: u32 },
    Enter { layer: u32 },
    Read { layer: u32, sector: u64, length: u32 },
    Write { volume: u32, sector: u64 },
    WriteBytes { volume: u32, offset: u64 },
    Discard { volume: u32, sector: u64, count: u64 },
    WriteZeroes { volume: u32, sector: u64, count: u64 },
    Extent { layer: u32, sector: u64 },
    Diff { a: u32, b: u32, from: u64 },
    WhatIfFreed { set: Vec<u32> },
    Check { memory: u64, scrub: bool, told: u64 },
    MergeStep { budget: u32 },
    DiscardFree { from: u64, budget: u32 },
    Grow { size: Option<u64> },
    Flush,
    Checkpoint,
    Anatomy { data: bool },
    MergeStatus,
    PauseMerge { paused: bool },
    Metrics,
}

impl Call {
    /// It changes data, which only a flush or a checkpoint makes durable.
    pub fn moves_data(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::WriteBytes { .. } | Self::Discard { .. } | Self::WriteZeroes { .. })
    }
}

/// What a server answers: any number of the first two, then one of the others.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// So much of a long call is done.
    Progress { done: u64, of: u64 },
    /// A part of a long list.
    Items(Vec<Item>),
    /// The result.
    Done(Value),
    /// It failed.
    Failed(Failure),
}
