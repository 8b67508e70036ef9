//! How the machine tells what came of it: a serial port, and QEMU's exit device.

use core::{arch::asm, fmt::Write};

fn out_byte(port: u16, byte: u8) {
    // SAFETY: the serial port and QEMU's exit device do nothing to memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack)) };
}

/// Ends the emulator; 0 is success.
pub fn exit(code: u8) {
    out_byte(0xf4, 16 + code);
}

/// The serial port itself: the firmware's console would paint the text.
pub struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(|byte| out_byte(0x3f8, byte));
        Ok(())
    }
}
