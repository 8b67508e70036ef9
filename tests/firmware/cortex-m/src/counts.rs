//! How many instructions calls of cowl take on a Cortex-M4, counted by an emulator that takes one nanosecond for each
//! (`-icount shift=0`): the system timer, at 25 MHz, ticks once in 40. The disk is in memory, so its copying is counted too.
#![no_std]
#![no_main]

use core::ptr::addr_of_mut;

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::entry;
use cowl::{Attributes, Error, FormatOptions, LayerFlags, Merge, MountOptions, OutOfRange, Pool, RamDisk, Reader};
use semihosting::{eprintln, process};

#[cfg(feature = "defmt")]
use defmt_semihosting as _;

const INSTRUCTIONS: u32 = 40;
const WORKSPACE: usize = 8 << 10;

static mut MEMORY: [u8; WORKSPACE] = [0; WORKSPACE];
static mut DISK: [u8; 640 * 512] = [0; 640 * 512];

#[entry]
fn main() -> ! {
    let Some(peripherals) = cortex_m::Peripherals::take() else { process::exit(2) };
    let mut timer = peripherals.SYST;
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(0x00ff_ffff);
    timer.clear_current();
    timer.enable_counter();
    match measure() {
        Ok(()) => process::exit(0),
        Err(error) => {
            eprintln!("{error:?}");
            process::exit(1)
        }
    }
}

/// Makes a call and tells what it took.
fn counted<T>(what: &str, call: impl FnOnce() -> T) -> T {
    let before = SYST::get_current();
    let result = call();
    let ticks = before.wrapping_sub(SYST::get_current()) & 0x00ff_ffff;
    eprintln!("{what}: {}", ticks * INSTRUCTIONS);
    result
}

fn measure() -> Result<(), Error<OutOfRange>> {
    // SAFETY: this function is called once, nobody else knows the statics.
    let (memory, disk) = unsafe { (&mut *addr_of_mut!(MEMORY), &mut *addr_of_mut!(DISK)) };
    let named = |name| Attributes { name, ..Attributes::default() };
    let mut disk = RamDisk::new(disk);
    counted("format", || Pool::format(&mut disk, memory, &FormatOptions::new(512, [1; 16])))?;
    let mut pool = Pool::mount(&mut disk, memory, &MountOptions::default())?;
    let volume = pool.create(&named("volume"), 64, LayerFlags::empty())?;
    let bytes = [7; 512];
    counted("write, first block", || pool.write(volume, 0, &bytes))?;
    counted("flush, one record", || pool.flush())?;
    counted("flush, nothing new", || pool.flush())?;
    for sector in 1..24 {
        pool.write(volume, sector, &bytes)?;
    }
    let first = counted("snapshot", || pool.snapshot(volume, &named("first")))?;
    counted("overwrite, shared block", || pool.write(volume, 0, &bytes))?;
    pool.checkpoint()?;
    counted("overwrite, own block", || pool.write(volume, 0, &bytes))?;
    let mut sector = [0; 512];
    counted("read", || pool.read(volume, 0, &mut sector))?;
    for at in 1..12 {
        pool.write(volume, at, &bytes)?;
    }
    counted("delete", || pool.delete(first))?;
    while counted("merge step", || pool.merge_step(200))? != Merge::Idle {}
    for at in 24..30 {
        pool.write(volume, at, &bytes)?;
        pool.flush()?;
    }
    counted("mount, six units in the journal", || Pool::mount(&mut disk, memory, &MountOptions::default()).map(drop))?;
    let mut reader = counted("small reader, mount", || Reader::mount(&mut disk, memory, cowl::crc32c))?;
    let Some(image) = counted("small reader, find", || reader.find("volume"))? else { return Err(Error::NotAPool) };
    reader.read(&image, 8, &mut sector)?;
    counted("small reader, read", || reader.read(&image, 9, &mut sector))
}
