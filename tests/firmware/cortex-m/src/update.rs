//! A machine that can be updated: each run of this program is one boot of it, and does what the file `order` says
//! ([`cowl_scenario::update`]). The disk is `disk.img`, as for the scenario; the result is the exit code, and what was started on standard
//! error.
#![no_std]
#![no_main]

mod disk;

use core::ptr::addr_of_mut;

use cortex_m as _;
use cortex_m_rt::entry;
use cowl::Error;
use cowl_scenario::update::{self, Refused, WORKSPACE};
use disk::FileDisk;
use semihosting::{
    eprintln,
    fs::File,
    io::{Error as Device, Read},
    process,
};

#[cfg(feature = "defmt")]
use defmt_semihosting as _;

static mut MEMORY: [u8; WORKSPACE] = [0; WORKSPACE];

#[entry]
fn main() -> ! {
    match run() {
        Ok(()) => process::exit(0),
        Err(why) => {
            eprintln!("{why:?}");
            process::exit(1)
        }
    }
}

fn run() -> Result<(), Refused<Device>> {
    let failed = |error| Refused::Pool(Error::Device(error));
    let mut order = [0];
    File::open(c"order").and_then(|mut file| file.read_exact(&mut order)).map_err(failed)?;
    // SAFETY: this function is called once, nobody else knows the memory.
    let memory = unsafe { &mut *addr_of_mut!(MEMORY) };
    let disk = FileDisk::open().map_err(failed)?;
    update::run(disk, memory, order[0], &mut |start, image| eprintln!("started: {start:?}: {image}"))
}
