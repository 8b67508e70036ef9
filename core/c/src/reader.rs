//! The small reader: a pool that is only read, for a boot loader.

use core::{
    ffi::{c_char, c_void},
    ptr,
};

use cowl::{Error, Reader};

use crate::{
    checksum::CHECKSUM,
    device::{Callbacks, Device},
    handle::{self, ReaderHandle, carve, enter, install, overhead},
    memory::Out,
    open::{in_all, report},
    status::{Failure, Status},
};

/// A layer that has been opened.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Image {
    /// Its size in sectors.
    pub sectors: u64,
    /// The length of an attachment in bytes; 0 for other layers.
    pub length: u64,
    /// The layer's number.
    pub id: u32,
}

/// Bytes of memory that `cowl_reader_mount` needs; 0 if the format allows no such pool. `pending` is what the pool was formatted with, 0: what
/// `cowl_format` chooses; `alignment` what the device wants of its buffers, 0: nothing.
#[unsafe(no_mangle)]
pub extern "C" fn cowl_reader_memory_size(block_size: u32, pending: u32, alignment: u32) -> usize {
    let usual = cowl::Limits::new(block_size, 0).pending;
    let workspace = cowl::reader_workspace_size(block_size, if pending == 0 { usual } else { pending });
    let alignment = alignment.max(1);
    if workspace == 0 || pending > 1 << 20 || alignment > block_size {
        return 0;
    }
    let skipped = usize::try_from(alignment - 1).unwrap_or(usize::MAX);
    workspace.saturating_add(overhead::<ReaderHandle>()).saturating_add(skipped)
}

/// Opens the pool on the device, to read and no more, with a tenth of the code that a pool takes. The reader lies in the memory, and `*reader` leads
/// to it for as long as the memory is left alone; there is nothing to end. NULL if this fails. A pool on a base device is refused. `error` may be NULL.
///
/// Power loss: nothing is written, all is as before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_reader_mount(
    device: *const Device,
    memory: *mut c_void,
    size: usize,
    reader: *mut *mut ReaderHandle,
    error: *mut Failure,
) -> Status {
    // SAFETY: the rules of pointers.
    let Ok(error) = (unsafe { Out::or_null(error) }) else { return Status::BadPointer };
    // SAFETY: the rules of pointers.
    let reader = match unsafe { Out::new(reader) } {
        Ok(reader) => reader,
        Err(failure) => return report(Err(failure), error),
    };
    // SAFETY: the rules of pointers.
    let (place, outcome) = match unsafe { mount(device, memory, size) } {
        Ok(place) => (place, Ok(Status::Ok)),
        Err(failure) => (ptr::null_mut(), Err(failure)),
    };
    reader.set(place);
    report(outcome, error)
}

unsafe fn mount(device: *const Device, memory: *mut c_void, size: usize) -> Result<*mut ReaderHandle, Failure> {
    // SAFETY: handed on.
    let (device, (place, workspace)) = unsafe { (Callbacks::new(device)?, carve(memory, size)?) };
    let length = workspace.len();
    let reader = Reader::mount(device, workspace, CHECKSUM).map_err(|error| in_all(error, size, length))?;
    // SAFETY: the place is from `carve`, with this workspace.
    unsafe { install(place, length, (reader, None)) };
    Ok(place)
}

/// Opens the volume or snapshot of this name: `cowl_reader_read` reads it from now on. `COWL_STATUS_NONE` if there is none; what was open stays so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_reader_open(reader: *mut ReaderHandle, name: *const c_char, image: *mut Image) -> Status {
    // SAFETY: the rules of pointers.
    unsafe { open(reader, name, image, |reader, _, name| reader.find(name)) }
}

/// Opens the attachment of this name of the layer that is open, and reads that from now on. `COWL_STATUS_NONE` if there is none, or no layer is open;
/// what was open stays so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_reader_open_attachment(
    reader: *mut ReaderHandle,
    name: *const c_char,
    image: *mut Image,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        open(reader, name, image, |reader, of, name| match of {
            Some(of) => reader.attachment(&of, name),
            None => Ok(None),
        })
    }
}

type Found = Result<Option<cowl::Image>, Error<crate::device::DeviceFault>>;

/// # Safety
/// The rules of pointers.
unsafe fn open(
    reader: *mut ReaderHandle,
    name: *const c_char,
    image: *mut Image,
    find: impl FnOnce(&mut handle::Reading, Option<cowl::Image>, &str) -> Found,
) -> Status {
    // SAFETY: handed on.
    unsafe {
        enter(reader, |call| {
            let (out, name) = (call.out_or_null(image)?, call.text(name)?);
            let (reader, opened) = &mut *call.pool;
            let Some(found) = find(reader, *opened, name)? else { return Ok(Status::None) };
            out.set(Image { sectors: found.sectors(), length: found.length(), id: found.id().0 });
            *opened = Some(found);
            Ok(Status::Ok)
        })
    }
}

/// Reads whole sectors of the layer that is open; `COWL_STATUS_NO_SUCH_LAYER` if none is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_reader_read(
    reader: *mut ReaderHandle,
    sector: u64,
    buffer: *mut c_void,
    length: usize,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(reader, |call| {
            let buffer = call.bytes_mut(buffer, length)?;
            let (reader, opened) = &mut *call.pool;
            let Some(image) = opened else { return Err(Failure::new(Status::NoSuchLayer)) };
            reader.read(image, sector, buffer)?;
            Ok(Status::Ok)
        })
    }
}

/// The numbers that belong to the last call on this reader that failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_reader_last_error(reader: *const ReaderHandle, error: *mut Failure) -> Status {
    // SAFETY: the rules of pointers.
    unsafe { crate::open::last_error(reader, error) }
}
