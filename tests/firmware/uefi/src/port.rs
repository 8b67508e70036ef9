//! What both applications need of the machine: aligned memory, and how to tell what came of it: a serial port, and QEMU's exit device.

use core::{
    arch::asm,
    fmt::{Debug, Write},
};

use uefi::prelude::*;

/// Aligned, so that drivers that want alignment get it.
#[repr(align(4096))]
pub struct Aligned<const BYTES: usize>(pub [u8; BYTES]);

fn out_byte(port: u16, byte: u8) {
    // SAFETY: the serial port and QEMU's exit device do nothing to memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack)) };
}

/// Does the work and ends the emulator with 0, or with 1 and the reason on the serial port.
pub fn main<E: Debug>(work: impl FnOnce() -> Result<(), E>) -> Status {
    if uefi::helpers::init().is_err() {
        return Status::ABORTED;
    }
    let done = work();
    if let Err(why) = &done {
        let _ = writeln!(Serial, "\nresult: {why:?}");
    }
    out_byte(0xf4, 16 + u8::from(done.is_err()));
    Status::ABORTED
}

/// The serial port itself: the firmware's console would paint the text.
pub struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(|byte| out_byte(0x3f8, byte));
        Ok(())
    }
}
