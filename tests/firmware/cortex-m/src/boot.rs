//! A boot loader's share on a Cortex-M: reads what the scenario has left on `disk.img`, and changes nothing. With how much stack and memory is
//! said on standard error.
#![no_std]
#![no_main]

mod disk;
mod stack;

use core::ptr::addr_of_mut;

use cortex_m_rt::entry;
use cowl_scenario::{BUFFER, WORKSPACE, boot};
use semihosting::{eprintln, process};

#[cfg(feature = "defmt")]
use defmt_semihosting as _;

static mut MEMORY: [u8; WORKSPACE] = [0; WORKSPACE];
static mut DATA: [u8; BUFFER] = [0; BUFFER];

#[entry]
fn main() -> ! {
    // SAFETY: this function is called once, nobody else knows the statics.
    let (memory, data) = unsafe { (&mut *addr_of_mut!(MEMORY), &mut *addr_of_mut!(DATA)) };
    let Ok(mut disk) = disk::FileDisk::open() else { process::exit(2) };
    let painted = stack::paint(4 << 10);
    let read = boot::look(&mut disk, memory, data, boot::LIVED);
    let stack = painted.used();
    match read {
        Ok(()) => {
            let reader = size_of::<cowl::Reader<&mut disk::FileDisk>>();
            eprintln!("Read; stack: {stack} bytes; reader: {reader} bytes");
            process::exit(0)
        }
        Err(fault) => {
            eprintln!("{fault:?}");
            process::exit(1)
        }
    }
}
