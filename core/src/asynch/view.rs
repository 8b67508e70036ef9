//! Made from `view.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::pool::asynch::Pool;
use crate::pool::asynch::Result;

use embedded_io_async::Read;
use embedded_io_async::Seek;
use embedded_io_async::Write;

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// The layer as a stream of bytes, for `embedded-io`. An attachment ends with its last byte.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`]; [`Error::BadParameter`] if sectors are larger than 4096 bytes.
    pub async fn cursor(&mut self, layer: LayerId) -> Result<Cursor<'_, Self>, D> {
        let info = self.layer(layer).await?;
        let sector_size = self.store.sector_size;
        if sector_size > SECTOR {
            return Err(Error::BadParameter("the byte view takes sectors of at most 4096 bytes"));
        }
        let length = if info.kind == LayerKind::Attachment {
            info.length
        } else {
            info.sectors.saturating_mul(wide(sector_size))
        };
        Ok(Cursor { pool: self, layer, position: 0, length, sector_size })
    }

    /// The layer as a block device: a pool, a FAT or a littlefs can sit on it.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`].
    pub async fn volume_device(&mut self, layer: LayerId) -> Result<LayerDevice<'_, Self>, D> {
        let info = self.layer(layer).await?;
        let geometry = Geometry {
            sector_size: u32::try_from(self.store.sector_size).unwrap_or(u32::MAX),
            sectors: info.sectors,
            // What the device below may tear together, a pool on top must not share.
            physical_size: 1 << self.store.durable().unit_shift(),
            alignment: 1,
            read_only: info.kind != LayerKind::Volume || self.store.read_only,
            discard: true,
        };
        Ok(LayerDevice { pool: self, layer, geometry })
    }
}

impl<D: BlockDevice, B> ErrorType for Cursor<'_, Pool<'_, D, B>> {
    type Error = Error<D::Error>;
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Read for Cursor<'_, Pool<'_, D, B>> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, D> {
        let (sector, within, part) = self.step(buffer.len());
        let Some(target) = buffer.get_mut(..part).filter(|target| !target.is_empty()) else { return Ok(0) };
        if within == 0 && part.is_multiple_of(self.sector_size) {
            self.pool.read(self.layer, sector, target).await?;
        } else {
            let mut bytes = [0; SECTOR];
            let bytes = bytes.get_mut(..self.sector_size).unwrap_or(&mut []);
            self.pool.read(self.layer, sector, bytes).await?;
            if let Some(from) = bytes.get(within..within + part) {
                copy(target, from);
            }
        }
        self.position += wide(part);
        Ok(part)
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Write for Cursor<'_, Pool<'_, D, B>> {
    async fn write(&mut self, buffer: &[u8]) -> Result<usize, D> {
        let (sector, within, part) = self.step(buffer.len());
        let Some(source) = buffer.get(..part).filter(|source| !source.is_empty()) else {
            return if buffer.is_empty() {
                Ok(0)
            } else {
                Err(Error::OutOfRange { sectors: self.length / wide(self.sector_size.max(1)) })
            };
        };
        if within == 0 && part.is_multiple_of(self.sector_size) {
            self.pool.write(self.layer, sector, source).await?;
        } else {
            let mut bytes = [0; SECTOR];
            let bytes = bytes.get_mut(..self.sector_size).unwrap_or(&mut []);
            self.pool.read(self.layer, sector, bytes).await?;
            if let Some(to) = bytes.get_mut(within..within + part) {
                copy(to, source);
            }
            self.pool.write(self.layer, sector, bytes).await?;
        }
        self.position += wide(part);
        Ok(part)
    }

    async fn flush(&mut self) -> Result<(), D> {
        self.pool.flush().await
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Seek for Cursor<'_, Pool<'_, D, B>> {
    async fn seek(&mut self, to: SeekFrom) -> Result<u64, D> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(Error::BadParameter("a position before the start"))?;
        Ok(self.position)
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> BlockDevice for LayerDevice<'_, Pool<'_, D, B>> {
    type Error = Error<D::Error>;

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    async fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), D> {
        self.pool.read(self.layer, sector, buffer).await
    }

    async fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), D> {
        self.pool.write(self.layer, sector, buffer).await
    }

    async fn flush(&mut self) -> Result<(), D> {
        self.pool.flush().await
    }

    async fn discard(&mut self, sector: u64, count: u64) -> Result<(), D> {
        self.pool.discard(self.layer, sector, count).await
    }
}
