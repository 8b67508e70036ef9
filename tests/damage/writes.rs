//! Every single write that goes wrong, in all short histories.
//!
//! Each device write in turn is lost, goes to another place, is stored at another place too, or is read back as what was there
//! before, although every flush is honest. Then the pool is mounted again. What is promised:
//!
//! - A write of *metadata*, and with integrity one of *data*: damage is reported by an operation, by the mount, by a read or by `check`,
//!   or the pool shows exactly what the model does and everything works.
//! - One of the two copies of a superblock: survived, the other copy is there.
//! - *The exception* (DESIGN.md, chapter 20): a unit of the journal's unproven tail, or data that only this tail names. It looks like a write
//!   that was torn at a power cut, so what the last flush made durable may be missing, sector by sector; never more than the last flush.
//! - *Both copies*: with small blocks one misdirected write of several sectors can cover both copies of the newest superblock. The pool is then
//!   mounted as it was at a generation before, wholly (DESIGN.md, chapter 20), unless the journal knows better.
//! - *Data without integrity* has no checksum. It is never the victim here, as it has no promise to break.

use std::collections::BTreeSet;

use cowl::{LayerFlags, Pool};
use cowl_host::sim::{
    Asked, Config, Found, Line, Model, Op, Sector, SimDisk, Traced, apply,
    faults::{Misplaced, Place, Shown, Stale, When},
    found, mount, start, tag_of,
};
use cowl_tests::{
    contents::{Detected, damage, findings, is_spare_copy, unchecked_data},
    histories,
};

const ALPHABET: [Op; 9] = [
    Op::Write(0, 0, 1, 11),
    Op::Write(0, 1, 2, 12),
    Op::Flush,
    Op::Snapshot(0),
    Op::Rollback(0, 0, false),
    Op::Delete(1),
    Op::Merge(300),
    Op::Discard(0, 0, 1),
    Op::Checkpoint,
];

/// What goes wrong with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Lost,
    To(u64),
    AlsoTo(u64),
    Stale,
}

/// A history from some state of the pool on.
struct Start {
    config: Config,
    sectors: Vec<Sector>,
    model: Model,
}

/// The states to begin with: an empty volume, a volume over a snapshot, and one with a journal in use.
fn starts(flags: LayerFlags) -> Vec<Start> {
    let config = Config { flags, blocks: 160, ..Config::TINY };
    let prefixes: [&[Op]; 3] = [
        &[],
        &[Op::Write(0, 0, 4, 1), Op::Snapshot(0), Op::Write(0, 1, 2, 2), Op::Checkpoint],
        &[Op::Write(0, 0, 1, 1), Op::Snapshot(0), Op::Write(0, 1, 1, 2), Op::Flush, Op::Write(0, 2, 1, 3), Op::Flush],
    ];
    prefixes.iter().map(|prefix| prepared(config, prefix)).collect()
}

fn prepared(config: Config, prefix: &[Op]) -> Start {
    let disk = SimDisk::new(config.sector_size, config.device_sectors());
    let mut workspace = config.workspace();
    Pool::format(disk.clone(), &mut workspace, &config.format()).expect("format");
    let mut pool = mount(disk.clone(), &mut workspace).expect("mount");
    let mut model = start(&mut pool, &config).expect("create");
    for op in prefix {
        apply(&mut pool, &mut model, *op).expect("prefix");
    }
    Start { config, sectors: disk.image().durable, model }
}

/// The last flush of the journal that no later one has proven: what was durable before it, and the first write that it covers.
#[derive(Clone)]
struct Tail {
    before: Model,
    first_write: u64,
}

impl Tail {
    /// What is written after the flush may be there too.
    fn written(&mut self, before: &Model, after: &Model) {
        for (id, layer) in &after.now {
            for (sector, tag) in layer.content.iter().enumerate() {
                if before.now[id].content[sector] != *tag {
                    self.before.write(*id, sector..sector + 1, *tag);
                }
            }
        }
    }
}

/// What a history has come to.
struct Ran {
    model: Model,
    tail: Option<Tail>,
    /// What it was before each operation.
    past: Vec<Model>,
}

impl Ran {
    /// The state that the pool may show although the model has another.
    fn excuse(&self, seen: &Found, bad: &Written, wrong: Wrong, size: usize) -> Option<&Model> {
        let tail = self.tail.as_ref().filter(|tail| bad.number >= tail.first_write).map(|tail| &tail.before);
        let older = self.past.iter().filter(|_| bad.covers_both_copies(wrong));
        tail.into_iter().chain(older).find(|model| model.compare_after_crash(seen, size).is_ok())
    }
}

type Bad = Traced<Stale<Misplaced<SimDisk>>>;

/// How many writes came before the last flush but `back`.
fn writes_before_flush(lines: &[Line], back: usize) -> u64 {
    let flushes: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].asked == Asked::Flush).collect();
    let end = flushes.len().checked_sub(back + 1).map_or(0, |i| flushes[i]);
    lines[..end].iter().filter(|line| line.asked == Asked::Write).count() as u64
}

/// Runs a history on a device one of whose writes goes wrong; compares what the running pool shows.
fn run(start: &Start, ops: &[Op], device: &mut Bad, workspace: &mut [u8]) -> Result<Ran, Detected> {
    let mut model = start.model.clone();
    let mut pool = damage(mount(device, workspace))?;
    let (mut tail, mut past) = (None, Vec::new());
    for op in ops {
        let stats = pool.stats();
        let before = model.clone();
        past.push(before.clone());
        damage(apply(&mut pool, &mut model, *op))?;
        let now = pool.stats();
        if now.checkpoints > stats.checkpoints {
            tail = None;
        } else if now.groups > stats.groups {
            tail = Some(Tail { before, first_write: writes_before_flush(pool.device().lines(), 1) });
        } else if let Some(tail) = &mut tail {
            tail.written(&before, &model);
        }
    }
    let seen = damage(found(&mut pool))?;
    model.compare(&seen, start.config.sector_size).expect("the running pool shows something else");
    Ok(Ran { model, tail, past })
}

/// Mounts what is left and looks at it; then everything must work, unless damage is reported.
fn judge(
    start: &Start,
    ran: &Ran,
    (bad, wrong): (&Written, Wrong),
    device: &mut Bad,
    workspace: &mut [u8],
) -> Result<(), Detected> {
    let size = start.config.sector_size;
    let mut pool = damage(mount(device, workspace))?;
    let seen = damage(found(&mut pool))?;
    let mut model = match ran.model.compare_after_crash(&seen, size) {
        Ok(_) => ran.model.clone(),
        Err(why) => ran.excuse(&seen, bad, wrong, size).expect(&why).clone(),
    };
    let findings = damage(findings(&mut pool))?;
    if findings.iter().any(|finding| !is_spare_copy(finding)) {
        return Err(Detected);
    }
    model.adopt_shown(&seen, size);
    for op in [Op::Write(0, 0, 4, 77), Op::Flush, Op::Snapshot(0), Op::Discard(0, 0, 2), Op::Delete(0), Op::Merge(900)]
    {
        damage(apply(&mut pool, &mut model, op))?;
    }
    let seen = damage(found(&mut pool))?;
    model.compare(&seen, size).expect("what was added is wrong");
    Ok(())
}

/// Taking over what a mount shows, whatever the model knew.
trait Adopt {
    fn adopt_shown(&mut self, seen: &Found, size: usize);
}

impl Adopt for Model {
    fn adopt_shown(&mut self, seen: &Found, size: usize) {
        let mut now = self.now.clone();
        for (id, (_, bytes)) in seen {
            let layer = now.get_mut(id).expect("a layer that is known");
            layer.content = bytes.chunks(size).map(|part| tag_of(part).expect("a tag")).collect();
        }
        self.begin(now);
        self.complete();
    }
}

fn device(start: &Start, wrong: Wrong, bad: u64) -> Bad {
    let disk = SimDisk::from_sectors(start.config.sector_size, start.sectors.clone());
    let (when, place) = match wrong {
        Wrong::Lost => (When::once(bad), Place::Nowhere),
        Wrong::To(sector) => (When::once(bad), Place::At(sector)),
        Wrong::AlsoTo(sector) => (When::once(bad), Place::AlsoAt(sector)),
        Wrong::Stale => (When::NEVER, Place::Nowhere),
    };
    Traced::new(Stale::new(Misplaced::writes(disk, when, place), When::NEVER, Shown::Old))
}

/// A write of the sound run.
#[derive(Debug, Clone, Copy)]
struct Written {
    number: u64,
    sector: u64,
    count: u64,
    data: bool,
}

impl Written {
    /// It goes over both slots of a generation.
    fn covers_both_copies(&self, wrong: Wrong) -> bool {
        let (Wrong::To(target) | Wrong::AlsoTo(target)) = wrong else { return false };
        [0, 2].iter().any(|pair| target <= *pair && target + self.count >= pair + 2)
    }
}

/// The sound run: its writes, and the sectors with metadata (with integrity: with data too) that are in use at its end.
fn survey(start: &Start, ops: &[Op], workspace: &mut [u8]) -> (Vec<Written>, Vec<u64>) {
    let disk = SimDisk::from_sectors(start.config.sector_size, start.sectors.clone());
    let mut traced = Traced::new(Recorder { disk: disk.clone(), data: Vec::new(), touched: BTreeSet::new() });
    let mut model = start.model.clone();
    let mut pool = mount(&mut traced, workspace).expect("mount");
    for op in ops {
        apply(&mut pool, &mut model, *op).expect("sound");
    }
    let lines = traced.take();
    let writes = lines.iter().filter(|line| line.asked == Asked::Write);
    let data = std::mem::take(&mut traced.inner_mut().data);
    traced.inner_mut().touched.clear();
    let mut pool = mount(&mut traced, workspace).expect("mount");
    found(&mut pool).expect("read");
    findings(&mut pool).expect("check");
    let unchecked = unchecked_data(&mut pool).expect("extents");
    let touched = traced.into_inner().touched;
    let targets =
        touched.into_iter().filter(|sector| !unchecked.contains(sector) && !data_at(&disk, *sector, start)).collect();
    let written = writes.zip(data).enumerate().map(|(number, (line, data))| Written {
        number: number as u64,
        sector: line.sector,
        count: line.count,
        data,
    });
    (written.collect(), targets)
}

/// Data of a deleted layer without integrity.
fn data_at(disk: &SimDisk, sector: u64, start: &Start) -> bool {
    let mut bytes = [0; 512];
    cowl::BlockDevice::read(&mut disk.clone(), sector, &mut bytes).expect("read");
    start.config.flags.is_empty() && tag_of(&bytes).is_some_and(|tag| tag != 0)
}

/// Notes which sectors are read, and which writes are data: one tag over and over.
#[derive(Debug)]
struct Recorder {
    disk: SimDisk,
    data: Vec<bool>,
    touched: BTreeSet<u64>,
}

impl cowl::BlockDevice for Recorder {
    type Error = cowl_host::sim::Failed;

    fn geometry(&self) -> cowl::Geometry {
        self.disk.geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        self.touched.extend(sector..sector + buffer.len() as u64 / 512);
        self.disk.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        self.data.push(buffer.chunks(512).all(|part| tag_of(part).is_some()));
        self.disk.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.disk.flush()
    }
}

#[derive(Debug, Default)]
struct Tally {
    histories: u64,
    writes: u64,
    detected: u64,
    harmless: u64,
}

/// One bad write.
fn one(start: &Start, ops: &[Op], bad: &Written, wrong: Wrong, workspace: &mut [u8]) -> Result<(), Detected> {
    let mut device = device(start, wrong, bad.number);
    let ran = run(start, ops, &mut device, workspace)?;
    if wrong == Wrong::Stale {
        device.inner_mut().only(bad.sector);
        device.inner_mut().strike(When::ALWAYS);
    }
    judge(start, &ran, (bad, wrong), &mut device, workspace)
}

fn history(start: &Start, ops: &[Op], targets_each: usize, tally: &mut Tally, workspace: &mut [u8]) {
    let (writes, targets) = survey(start, ops, workspace);
    tally.histories += 1;
    for (bad, written) in writes.iter().enumerate() {
        if written.data && !start.config.flags.contains(LayerFlags::INTEGRITY) {
            continue;
        }
        tally.writes += 1;
        let mut wrongs = vec![Wrong::Lost, Wrong::Stale];
        for i in 0..targets_each {
            let target = targets[(bad * 5 + i * 7 + ops.len()) % targets.len()];
            if target != written.sector {
                wrongs.extend([Wrong::To(target), Wrong::AlsoTo(target)]);
            }
        }
        for wrong in wrongs {
            let looked =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one(start, ops, written, wrong, workspace)));
            let Ok(verdict) = looked else {
                panic!("{ops:?}: of {} writes {written:?} is {wrong:?}", writes.len());
            };
            *(if verdict.is_ok() { &mut tally.harmless } else { &mut tally.detected }) += 1;
        }
    }
}

/// All histories of a length over an alphabet, from all states.
fn all(flags: LayerFlags, alphabet: &[Op], length: u32, targets_each: usize) -> Tally {
    let mut tally = Tally::default();
    for start in starts(flags) {
        let mut workspace = start.config.workspace();
        for ops in histories(alphabet, length) {
            history(&start, &ops, targets_each, &mut tally, &mut workspace);
        }
    }
    println!("{flags:?} {length}: {tally:?}");
    tally
}

#[test]
fn a_bad_write_of_several_groups_of_the_journal_is_found_or_harmless_or_costs_the_last_group() {
    let alphabet = [Op::Write(0, 0, 1, 11), Op::Write(0, 1, 1, 12), Op::Flush];
    for flags in [LayerFlags::empty(), LayerFlags::INTEGRITY] {
        let tally = all(flags, &alphabet, 4, 5);
        assert!(tally.detected > 500, "{tally:?}");
    }
}

#[test]
fn a_bad_write_of_metadata_or_of_data_with_integrity_is_found_or_harmless() {
    let tally = all(LayerFlags::INTEGRITY, &ALPHABET, 2, 12);
    assert!(tally.detected > 10_000 && tally.writes > 1000, "{tally:?}");
}

#[test]
fn a_bad_write_in_three_operations_with_integrity_is_found_or_harmless() {
    let tally = all(LayerFlags::INTEGRITY, &ALPHABET, 3, 1);
    assert!(tally.detected > 10_000, "{tally:?}");
}

#[test]
fn a_bad_write_of_metadata_is_found_or_harmless() {
    let tally = all(LayerFlags::empty(), &ALPHABET, 2, 12);
    assert!(tally.detected > 10_000 && tally.writes > 1000, "{tally:?}");
}
