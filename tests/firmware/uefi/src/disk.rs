//! `EFI_BLOCK_IO_PROTOCOL` as a device for cowl.

use cowl::{BlockDevice, Geometry};
use uefi::{
    Error, Status,
    boot::{self, ScopedProtocol, SearchType},
    proto::media::block::BlockIO,
};

/// The scenario's disk is smaller than any that a machine boots from.
const MOST_BLOCKS: u64 = 4096;

/// A whole disk.
pub struct BlockIoDisk {
    io: ScopedProtocol<BlockIO>,
    media: u32,
}

impl BlockIoDisk {
    /// The small disk among those of the machine. The firmware has connected only what it boots from, so all are connected first.
    pub fn find() -> Result<Self, Error> {
        for handle in boot::locate_handle_buffer(SearchType::AllHandles)?.iter() {
            // Most handles have no driver to connect, which is no error here.
            let _ = boot::connect_controller(*handle, &[], None, true);
        }
        for handle in boot::locate_handle_buffer(SearchType::from_proto::<BlockIO>())?.iter() {
            let Ok(io) = boot::open_protocol_exclusive::<BlockIO>(*handle) else { continue };
            let media = io.media();
            let whole = media.is_media_present() && !media.is_logical_partition();
            if whole && media.last_block() < MOST_BLOCKS && media.block_size() == 512 {
                let media = media.media_id();
                return Ok(Self { io, media });
            }
        }
        Err(Status::NOT_FOUND.into())
    }
}

impl BlockDevice for BlockIoDisk {
    type Error = Error;

    fn geometry(&self) -> Geometry {
        let media = self.io.media();
        Geometry {
            read_only: media.is_read_only(),
            alignment: media.io_align().max(1),
            ..Geometry::new(media.block_size(), media.last_block() + 1)
        }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.io.read_blocks(self.media, sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Error> {
        self.io.write_blocks(self.media, sector, buffer)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.io.flush_blocks()
    }
}
