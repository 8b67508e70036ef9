//! What a call returns, and the numbers that belong to an error.

use core::{ffi::c_char, ptr};

use cowl::Error;

use crate::device::DeviceFault;

/// What a call returns: 0 and above if it worked, below 0 if it did not. Unless said otherwise nothing has changed then.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// There is nothing (more) of what was asked for; for transfers: use the plain call.
    None = 1,
    /// There is more to do: call again.
    More = 2,
    /// A callback of the device failed: its number is in `device`. After a failed write or flush the pool refuses all changes
    /// until it is mounted again.
    Device = -1,
    /// An earlier write or flush failed: reads go on, changes need a new mount.
    Poisoned = -2,
    /// The device, the mount or the layer is read-only.
    ReadOnly = -3,
    /// There is nothing of a pool on the device.
    NotAPool = -4,
    /// The device holds a pool, or the remains of one, and formatting was not forced.
    HoldsPool = -5,
    /// The pool was written by a later version: `major`, `minor`.
    UnsupportedVersion = -6,
    /// The pool uses features that this version does not know: `features`.
    UnsupportedFeatures = -7,
    /// Damage on the device: `object` at `block`.
    Corrupt = -8,
    /// The memory given is too small: `needed` bytes.
    MemoryTooSmall = -9,
    /// The device is too small: `needed` sectors, it has `actual`.
    DeviceTooSmall = -10,
    /// A parameter is outside what the format or the device allows: `reason`.
    BadParameter = -11,
    /// The base device is missing, or is not the one that the pool was formatted on.
    WrongBase = -12,
    /// Not enough free blocks: `needed` more.
    NoSpace = -13,
    /// The range does not lie inside the layer, which has `actual` sectors, or is not a whole number of sectors.
    OutOfRange = -14,
    /// Transfers are under way that must be given back first: `actual`.
    Busy = -15,
    /// There is no such layer: `layer`.
    NoSuchLayer = -16,
    /// The operation needs a layer of another kind: `layer`.
    WrongKind = -17,
    /// A live layer already has that name: `layer`.
    NameTaken = -18,
    /// The name is empty, too long, or has control characters; the description is too long; or either is no UTF-8.
    BadName = -19,
    /// A counter of the format is used up.
    Exhausted = -20,
    /// The budget of a step is too small: `needed`.
    BudgetTooSmall = -21,
    /// The pool was formatted on a device with sectors of `needed` bytes; this one has sectors of `actual`.
    WrongSectorSize = -22,
    /// Misuse: a pointer is NULL, not aligned, or leads into the pool's own memory. `reason` says which.
    BadPointer = -64,
    /// Misuse: this is no mounted pool, or no transfer or question of this pool.
    NotMounted = -65,
    /// Misuse: a callback called the pool that called it.
    Entered = -66,
    /// Misuse: the program was compiled with another version of this header. It says `actual`, the library `needed`: the
    /// version, or the size of the structure.
    WrongAbi = -67,
    /// An error that this version of the interface has no number for.
    Unknown = -128,
}

/// An object on the device, named in reports of damage.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// None, or one that this version of the interface has no number for.
    None = 0,
    /// A superblock slot.
    Superblock = 1,
    /// The journal.
    Journal = 2,
    /// A node of a layer's map.
    MapNode = 3,
    /// A block of a volume's or snapshot's data.
    Data = 4,
    /// A node of the space map.
    SpaceMap = 5,
    /// A page or node of the catalog.
    Catalog = 6,
    /// A layer's record.
    Layer = 7,
    /// The base device.
    Base = 8,
}

impl Object {
    pub(crate) fn of(object: cowl::Object) -> Self {
        match object {
            cowl::Object::Superblock => Self::Superblock,
            cowl::Object::Journal => Self::Journal,
            cowl::Object::MapNode => Self::MapNode,
            cowl::Object::Data => Self::Data,
            cowl::Object::SpaceMap => Self::SpaceMap,
            cowl::Object::Catalog => Self::Catalog,
            cowl::Object::Layer => Self::Layer,
            cowl::Object::Base => Self::Base,
            _ => Self::None,
        }
    }
}

/// An error with its numbers. Fields that do not belong to the status are 0.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// What went wrong.
    pub status: Status,
    /// What the device's callback returned.
    pub device: i32,
    /// The layer that it is about.
    pub layer: u32,
    /// What is damaged.
    pub object: Object,
    /// Unknown features, as bits.
    pub features: u32,
    /// Major version of the pool's format.
    pub major: u16,
    /// Minor version of the pool's format.
    pub minor: u16,
    /// What is needed, in the unit that the status says.
    pub needed: u64,
    /// What there is, in the unit that the status says.
    pub actual: u64,
    /// The damaged block.
    pub block: u64,
    /// A sentence for people, not terminated; NULL if there is none. Valid for ever.
    pub reason: *const c_char,
    /// Bytes of the sentence.
    pub reason_length: usize,
}

impl Failure {
    /// No numbers.
    pub(crate) const fn new(status: Status) -> Self {
        Self {
            status,
            device: 0,
            layer: 0,
            object: Object::None,
            features: 0,
            major: 0,
            minor: 0,
            needed: 0,
            actual: 0,
            block: 0,
            reason: ptr::null(),
            reason_length: 0,
        }
    }

    pub(crate) const fn with_reason(status: Status, reason: &'static str) -> Self {
        Self { reason: reason.as_ptr().cast(), reason_length: reason.len(), ..Self::new(status) }
    }

    pub(crate) const fn pointer(reason: &'static str) -> Self {
        Self::with_reason(Status::BadPointer, reason)
    }

    pub(crate) fn memory(needed: usize) -> Self {
        Self { needed: needed as u64, ..Self::new(Status::MemoryTooSmall) }
    }

    fn about(status: Status, layer: cowl::LayerId) -> Self {
        Self { layer: layer.0, ..Self::new(status) }
    }
}

impl From<Error<DeviceFault>> for Failure {
    fn from(error: Error<DeviceFault>) -> Self {
        match error {
            Error::Device(fault) => Self { device: fault.0, ..Self::new(Status::Device) },
            Error::Poisoned => Self::new(Status::Poisoned),
            Error::ReadOnly => Self::new(Status::ReadOnly),
            Error::NotAPool => Self::new(Status::NotAPool),
            Error::HoldsPool => Self::new(Status::HoldsPool),
            Error::UnsupportedVersion { major, minor } => {
                Self { major, minor, ..Self::new(Status::UnsupportedVersion) }
            }
            Error::UnsupportedFeatures { bits } => Self { features: bits, ..Self::new(Status::UnsupportedFeatures) },
            Error::Corrupt { what, block } => Self { object: Object::of(what), block, ..Self::new(Status::Corrupt) },
            Error::WorkspaceTooSmall { needed } => Self::memory(needed),
            Error::DeviceTooSmall { needed, actual } => Self { needed, actual, ..Self::new(Status::DeviceTooSmall) },
            Error::WrongSectorSize { pool, device } => {
                let (needed, actual) = (u64::from(pool), u64::from(device));
                Self { needed, actual, ..Self::new(Status::WrongSectorSize) }
            }
            Error::BadParameter(reason) => Self::with_reason(Status::BadParameter, reason),
            Error::WrongBase => Self::new(Status::WrongBase),
            Error::NoSpace { missing } => Self { needed: missing, ..Self::new(Status::NoSpace) },
            Error::OutOfRange { sectors } => Self { actual: sectors, ..Self::new(Status::OutOfRange) },
            Error::Busy { transfers } => Self { actual: u64::from(transfers), ..Self::new(Status::Busy) },
            Error::NoSuchLayer(layer) => Self::about(Status::NoSuchLayer, layer),
            Error::WrongKind(layer) => Self::about(Status::WrongKind, layer),
            Error::NameTaken(layer) => Self::about(Status::NameTaken, layer),
            Error::BadName => Self::new(Status::BadName),
            Error::Exhausted => Self::new(Status::Exhausted),
            Error::BudgetTooSmall { needed } => Self { needed: u64::from(needed), ..Self::new(Status::BudgetTooSmall) },
            _ => Self::new(Status::Unknown),
        }
    }
}

/// A sentence about a status, for people; never NULL, and valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn cowl_status_text(status: i32) -> *const c_char {
    let text = match status {
        0 => c"done",
        1 => c"there is nothing (more) of this",
        2 => c"there is more to do",
        -1 => c"the device failed",
        -2 => c"an earlier write failed; mount the pool again to go on",
        -3 => c"this is read-only",
        -4 => c"there is no pool on the device",
        -5 => c"the device already holds a pool",
        -6 => c"the pool has a format version that this version does not know",
        -7 => c"the pool uses features that this version does not know",
        -8 => c"damage on the device",
        -9 => c"the memory is too small",
        -10 => c"the device is too small",
        -11 => c"unusable parameter",
        -12 => c"the base device is missing or is not the one that the pool was made on",
        -13 => c"no space",
        -14 => c"the range is not a whole number of sectors inside the layer",
        -15 => c"transfers are under way and must end first",
        -16 => c"there is no such layer",
        -17 => c"the layer is not of the kind that this needs",
        -18 => c"another layer already has that name",
        -19 => c"a name has 1 to 63 bytes of UTF-8 without control characters, a description at most 767 bytes",
        -20 => c"the pool has used up its layer numbers or epochs",
        -21 => c"the budget is too small",
        -22 => c"the device's sectors are not of the size that the pool was made on",
        -64 => c"a pointer is NULL, not aligned, or leads into the pool's own memory",
        -65 => c"this is no mounted pool, or nothing of this pool",
        -66 => c"a callback called the pool that called it",
        -67 => c"the program was compiled with another version of cowl.h",
        _ => c"unknown status",
    };
    text.as_ptr()
}
