//! The small reader in both colours.

use cowl::{Error, Pool, Reader, asynch};

use super::{
    OPTIONS, SHAPES, Shape, apply,
    disk::{Call, Disk, Failed, Stop},
    prepared, ready, run,
};

/// Looks for layers and reads them; the same text for both colours.
macro_rules! look {
    ($reader:expr $(, $wait:tt)?) => {{
        let reader = $reader;
        let mut seen = Vec::new();
        for name in ["v", "c", "t", "nobody"] {
            let Some(image) = reader.find(name)$(.$wait)?? else { continue };
            let mut bytes = vec![0; usize::try_from(image.sectors()).unwrap() * 512];
            reader.read(&image, 0, &mut bytes)$(.$wait)??;
            seen.push((name, bytes));
            let Some(attached) = reader.attachment(&image, "x")$(.$wait)?? else { continue };
            let mut bytes = vec![0; 1024];
            reader.read(&attached, 0, &mut bytes)$(.$wait)??;
            seen.push(("x", bytes));
        }
        Ok::<_, Error<Failed>>(seen)
    }};
}

type Seen = Vec<(&'static str, Vec<u8>)>;

/// Disks with a tail in the journal.
fn disks() -> impl Iterator<Item = (&'static Shape, Disk)> {
    SHAPES.iter().filter(|shape| !shape.base).map(|shape| {
        let (mut disk, mut base, then) = prepared(shape);
        let mut memory = shape.workspace();
        let mut pool = Pool::mount_on_base(&mut disk, &mut base, &mut memory, &OPTIONS).unwrap();
        for op in &then {
            apply!(pool, op).unwrap();
        }
        pool.flush().unwrap();
        pool.abandon();
        disk.calls.clear();
        (shape, disk)
    })
}

fn blocking(shape: &Shape, mut disk: Disk) -> (Seen, Vec<Call>) {
    let mut memory = shape.workspace();
    let mut reader = Reader::mount(&mut disk, &mut memory, cowl::crc32c).unwrap();
    let seen = (|| look!(&mut reader))().unwrap();
    (seen, disk.calls)
}

#[test]
fn the_small_reader_asks_the_same_of_the_device_and_shows_the_same() {
    for (shape, disk) in disks() {
        let (seen, calls) = blocking(shape, disk.clone());
        assert_eq!(seen.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["v", "c", "t", "x"]);
        let (mut disk, mut memory) = (disk, shape.workspace());
        let mut reader = ready(asynch::Reader::mount(&mut disk, &mut memory, cowl::crc32c)).unwrap();
        assert!(ready(async { look!(&mut reader, await) }) == Ok(seen));
        assert!(disk.calls == calls);
    }
}

#[test]
fn the_small_reader_goes_on_after_a_future_that_was_dropped() {
    for (shape, disk) in disks() {
        let (seen, calls) = blocking(shape, disk.clone());
        let mounting = {
            let (mut disk, mut memory) = (disk.clone(), shape.workspace());
            Reader::mount(&mut disk, &mut memory, cowl::crc32c).unwrap();
            disk.calls.len()
        };
        assert!(calls.len() > mounting + 20, "{mounting} of {}", calls.len());
        for (call, acts) in (0..calls.len()).flat_map(|call| [(call, false), (call, true)]) {
            let (mut disk, mut memory) = (disk.clone(), shape.workspace());
            if call < mounting {
                disk.stop_at(Some(Stop { call, acts }));
                assert!(run(asynch::Reader::mount(&mut disk, &mut memory, cowl::crc32c)).is_none(), "call {call}");
                disk.stop = None;
            }
            let mut reader = ready(asynch::Reader::mount(&mut disk, &mut memory, cowl::crc32c)).unwrap();
            if let Some(call) = call.checked_sub(mounting) {
                reader.device_mut().stop_at(Some(Stop { call, acts }));
                assert!(run(async { look!(&mut reader, await) }).is_none(), "call {call} behind the mount");
                reader.device_mut().stop = None;
            }
            assert!(ready(async { look!(&mut reader, await) }).as_ref() == Ok(&seen), "call {call}");
        }
    }
}
