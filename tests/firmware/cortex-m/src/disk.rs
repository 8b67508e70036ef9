//! A file of the host as a disk; if there is a second file, every write and flush is recorded in it.
//!
//! The record has the layout that QEMU's `blklogwrites` and Linux' `dm-log-writes` use, with sectors of 512 bytes: a sector with the number of
//! entries; then for each entry a sector that says what it is, and its data. The numbers are 64 bits wide, lowest byte first.

use cowl::{BlockDevice, Geometry};
use semihosting::{
    fs::File,
    io::{Error, Read, Result, Seek, SeekFrom, Write},
};

const SECTOR: u64 = 512;
/// What a record begins with.
const MAGIC: u64 = 0x006a_7366_7773_6872;
/// The entry is a flush.
const FLUSH: u64 = 1;

/// The disk.
pub struct FileDisk {
    file: File,
    sectors: u64,
    record: Option<Record>,
}

impl FileDisk {
    /// Opens `disk.img`, and `writes.log` if it is there.
    pub fn open() -> Result<Self> {
        let file = File::options().read(true).write(true).open(c"disk.img")?;
        let sectors = file.metadata()?.len() / SECTOR;
        let record = match File::options().read(true).write(true).open(c"writes.log") {
            Ok(file) => Some(Record::new(file)?),
            Err(_) => None,
        };
        Ok(Self { file, sectors, record })
    }

    fn seek(&mut self, sector: u64) -> Result<()> {
        self.file.seek(SeekFrom::Start(sector * SECTOR)).map(drop)
    }
}

impl BlockDevice for FileDisk {
    type Error = Error;

    fn geometry(&self) -> Geometry {
        Geometry::new(512, self.sectors)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<()> {
        self.seek(sector)?;
        self.file.read_exact(buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<()> {
        self.seek(sector)?;
        self.file.write_all(buffer)?;
        self.record.as_mut().map_or(Ok(()), |record| record.add(sector, 0, buffer))
    }

    fn flush(&mut self) -> Result<()> {
        self.record.as_mut().map_or(Ok(()), |record| record.add(0, FLUSH, &[]))
    }
}

/// The record of what was written.
struct Record {
    file: File,
    end: u64,
    entries: u64,
}

impl Record {
    fn new(file: File) -> Result<Self> {
        let mut record = Self { file, end: SECTOR, entries: 0 };
        record.put(0, &[MAGIC, 1, 0, SECTOR])?;
        Ok(record)
    }

    fn add(&mut self, sector: u64, flags: u64, data: &[u8]) -> Result<()> {
        self.put(self.end, &[sector, data.len() as u64 / SECTOR, flags, 0])?;
        self.file.seek(SeekFrom::Start(self.end + SECTOR))?;
        self.file.write_all(data)?;
        self.end += SECTOR + data.len() as u64;
        self.entries += 1;
        self.put(16, &[self.entries])
    }

    fn put(&mut self, at: u64, numbers: &[u64]) -> Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        numbers.iter().try_for_each(|number| self.file.write_all(&number.to_le_bytes()))
    }
}
