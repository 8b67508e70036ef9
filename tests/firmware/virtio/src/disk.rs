//! The machine's virtio disk, and the memory that its driver works with.

// The example itself, as it is.
#[path = "../../../../core/examples/adapters/src/virtio.rs"]
mod adapter;

use core::{
    ptr::{NonNull, addr_of_mut},
    sync::atomic::{AtomicUsize, Ordering},
};

use adapter::VirtioDisk;
use virtio_drivers::{
    BufferDirection, Hal, PAGE_SIZE, PhysAddr,
    device::blk::VirtIOBlk,
    transport::{
        DeviceType, Transport,
        mmio::{MmioTransport, VirtIOHeader},
    },
};

use crate::machine::{SLOT_SIZE, SLOTS};

/// Pages that the driver may have for its queues.
const PAGES: usize = 16;

#[repr(align(4096))]
struct Pages([u8; PAGES * PAGE_SIZE]);

static mut POOL: Pages = Pages([0; PAGES * PAGE_SIZE]);
static GIVEN: AtomicUsize = AtomicUsize::new(0);

/// Memory is where its address says; pages are given out once.
pub struct Flat;

// SAFETY: every page is given out once, zeroed and aligned; addresses are the same for the processor and the device.
unsafe impl Hal for Flat {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = GIVEN.load(Ordering::Relaxed);
        GIVEN.store(first + pages, Ordering::Relaxed);
        if first + pages > PAGES {
            return (0, NonNull::dangling());
        }
        // SAFETY: inside the static, which is not null.
        let place = unsafe { NonNull::new_unchecked(addr_of_mut!(POOL.0).cast::<u8>().add(first * PAGE_SIZE)) };
        (place.as_ptr() as PhysAddr, place)
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(place: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(place as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// The scenario's blocks are of 512 bytes, so that the pool fits into small machines: no more may be rewritten as a whole.
const PHYSICAL: u32 = 512;

/// The first disk in any of the machine's slots.
pub fn find() -> Option<VirtioDisk<Flat, MmioTransport<'static>>> {
    for slot in SLOTS.step_by(SLOT_SIZE) {
        let header = NonNull::new(slot as *mut VirtIOHeader)?;
        // SAFETY: these are the machine's slots, and nobody else uses them.
        let Ok(transport) = (unsafe { MmioTransport::new(header, SLOT_SIZE) }) else { continue };
        if transport.device_type() == DeviceType::Block {
            let driver = VirtIOBlk::new(transport).ok()?;
            return Some(VirtioDisk { driver, physical_size: PHYSICAL });
        }
    }
    None
}
