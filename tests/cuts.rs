//! Power cuts at every device write of what histories do not reach: attributes, attachments, growing, formatting, device discards.

use cowl::{BlockDevice, Error, FormatOptions, Geometry, LayerFlags, LayerId, MountOptions, Pool, format::Superblock};
use cowl_host::sim::sound;
use cowl_tests::{PastEnd, SparseDisk, named};

/// A disk that keeps what a power cut at each of its operations could leave.
struct Recorder {
    disk: SparseDisk,
    durable: SparseDisk,
    /// Written since the last flush.
    pending: Vec<(u64, Vec<u8>)>,
    images: Vec<SparseDisk>,
}

impl Recorder {
    fn new(disk: SparseDisk) -> Self {
        Self { durable: disk.clone(), disk, pending: Vec::new(), images: Vec::new() }
    }

    /// The durable state with the pending writes that are kept; the last one torn or not.
    fn image(&mut self, keep: impl Fn(usize) -> bool, torn: bool) {
        let mut image = self.durable.clone();
        let last = self.pending.len();
        for (i, (sector, bytes)) in self.pending.iter().enumerate() {
            if torn && i + 1 == last {
                // With all that shares a physical unit with it.
                let unit = u64::from(image.geometry.physical_size / image.geometry.sector_size);
                let bytes = image.geometry.physical_size as usize;
                image.write(sector / unit * unit, &vec![0xa5; bytes]).unwrap();
            } else if keep(i) {
                image.write(*sector, bytes).unwrap();
            }
        }
        self.images.push(image);
    }

    fn cut(&mut self) {
        let last = self.pending.len().saturating_sub(1);
        self.image(|_| true, false);
        self.image(|_| true, true);
        self.image(|_| false, true);
        self.image(|i| i == last, false);
        self.image(|i| i % 2 == 0, false);
    }
}

impl BlockDevice for Recorder {
    type Error = PastEnd;

    fn geometry(&self) -> Geometry {
        self.disk.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), PastEnd> {
        self.disk.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), PastEnd> {
        self.disk.write(sector, buffer)?;
        for (sector, bytes) in (sector..).zip(buffer.chunks(512)) {
            self.pending.push((sector, bytes.to_vec()));
        }
        self.cut();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PastEnd> {
        self.durable = self.disk.clone();
        self.pending.clear();
        self.images.push(self.durable.clone());
        Ok(())
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), PastEnd> {
        for sector in sector..sector + count {
            self.disk.write(sector, &[0xdd; 512])?;
            self.pending.push((sector, vec![0xdd; 512]));
        }
        self.cut();
        Ok(())
    }
}

fn options() -> FormatOptions {
    FormatOptions { pending: 4, journal_units: 3, ..FormatOptions::new(512, [1; 16]) }
}

/// A pool with a volume (1) of ten written sectors and a snapshot (2) of it.
fn sample(blocks: u64) -> SparseDisk {
    let mut disk = SparseDisk::new(512, blocks * 512);
    let mut workspace = vec![0; 1 << 16];
    Pool::format(&mut disk, &mut workspace, &options()).unwrap();
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), 10, LayerFlags::empty()).unwrap();
    pool.write(volume, 0, &[7; 5120]).unwrap();
    pool.snapshot(volume, &named("s")).unwrap();
    pool.describe(volume, "before").unwrap();
    pool.unmount().unwrap();
    disk
}

/// Runs `work` on a disk, and `judge` on everything that a power cut in it could leave; how often it said true.
fn cuts(
    disk: SparseDisk,
    work: impl FnOnce(&mut Pool<'_, &mut Recorder>),
    mut judge: impl FnMut(&mut Pool<'_, &mut SparseDisk>) -> bool,
) {
    let mut recorder = Recorder::new(disk);
    let mut workspace = vec![0; 1 << 16];
    work(&mut Pool::mount(&mut recorder, &mut workspace, &MountOptions::default()).unwrap());
    let mut answers = [0, 0];
    for mut image in recorder.images {
        let mut pool = Pool::mount(&mut image, &mut workspace, &MountOptions::default()).unwrap();
        let mut content = [0; 5120];
        for layer in [LayerId(1), LayerId(2)] {
            pool.read(layer, 0, &mut content).unwrap();
            assert!(content == [7; 5120], "layer {layer:?}");
        }
        sound(&mut pool, true).unwrap();
        answers[usize::from(judge(&mut pool))] += 1;
    }
    assert!(answers[0] > 0 && answers[1] > 0, "{answers:?}");
}

#[test]
fn a_rename_cut_anywhere_has_the_old_name_or_the_new() {
    let rename = |pool: &mut Pool<'_, &mut Recorder>| pool.rename(LayerId(1), "w").unwrap();
    cuts(sample(400), rename, |pool| {
        let name = pool.layer(LayerId(1)).unwrap().name;
        assert!(["v", "w"].contains(&name.as_str()));
        &*name == "w"
    });
}

#[test]
fn a_description_cut_anywhere_is_the_old_one_or_the_new() {
    let after = "after ".repeat(100);
    let describe = |pool: &mut Pool<'_, &mut Recorder>| pool.describe(LayerId(1), &after).unwrap();
    cuts(sample(400), describe, |pool| {
        let mut text = [0; 767];
        let length = pool.description(LayerId(1), &mut text).unwrap();
        assert!([b"before", after.as_bytes()].contains(&&text[..length]));
        length > 6
    });
}

#[test]
fn an_attachment_cut_anywhere_is_whole_or_absent() {
    let attach = |pool: &mut Pool<'_, &mut Recorder>| {
        let staged = pool.stage_attachment(&named("a"), 2000).unwrap();
        pool.write(staged, 0, &[9; 2048]).unwrap();
        pool.attach(LayerId(2), staged).unwrap();
    };
    cuts(sample(400), attach, |pool| {
        let Some(attached) = pool.next_attachment(LayerId(2), None).unwrap() else {
            assert_eq!(pool.layers().count(), 2);
            return false;
        };
        let mut bytes = [0; 2048];
        pool.read(attached.id, 0, &mut bytes).unwrap();
        assert_eq!(bytes, [9; 2048]);
        true
    });
}

/// A volume that ends in the middle of a physical unit, over what it held when it was larger.
#[test]
fn making_a_volume_larger_tears_nothing_that_it_holds() {
    let mut disk = SparseDisk::new(512, 400 * 4096);
    disk.geometry.physical_size = 4096;
    let mut workspace = vec![0; 1 << 17];
    let options = FormatOptions { pending: 4, journal_units: 3, ..FormatOptions::new(4096, [1; 16]) };
    Pool::format(&mut disk, &mut workspace, &options).unwrap();
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), 16, LayerFlags::empty()).unwrap();
    pool.write(volume, 0, &[7; 16 * 512]).unwrap();
    pool.snapshot(volume, &named("s")).unwrap();
    pool.resize(volume, 10).unwrap();
    pool.write(volume, 0, &[7; 5120]).unwrap();
    pool.unmount().unwrap();
    let enlarge = |pool: &mut Pool<'_, &mut Recorder>| pool.resize(LayerId(1), 24).unwrap();
    cuts(disk, enlarge, |pool| {
        let sectors = pool.layer(LayerId(1)).unwrap().sectors;
        let mut rest = vec![1; (usize::try_from(sectors).unwrap() - 10) * 512];
        pool.read(LayerId(1), 10, &mut rest).unwrap();
        assert!([10, 24].contains(&sectors) && rest.iter().all(|byte| *byte == 0), "{sectors}");
        sectors == 24
    });
}

#[test]
fn growing_cut_anywhere_has_the_old_size_or_the_new() {
    for (old, new) in [(400, 800), (400, 9000), (5000, 5100)] {
        let mut disk = sample(old);
        disk.geometry.sectors = new;
        let grow = |pool: &mut Pool<'_, &mut Recorder>| {
            pool.grow().unwrap();
        };
        cuts(disk, grow, |pool| {
            let total = pool.space().total;
            assert!(total == old || total > new - 64, "{total}");
            total != old
        });
    }
}

#[test]
fn a_device_discard_cut_anywhere_harms_nothing() {
    let mut disk = sample(400);
    disk.geometry.discard = true;
    let discard = |pool: &mut Pool<'_, &mut Recorder>| {
        pool.rename(LayerId(2), "t").unwrap();
        let mut next = pool.discard_free(0, 1).unwrap();
        while let Some(from) = next {
            next = pool.discard_free(from, 1).unwrap();
        }
    };
    cuts(disk, discard, |pool| pool.find("t").unwrap().is_some());
}

#[test]
fn formatting_cut_anywhere_leaves_the_old_pool_or_none_or_the_whole_new_one() {
    for old in [SparseDisk::new(512, 400 * 512), sample(400)] {
        let blank = Superblock::decode(&first_sector(&old), cowl::crc32c).is_none();
        let mut recorder = Recorder::new(old);
        let mut workspace = vec![0; 1 << 16];
        let new = FormatOptions { force: true, uuid: [2; 16], ..options() };
        Pool::format(&mut recorder, &mut workspace, &new).unwrap();
        let mut seen = [0; 3];
        for mut image in recorder.images {
            match Pool::mount(&mut image, &mut workspace, &MountOptions::default()) {
                Ok(mut pool) if pool.info().uuid == [2; 16] => {
                    assert_eq!((pool.layers().count(), pool.info().layers), (0, 0));
                    sound(&mut pool, true).unwrap();
                    seen[2] += 1;
                }
                Ok(_) => seen[1] += 1,
                Err(Error::NotAPool | Error::Corrupt { .. }) => seen[0] += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(seen[0] > 0 && seen[2] > 0 && (seen[1] == 0) == blank, "{seen:?}");
    }
}

fn first_sector(disk: &SparseDisk) -> [u8; 512] {
    let mut bytes = [0; 512];
    disk.clone().read(0, &mut bytes).unwrap();
    bytes
}
