//! The scenario on a bare machine with a virtio disk: QEMU's `virt` (RISC-V, 32 and 64 bits) and `microvm` (`x86_64`).
//!
//! The result is the machine's exit code and one line on the serial console.
#![no_std]
#![no_main]

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(not(target_arch = "x86_64"), path = "riscv.rs")]
mod machine;

mod disk;

use core::{fmt::Write, ptr::addr_of_mut};

use cowl_scenario::{BUFFER, Silent, WORKSPACE};
use machine::{Console, exit};

static mut MEMORY: [u8; WORKSPACE] = [0; WORKSPACE];
static mut DATA: [u8; BUFFER] = [0; BUFFER];

/// Called by the machine's first instructions, with a stack and with statics set to zero.
#[unsafe(no_mangle)]
extern "C" fn begin() -> ! {
    // SAFETY: this function is called once, nobody else knows the statics.
    let (memory, data) = unsafe { (&mut *addr_of_mut!(MEMORY), &mut *addr_of_mut!(DATA)) };
    let Some(mut disk) = disk::find() else {
        let _ = writeln!(Console, "there is no virtio disk");
        exit(2)
    };
    match cowl_scenario::run(&mut disk, memory, data, &mut Silent) {
        Ok(done) => {
            let _ = writeln!(Console, "{done:?}");
            exit(0)
        }
        Err(fault) => {
            let _ = writeln!(Console, "{fault:?}");
            exit(1)
        }
    }
}

#[panic_handler]
fn panic(panic: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Console, "{panic}");
    exit(3)
}
