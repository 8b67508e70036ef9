//! The scenario as a UEFI application. Log lines, the core's among them, go through `log`; the result is one line on the serial port
//! and QEMU's exit code.
#![no_std]
#![no_main]

mod disk;
mod port;

use core::{fmt::Write, ptr::addr_of_mut};

use cowl_scenario::{BUFFER, Fault, Silent, WORKSPACE};
use disk::{EfiDisk, PHYSICAL};
use port::{Aligned, Serial};
use uefi::prelude::*;

static mut MEMORY: Aligned<WORKSPACE> = Aligned([0; WORKSPACE]);
static mut DATA: Aligned<BUFFER> = Aligned([0; BUFFER]);

#[entry]
fn main() -> Status {
    port::main(life)
}

fn life() -> Result<(), Fault<uefi::Error>> {
    let mut found = disk::find().map_err(Fault::of_device)?;
    let mut disk = EfiDisk::new(&mut found, PHYSICAL);
    // SAFETY: this function is called once, nobody else knows the statics.
    let (memory, data) = unsafe { (&mut *addr_of_mut!(MEMORY.0), &mut *addr_of_mut!(DATA.0)) };
    let done = cowl_scenario::run(&mut disk, memory, data, &mut Silent)?;
    log::info!("the scenario ends: {done:?}");
    let _ = writeln!(Serial, "\nresult: {done:?}");
    Ok(())
}
