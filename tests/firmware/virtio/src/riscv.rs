//! QEMU's `virt` for RISC-V, in machine mode: where things are, and the first instructions.

use core::{arch::global_asm, fmt, ops::Range, ptr::write_volatile};

/// Where virtio devices may be.
pub const SLOTS: Range<usize> = 0x1000_1000..0x1000_9000;
/// How far apart.
pub const SLOT_SIZE: usize = 0x1000;

const SERIAL: *mut u8 = 0x1000_0000 as *mut u8;
const POWER: *mut u32 = 0x0010_0000 as *mut u32;

global_asm!(
    ".section .text.start, \"ax\"",
    ".global _start",
    "_start:",
    "la sp, stack_top",
    "la t0, bss_start",
    "la t1, bss_end",
    "clear:",
    "bgeu t0, t1, cleared",
    "sb zero, 0(t0)",
    "addi t0, t0, 1",
    "j clear",
    "cleared:",
    "call begin",
);

/// The serial console.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the serial port takes any byte.
            unsafe { write_volatile(SERIAL, byte) };
        }
        Ok(())
    }
}

/// Ends the machine with a code.
pub fn exit(code: u8) -> ! {
    let word = if code == 0 { 0x5555 } else { u32::from(code) << 16 | 0x3333 };
    // SAFETY: this is the test device, which ends the machine.
    unsafe { write_volatile(POWER, word) };
    loop {
        core::hint::spin_loop();
    }
}
