//! Filesystems of others on volumes, and pools on drivers of others: they work, and a rollback takes them back whole.

use std::{cell::RefCell, io::Write};

use aligned::{A4, Aligned};
use block_device_driver::{BlockDevice as Driver, blocks_to_slice, blocks_to_slice_mut};
use cowl::{
    Attributes, BlockDevice, FormatOptions, LayerFlags, LayerId, MountOptions, OutOfRange, Pool, RamDisk, asynch,
};
use cowl_adapters::{
    async_volume::AsyncVolume,
    bytes::VolumeBytes,
    driver::OnDriver,
    littlefs::LittleVolume,
    sdmmc::{Card, VolumeCard},
    storage::Flash,
};
use embassy_futures::block_on;
use embedded_sdmmc::{Mode, TimeSource, Timestamp, VolumeIdx, VolumeManager};
use embedded_storage::{ReadStorage, Storage};
use littlefs2::{fs::Filesystem, path, path::Path};

const VOLUME: u64 = 8192;

fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

/// A pool on this device, with a volume.
fn pool<D: BlockDevice + Clone>(device: D, workspace: &mut [u8]) -> (Pool<'_, D>, LayerId) {
    Pool::format(device.clone(), workspace, &FormatOptions::new(512, [1; 16])).unwrap();
    let mut pool = Pool::mount(device, workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), VOLUME, LayerFlags::empty()).unwrap();
    (pool, volume)
}

/// A disk that can be shared, as drivers are.
#[derive(Clone)]
struct Shared<'m>(std::rc::Rc<RefCell<RamDisk<'m>>>);

impl<'m> Shared<'m> {
    fn new(memory: &'m mut [u8]) -> Self {
        Self(std::rc::Rc::new(RefCell::new(RamDisk::new(memory))))
    }
}

impl BlockDevice for Shared<'_> {
    type Error = OutOfRange;

    fn geometry(&self) -> cowl::Geometry {
        self.0.borrow().geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), OutOfRange> {
        self.0.borrow_mut().read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), OutOfRange> {
        self.0.borrow_mut().write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), OutOfRange> {
        Ok(())
    }
}

struct NoClock;

impl TimeSource for NoClock {
    fn get_timestamp(&self) -> Timestamp {
        Timestamp { year_since_1970: 55, zero_indexed_month: 0, zero_indexed_day: 0, hours: 0, minutes: 0, seconds: 0 }
    }
}

/// A disk with one partition that holds an empty FAT, as a PC would make it.
fn partitioned() -> Vec<u8> {
    let first = 8;
    let mut fat = std::io::Cursor::new(vec![0; (VOLUME as usize - first) * 512]);
    fatfs::format_volume(
        &mut fat,
        fatfs::FormatVolumeOptions::new().fat_type(fatfs::FatType::Fat16).bytes_per_cluster(512),
    )
    .unwrap();
    fatfs::FileSystem::new(&mut fat, fatfs::FsOptions::new())
        .unwrap()
        .root_dir()
        .create_file("LOG.TXT")
        .unwrap()
        .write_all(b"from the PC\n")
        .unwrap();
    let mut disk = vec![0; first * 512];
    disk[446 + 4] = 0x06;
    disk[446 + 8..][..4].copy_from_slice(&(first as u32).to_le_bytes());
    disk[446 + 12..][..4].copy_from_slice(&(VOLUME as u32 - first as u32).to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.extend(fat.into_inner());
    disk
}

/// Appends to the log, if there is something to append; what the log then says.
fn log(device: impl BlockDevice<Error: 'static>, text: &[u8]) -> Vec<u8> {
    let manager = VolumeManager::new(VolumeCard(RefCell::new(device)), NoClock);
    let volume = manager.open_volume(VolumeIdx(0)).unwrap();
    let root = volume.open_root_dir().unwrap();
    if !text.is_empty() {
        let file = root.open_file_in_dir("LOG.TXT", Mode::ReadWriteAppend).unwrap();
        file.write(text).unwrap();
        file.close().unwrap();
    }
    let file = root.open_file_in_dir("LOG.TXT", Mode::ReadOnly).unwrap();
    let mut bytes = vec![0; 4096];
    let count = file.read(&mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn a_fat_on_a_volume_goes_back_with_it() {
    let (mut memory, mut workspace) = (vec![0; 8 << 20], vec![0; 64 << 10]);
    let (mut pool, volume) = pool(Shared::new(&mut memory), &mut workspace);
    pool.write(volume, 0, &partitioned()).unwrap();
    assert_eq!(log(pool.volume_device(volume).unwrap(), b"one\n"), b"from the PC\none\n");
    let before = pool.snapshot(volume, &named("before")).unwrap();
    assert_eq!(log(pool.volume_device(volume).unwrap(), b"two\n"), b"from the PC\none\ntwo\n");
    let kept = pool.rollback(volume, before, 0, Some(&named("after"))).unwrap().unwrap();
    assert_eq!(log(pool.volume_device(volume).unwrap(), b""), b"from the PC\none\n");
    assert_eq!(log(pool.volume_device(kept).unwrap(), b""), b"from the PC\none\ntwo\n");
}

#[test]
fn a_littlefs_on_a_volume_goes_back_with_it() {
    const FILE: &Path = path!("state");
    let (mut memory, mut workspace) = (vec![0; 8 << 20], vec![0; 64 << 10]);
    let (mut pool, volume) = pool(Shared::new(&mut memory), &mut workspace);
    let mut little = LittleVolume::<_, 8192>(pool.volume_device(volume).unwrap());
    Filesystem::format(&mut little).unwrap();
    let write = |text: &'static [u8], pool: &mut Pool<'_, _>| {
        let mut little = LittleVolume::<_, 8192>(pool.volume_device(volume).unwrap());
        Filesystem::mount_and_then(&mut little, |files| files.write(FILE, text)).unwrap();
    };
    let read = |layer, pool: &mut Pool<'_, _>| {
        let mut little = LittleVolume::<_, 8192>(pool.volume_device(layer).unwrap());
        Filesystem::mount_and_then(&mut little, |files| files.read::<64>(FILE)).unwrap().to_vec()
    };
    write(b"good", &mut pool);
    let before = pool.snapshot(volume, &named("before")).unwrap();
    write(b"spoiled", &mut pool);
    assert_eq!(read(volume, &mut pool), b"spoiled");
    assert_eq!(read(before, &mut pool), b"good", "a snapshot can be mounted as it is");
    pool.rollback(volume, before, 0, None).unwrap();
    assert_eq!(read(volume, &mut pool), b"good");
}

/// The disk with sectors of 4096 bytes.
struct Large<'m>(RamDisk<'m>);

impl BlockDevice for Large<'_> {
    type Error = OutOfRange;

    fn geometry(&self) -> cowl::Geometry {
        cowl::Geometry::new(4096, self.0.geometry().sectors / 8)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), OutOfRange> {
        self.0.read(sector * 8, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), OutOfRange> {
        self.0.write(sector * 8, buffer)
    }

    fn flush(&mut self) -> Result<(), OutOfRange> {
        Ok(())
    }
}

#[test]
fn adapters_that_count_in_small_sectors_refuse_a_volume_with_large_ones() {
    use embedded_sdmmc::{Block, BlockDevice as _, BlockIdx};
    use littlefs2::driver::Storage as _;
    let (mut memory, mut workspace) = (vec![0; 8 << 20], vec![0; 256 << 10]);
    let mut disk = Large(RamDisk::new(&mut memory));
    Pool::format(&mut disk, &mut workspace, &FormatOptions::new(4096, [1; 16])).unwrap();
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), 64, LayerFlags::empty()).unwrap();
    pool.write(volume, 0, &[7; 4 * 4096]).unwrap();
    let mut little = LittleVolume::<_, 64>(pool.volume_device(volume).unwrap());
    assert!(little.read(512, &mut [0; 512]).is_err() && little.write(512, &[1; 512]).is_err());
    assert!(little.erase(512, 512).is_err());
    let mut bytes = VolumeBytes(pool.volume_device(volume).unwrap());
    assert!(bytes.read(512, &mut [0; 512]).is_err() && bytes.write(512, &[1; 8]).is_err());
    let card = VolumeCard(RefCell::new(pool.volume_device(volume).unwrap()));
    assert!(card.read(&mut [Block::new()], BlockIdx(1)).is_err() && card.write(&[Block::new()], BlockIdx(1)).is_err());
    let mut read = [0; 4 * 4096];
    pool.read(volume, 0, &mut read).unwrap();
    assert_eq!(read, [7; 4 * 4096]);
}

/// An async driver over memory, as embassy's are.
#[derive(Clone)]
struct AsyncRam<'m>(Shared<'m>);

impl Driver<512> for AsyncRam<'_> {
    type Error = OutOfRange;
    type Align = A4;

    async fn read(&mut self, block: u32, data: &mut [Aligned<A4, [u8; 512]>]) -> Result<(), OutOfRange> {
        embassy_futures::yield_now().await;
        self.0.read(u64::from(block), blocks_to_slice_mut(data))
    }

    async fn write(&mut self, block: u32, data: &[Aligned<A4, [u8; 512]>]) -> Result<(), OutOfRange> {
        embassy_futures::yield_now().await;
        self.0.write(u64::from(block), blocks_to_slice(data))
    }

    async fn size(&mut self) -> Result<u64, OutOfRange> {
        Ok(self.0.geometry().sectors * 512)
    }
}

/// Writes through the pool, mounts it anew, and reads.
fn keeps_what_is_written<D: BlockDevice>(mut device: D, block_size: u32) {
    let mut workspace = vec![0; 256 << 10];
    Pool::format(&mut device, &mut workspace, &FormatOptions::new(block_size, [1; 16])).unwrap();
    let mut pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), 64, LayerFlags::INTEGRITY).unwrap();
    // From an odd address in memory, so that a driver's alignment matters.
    let bytes: Vec<u8> = (0..64 * 512 + 1).map(|i| (i / 7) as u8).collect();
    pool.write(volume, 0, &bytes[1..]).unwrap();
    pool.unmount().unwrap();
    let mut pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).unwrap();
    let mut read = vec![0; 64 * 512 + 1];
    pool.read(volume, 0, &mut read[1..]).unwrap();
    assert!(read[1..] == bytes[1..]);
}

#[test]
fn a_pool_lives_on_an_async_driver_and_on_a_card_and_on_a_flash() {
    let mut memory = vec![0; 8 << 20];
    keeps_what_is_written(block_on(OnDriver::<_, 512>::new(AsyncRam(Shared::new(&mut memory)))).unwrap(), 4096);
    let mut memory = vec![0; 8 << 20];
    keeps_what_is_written(Card(VolumeCard(RefCell::new(Shared::new(&mut memory)))), 4096);
    let mut memory = vec![0; 8 << 20];
    let flash = Flash { storage: VolumeBytes(Shared::new(&mut memory)), page: 4096 };
    keeps_what_is_written(flash, 4096);
}

#[test]
fn an_async_pool_lives_on_an_async_driver_and_its_volume_is_one() {
    let (mut memory, mut workspace) = (vec![0; 8 << 20], vec![0; 64 << 10]);
    let life = async {
        let mut disk = OnDriver::<_, 512>::new(AsyncRam(Shared::new(&mut memory))).await.unwrap();
        asynch::Pool::format(&mut disk, &mut workspace, &FormatOptions::new(4096, [1; 16])).await.unwrap();
        let mut pool = asynch::Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).await.unwrap();
        let volume = pool.create(&named("v"), VOLUME, LayerFlags::empty()).await.unwrap();
        let mut driver = AsyncVolume(pool.volume_device(volume).await.unwrap());
        let data = [Aligned::<A4, _>([7u8; 1024]); 2];
        Driver::<1024>::write(&mut driver, 3, &data).await.unwrap();
        assert_eq!(Driver::<512>::size(&mut driver).await.unwrap(), VOLUME * 512);
        let mut read = [Aligned::<A4, _>([0u8; 512]); 5];
        driver.read(6, &mut read).await.unwrap();
        assert_eq!(read.map(|block| block[0]), [7, 7, 7, 7, 0]);
        assert!(Driver::<512>::write(&mut driver, VOLUME as u32, &read).await.is_err());
        pool.unmount().await.unwrap();
    };
    // Others go on while the driver works.
    let mut turns = 0;
    let others = async {
        loop {
            turns += 1;
            embassy_futures::yield_now().await;
        }
    };
    let first = block_on(embassy_futures::select::select(life, others));
    assert!(matches!(first, embassy_futures::select::Either::First(())));
    assert!(turns > 20, "{turns} turns of somebody else");
    let mut pool = Pool::mount(RamDisk::new(&mut memory), &mut workspace, &MountOptions::default()).unwrap();
    let mut sector = [0; 512];
    pool.read(LayerId(1), 9, &mut sector).unwrap();
    assert_eq!(sector, [7; 512], "the blocking pool opens it too");
}

#[test]
fn a_volume_is_a_range_of_bytes() {
    let (mut memory, mut workspace) = (vec![0; 8 << 20], vec![0; 64 << 10]);
    let (mut pool, volume) = pool(Shared::new(&mut memory), &mut workspace);
    let mut bytes = VolumeBytes(pool.volume_device(volume).unwrap());
    bytes.write(1000, &[9; 1500]).unwrap();
    let mut read = [1; 1502];
    bytes.read(999, &mut read).unwrap();
    assert_eq!((read[0], read[1], read[1500], read[1501]), (0, 9, 9, 0));
    assert_eq!(bytes.capacity(), VOLUME as usize * 512);
    assert!(bytes.write(VOLUME as u32 * 512 - 1, &[0; 2]).is_err());
}

#[test]
fn what_the_driver_reports_comes_through() {
    struct Broken;
    impl Driver<512> for Broken {
        type Error = &'static str;
        type Align = A4;
        async fn read(&mut self, _: u32, _: &mut [Aligned<A4, [u8; 512]>]) -> Result<(), &'static str> {
            Err("broken")
        }
        async fn write(&mut self, _: u32, _: &[Aligned<A4, [u8; 512]>]) -> Result<(), &'static str> {
            Err("broken")
        }
        async fn size(&mut self) -> Result<u64, &'static str> {
            Ok(8 << 20)
        }
    }
    let mut workspace = vec![0; 256 << 10];
    let device = block_on(OnDriver::<_, 512>::new(Broken)).unwrap();
    let refused = Pool::format(device, &mut workspace, &FormatOptions::new(4096, [1; 16]));
    assert_eq!(format!("{:?}", refused.unwrap_err()), "Device(Driver(\"broken\"))");
}
