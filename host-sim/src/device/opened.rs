//! What files and block devices have in common as devices of a pool.

use std::{fs::File, io, marker::PhantomData, path::Path, sync::Arc};

use cowl::{BlockDevice, Geometry};

use super::{DeviceError, direct::Direct};

/// What differs between regular files and block devices.
pub trait Kind {
    /// Its size in bytes.
    ///
    /// # Errors
    /// The system does not tell.
    fn size(file: &File) -> io::Result<u64>;

    /// Gives up what is in a range of bytes.
    ///
    /// # Errors
    /// The system's; it may not be supported.
    fn punch(file: &File, offset: u64, length: u64) -> rustix::io::Result<()>;
}

/// A device over an open file of one [`Kind`]. It is locked until it is dropped, and so is every [`Direct`] way to it.
#[derive(Debug)]
pub struct Opened<K> {
    direct: Arc<Direct>,
    geometry: Geometry,
    kind: PhantomData<K>,
}

impl<K: Kind> Opened<K> {
    /// Of this geometry, with as many sectors as the file has now.
    pub(super) fn new(file: File, path: &Path, geometry: Geometry) -> Result<Self, DeviceError> {
        let direct = Arc::new(Direct::new(file, path, geometry.sector_size, geometry.read_only));
        let mut device = Self { direct, geometry, kind: PhantomData };
        device.refresh()?;
        Ok(device)
    }

    /// Takes in a size that has changed since the device was opened.
    ///
    /// # Errors
    /// The size cannot be read.
    pub fn refresh(&mut self) -> Result<(), DeviceError> {
        let size = K::size(self.file()).map_err(|error| DeviceError::new("open", self.path(), error))?;
        self.geometry.sectors = size / u64::from(self.geometry.sector_size);
        self.direct.set_sectors(self.geometry.sectors);
        Ok(())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.direct.path()
    }

    /// The open file.
    pub fn file(&self) -> &File {
        self.direct.file()
    }

    /// The way to it without the pool.
    pub fn direct(&self) -> &Arc<Direct> {
        &self.direct
    }
}

impl<K: Kind> BlockDevice for Opened<K> {
    type Error = DeviceError;

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.direct.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.direct.write_patiently(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.direct.flush()
    }

    /// A device that does not support it is not asked again.
    fn discard(&mut self, sector: u64, count: u64) -> Result<(), DeviceError> {
        self.direct.usable("discard")?;
        if !self.geometry.discard || count == 0 {
            return Ok(());
        }
        let (offset, length) = self.direct.range("discard", sector, count)?;
        loop {
            match K::punch(self.file(), offset, length) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTTY) => {
                    self.geometry.discard = false;
                    return Ok(());
                }
                Err(error) => return Err(DeviceError::new("discard", self.path(), error.into()).at(offset, length)),
            }
        }
    }
}
