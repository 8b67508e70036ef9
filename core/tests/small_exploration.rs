//! A short history on a small pool, with a power cut at every device write. Small enough for an interpreter: run under Miri it shows
//! that the core behaves on 32-bit and on big-endian machines as on this one, down to the bytes on the device.

use cowl::{
    Attributes, BlockDevice, Error, FormatOptions, Geometry, LayerFlags, LayerId, Limits, MountOptions, Pool, RamDisk,
    Reader, crc32c, reader_workspace_size, workspace_size,
};

const BLOCKS: usize = 128;
const SECTORS: u64 = 3;

type Writes = Vec<(usize, Vec<u8>)>;

/// A disk that keeps what was durable at the last flush, the writes since, and both as they were after every write.
#[derive(Default)]
struct Disk {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Writes,
    cuts: Vec<(Vec<u8>, Writes)>,
}

impl BlockDevice for Disk {
    type Error = ();

    fn geometry(&self) -> Geometry {
        Geometry::new(512, BLOCKS as u64)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), ()> {
        let from = usize::try_from(sector).unwrap() * 512;
        buffer.copy_from_slice(&self.bytes[from..from + buffer.len()]);
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), ()> {
        let from = usize::try_from(sector).unwrap() * 512;
        self.bytes[from..from + buffer.len()].copy_from_slice(buffer);
        self.pending.push((from, buffer.to_vec()));
        self.cuts.push((self.durable.clone(), self.pending.clone()));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        self.durable.clone_from(&self.bytes);
        self.pending.clear();
        Ok(())
    }
}

fn options() -> FormatOptions {
    FormatOptions { pending: 2, journal_units: 3, ..FormatOptions::new(512, [7; 16]) }
}

fn workspace() -> Vec<u8> {
    vec![0; workspace_size(512, Limits { pending: 2, ..Limits::new(512, BLOCKS as u64) })]
}

fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

/// Does a step, and then looks at every state that a power cut at one of its writes may have left: none of the pending
/// writes there, all of them, or all but the last. The volume must hold `before` or `after`, each sector for itself.
fn step(
    disk: &mut Disk,
    before: [u8; 3],
    after: [u8; 3],
    work: impl FnOnce(&mut Pool<'_, &mut Disk>) -> Result<(), Error<()>>,
) {
    disk.cuts.clear();
    let mut memory = workspace();
    let mut pool = Pool::mount(&mut *disk, &mut memory, &MountOptions::default()).unwrap();
    work(&mut pool).unwrap();
    assert_eq!(content(&mut pool), after);
    // An interpreter is a hundred times slower, and looks at a few of them.
    for (durable, pending) in core::mem::take(&mut disk.cuts).into_iter().step_by(if cfg!(miri) { 12 } else { 1 }) {
        for kept in [0, pending.len() - 1, pending.len()] {
            let mut image = durable.clone();
            for (from, bytes) in &pending[..kept] {
                image[*from..*from + bytes.len()].copy_from_slice(bytes);
            }
            let mut memory = workspace();
            let mut pool = Pool::mount(RamDisk::new(&mut image), &mut memory, &MountOptions::default()).unwrap();
            let found = content(&mut pool);
            assert_eq!(read_small(&mut image), found, "the small reader");
            for (i, value) in found.into_iter().enumerate() {
                assert!(value == before[i] || value == after[i], "{found:?} between {before:?} and {after:?}");
            }
        }
    }
}

/// The same by the small reader.
fn read_small(image: &mut [u8]) -> [u8; 3] {
    let mut memory = [0; reader_workspace_size(512, 2)];
    let mut reader = Reader::mount(RamDisk::new(image), &mut memory, crc32c).unwrap();
    let volume = reader.find("v").unwrap().expect("the volume");
    let mut bytes = [0; 3 * 512];
    reader.read(&volume, 0, &mut bytes).unwrap();
    [bytes[0], bytes[512], bytes[1024]]
}

/// The value of each sector of the volume.
fn content<D: BlockDevice>(pool: &mut Pool<'_, D>) -> [u8; 3] {
    let mut bytes = [0; 3 * 512];
    pool.read(LayerId(1), 0, &mut bytes).unwrap();
    core::array::from_fn(|i| {
        let sector = &bytes[i * 512..(i + 1) * 512];
        assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is a mix");
        sector[0]
    })
}

#[test]
fn every_cut_of_a_short_history_leaves_the_same_on_every_machine() {
    let mut disk = Disk { bytes: vec![0; BLOCKS * 512], durable: vec![0; BLOCKS * 512], ..Disk::default() };
    Pool::format(&mut disk, &mut workspace(), &options()).unwrap();
    let mut memory = workspace();
    let mut pool = Pool::mount(&mut disk, &mut memory, &MountOptions::default()).unwrap();
    pool.create(&named("v"), SECTORS, LayerFlags::empty()).unwrap();

    step(&mut disk, [0; 3], [1, 1, 0], |pool| {
        pool.write(LayerId(1), 0, &[1; 1024])?;
        pool.flush()
    });
    step(&mut disk, [1, 1, 0], [2, 1, 3], |pool| {
        pool.write(LayerId(1), 2, &[3; 512])?;
        pool.flush()?;
        pool.write(LayerId(1), 0, &[2; 512])?;
        pool.snapshot(LayerId(1), &named("s")).map(drop)
    });
    step(&mut disk, [2, 1, 3], [2, 4, 3], |pool| {
        pool.write(LayerId(1), 1, &[4; 512])?;
        pool.flush()
    });
    step(&mut disk, [2, 4, 3], [2, 1, 3], |pool| pool.rollback(LayerId(1), LayerId(2), 9, None).map(drop));
    step(&mut disk, [2, 1, 3], [2, 1, 3], |pool| {
        pool.delete(LayerId(2))?;
        pool.merge_all(2000)
    });

    let mut findings = 0;
    let mut memory = workspace();
    let mut pool = Pool::mount(&mut disk, &mut memory, &MountOptions::default()).unwrap();
    pool.check(&mut [0; 64], true, &mut |_| findings += 1).unwrap();
    assert_eq!(findings, 0);
    assert_eq!(crc32c(0, &disk.bytes), 0xcc80_383d, "the bytes on the device");
}
