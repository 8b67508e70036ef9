//! A device that writes down what it is asked, one line a call.
//!
//! ```
//! use cowl::{FormatOptions, Pool, RamDisk};
//! use cowl_host::sim::Traced;
//!
//! let (mut memory, mut workspace) = (vec![0; 1 << 18], vec![0; 1 << 16]);
//! let mut disk = RamDisk::new(&mut memory);
//! Pool::format(&mut disk, &mut workspace, &FormatOptions::new(512, [7; 16])).unwrap();
//! let mut disk = Traced::new(disk);
//! Pool::mount(&mut disk, &mut workspace, &cowl::MountOptions::default()).unwrap();
//! let text = disk.to_string();
//! assert!(text.starts_with("0 flush\n1 read 0 x1 superblock slot 0\n"), "{text}");
//! ```

use std::fmt;

use cowl::{
    BlockDevice, Geometry,
    format::{GROUP_START, Layout, MAGIC, SUPERBLOCKS, Superblock, Unit},
};

/// What was asked of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To read.
    Read,
    /// To write.
    Write,
    /// To flush.
    Flush,
    /// To discard.
    Discard,
}

/// What a transfer concerns, as far as its place and its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// A slot of the superblock.
    Superblock {
        /// 0 to 3.
        slot: u64,
    },
    /// A unit of the journal.
    Journal {
        /// Its place, from 0.
        place: u64,
    },
    /// A node of the space map.
    SpaceMap {
        /// 0 for a bitmap.
        level: u32,
        /// Which of its two places.
        copy: u64,
    },
    /// A block that is given out: node, page or data.
    Block(u64),
    /// No pool was seen on the device yet.
    Unknown,
}

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its number since the device was wrapped.
    pub number: u64,
    /// What was asked.
    pub asked: Asked,
    /// First sector; 0 for a flush.
    pub sector: u64,
    /// Number of sectors.
    pub count: u64,
    /// What it concerns.
    pub region: Region,
    /// The device reported an error.
    pub failed: bool,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = match self.asked {
            Asked::Read => "read",
            Asked::Write => "write",
            Asked::Flush => "flush",
            Asked::Discard => "discard",
        };
        write!(f, "{} {asked}", self.number)?;
        if self.asked != Asked::Flush {
            write!(f, " {} x{}", self.sector, self.count)?;
            match self.region {
                Region::Superblock { slot } => write!(f, " superblock slot {slot}")?,
                Region::Journal { place } => write!(f, " journal place {place}")?,
                Region::SpaceMap { level, copy } => write!(f, " space map level {level} copy {copy}")?,
                Region::Block(block) => write!(f, " block {block}")?,
                Region::Unknown => {}
            }
        }
        if self.failed { f.write_str(" failed") } else { Ok(()) }
    }
}

/// The shape of the pool on the device.
#[derive(Debug, Clone, Copy)]
struct Shape {
    layout: Layout,
    unit_shift: u32,
    units: u64,
}

impl Shape {
    fn region(&self, byte: u64) -> Region {
        let block = byte >> self.layout.block_shift;
        if block < SUPERBLOCKS {
            return Region::Superblock { slot: block };
        }
        let place = (byte - (GROUP_START << self.layout.block_shift)) >> self.unit_shift;
        if place < self.units {
            return Region::Journal { place };
        }
        if !self.layout.is_fixed(block) {
            return Region::Block(block);
        }
        let group = block >> self.layout.group_shift();
        for level in 0..=self.layout.max_levels() {
            let first = self.layout.space_place(level, group >> (self.layout.fan_shift() * level), 0);
            if block == first || block == first + 1 {
                return Region::SpaceMap { level, copy: block - first };
            }
        }
        Region::Unknown
    }
}

/// A device that keeps a line for each call. It learns the shape of the pool from the first superblock that passes by.
#[derive(Debug, Clone)]
pub struct Traced<D> {
    device: D,
    shape: Option<Shape>,
    lines: Vec<Line>,
    number: u64,
}

super::faults::wrapper!(Traced);

impl<D: BlockDevice> Traced<D> {
    /// Nothing is written down yet.
    pub fn new(device: D) -> Self {
        Self { device, shape: None, lines: Vec::new(), number: 0 }
    }

    /// The lines so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The lines, which start again; the numbers go on.
    pub fn take(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    /// How often this was asked, among the lines so far.
    pub fn count(&self, asked: Asked) -> usize {
        self.lines.iter().filter(|line| line.asked == asked).count()
    }

    fn learn(&mut self, bytes: &[u8]) {
        if self.shape.is_some() || !bytes.starts_with(MAGIC) {
            return;
        }
        self.shape = Superblock::decode(bytes, crate::crc32c).map(|sb| Shape {
            layout: sb.layout(),
            unit_shift: u32::from(sb.unit_shift),
            units: u64::from(sb.journal_units),
        });
    }

    fn note(&mut self, asked: Asked, sector: u64, count: u64, failed: bool) {
        let byte = sector * u64::from(self.device.geometry().sector_size);
        let region = self.shape.map_or(Region::Unknown, |shape| shape.region(byte));
        self.lines.push(Line { number: self.number, asked, sector, count, region, failed });
        self.number += 1;
    }

    fn sectors(&self, bytes: &[u8]) -> u64 {
        bytes.len() as u64 / u64::from(self.device.geometry().sector_size)
    }
}

impl<D: BlockDevice> BlockDevice for Traced<D> {
    type Error = D::Error;

    fn geometry(&self) -> Geometry {
        self.device.geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), D::Error> {
        let result = self.device.read(sector, buffer);
        self.learn(buffer);
        self.note(Asked::Read, sector, self.sectors(buffer), result.is_err());
        result
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), D::Error> {
        let result = self.device.write(sector, buffer);
        self.learn(buffer);
        self.note(Asked::Write, sector, self.sectors(buffer), result.is_err());
        result
    }

    fn flush(&mut self) -> Result<(), D::Error> {
        let result = self.device.flush();
        self.note(Asked::Flush, 0, 0, result.is_err());
        result
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), D::Error> {
        let result = self.device.discard(sector, count);
        self.note(Asked::Discard, sector, count, result.is_err());
        result
    }
}

impl<D> fmt::Display for Traced<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The bytes are a superblock or a unit of the journal, whatever their place.
pub fn is_commit(bytes: &[u8]) -> bool {
    Superblock::decode(bytes, crate::crc32c).is_some() || Unit::decode(bytes, crate::crc32c).is_some()
}
