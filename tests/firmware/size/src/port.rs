//! A device behind four registers, and where a panic would lead: to a function that nobody defines. A program with a panic
//! that can be reached does not link.

use core::ptr::{read_volatile, write_volatile};

use cowl::{BlockDevice, Geometry};

unsafe extern "C" {
    safe fn a_panic_can_be_reached() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    a_panic_can_be_reached()
}

/// Registers of the device and of whoever asks.
const REGISTERS: *mut u32 = 0x4000_0000 as *mut u32;

/// A number that the compiler cannot know.
pub fn input() -> u32 {
    // SAFETY: these programs are never run.
    unsafe { read_volatile(REGISTERS) }
}

/// Shows a result.
pub fn output(value: u32) {
    // SAFETY: these programs are never run.
    unsafe { write_volatile(REGISTERS, value) }
}

/// The smallest driver that there can be.
pub struct Port;

/// The device failed.
#[derive(Debug)]
pub struct Failed;

fn command(code: u32, sector: u64, address: *const u8, length: usize) -> Result<(), Failed> {
    output(code);
    output(sector as u32);
    output(address as u32);
    output(length as u32);
    if input() == 0 { Ok(()) } else { Err(Failed) }
}

impl BlockDevice for Port {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        Geometry::new(512, u64::from(input()))
    }

    #[inline(never)]
    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        command(1, sector, buffer.as_mut_ptr(), buffer.len())
    }

    #[inline(never)]
    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        command(2, sector, buffer.as_ptr(), buffer.len())
    }

    #[inline(never)]
    fn flush(&mut self) -> Result<(), Failed> {
        command(3, 0, core::ptr::null(), 0)
    }
}
