//! Pointers from outside, judged before they are used.
//!
//! What can be seen of a pointer is checked: NULL, alignment, length. That it leads to what it should is the caller's promise.
//! Bytes on the other side of the boundary count as initialized, whatever they are.

use core::{
    ffi::{c_char, c_void},
    slice,
};

use crate::status::{Failure, Status};

/// The pointer leads to something that could be `count` values of this type.
pub(crate) fn judge<T>(pointer: *const T, count: usize, what: &'static str) -> Result<(), Failure> {
    let fits = count.checked_mul(size_of::<T>()).is_some_and(|bytes| isize::try_from(bytes).is_ok());
    if pointer.is_null() || !pointer.is_aligned() || !fits {
        return Err(Failure::pointer(what));
    }
    Ok(())
}

/// The first place in the memory where a `T` can lie.
pub(crate) fn align<T>(memory: *mut u8, size: usize) -> Result<*mut T, Failure> {
    let skip = memory.align_offset(align_of::<T>());
    let needed = skip.saturating_add(size_of::<T>());
    if size < needed {
        return Err(Failure::memory(needed));
    }
    // It is aligned, as the line above made it.
    #[allow(clippy::cast_ptr_alignment)]
    Ok(memory.wrapping_add(skip).cast())
}

/// A copy of what the pointer leads to.
///
/// # Safety
/// The rules of pointers.
pub(crate) unsafe fn value<T: Copy>(pointer: *const T, what: &'static str) -> Result<T, Failure> {
    judge(pointer, 1, what)?;
    // SAFETY: neither NULL nor misaligned; the rest is the caller's promise.
    Ok(unsafe { pointer.read() })
}

/// The values that the pointer leads to; NULL is allowed if there are none.
///
/// # Safety
/// The rules of pointers; nobody writes to them while they are in use.
pub(crate) unsafe fn values<'a, T: Copy>(
    pointer: *const T,
    count: usize,
    what: &'static str,
) -> Result<&'a [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    judge(pointer, count, what)?;
    // SAFETY: neither NULL nor misaligned nor longer than a slice can be; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(pointer, count) })
}

/// The bytes that the pointer leads to, to be written.
///
/// # Safety
/// The rules of pointers; nobody else uses them meanwhile.
pub(crate) unsafe fn bytes_mut<'a>(pointer: *mut c_void, length: usize) -> Result<&'a mut [u8], Failure> {
    if length == 0 {
        return Ok(&mut []);
    }
    judge(pointer.cast::<u8>(), length, "the buffer")?;
    // SAFETY: not NULL and no longer than a slice can be; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts_mut(pointer.cast(), length) })
}

/// A text with a terminating zero within `most` bytes; NULL is the empty text.
///
/// # Safety
/// The rules of pointers.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, most: usize) -> Result<&'a str, Failure> {
    if pointer.is_null() {
        return Ok("");
    }
    // SAFETY: the byte is read only if no zero was before it.
    let Some(length) = (0..=most).find(|i| unsafe { *pointer.add(*i) } == 0) else {
        return Err(Failure::new(Status::BadName));
    };
    // SAFETY: these bytes have just been looked at.
    let bytes = unsafe { slice::from_raw_parts(pointer.cast(), length) };
    core::str::from_utf8(bytes).map_err(|_| Failure::new(Status::BadName))
}

/// A place for a result, judged before the work begins.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// The rules of pointers, until [`set`](Self::set).
    pub(crate) unsafe fn new(pointer: *mut T) -> Result<Self, Failure> {
        judge(pointer, 1, "the place for the result")?;
        Ok(Self(pointer))
    }

    /// NULL is allowed: nobody wants the result.
    ///
    /// # Safety
    /// The rules of pointers, until [`set`](Self::set).
    pub(crate) unsafe fn or_null(pointer: *mut T) -> Result<Self, Failure> {
        // SAFETY: handed on.
        if pointer.is_null() { Ok(Self(pointer)) } else { unsafe { Self::new(pointer) } }
    }

    pub(crate) fn address(&self) -> *const c_void {
        self.0.cast()
    }

    pub(crate) fn set(self, result: T) {
        if !self.0.is_null() {
            // SAFETY: judged by `new`; the rest is the caller's promise there.
            unsafe { self.0.write(result) };
        }
    }
}
