//! A machine that can be updated, as a UEFI application: each run is one boot of it, and does what the file `order` beside the
//! application says ([`cowl_scenario::update`]). The result is QEMU's exit code, and what was started on the serial port.
#![no_std]
#![no_main]

mod disk;
mod port;

use core::{fmt::Write, ptr::addr_of_mut};

use cowl::Error;
use cowl_scenario::update::{self, Refused, WORKSPACE};
use disk::{EfiDisk, PHYSICAL};
use port::{Aligned, Serial};
use uefi::{
    CStr16, Error as Device,
    boot::{get_image_file_system, image_handle},
    cstr16,
    prelude::*,
    proto::media::file::{File, FileAttribute, FileMode},
};

static mut MEMORY: Aligned<WORKSPACE> = Aligned([0; WORKSPACE]);
const ORDER: &CStr16 = cstr16!("order");

#[entry]
fn main() -> Status {
    port::main(run)
}

fn run() -> Result<(), Refused<Device>> {
    let failed = |error| Refused::Pool(Error::Device(error));
    // Before the disk is looked for: that takes every other disk from its driver.
    let order = order().map_err(failed)?;
    let mut found = disk::find().map_err(failed)?;
    let disk = EfiDisk::new(&mut found, PHYSICAL);
    // SAFETY: this function is called once, nobody else knows the memory.
    let memory = unsafe { &mut *addr_of_mut!(MEMORY.0) };
    update::run(disk, memory, order, &mut |start, image| {
        let _ = writeln!(Serial, "\nstarted: {start:?}: {image}");
    })
}

fn order() -> Result<u8, Device> {
    let mut folder = get_image_file_system(image_handle())?.open_volume()?;
    let file = folder.open(ORDER, FileMode::Read, FileAttribute::empty())?;
    let mut file = file.into_regular_file().ok_or(Status::NOT_FOUND)?;
    let mut order = [0];
    let count = file.read(&mut order)?;
    if count == 1 { Ok(order[0]) } else { Err(Status::END_OF_FILE.into()) }
}
