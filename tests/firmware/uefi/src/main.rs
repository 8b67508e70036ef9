//! The scenario as a UEFI application. Log lines, the core's among them, go through `log`; the result is one line on the serial port
//! and QEMU's exit code.
#![no_std]
#![no_main]

mod disk;
mod port;

use core::{fmt::Write, ptr::addr_of_mut};

use cowl_scenario::{BUFFER, Done, Fault, Silent, WORKSPACE};
use port::Serial;
use uefi::prelude::*;

/// Aligned, so that drivers that want alignment get it.
#[repr(align(4096))]
struct Aligned<const BYTES: usize>([u8; BYTES]);

static mut MEMORY: Aligned<WORKSPACE> = Aligned([0; WORKSPACE]);
static mut DATA: Aligned<BUFFER> = Aligned([0; BUFFER]);

#[entry]
fn main() -> Status {
    if uefi::helpers::init().is_err() {
        return Status::ABORTED;
    }
    let code = match life() {
        Ok(done) => {
            log::info!("the scenario ends: {done:?}");
            let _ = writeln!(Serial, "\nresult: {done:?}");
            0
        }
        Err(fault) => {
            let _ = writeln!(Serial, "\nresult: {fault:?}");
            1
        }
    };
    port::exit(code);
    Status::ABORTED
}

fn life() -> Result<Done, Fault<uefi::Error>> {
    let mut disk = disk::BlockIoDisk::find().map_err(Fault::of_device)?;
    // SAFETY: this function is called once, nobody else knows the statics.
    let (memory, data) = unsafe { (&mut *addr_of_mut!(MEMORY.0), &mut *addr_of_mut!(DATA.0)) };
    cowl_scenario::run(&mut disk, memory, data, &mut Silent)
}
