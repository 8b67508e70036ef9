//! Devices that are not what they say, or not what the pool was made on: both colours answer the same, and leave the same on the disk.
//!
//! What is right to answer is said in `bad_devices.rs` and `devices.rs`, for the blocking colour; here it stands once more, in short.

use cowl::{Error, FormatOptions, Geometry, LayerFlags, MountOptions, Pool, crc32c, format::Superblock};

use crate::{
    OPTIONS, SMALL,
    disk::{Call, Disk, Failed},
    ops::{Op, apply},
    prepared, ready,
};

type Answer = Result<(), Error<Failed>>;

/// A bad device: what is wrong, the disk and its base, and whether this is what mounting should answer.
struct Bad {
    what: String,
    disk: Disk,
    base: Disk,
    expected: fn(&Answer) -> bool,
}

/// The disk of a pool, on whose superblocks something is changed.
fn changed(change: impl Fn(&mut Superblock)) -> Disk {
    let (mut disk, ..) = prepared(&SMALL);
    for slot in 0..4u8 {
        let bytes = &mut disk.bytes[usize::from(slot) * 512..][..512];
        let mut superblock = Superblock::decode(bytes, crc32c).expect("all four slots are in use");
        change(&mut superblock);
        superblock.encode(bytes, slot, crc32c);
    }
    disk
}

/// The disk of a pool that says of itself something else.
fn claiming(change: impl Fn(&mut Geometry)) -> Disk {
    let (disk, ..) = prepared(&SMALL);
    let mut geometry = cowl::BlockDevice::geometry(&disk);
    change(&mut geometry);
    disk.claiming(geometry)
}

fn table() -> Vec<Bad> {
    let mut table = Vec::new();
    let mut add = |what: &str, disk: Disk, expected: fn(&Answer) -> bool| {
        table.push(Bad { what: what.to_owned(), disk, base: SMALL.base(), expected });
    };
    for size in [0, 1, 100, 256, 511, 1000, 3 << 10, 1 << 17, 1 << 31, u32::MAX] {
        let disk = claiming(|geometry| (geometry.sector_size, geometry.physical_size) = (size, size));
        add(&format!("sectors of {size}"), disk, |answer| matches!(answer, Err(Error::BadParameter(_))));
    }
    for size in [1024, 4096] {
        let disk = claiming(|geometry| (geometry.sector_size, geometry.sectors) = (size, 700 * 512 / u64::from(size)));
        add(&format!("sectors of {size}"), disk, |answer| {
            matches!(answer, Err(Error::WrongSectorSize { pool: 512, .. }))
        });
    }
    add(
        "larger sectors in the pool",
        changed(|sb| (sb.block_shift, sb.sector_shift, sb.unit_shift) = (12, 12, 12)),
        |answer| *answer == Err(Error::WrongSectorSize { pool: 4096, device: 512 }),
    );
    for sectors in [0, 1, 3, 50, 699] {
        let small =
            |answer: &Answer| matches!(answer, Err(Error::DeviceTooSmall { needed: 700, .. } | Error::NotAPool));
        add(&format!("says it has {sectors} sectors"), claiming(|geometry| geometry.sectors = sectors), small);
    }
    for alignment in [3, 1024] {
        let disk = claiming(|geometry| geometry.alignment = alignment);
        add(&format!("aligned to {alignment}"), disk, |answer| matches!(answer, Err(Error::BadParameter(_))));
    }
    add("no pool", SMALL.disk(), |answer| *answer == Err(Error::NotAPool));
    add("no pool, and little room", Disk::new(50 * 512), |answer| *answer == Err(Error::NotAPool));
    let physical = Geometry { physical_size: 4096, ..Geometry::new(512, 2048) };
    add("no pool, and large units", Disk::new(1 << 20).claiming(physical), |answer| *answer == Err(Error::NotAPool));
    let locked = Geometry { read_only: true, ..Geometry::new(512, 2048) };
    add("no pool, and read-only", Disk::new(1 << 20).claiming(locked), |answer| *answer == Err(Error::NotAPool));
    add("a newer version", changed(|sb| sb.version = (2, 0)), |answer| {
        *answer == Err(Error::UnsupportedVersion { major: 2, minor: 0 })
    });
    add("a newer minor version", changed(|sb| sb.version.1 = 9), Result::is_ok);
    add("a feature that does not matter", changed(|sb| sb.compatible = 1), Result::is_ok);
    let feature = |answer: &Answer| *answer == Err(Error::UnsupportedFeatures { bits: 4 });
    add("a feature that matters", changed(|sb| sb.incompatible = 4), feature);
    add("a feature that matters to writers", changed(|sb| sb.read_only_compatible = 4), feature);
    add("read-only", claiming(|geometry| geometry.read_only = true), Result::is_ok);
    for kept in [0, 100, 512, 1536, 5 * 512, 60 * 512, 200 * 512] {
        let mut disk = claiming(|_| ());
        disk.bytes.truncate(kept);
        add(&format!("ends after {kept} bytes"), disk, |answer| matches!(answer, Ok(()) | Err(Error::Device(Failed))));
    }
    for calls in 0..60 {
        let (mut disk, ..) = prepared(&SMALL);
        disk.locks_after = Some(calls);
        add(&format!("turns read-only after {calls} calls"), disk, |answer| {
            matches!(answer, Ok(()) | Err(Error::Device(Failed)))
        });
    }
    let (disk, ..) = prepared(&SMALL);
    let other = Disk::new(30 * 512);
    table.push(Bad { what: "another base".into(), disk, base: other, expected: Result::is_ok });
    let shape = crate::SHAPES[3];
    let (disk, base, _) = prepared(&shape);
    let wrong = |answer: &Answer| *answer == Err(Error::WrongBase);
    table.push(Bad { what: "no base".into(), disk: disk.clone(), base: Disk::new(0), expected: wrong });
    table.push(Bad {
        what: "the base is another one".into(),
        disk: disk.clone(),
        base: Disk::new(30 * 512),
        expected: wrong,
    });
    let mut short = base.clone().claiming(cowl::BlockDevice::geometry(&base));
    short.bytes.truncate(512);
    table.push(Bad { what: "the base ends early".into(), disk: disk.clone(), base: short, expected: wrong });
    let odd = Geometry { alignment: 3, ..cowl::BlockDevice::geometry(&base) };
    table.push(Bad { what: "the base is aligned to 3".into(), disk, base: base.claiming(odd), expected: wrong });
    table
}

/// Everything that changes something, and some that do not.
fn calls() -> Vec<Op> {
    vec![
        Op::Read { layer: 1, sector: 0, count: 60 },
        Op::Write { layer: 1, sector: 2, count: 3, with: 9 },
        Op::Flush,
        Op::Halves,
        Op::Discard { layer: 1, sector: 5, count: 30 },
        Op::Zeroes { layer: 3, sector: 21, count: 3 },
        Op::Create { name: "new", sectors: 30, flags: LayerFlags::empty() },
        Op::SnapshotAll { volumes: [1, 3], name: "all" },
        Op::Keep { volume: 3, snapshot: 4, name: "kept" },
        Op::Clone { snapshot: 4, name: "clone" },
        Op::Delete { layer: 4 },
        Op::Rename { layer: 1, name: "renamed" },
        Op::Describe { layer: 1, text: "told" },
        Op::Resize { volume: 1, sectors: 20 },
        Op::MergeAll { budget: 400 },
        Op::Transfer { layer: 1, sector: 16, count: 16, with: 8 },
        Op::DiscardFree,
        Op::Grow,
        Op::Check,
        Op::Checkpoint,
    ]
}

/// What mounting answers, and what every call then does and unmounting; what mounting on the base and formatting answer; the disk.
struct Told {
    mounted: Answer,
    /// Bytes on the disk after the first mount, and in the end.
    bytes: [Vec<u8>; 2],
    answers: Vec<String>,
    formatted: [Answer; 2],
    calls: Vec<Call>,
}

macro_rules! told {
    ($bad:expr $(, $wait:tt)?) => {{
        let (mut disk, mut base, mut memory) = ($bad.disk.clone(), $bad.base.clone(), vec![0; 1 << 20]);
        let mut answers = Vec::new();
        let mounted = match Pool::mount(&mut disk, &mut memory, &OPTIONS)$(.$wait)? {
            Ok(mut pool) => {
                for op in calls() {
                    answers.push(format!("{:?}", apply!(pool, &op $(, $wait)?)));
                }
                answers.push(format!("{:?}", pool.unmount()$(.$wait)?.map(|_| ())));
                Ok(())
            }
            Err(error) => Err(error),
        };
        let first = disk.bytes.clone();
        let looking = MountOptions { read_only: true, ..OPTIONS };
        for options in [OPTIONS, looking] {
            let plain = Pool::mount(&mut disk, &mut memory, &options)$(.$wait)?.map(|pool| pool.info());
            answers.push(format!("{plain:?}"));
            let on_base = Pool::mount_on_base(&mut disk, &mut base, &mut memory, &options)$(.$wait)?;
            answers.push(format!("{:?}", on_base.map(|pool| pool.info())));
        }
        let options = FormatOptions::new(512, [2; 16]);
        let formatted = [
            Pool::format_on_base(&mut disk, &mut base, &mut memory, &options)$(.$wait)?,
            Pool::format(&mut disk, &mut memory, &options)$(.$wait)?,
        ];
        let calls = std::mem::take(&mut disk.calls);
        Told { mounted, bytes: [first, disk.bytes], answers, formatted, calls }
    }};
}

fn blocking(bad: &Bad) -> Told {
    told!(bad)
}

async fn waiting(bad: &Bad) -> Told {
    use cowl::asynch::Pool;
    told!(bad, await)
}

#[test]
fn both_colours_answer_the_same_to_a_bad_device_and_leave_the_same_on_it() {
    let mut refused = 0;
    for bad in table() {
        let (there, here) = (blocking(&bad), ready(waiting(&bad)));
        assert!((bad.expected)(&there.mounted), "{}: {:?}", bad.what, there.mounted);
        assert_eq!((here.mounted, here.formatted), (there.mounted, there.formatted), "{}", bad.what);
        assert_eq!(here.answers, there.answers, "{}", bad.what);
        assert_eq!(here.calls, there.calls, "{}", bad.what);
        assert!(here.bytes == there.bytes, "{}", bad.what);
        if there.mounted.is_err() || bad.disk.claims.is_some_and(|claims| claims.read_only) {
            refused += 1;
            assert!(there.bytes[0] == bad.disk.bytes, "{}: the mount has written", bad.what);
            if there.formatted.iter().all(Result::is_err) {
                assert!(there.bytes[1] == bad.disk.bytes, "{}: a format that was refused has written", bad.what);
            }
        }
    }
    assert!(refused > 25, "{refused} devices were refused");
}
