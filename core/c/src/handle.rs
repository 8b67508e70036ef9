//! Where a pool, or the small reader of one, lies in the caller's memory, and the gate that every call goes through.
//!
//! A place stands at the first aligned byte of the memory given to `cowl_mount`; behind it is the pool's workspace. To the program it is a
//! [`Handle`], of which it has a pointer and no more. Invariants:
//! - `tag` is the place's own address, disguised, exactly while a pool is mounted in it;
//! - `entered` is set exactly while a call works on the pool, so that a callback cannot get in a second time: whoever holds the
//!   only reference to the pool is the call that set it. All other fields are touched through raw pointers.

use core::{
    ffi::{c_char, c_void},
    mem::MaybeUninit,
    ptr, slice,
};

use crate::{
    device::{Base, Callbacks},
    memory::{self, Out},
    status::{Failure, Status},
};

/// The pool of this interface: every device and every base of it is of one type.
pub(crate) type Mounted = cowl::Pool<'static, Callbacks, Base>;

/// The small reader of this interface.
pub(crate) type Reading = cowl::Reader<'static, Callbacks>;

/// A mounted pool, somewhere in the memory that was given to `cowl_mount`.
pub struct Handle([u8; 0]);

/// A pool that is only read, somewhere in the memory that was given to `cowl_reader_mount`.
pub struct ReaderHandle([u8; 0]);

/// What a pointer of the program's stands for.
pub(crate) trait Opaque: Sized {
    /// What lies there.
    type Inside;
    /// Tells one kind of place from the other.
    const MOUNTED: usize;
}

impl Opaque for Handle {
    type Inside = Mounted;
    const MOUNTED: usize = 0x5ec0_91b7;
}

impl Opaque for ReaderHandle {
    /// The reader, and the layer that was opened last.
    type Inside = (Reading, Option<cowl::Image>);
    const MOUNTED: usize = 0x73ad_e45c;
}

/// Where that lies. The tag stands first in places of every kind, so that it can be looked at before the kind is known: a pointer to the other
/// kind is refused by it.
#[repr(C)]
struct Place<H: Opaque> {
    tag: usize,
    entered: bool,
    /// The caller's memory, from here to where the workspace ends.
    bytes: usize,
    last: Failure,
    pool: MaybeUninit<H::Inside>,
}

/// Bytes of memory that a pool needs beside its workspace, wherever the memory begins.
pub(crate) const fn overhead<H: Opaque>() -> usize {
    size_of::<Place<H>>() + align_of::<Place<H>>() - 1
}

/// The caller's memory, cut into the place of a handle and a workspace, all zeros.
///
/// # Safety
/// The rules of pointers; the memory is the pool's from here on.
pub(crate) unsafe fn carve<H: Opaque>(
    memory: *mut c_void,
    size: usize,
) -> Result<(*mut H, &'static mut [u8]), Failure> {
    memory::judge(memory.cast::<u8>(), size, "the memory")?;
    let start = memory.cast::<u8>();
    let place = memory::align::<Place<H>>(start, size)?;
    let before = place.addr() - start.addr() + size_of::<Place<H>>();
    // SAFETY: `size` bytes are the caller's promise, and a handle fits in, as `align` says.
    unsafe {
        start.write_bytes(0, size);
        Ok((place.cast(), slice::from_raw_parts_mut(start.add(before), size - before)))
    }
}

/// A pool that has just been mounted on the workspace beside this place.
///
/// # Safety
/// The place is from [`carve`], with a workspace of `workspace` bytes.
pub(crate) unsafe fn install<H: Opaque>(handle: *mut H, workspace: usize, pool: H::Inside) {
    let place = Place::<H> {
        tag: handle.addr() ^ H::MOUNTED,
        entered: false,
        bytes: size_of::<Place<H>>() + workspace,
        last: Failure::new(Status::Ok),
        pool: MaybeUninit::new(pool),
    };
    // SAFETY: aligned, and inside the caller's memory.
    unsafe { handle.cast::<Place<H>>().write(place) };
}

/// The place that a pointer of the program's leads to, if that can be looked at.
fn visible<H: Opaque>(handle: *const H) -> Option<*mut Place<H>> {
    let place = handle.cast_mut().cast::<Place<H>>();
    (!place.is_null() && place.is_aligned()).then_some(place)
}

/// Sets `entered`, if this is a mounted pool that nobody is in.
///
/// # Safety
/// The rules of pointers.
unsafe fn begin<H: Opaque>(handle: *mut H) -> Result<*mut Place<H>, Status> {
    let place = visible(handle).ok_or(Status::BadPointer)?;
    // SAFETY: the rules of pointers; single fields only, since a call further up may hold the pool.
    unsafe {
        if (*place).tag != place.addr() ^ H::MOUNTED {
            return Err(Status::NotMounted);
        }
        if (*place).entered {
            return Err(Status::Entered);
        }
        (*place).entered = true;
    }
    Ok(place)
}

/// A call that is inside: the pool, and what else of the caller's it needs.
pub(crate) struct Call<'c, T = Mounted> {
    pub(crate) pool: &'c mut T,
    pub(crate) handle: *const c_void,
    bytes: usize,
}

/// What the work of a call comes to.
pub(crate) type Outcome = Result<Status, Failure>;

/// Does the work on the pool, and remembers what went wrong.
///
/// # Safety
/// The rules of pointers.
pub(crate) unsafe fn enter<H: Opaque>(
    handle: *mut H,
    work: impl FnOnce(&mut Call<'_, H::Inside>) -> Outcome,
) -> Status {
    // SAFETY: handed on.
    let place = match unsafe { begin(handle) } {
        Ok(place) => place,
        Err(status) => return status,
    };
    // SAFETY: mounted, so the pool is there; `entered` was not set, so nobody else refers to it.
    let mut call =
        unsafe { Call { pool: (*place).pool.assume_init_mut(), handle: handle.cast(), bytes: (*place).bytes } };
    let outcome = work(&mut call);
    // SAFETY: as at the beginning.
    unsafe { end(place, outcome) }
}

unsafe fn end<H: Opaque>(place: *mut Place<H>, outcome: Outcome) -> Status {
    let failure = outcome.map_or_else(|failure| failure, Failure::new);
    // SAFETY: `enter` looked at it before.
    unsafe {
        (*place).entered = false;
        if outcome.is_err() {
            (*place).last = failure;
        }
    }
    failure.status
}

/// Ends the mount, if the pool allows it; the pool is then the caller's.
///
/// # Safety
/// The rules of pointers.
pub(crate) unsafe fn leave(
    handle: *mut Handle,
    allowed: impl FnOnce(&Mounted) -> Result<(), Failure>,
    last: impl FnOnce(Mounted) -> Outcome,
) -> Status {
    // SAFETY: handed on.
    let place = match unsafe { begin(handle) } {
        Ok(place) => place,
        Err(status) => return status,
    };
    // SAFETY: as in `enter`. The pool is moved out, and the tag is gone before anybody could look for it again.
    unsafe {
        if let Err(failure) = allowed((*place).pool.assume_init_ref()) {
            return end(place, Err(failure));
        }
        (*place).tag = 0;
        let outcome = last(ptr::read(&raw const (*place).pool).assume_init());
        end(place, outcome)
    }
}

/// What went wrong last.
///
/// # Safety
/// The rules of pointers.
pub(crate) unsafe fn last<H: Opaque>(handle: *const H) -> Result<Failure, Failure> {
    let place = visible(handle).ok_or(Failure::pointer("the pool"))?;
    // SAFETY: the rules of pointers; a field that no call further up refers to.
    Ok(unsafe { (*place).last })
}

impl<T> Call<'_, T> {
    /// The range lies outside the pool's own memory.
    fn outside(&self, start: *const c_void, length: usize) -> Result<(), Failure> {
        let (own, start) = (self.handle.addr(), start.addr());
        if start < own.saturating_add(self.bytes) && own < start.saturating_add(length) {
            return Err(Failure::pointer("a buffer inside the pool's own memory"));
        }
        Ok(())
    }

    /// # Safety
    /// The rules of pointers; nobody writes to them while they are in use.
    pub(crate) unsafe fn values<'a, V: Copy>(
        &self,
        pointer: *const V,
        count: usize,
        what: &'static str,
    ) -> Result<&'a [V], Failure> {
        // SAFETY: handed on.
        let values = unsafe { memory::values(pointer, count, what)? };
        self.outside(values.as_ptr().cast(), size_of_val(values))?;
        Ok(values)
    }

    /// # Safety
    /// The rules of pointers; nobody else uses them meanwhile.
    pub(crate) unsafe fn bytes_mut<'a>(&self, pointer: *mut c_void, length: usize) -> Result<&'a mut [u8], Failure> {
        self.outside(pointer, length)?;
        // SAFETY: handed on.
        unsafe { memory::bytes_mut(pointer, length) }
    }

    /// A text that is no longer than a description can be, or refused.
    ///
    /// # Safety
    /// The rules of pointers.
    pub(crate) unsafe fn text<'a>(&self, pointer: *const c_char) -> Result<&'a str, Failure> {
        // SAFETY: handed on. Nothing in the pool's memory changes while the text is in use before it has been copied.
        let text = unsafe { memory::text(pointer, 767)? };
        self.outside(text.as_ptr().cast(), text.len())?;
        Ok(text)
    }

    /// A structure of the caller's that is filled in or changed.
    pub(crate) fn place<R>(&self, pointer: *const R, what: &'static str) -> Result<(), Failure> {
        memory::judge(pointer, 1, what)?;
        self.outside(pointer.cast(), size_of::<R>())
    }

    /// # Safety
    /// The rules of pointers, until it is set.
    pub(crate) unsafe fn out<R>(&self, pointer: *mut R) -> Result<Out<R>, Failure> {
        // SAFETY: handed on.
        let out = unsafe { Out::new(pointer)? };
        self.outside(out.address(), size_of::<R>())?;
        Ok(out)
    }

    /// # Safety
    /// The rules of pointers, until it is set.
    pub(crate) unsafe fn out_or_null<R>(&self, pointer: *mut R) -> Result<Out<R>, Failure> {
        // SAFETY: handed on.
        if pointer.is_null() { unsafe { Out::or_null(pointer) } } else { unsafe { self.out(pointer) } }
    }
}
