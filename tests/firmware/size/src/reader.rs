//! A mount that only reads: a boot loader's share.
#![no_std]
#![no_main]

mod port;

use core::ptr::addr_of_mut;

use cowl::{Error, LayerId, Reader, crc32c};
use port::{Failed, Port, input, output};

static mut BUFFER: [u8; 512] = [0; 512];
static mut WORKSPACE: [u8; 8192] = [0; 8192];

fn run() -> Result<(), Error<Failed>> {
    // SAFETY: taken once.
    let (buffer, workspace) = unsafe { (&mut *addr_of_mut!(BUFFER), &mut *addr_of_mut!(WORKSPACE)) };
    let mut reader = Reader::mount(Port, workspace, crc32c)?;
    let image = reader.find("image")?.ok_or(Error::NoSuchLayer(LayerId(0)))?;
    loop {
        reader.read(&image, u64::from(input()), buffer)?;
        output(u32::from(buffer[0]));
    }
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let result = run();
    output(u32::from(result.is_err()));
    loop {
        core::hint::spin_loop();
    }
}
