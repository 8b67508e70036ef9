//! The caller's callbacks as a block device.

use core::ffi::c_void;

use cowl::BlockDevice;

use crate::{
    ABI_VERSION,
    memory::value,
    status::{Failure, Status},
};

/// The device refuses writes.
pub const GEOMETRY_READ_ONLY: u32 = 1;
/// The device's `discard` does something.
pub const GEOMETRY_DISCARD: u32 = 2;

/// Size and shape of a device.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Geometry {
    /// Number of sectors.
    pub sectors: u64,
    /// Bytes in a sector: a power of two from 512 to 65,536.
    pub sector_size: u32,
    /// Bytes that the device rewrites as a whole (4096 on a 512e disk); 0 means one sector.
    pub physical_size: u32,
    /// Alignment in memory that the device wants of its buffers, in bytes; 0 means that it does not care.
    pub alignment: u32,
    /// `COWL_GEOMETRY_READ_ONLY`, `COWL_GEOMETRY_DISCARD`.
    pub flags: u32,
}

/// A block device, as callbacks. They return 0, or a number of the caller's own that comes back in `cowl_error.device`.
///
/// The contract is that of `cowl::BlockDevice`: buffers are whole sectors, and when `flush` returns 0 every write that returned before it
/// was called survives power loss. A callback must not call the pool that called it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Device {
    /// `COWL_ABI_VERSION`.
    pub abi_version: u32,
    /// `sizeof(cowl_device)`.
    pub size: u32,
    /// Handed to every callback.
    pub context: *mut c_void,
    /// Fills in size and shape; every field is 0 before. Asked again whenever it matters.
    pub geometry: Option<unsafe extern "C" fn(context: *mut c_void, geometry: *mut Geometry)>,
    /// Fills the buffer with the sectors from `sector` on.
    pub read:
        Option<unsafe extern "C" fn(context: *mut c_void, sector: u64, buffer: *mut c_void, length: usize) -> i32>,
    /// Stores the buffer in the sectors from `sector` on. May be NULL on a read-only device.
    pub write:
        Option<unsafe extern "C" fn(context: *mut c_void, sector: u64, buffer: *const c_void, length: usize) -> i32>,
    /// Makes every completed write durable. May be NULL on a read-only device.
    pub flush: Option<unsafe extern "C" fn(context: *mut c_void) -> i32>,
    /// Tells the device that nothing needs these sectors any more. May be NULL.
    pub discard: Option<unsafe extern "C" fn(context: *mut c_void, sector: u64, count: u64) -> i32>,
}

/// What a callback returned instead of 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceFault(pub i32);

/// The callbacks, all of them there.
#[derive(Clone, Copy)]
pub struct Callbacks {
    context: *mut c_void,
    geometry: unsafe extern "C" fn(*mut c_void, *mut Geometry),
    read: unsafe extern "C" fn(*mut c_void, u64, *mut c_void, usize) -> i32,
    write: unsafe extern "C" fn(*mut c_void, u64, *const c_void, usize) -> i32,
    flush: unsafe extern "C" fn(*mut c_void) -> i32,
    discard: Option<unsafe extern "C" fn(*mut c_void, u64, u64) -> i32>,
}

unsafe extern "C" fn no_write(_: *mut c_void, _: u64, _: *const c_void, _: usize) -> i32 {
    -1
}

unsafe extern "C" fn no_flush(_: *mut c_void) -> i32 {
    0
}

fn fault(code: i32) -> Result<(), DeviceFault> {
    if code == 0 { Ok(()) } else { Err(DeviceFault(code)) }
}

impl Callbacks {
    /// The callbacks of a structure from outside, if they can be used.
    ///
    /// # Safety
    /// The rules of pointers.
    pub(crate) unsafe fn new(device: *const Device) -> Result<Self, Failure> {
        // SAFETY: the first two fields are in every version; they are judged before the rest is read.
        let versions = unsafe { value(device.cast::<[u32; 2]>(), "the device")? };
        let expected = [ABI_VERSION, u32::try_from(size_of::<Device>()).unwrap_or(0)];
        for (actual, needed) in versions.into_iter().zip(expected) {
            if actual != needed {
                let (needed, actual) = (u64::from(needed), u64::from(actual));
                return Err(Failure { needed, actual, ..Failure::new(Status::WrongAbi) });
            }
        }
        // SAFETY: the rules of pointers; it is of this version.
        let device = unsafe { value(device, "the device")? };
        let (Some(geometry), Some(read)) = (device.geometry, device.read) else {
            return Err(Failure::pointer("a device needs the callbacks geometry and read"));
        };
        let mut this =
            Self { context: device.context, geometry, read, write: no_write, flush: no_flush, discard: device.discard };
        let shape = this.geometry();
        if !shape.sector_size.is_power_of_two() || !(512..=65_536).contains(&shape.sector_size) {
            let reason = "the sector size must be a power of two from 512 to 65536";
            return Err(Failure::with_reason(Status::BadParameter, reason));
        }
        match (device.write, device.flush) {
            (Some(write), Some(flush)) => (this.write, this.flush) = (write, flush),
            _ if shape.read_only => {}
            _ => return Err(Failure::pointer("a writable device needs the callbacks write and flush")),
        }
        Ok(this)
    }
}

impl BlockDevice for Callbacks {
    type Error = DeviceFault;

    fn geometry(&self) -> cowl::Geometry {
        let mut shape = Geometry::default();
        // SAFETY: the device's contract; the structure is all the callback gets.
        unsafe { (self.geometry)(self.context, &raw mut shape) };
        cowl::Geometry {
            sector_size: shape.sector_size,
            sectors: shape.sectors,
            physical_size: shape.physical_size.max(shape.sector_size),
            alignment: shape.alignment.max(1),
            read_only: shape.flags & GEOMETRY_READ_ONLY != 0,
            discard: shape.flags & GEOMETRY_DISCARD != 0 && self.discard.is_some(),
        }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceFault> {
        // SAFETY: the device's contract; the buffer is as long as it is said to be.
        fault(unsafe { (self.read)(self.context, sector, buffer.as_mut_ptr().cast(), buffer.len()) })
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DeviceFault> {
        // SAFETY: the device's contract; the buffer is as long as it is said to be.
        fault(unsafe { (self.write)(self.context, sector, buffer.as_ptr().cast(), buffer.len()) })
    }

    fn flush(&mut self) -> Result<(), DeviceFault> {
        // SAFETY: the device's contract.
        fault(unsafe { (self.flush)(self.context) })
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), DeviceFault> {
        // SAFETY: the device's contract.
        self.discard.map_or(Ok(()), |discard| fault(unsafe { discard(self.context, sector, count) }))
    }
}

/// The base device, which a pool need not have.
#[derive(Clone, Copy)]
pub struct Base(pub(crate) Option<Callbacks>);

impl BlockDevice for Base {
    type Error = DeviceFault;

    fn geometry(&self) -> cowl::Geometry {
        let none = cowl::Geometry { read_only: true, ..cowl::Geometry::new(512, 0) };
        self.0.as_ref().map_or(none, BlockDevice::geometry)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceFault> {
        if let Some(base) = &mut self.0 {
            return base.read(sector, buffer);
        }
        buffer.fill(0);
        Ok(())
    }

    /// Never called: a base is only read.
    fn write(&mut self, _sector: u64, _buffer: &[u8]) -> Result<(), DeviceFault> {
        Err(DeviceFault(-1))
    }

    fn flush(&mut self) -> Result<(), DeviceFault> {
        Ok(())
    }
}
