//! The frame without cowl: what is to be taken off the other programs' sizes.
#![no_std]
#![no_main]

mod port;

use core::ptr::addr_of_mut;

use cowl::BlockDevice;
use port::{Port, input, output};

static mut BUFFER: [u8; 512] = [0; 512];

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    // SAFETY: taken once.
    let buffer = unsafe { &mut *addr_of_mut!(BUFFER) };
    loop {
        let sector = u64::from(input());
        let result = match input() {
            0 => Port.read(sector, buffer),
            1 => Port.write(sector, buffer),
            _ => Port.flush(),
        };
        output(u32::from(result.is_err()));
    }
}
