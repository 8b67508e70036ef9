//! `cowl demo`: the main job on a real disk file, told step by step with figures.
//!
//! A pool in a file; a volume with a real file system; snapshots and changes between them; rollback, back and forth; a branch; deletes in
//! the middle of the tree; power cuts at random device writes; a last check. A plain copy of every layer is kept
//! beside the pool all the while, and everything that is said to be the same has been compared byte for byte.

mod bench;
mod content;
mod cuts;
mod plain;
mod power;
mod story;

use std::{fs, io, os::unix::fs::FileExt, path::Path};

use cowl::{FormatOptions, LayerFlags, MountOptions, Pool, Stats};

use crate::{
    FileDevice,
    cli::{
        failure::{Failure, Kind},
        size::Bytes,
        time,
        ui::Ui,
    },
    sim::Rng,
};
use bench::{Bench, Change, named};
use content::Content;
use plain::{BLOCK, PER_BLOCK, Plain, Plains, Volume};
use power::PowerCut;
use story::Story;

/// Size of the pool's file.
const POOL: u64 = 1 << 30;
/// Size of the volume.
const VOLUME: u64 = 32 << 20;
/// Memory of the pool.
const WORKSPACE: usize = 4 << 20;
/// Snapshots taken with changes between them.
const DAYS: [&str; 5] = ["monday", "tuesday", "wednesday", "thursday", "friday"];

/// Tells the story in `dir`, or in a temporary directory that goes at the end.
///
/// # Errors
/// [`Kind::Damage`] if anything is not as it must be; else what the system or the pool reports.
pub fn run(ui: &Ui, dir: Option<&Path>, seed: u64, power_cuts: u32) -> Result<(), Failure> {
    let mut story = Story::new(ui.json());
    let told = if let Some(dir) = dir {
        fs::create_dir_all(dir).map_err(|error| Failure::file("make", dir, &error))?;
        tell(&mut story, dir, seed, power_cuts)
    } else {
        let temporary = tempfile::Builder::new().prefix("cowl-demo-").tempdir();
        let temporary =
            temporary.map_err(|error| Failure::file("make a directory in", &std::env::temp_dir(), &error))?;
        tell(&mut story, temporary.path(), seed, power_cuts)
    };
    told.map_err(|failure| cuts::replay(failure, seed, power_cuts))?;
    ui.show(&story)
}

fn tell(story: &mut Story, dir: &Path, seed: u64, power_cuts: u32) -> Result<(), Failure> {
    let mut random = Rng::new(seed);
    let mut plains = Plains::default();
    let mut workspace = vec![0; WORKSPACE];
    let options = MountOptions { read_only: false, checksum: crate::crc32c };
    let device = make_pool(story, dir, &mut workspace, &mut random)?;
    let pool = Pool::mount(device, &mut workspace, &options)?;
    let fresh = pool.space().free;
    let mut bench = Bench { pool, plains: &mut plains };
    let content = fill(story, &mut bench, dir, seed)?;
    week(story, &mut bench, &mut random)?;
    back_and_forth(story, &mut bench, &mut random)?;
    branch(story, &mut bench, &mut random)?;
    // Mounted afresh, so that the figures of the next step include every read.
    let pool = Pool::mount(bench.pool.unmount()?, &mut workspace, &options)?;
    let mut bench = Bench { pool, plains: &mut plains };
    delete_in_the_middle(story, &mut bench)?;
    let device = bench.pool.unmount()?;
    let (device, toll) = cuts::run(device, &mut workspace, &mut plains, &mut random, power_cuts)?;
    story.tell(
        "power cuts",
        &format!(
            "{} at random writes to the disk, {} in the middle of a snapshot, rollback or delete ({} of them wholly there afterwards, the others wholly not); {} of {} unflushed sectors lost; each time mounted again, every layer compared ({}), and checked",
            toll.cuts, toll.in_changes, toll.completed, toll.lost, toll.open, Bytes(toll.compared)
        ),
    )?;
    let pool = Pool::mount(device, &mut workspace, &options)?;
    last_check(story, &mut Bench { pool, plains: &mut plains }, &content, dir, fresh)
}

fn make_pool(story: &mut Story, dir: &Path, workspace: &mut [u8], random: &mut Rng) -> Result<PowerCut, Failure> {
    let path = dir.join("demo.cowl");
    let mut device = PowerCut::new(FileDevice::create(&path, POOL)?);
    let mut uuid = [0; 16];
    random.fill(&mut uuid);
    let options = FormatOptions { checksum: crate::crc32c, ..FormatOptions::new(plain::BLOCK_SIZE, uuid) };
    Pool::format(&mut device, workspace, &options)?;
    let taken = on_disk(&path);
    story.tell(
        "a pool",
        &format!(
            "{} in blocks of {}, in {}: a sparse file that takes {} now",
            Bytes(cuts::size(&device)),
            Bytes(BLOCK as u64),
            path.display(),
            Bytes(taken)
        ),
    )?;
    Ok(device)
}

/// Bytes that a sparse file takes of its disk.
fn on_disk(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map_or(0, |metadata| metadata.blocks() * 512)
}

fn fill(story: &mut Story, bench: &mut Bench<'_, '_>, dir: &Path, seed: u64) -> Result<Content, Failure> {
    let content = content::make(dir, VOLUME, seed).map_err(|error| Failure::file("make an image in", dir, &error))?;
    story.tell("an image", &format!("{} of {}", Bytes(VOLUME), content.about))?;
    let failed = |error: io::Error| Failure::file("read", &content.image, &error);
    let file = fs::File::open(&content.image).map_err(failed)?;
    let id = bench.pool.create(&named("vm", time::now()), VOLUME / plain::SECTOR as u64, LayerFlags::empty())?;
    let mut plain = Plain::zeros(usize::try_from(VOLUME).unwrap_or(0) / BLOCK);
    let (mut data, mut buffer) = (0, [0; BLOCK]);
    for block in 0..plain.blocks() as u64 {
        file.read_exact_at(&mut buffer, block * BLOCK as u64).map_err(failed)?;
        if buffer != [0; BLOCK] {
            plain.write(block * PER_BLOCK, &buffer);
            bench.pool.write(id, block * PER_BLOCK, &buffer)?;
            data += BLOCK as u64;
        }
    }
    bench.pool.flush()?;
    bench.plains.volumes.insert("vm".to_owned(), Volume::new(plain));
    bench.change(&Change::Snapshot { volume: "vm".to_owned(), name: "install".to_owned() })?;
    story.tell(
        "a volume",
        &format!("`vm` holds it: {} of data, zeros take nothing; snapshot `install` taken", Bytes(data)),
    )?;
    Ok(content)
}

fn week(story: &mut Story, bench: &mut Bench<'_, '_>, random: &mut Rng) -> Result<(), Failure> {
    let (mut written, mut cost, mut nanos) = (0, Stats::default(), 0);
    for day in DAYS {
        written += bench.scribble(random, "vm", 150)?;
        // Nothing is pending then, and what is counted is the snapshot alone.
        bench.checkpoint()?;
        let (before, started) = (bench.pool.stats(), std::time::Instant::now());
        bench.change(&Change::Snapshot { volume: "vm".to_owned(), name: day.to_owned() })?;
        nanos += started.elapsed().as_nanos();
        let after = bench.pool.stats();
        cost.writes += after.writes - before.writes;
        cost.flushes += after.flushes - before.flushes;
    }
    let compared = bench.verify()?;
    let count = DAYS.len() as u64;
    story.tell(
        "snapshots",
        &format!(
            "{count} with 150 random writes and discards before each ({} in all); a snapshot took {} device writes, {} flushes, {} µs on average; all layers compared ({})",
            Bytes(written), cost.writes / count, cost.flushes / count, nanos / 1000 / u128::from(count), Bytes(compared)
        ),
    )
}

fn back_and_forth(story: &mut Story, bench: &mut Bench<'_, '_>, random: &mut Rng) -> Result<(), Failure> {
    bench.scribble(random, "vm", 50)?;
    let mut compared = 0;
    let steps = [("tuesday", Some("broken")), ("friday", None), ("broken", None), ("thursday", None)];
    for (number, (to, keep)) in (1..).zip(steps) {
        bench.change(&Change::Rollback {
            volume: "vm".to_owned(),
            to: to.to_owned(),
            keep: keep.map(str::to_owned),
            time: time::now() + number,
        })?;
        compared += bench.verify()?;
    }
    story.tell("rollback", &format!("to `tuesday`, keeping what was there as `broken`; forward to `friday`, to `broken`, back to `thursday`; compared each time ({})", Bytes(compared)))
}

fn branch(story: &mut Story, bench: &mut Bench<'_, '_>, random: &mut Rng) -> Result<(), Failure> {
    let monday = bench.id("monday")?;
    bench.pool.clone_snapshot(monday, &named("test", time::now()), false)?;
    bench.plains.clone_snapshot("monday", "test");
    for volume in ["vm", "test", "vm", "test"] {
        bench.scribble(random, volume, 50)?;
        bench.flush()?;
    }
    bench.change(&Change::Snapshot { volume: "test".to_owned(), name: "test-1".to_owned() })?;
    let compared = bench.verify()?;
    story.tell(
        "a branch",
        &format!(
            "volume `test` from `monday`, both written in turn, snapshot `test-1`; compared ({})",
            Bytes(compared)
        ),
    )
}

fn delete_in_the_middle(story: &mut Story, bench: &mut Bench<'_, '_>) -> Result<(), Failure> {
    let space = bench.pool.space().free;
    let victims = ["wednesday", "monday", "broken"];
    let mut ids = Vec::new();
    for name in victims {
        ids.push(bench.id(name)?);
    }
    let promised = bench.pool.what_if_freed(&ids)?;
    let before = bench.pool.stats();
    for name in victims {
        bench.change(&Change::Delete { name: name.to_owned() })?;
    }
    let steps = bench.merge()?;
    let after = bench.pool.stats();
    let freed = bench.pool.space().free - space;
    let compared = bench.verify()?;
    story.tell(
        "deletes",
        &format!(
            "{} from the middle: {} blocks given back ({} data and {} map blocks were foretold) in {steps} merge steps, {} device reads, {} writes, no data moved; compared ({})",
            victims.join(", "), freed, promised.data, promised.nodes, after.reads - before.reads, after.writes - before.writes, Bytes(compared)
        ),
    )
}

fn last_check(
    story: &mut Story,
    bench: &mut Bench<'_, '_>,
    content: &Content,
    dir: &Path,
    fresh: u64,
) -> Result<(), Failure> {
    let blocks = cuts::check(bench)?;
    bench.verify()?;
    let mut verdict = format!("check walked the pool ({blocks} blocks): clean");
    if content.ext4 {
        let path = dir.join("install.img");
        export(bench, &path)?;
        verdict += match content::fsck(&path) {
            Some(true) => "; e2fsck finds the file system in `install` sound",
            Some(false) => return Err(Failure::new(Kind::Damage, "e2fsck finds the file system in `install` damaged")),
            None => "",
        };
    }
    story.tell("last check", &verdict)?;
    for name in bench.plains.names() {
        bench.change(&Change::Delete { name })?;
    }
    bench.merge()?;
    let free = bench.pool.space().free;
    cuts::check(bench)?;
    if free != fresh {
        return Err(Failure::new(
            Kind::Damage,
            format!("after deleting everything {free} blocks are free, a new pool had {fresh}"),
        ));
    }
    story.tell("the end", &format!("every layer deleted: {free} blocks are free, as many as in the new pool"))
}

fn export(bench: &mut Bench<'_, '_>, path: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::file("write", path, &error);
    let file = fs::File::create(path).map_err(failed)?;
    file.set_len(VOLUME).map_err(failed)?;
    let id = bench.id("install")?;
    let mut buffer = [0; BLOCK];
    for block in 0..VOLUME / BLOCK as u64 {
        bench.pool.read(id, block * PER_BLOCK, &mut buffer)?;
        if buffer != [0; BLOCK] {
            file.write_all_at(&buffer, block * BLOCK as u64).map_err(failed)?;
        }
    }
    Ok(())
}
