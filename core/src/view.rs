//! Layers as something else: a stream of bytes for `embedded-io`, and a block device for whatever sits on top.

use embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};

use crate::{
    bytes::{copy, index, wide},
    device::{BlockDevice, Geometry},
    error::Error,
    pool::{Pool, Result},
    types::{LayerId, LayerKind},
};

#[cfg(feature = "async")]
#[path = "asynch/view.rs"]
pub(crate) mod asynch;

/// Largest sector that the byte view can hold in part.
const SECTOR: usize = 4096;

/// A volume or snapshot as a stream of bytes; made by [`Pool::cursor`].
pub struct Cursor<'p, P> {
    pool: &'p mut P,
    layer: LayerId,
    position: u64,
    length: u64,
    sector_size: usize,
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// The layer as a stream of bytes, for `embedded-io`. An attachment ends with its last byte.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`]; [`Error::BadParameter`] if sectors are larger than 4096 bytes.
    pub fn cursor(&mut self, layer: LayerId) -> Result<Cursor<'_, Self>, D> {
        let info = self.layer(layer)?;
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
    pub fn volume_device(&mut self, layer: LayerId) -> Result<LayerDevice<'_, Self>, D> {
        let info = self.layer(layer)?;
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

impl<P> Cursor<'_, P> {
    /// The part of a transfer at the position: whole sectors (0 if a part of one must go first), and that part's place.
    fn step(&self, length: usize) -> (u64, usize, usize) {
        let left = index(self.length.saturating_sub(self.position)).min(length);
        let size = self.sector_size.max(1);
        let within = index(self.position % wide(size));
        let whole = if within == 0 { left / size * size } else { 0 };
        let part = if whole > 0 { whole } else { left.min(size - within) };
        (self.position / wide(size), within, part)
    }
}

impl<D: BlockDevice, B> ErrorType for Cursor<'_, Pool<'_, D, B>> {
    type Error = Error<D::Error>;
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Read for Cursor<'_, Pool<'_, D, B>> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, D> {
        let (sector, within, part) = self.step(buffer.len());
        let Some(target) = buffer.get_mut(..part).filter(|target| !target.is_empty()) else { return Ok(0) };
        if within == 0 && part.is_multiple_of(self.sector_size) {
            self.pool.read(self.layer, sector, target)?;
        } else {
            let mut bytes = [0; SECTOR];
            let bytes = bytes.get_mut(..self.sector_size).unwrap_or(&mut []);
            self.pool.read(self.layer, sector, bytes)?;
            if let Some(from) = bytes.get(within..within + part) {
                copy(target, from);
            }
        }
        self.position += wide(part);
        Ok(part)
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Write for Cursor<'_, Pool<'_, D, B>> {
    fn write(&mut self, buffer: &[u8]) -> Result<usize, D> {
        let (sector, within, part) = self.step(buffer.len());
        let Some(source) = buffer.get(..part).filter(|source| !source.is_empty()) else {
            return if buffer.is_empty() {
                Ok(0)
            } else {
                Err(Error::OutOfRange { sectors: self.length / wide(self.sector_size.max(1)) })
            };
        };
        if within == 0 && part.is_multiple_of(self.sector_size) {
            self.pool.write(self.layer, sector, source)?;
        } else {
            let mut bytes = [0; SECTOR];
            let bytes = bytes.get_mut(..self.sector_size).unwrap_or(&mut []);
            self.pool.read(self.layer, sector, bytes)?;
            if let Some(to) = bytes.get_mut(within..within + part) {
                copy(to, source);
            }
            self.pool.write(self.layer, sector, bytes)?;
        }
        self.position += wide(part);
        Ok(part)
    }

    fn flush(&mut self) -> Result<(), D> {
        self.pool.flush()
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Seek for Cursor<'_, Pool<'_, D, B>> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, D> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(Error::BadParameter("a position before the start"))?;
        Ok(self.position)
    }
}

/// A layer as a block device; made by [`Pool::volume_device`].
pub struct LayerDevice<'p, P> {
    pool: &'p mut P,
    layer: LayerId,
    geometry: Geometry,
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> BlockDevice for LayerDevice<'_, Pool<'_, D, B>> {
    type Error = Error<D::Error>;

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), D> {
        self.pool.read(self.layer, sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), D> {
        self.pool.write(self.layer, sector, buffer)
    }

    fn flush(&mut self) -> Result<(), D> {
        self.pool.flush()
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), D> {
        self.pool.discard(self.layer, sector, count)
    }
}
