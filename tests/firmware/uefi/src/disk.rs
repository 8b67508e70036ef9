//! The disk that the programs work on.

// The example itself, as it is.
#[path = "../../../../core/examples/adapters/src/efi.rs"]
mod adapter;

pub use adapter::EfiDisk;
use uefi::{
    Error, Status,
    boot::{self, ScopedProtocol, SearchType},
    proto::media::block::BlockIO,
};

/// The scenario's disk is smaller than any that a machine boots from.
const MOST_BLOCKS: u64 = 4096;
/// The scenario's blocks are of 512 bytes, so that the pool fits into small machines: no more may be rewritten as a whole.
pub const PHYSICAL: Option<u32> = Some(512);

/// The small disk among those of the machine. The firmware has connected only what it boots from, so all are connected first.
pub fn find() -> Result<ScopedProtocol<BlockIO>, Error> {
    for handle in boot::locate_handle_buffer(SearchType::AllHandles)?.iter() {
        // Most handles have no driver to connect, which is no error here.
        let _ = boot::connect_controller(*handle, &[], None, true);
    }
    for handle in boot::locate_handle_buffer(SearchType::from_proto::<BlockIO>())?.iter() {
        let Ok(disk) = boot::open_protocol_exclusive::<BlockIO>(*handle) else { continue };
        let media = disk.media();
        let whole = media.is_media_present() && !media.is_logical_partition();
        if whole && media.last_block() < MOST_BLOCKS && media.block_size() == 512 {
            return Ok(disk);
        }
    }
    Err(Status::NOT_FOUND.into())
}
