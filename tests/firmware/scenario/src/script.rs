//! The life as data: steps, which a machine works off, and the actions on the pool that they come to.

use cowl::LayerFlags;

/// The volume of a pool that was made by a host.
pub const HANDED: &str = "handed";
/// The volume that a machine leaves behind when it has recovered a pool.
pub const MARK: &str = "mark";
/// The volume that fills the pool; whoever needs room may delete it.
pub const SCRATCH: &str = "scratch";

/// Sectors of a layer, all of them holding one number again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The layer's name.
    pub layer: &'static str,
    /// The first sector.
    pub sector: u64,
    /// How many.
    pub count: u64,
    /// The number, in eight bytes, lowest first.
    pub tag: u64,
}

/// A step of a life.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Makes a volume of so many sectors.
    Create(&'static str, u64, LayerFlags),
    /// Writes sectors, two at a time; each pair holds the tag plus its first sector.
    Write(Piece),
    /// The same sectors are there.
    Expect(Piece),
    /// Gives up sectors: they read as zeros.
    Discard(&'static str, u64, u64),
    /// What was written is durable.
    Flush,
    /// Takes a snapshot of a volume, with an attachment of so many sectors that hold the tag.
    Snapshot(&'static str, &'static str, Option<Piece>),
    /// Rolls a volume back to a snapshot and keeps its old state under a name.
    Rollback(&'static str, &'static str, Option<&'static str>),
    /// Makes a volume of a snapshot.
    Clone(&'static str, &'static str),
    /// Deletes a layer.
    Delete(&'static str),
    /// Gives a layer another name.
    Rename(&'static str, &'static str),
    /// The machine has nothing else to do: merges in small steps until nothing is left.
    Idle,
    /// Writes a volume from its start until the pool is full.
    Fill(&'static str, u64),
    /// The pool's own check, which must find nothing.
    Check,
}

/// One call that changes the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Makes a volume.
    Create(&'static str, u64),
    /// Writes sectors of a volume with one tag.
    Write(Piece),
    /// Discards sectors.
    Discard(&'static str, u64, u64),
    /// Flushes.
    Flush,
    /// Makes room for an attachment, or writes it: no layer shows it.
    Stage,
    /// Writes a part of an attachment that no layer owns yet.
    WriteStaged,
    /// Takes a snapshot.
    Snapshot(&'static str, &'static str),
    /// Rolls back.
    Rollback(&'static str, &'static str, Option<&'static str>),
    /// Clones.
    Clone(&'static str, &'static str),
    /// Deletes.
    Delete(&'static str),
    /// Renames.
    Rename(&'static str, &'static str),
    /// A step of merge.
    Merge,
    /// Ends a mount.
    Unmount,
}

/// How an action ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done; if it made a layer, this is its number.
    Done(Option<u32>),
    /// There was nothing to do.
    Nothing,
    /// The pool is full: nothing has changed.
    Full,
}

pub(crate) const fn piece(layer: &'static str, sector: u64, count: u64, tag: u64) -> Piece {
    Piece { layer, sector, count, tag }
}

/// Everything that a pool does in its life, on a disk of [`DISK_SECTORS`](crate::DISK_SECTORS) sectors.
pub const LIFE: &[&[Step]] = &[
    &[
        Step::Create("system", 60, LayerFlags::empty()),
        Step::Create("data", 24, LayerFlags::GUARANTEED),
        Step::Create("log", 20, LayerFlags::INTEGRITY),
        Step::Write(piece("system", 0, 40, 0x1000)),
        Step::Write(piece("data", 0, 24, 0x2000)),
        Step::Flush,
        Step::Write(piece("log", 0, 10, 0x3000)),
        Step::Snapshot("system", "first", Some(piece("memory", 0, 3, 0x4000))),
        Step::Write(piece("system", 10, 20, 0x5000)),
        Step::Flush,
        Step::Write(piece("log", 4, 10, 0x6000)),
        Step::Write(piece("system", 50, 10, 0x7000)),
        Step::Expect(piece("first", 10, 20, 0x1000)),
        Step::Expect(piece("system", 10, 20, 0x5000)),
        Step::Snapshot("system", "second", None),
        Step::Discard("system", 12, 8),
        Step::Flush,
        Step::Check,
    ],
    &[
        Step::Write(piece("system", 0, 6, 0x8000)),
        Step::Rollback("system", "first", Some("kept")),
        Step::Expect(piece("system", 0, 40, 0x1000)),
        Step::Expect(piece("kept", 0, 6, 0x8000)),
        Step::Clone("second", "branch"),
        Step::Write(piece("branch", 20, 20, 0x9000)),
        Step::Flush,
        Step::Delete("first"),
        Step::Delete("second"),
        Step::Idle,
        Step::Expect(piece("branch", 10, 10, 0x5000)),
        Step::Check,
    ],
    &[
        Step::Create(SCRATCH, 2000, LayerFlags::empty()),
        Step::Fill(SCRATCH, 0xa000),
        Step::Flush,
        Step::Write(piece("data", 4, 12, 0xb000)),
        Step::Delete("kept"),
        Step::Idle,
        Step::Flush,
        Step::Check,
        Step::Delete(SCRATCH),
        Step::Idle,
        Step::Rename("branch", "trunk"),
        Step::Write(piece("trunk", 0, 8, 0xc000)),
        Step::Snapshot("log", "history", Some(piece("console", 0, 2, 0xe000))),
        Step::Write(piece("log", 0, 6, 0xd000)),
        Step::Check,
    ],
];

/// What a machine does with a pool that a host has made: [`HANDED`], of 40 sectors, whose snapshot `theirs` holds 0x10000 plus the
/// sector in each pair of sectors, and 0x20000 plus it in the volume's sectors 10 to 19.
pub const VISIT: &[&[Step]] = &[&[
    Step::Check,
    Step::Expect(piece("theirs", 0, 40, 0x1_0000)),
    Step::Expect(piece(HANDED, 0, 10, 0x1_0000)),
    Step::Expect(piece(HANDED, 10, 10, 0x2_0000)),
    Step::Write(piece(HANDED, 30, 4, 0x3_0000)),
    Step::Flush,
    Step::Rollback(HANDED, "theirs", Some("before-visit")),
    Step::Clone("theirs", "ours"),
    Step::Write(piece("ours", 0, 8, 0x4_0000)),
    Step::Delete("theirs"),
    Step::Idle,
    Step::Expect(piece("before-visit", 30, 4, 0x3_0000)),
    Step::Check,
]];
