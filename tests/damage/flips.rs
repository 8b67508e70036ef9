//! Every bit.

use std::{cell::RefCell, collections::BTreeSet};

use cowl::{
    BlockDevice, Error, Geometry, LayerKind, Pool, Reader,
    format::{GROUP_START, SUPERBLOCKS},
};
use cowl_tests::contents::{Contents, Detected, damage, findings, is_spare_copy, unchecked_data};

use crate::images::{self, Image, options};

/// Device calls after which a run is called endless: a sound run on these images makes a few thousand.
const ENDLESS: u64 = 200_000;

/// Reads an image with one bit turned over; what is written stays in memory.
#[derive(Debug)]
struct Overlay<'a> {
    bytes: &'a [u8],
    flip: Option<(usize, u8)>,
    written: Vec<(u64, Box<[u8]>)>,
    touched: Option<RefCell<BTreeSet<u64>>>,
    calls: u64,
}

/// Past the image's end.
#[derive(Debug)]
struct PastEnd;

impl<'a> Overlay<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, flip: None, written: Vec::new(), touched: None, calls: 0 }
    }

    fn flipped(bytes: &'a [u8], bit: usize) -> Self {
        Self { flip: Some((bit / 8, 1 << (bit % 8))), ..Self::new(bytes) }
    }

    fn recording(bytes: &'a [u8]) -> Self {
        Self { touched: Some(RefCell::default()), ..Self::new(bytes) }
    }
}

impl BlockDevice for Overlay<'_> {
    type Error = PastEnd;

    fn geometry(&self) -> Geometry {
        Geometry::new(512, self.bytes.len() as u64 / 512)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), PastEnd> {
        self.calls += 1;
        assert!(self.calls < ENDLESS, "endless");
        let start = sector as usize * 512;
        let end = start + buffer.len();
        buffer.copy_from_slice(self.bytes.get(start..end).ok_or(PastEnd)?);
        if let Some((byte, mask)) = self.flip.filter(|(byte, _)| (start..end).contains(byte)) {
            buffer[byte - start] ^= mask;
        }
        for (at, bytes) in &self.written {
            if (sector..sector + buffer.len() as u64 / 512).contains(at) {
                buffer[(at - sector) as usize * 512..][..512].copy_from_slice(bytes);
            }
        }
        if let Some(touched) = &self.touched {
            touched.borrow_mut().extend(sector..sector + buffer.len() as u64 / 512);
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), PastEnd> {
        self.calls += 1;
        for (at, part) in (sector..).zip(buffer.chunks(512)) {
            match self.written.iter_mut().find(|(there, _)| *there == at) {
                Some((_, bytes)) => bytes.copy_from_slice(part),
                None => self.written.push((at, part.into())),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PastEnd> {
        Ok(())
    }
}

type Looked<'w, 'a> = Pool<'w, Overlay<'a>, Overlay<'a>>;

fn mount<'w, 'a>(
    image: &'a Image,
    device: Overlay<'a>,
    workspace: &'w mut [u8],
    read_only: bool,
) -> Result<Looked<'w, 'a>, Error<PastEnd>> {
    Pool::mount_on_base(device, Overlay::new(&image.base), workspace, &options(read_only))
}

/// The sectors that mounting, reading and checking touch, but for data without checksums.
fn reachable(image: &Image) -> Vec<u64> {
    let mut workspace = vec![0; 1 << 16];
    let mut all = BTreeSet::new();
    for read_only in [true, false] {
        let mut pool = mount(image, Overlay::recording(&image.bytes), &mut workspace, read_only).expect("mount");
        image.now.look(&mut pool, None).expect("sound");
        assert!(findings(&mut pool).expect("check").iter().all(is_spare_copy));
        let data = unchecked_data(&mut pool).expect("extents");
        let touched = pool.device_mut().touched.take().expect("recording").into_inner();
        // Data of deleted layers is read by `check` alone, which has nothing to compare it with.
        let tags = |sector: &u64| {
            let bytes = &image.bytes[*sector as usize * 512..][..512];
            let one_tag = bytes.iter().all(|byte| *byte == bytes[0]) && bytes[0] != 0;
            one_tag && pool_has_unchecked(image)
        };
        all.extend(touched.into_iter().filter(|sector| !data.contains(sector) && !tags(sector)));
    }
    all.into_iter().collect()
}

fn pool_has_unchecked(image: &Image) -> bool {
    image.now.0.iter().any(|layer| !layer.info.flags.contains(cowl::LayerFlags::INTEGRITY))
}

/// What became of the flips.
#[derive(Debug, Default)]
struct Tally {
    sectors: usize,
    flips: u64,
    detected: u64,
    survived: u64,
}

/// Turns one bit and looks at everything, writable and read-only.
fn flip(image: &Image, bit: usize, workspace: &mut [u8], tally: &mut Tally) {
    // In the journal's unproven tail rot looks like a write that was torn: the last group may be missing.
    let before = image.before.as_ref();
    tally.flips += 1;
    let mut detected = false;
    for read_only in [false, true] {
        let device = Overlay::flipped(&image.bytes, bit);
        let seen = damage(mount(image, device, workspace, read_only)).and_then(|mut pool| {
            let looked = image.now.look(&mut pool, before);
            let found = if read_only { Vec::new() } else { damage(findings(&mut pool))? };
            looked?;
            if found.is_empty() { Ok(pool) } else { Err(Detected) }
        });
        match seen {
            Err(Detected) => detected = true,
            Ok(mut pool) if !read_only && tally.survived.is_multiple_of(61) => works(&mut pool, &image.now, before),
            Ok(_) => {}
        }
    }
    if image.base.is_empty() {
        match read(image, bit, workspace) {
            Ok(()) => {}
            // The pool reads around it no better, or has no use for it and `check` alone finds it.
            Err(_) if detected => {}
            Err(error) => panic!("the reader alone fails, of bit {bit}: {error:?}"),
        }
    }
    *(if detected { &mut tally.detected } else { &mut tally.survived }) += 1;
    // Only journal units that nobody needs, or whose loss looks like a torn write, may rot unseen.
    let journal = GROUP_START..GROUP_START + images::JOURNAL_UNITS;
    let tail = before.is_some();
    assert!(detected || tail || journal.contains(&(bit as u64 / 4096)), "bit {bit} is not noticed");
}

/// The small reader gives the truth or an error, of layers and attachments. Of a tail that looks torn it may give less.
fn read(image: &Image, bit: usize, workspace: &mut [u8]) -> Result<(), Error<PastEnd>> {
    let mut reader = Reader::mount(Overlay::flipped(&image.bytes, bit), workspace, cowl_host::crc32c)?;
    let alike = |reader: &mut Reader<'_, _>, found: Option<cowl::Image>, now: &[u8], before: Option<&Vec<u8>>| {
        let found = found.expect("found");
        let mut seen = vec![0; now.len()];
        reader.read(&found, 0, &mut seen)?;
        for (at, part) in seen.chunks(512).enumerate() {
            let range = at * 512..(at + 1) * 512;
            let other = before.is_some_and(|other| other[range.clone()] == *part);
            assert!(other || now[range] == *part, "{found:?} sector {at} reads {:x?}", &part[..8]);
        }
        Ok(found)
    };
    for (i, layer) in image.now.0.iter().enumerate() {
        let before = image.before.as_ref().map(|before| &before.0[i].bytes);
        let found = reader.find(&layer.info.name)?;
        let found = alike(&mut reader, found, &layer.bytes, before)?;
        assert_eq!((found.id(), found.sectors()), (layer.info.id, layer.info.sectors));
        for (id, name, bytes) in &layer.attachments {
            let attached = reader.attachment(&found, name)?;
            let attached = alike(&mut reader, attached, bytes, None)?;
            assert_eq!((attached.id(), attached.length()), (*id, 700));
        }
    }
    assert_eq!(reader.find("nobody")?.map(|found| found.id()), None);
    Ok(())
}

/// Everything works on a pool that damage has not harmed.
fn works(pool: &mut Looked<'_, '_>, now: &Contents, before: Option<&Contents>) {
    let volume = now.0.iter().find(|layer| layer.info.kind == LayerKind::Volume).expect("a volume").info.id;
    match pool.snapshot(volume, &cowl_tests::named("new")) {
        Ok(snapshot) => {
            pool.write(volume, 0, &[0xf7; 512]).or_else(full).expect("write");
            pool.flush().expect("flush");
            pool.rollback(volume, snapshot, 1, None).expect("rollback");
            pool.delete(snapshot).expect("delete");
        }
        Err(error) => full(error).expect("snapshot"),
    }
    pool.merge_all(2000).expect("merge");
    let mut expected = now.clone();
    let info = pool.layer(volume).expect("the volume");
    let there = expected.0.iter_mut().find(|layer| layer.info.id == volume).expect("the volume");
    (there.info.reverted_at, there.info.reverted_from) = (info.reverted_at, info.reverted_from);
    expected.look(pool, before).expect("nothing has changed");
    assert!(findings(pool).expect("check").iter().all(is_spare_copy));
}

fn full<E>(error: Error<E>) -> Result<(), Error<E>> {
    if matches!(error, Error::NoSpace { .. }) { Ok(()) } else { Err(error) }
}

/// All bits of an image, or every seventh.
fn all_flips(number: usize, image: &Image) {
    let every = std::env::var_os("COWL_EVERY_BIT").is_some();
    let step = if every { 1 } else { 7 };
    let mut workspace = vec![0; 1 << 16];
    let sectors = reachable(image);
    let mut tally = Tally { sectors: sectors.len(), ..Tally::default() };
    for sector in sectors {
        let first = (number + sector as usize) % step;
        for bit in (0..4096).skip(first).step_by(step) {
            let at = sector as usize * 4096 + bit;
            let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                flip(image, at, &mut workspace, &mut tally);
            }));
            assert!(looked.is_ok(), "image {number}, sector {sector}, bit {bit}");
        }
    }
    println!("image {number}: {tally:?}");
    assert!(tally.sectors > SUPERBLOCKS as usize + 8 && tally.detected > tally.flips / 2, "{tally:?}");
}

macro_rules! images {
    ($($number:literal $test:ident $image:ident)*) => {
        $(
            #[test]
            fn $test() {
                all_flips($number, &images::$image());
            }
        )*
    };
}

images! {
    0 a_flipped_bit_in_a_chain_is_found_or_harmless a_chain
    1 a_flipped_bit_in_a_merge_half_done_is_found_or_harmless a_merge_half_done
    2 a_flipped_bit_under_a_deleted_branching_point_is_found_or_harmless a_deleted_branching_point
    3 a_flipped_bit_among_attachments_is_found_or_harmless attachments
    4 a_flipped_bit_with_integrity_is_found_or_harmless integrity
    5 a_flipped_bit_with_a_guaranteed_volume_is_found_or_harmless guaranteed
    6 a_flipped_bit_in_a_dirty_journal_is_found_or_harmless_or_costs_the_last_group a_dirty_journal
    7 a_flipped_bit_over_a_base_device_is_found_or_harmless a_base_device
    8 a_flipped_bit_in_a_full_pool_is_found_or_harmless a_full_pool
    9 a_flipped_bit_in_maps_of_several_levels_is_found_or_harmless several_levels
}
