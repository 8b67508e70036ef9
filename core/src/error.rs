//! What can go wrong, as conditions with the numbers that the caller needs.

use core::fmt;

use crate::types::LayerId;

/// An object on the device, named in reports of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Object {
    /// A superblock slot.
    Superblock,
    /// The journal.
    Journal,
    /// A node of a layer's map.
    MapNode,
    /// A block of a volume's or snapshot's data.
    Data,
    /// A node of the space map.
    SpaceMap,
    /// A page or node of the catalog.
    Catalog,
    /// A layer's record.
    Layer,
    /// The base device.
    Base,
}

/// Everything that a call can report; `E` is the device's own error.
///
/// Unless a variant says otherwise nothing has changed, in memory or on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error<E> {
    /// The device reported an error. After a failed write or flush the pool refuses all changes until it is mounted again.
    Device(E),
    /// An earlier write or flush failed: reads go on, changes need a new mount.
    Poisoned,
    /// The device, the mount or the layer is read-only.
    ReadOnly,
    /// There is nothing of a pool on the device.
    NotAPool,
    /// The device holds a pool, or the remains of one, and formatting was not forced.
    HoldsPool,
    /// The pool was written by a later major version.
    UnsupportedVersion {
        /// Major version found.
        major: u16,
        /// Minor version found.
        minor: u16,
    },
    /// The pool uses features that this version does not know.
    UnsupportedFeatures {
        /// The unknown bits of the incompatible (or, when mounting to write, read-only compatible) flags.
        bits: u32,
    },
    /// Something on the device is not what its checksum, its parent or its bounds say.
    Corrupt {
        /// What kind of object.
        what: Object,
        /// Its block on the device.
        block: u64,
    },
    /// The workspace handed in is too small for this pool.
    WorkspaceTooSmall {
        /// Bytes that are needed.
        needed: usize,
    },
    /// The device is too small, or smaller than it says.
    DeviceTooSmall {
        /// Sectors that are needed: for the pool, or to be as large as it says.
        needed: u64,
        /// Sectors that it has.
        actual: u64,
    },
    /// The pool was formatted on a device with sectors of another size.
    WrongSectorSize {
        /// Bytes in a sector, as the pool was formatted.
        pool: u32,
        /// Bytes in a sector of this device.
        device: u32,
    },
    /// Sector size, block size or another parameter is outside what the format or the device allows.
    BadParameter(&'static str),
    /// The base device is missing, or is not the one that the pool was formatted on.
    WrongBase,
    /// Not enough free blocks.
    NoSpace {
        /// Blocks that are missing.
        missing: u64,
    },
    /// The range does not lie inside the layer, or is not a whole number of sectors.
    OutOfRange {
        /// Sectors of the layer.
        sectors: u64,
    },
    /// Transfers are under way that must be given back first.
    Busy {
        /// How many.
        transfers: u32,
    },
    /// There is no such layer.
    NoSuchLayer(LayerId),
    /// The operation needs a layer of another kind (a volume, a snapshot, a staged attachment, of the same tree).
    WrongKind(LayerId),
    /// A live layer already has that name.
    NameTaken(LayerId),
    /// The name is empty, too long, or has control characters; or the description is too long.
    BadName,
    /// A counter of the format (epochs or layer numbers) is used up.
    Exhausted,
    /// The budget of a step is too small for its smallest piece of work.
    BudgetTooSmall {
        /// The smallest budget that works.
        needed: u32,
    },
}

impl<E: fmt::Debug> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "the device failed: {error:?}"),
            Self::Poisoned => f.write_str("an earlier write failed; mount the pool again to go on"),
            Self::ReadOnly => f.write_str("this is read-only"),
            Self::NotAPool => f.write_str("there is no pool on the device"),
            Self::HoldsPool => f.write_str("the device already holds a pool"),
            Self::UnsupportedVersion { major, minor } => {
                write!(f, "the pool has format version {major}.{minor}, which this version does not know")
            }
            Self::UnsupportedFeatures { bits } => write!(f, "the pool uses unknown features {bits:#x}"),
            Self::Corrupt { what, block } => write!(f, "damage: {what:?} at block {block}"),
            Self::WorkspaceTooSmall { needed } => write!(f, "the workspace is too small: {needed} bytes are needed"),
            Self::DeviceTooSmall { needed, actual } => {
                write!(f, "the device has {actual} sectors, {needed} are needed")
            }
            Self::WrongSectorSize { pool, device } => {
                write!(
                    f,
                    "the pool was made on a device with sectors of {pool} bytes, this one has sectors of {device}"
                )
            }
            Self::BadParameter(what) => write!(f, "unusable parameter: {what}"),
            Self::WrongBase => f.write_str("the base device is missing or is not the one that the pool was made on"),
            Self::NoSpace { missing } => write!(f, "no space: {missing} more free blocks are needed"),
            Self::OutOfRange { sectors } => {
                write!(f, "the range is not a whole number of sectors inside the layer's {sectors}")
            }
            Self::Busy { transfers } => write!(f, "{transfers} transfers are under way and must end first"),
            Self::NoSuchLayer(id) => write!(f, "there is no layer {id}"),
            Self::WrongKind(id) => write!(f, "layer {id} is not of the kind that this needs"),
            Self::NameTaken(id) => write!(f, "layer {id} already has that name"),
            Self::BadName => {
                f.write_str("a name has 1 to 63 bytes without control characters, a description at most 767 bytes")
            }
            Self::Exhausted => f.write_str("the pool has used up its layer numbers or epochs"),
            Self::BudgetTooSmall { needed } => write!(f, "the budget is too small: {needed} operations are needed"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for Error<E> {}

impl<E: fmt::Debug> embedded_io::Error for Error<E> {
    fn kind(&self) -> embedded_io::ErrorKind {
        use embedded_io::ErrorKind;
        match self {
            Self::NoSpace { .. } => ErrorKind::OutOfMemory,
            Self::OutOfRange { .. } | Self::BadParameter(_) | Self::WrongSectorSize { .. } | Self::BadName => {
                ErrorKind::InvalidInput
            }
            Self::Corrupt { .. } => ErrorKind::InvalidData,
            Self::NoSuchLayer(_) | Self::NotAPool => ErrorKind::NotFound,
            Self::NameTaken(_) | Self::HoldsPool => ErrorKind::AlreadyExists,
            Self::ReadOnly => ErrorKind::PermissionDenied,
            Self::UnsupportedVersion { .. } | Self::UnsupportedFeatures { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Other,
        }
    }
}
