//! How deep the stack grows: memory below it is painted before, and looked at afterwards.

use core::ptr::{read_volatile, write_volatile};

/// What an untouched word holds.
const PAINT: u32 = 0x5ee5_0ff5;

unsafe extern "C" {
    /// The end of what is not stack, from the linker.
    static mut __sheap: u32;
}

/// Where the stack was when it was painted, and from where on.
pub struct Painted {
    bottom: *mut u32,
    top: *mut u32,
}

/// Paints so many bytes below the stack as it is now, or as many as there are, but for a few words that this function itself may use.
#[inline(never)]
pub fn paint(bytes: usize) -> Painted {
    let top = cortex_m::register::msp::read() as *mut u32;
    let bottom = top.wrapping_byte_sub(bytes & !3).max(&raw mut __sheap);
    let mut word = bottom;
    while word < top.wrapping_sub(16) {
        // SAFETY: between the end of the statics and the stack there is memory that nobody uses.
        unsafe { write_volatile(word, PAINT) };
        word = word.wrapping_add(1);
    }
    Painted { bottom, top }
}

impl Painted {
    /// Bytes of stack that were used since.
    pub fn used(&self) -> usize {
        let mut word = self.bottom;
        // SAFETY: as in `paint`.
        while word < self.top && unsafe { read_volatile(word) } == PAINT {
            word = word.wrapping_add(1);
        }
        self.top as usize - word as usize
    }
}
