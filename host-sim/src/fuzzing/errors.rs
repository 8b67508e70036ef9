//! `errors`: a history on a device that fails where the bytes say.

use cowl::{Error, LayerId, Pool};

use super::{
    bench::{self, Start, play, power_cut},
    input::Input,
};
use crate::sim::{
    Fate, Found, Model, Op, SimDisk, apply,
    faults::{Calls, Failing, Injected, Left, When},
    mount, sound, text, value_of,
};

/// A disk that fails on demand.
type Faulty = Failing<SimDisk>;

/// The first byte has this bit: everything is compared after every operation, not only after a failure and after a mount.
const LOOK: u8 = 0x80;
/// The first byte has this bit: at the end the pool is checked too.
const CHECK: u8 = 0x40;

/// Runs the history that the bytes are, on a device of which they let single reads, writes and flushes fail, once or for good.
///
/// After an error of a read nothing has changed. After an error of a write or of a flush the pool refuses every change and
/// goes on reading; mounted again, perhaps after a power cut in which the bytes choose what becomes of each pending sector,
/// it has everything that was acknowledged.
pub fn errors(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    play(choice % CHECK, &mut input, |start, input, story| run(start, input, choice, story));
}

/// What happened, to be told if it goes wrong.
#[derive(Debug)]
#[allow(dead_code, reason = "printed with Debug")]
enum Event {
    Did(Op),
    /// These calls will fail, and so much comes of them.
    Planned(Calls, When, Left),
    Failed(Calls),
    /// The power failed, and so the pending sectors were left.
    Cut(Vec<Fate>),
}

/// What a run goes on with.
enum Next {
    Goes,
    /// The pool is mounted again.
    Mount,
    /// The pool is poisoned: a last look, then it is mounted again.
    Poisoned,
}

fn run(start: &Start, input: &mut Input<'_>, choice: u8, story: &mut Vec<Event>) -> Result<(), String> {
    let each = choice & LOOK != 0;
    let size = start.config.sector_size;
    let mut disk = start.disk();
    let mut workspace = start.config.workspace();
    let mut model = start.model.clone();
    let mut seen = Found::new();
    loop {
        let device = Faulty::new(disk.clone(), Calls::Reads, When::NEVER);
        let mut pool = mount(device, &mut workspace).map_err(text("mount"))?;
        bench::look(&mut pool, &mut seen).map_err(text("read after a mount"))?;
        model.adopt(&seen, size)?;
        let mut next = Next::Goes;
        while matches!(next, Next::Goes) {
            if !input.goes_on() {
                pool.device_mut().strike(When::NEVER);
                pool.checkpoint().map_err(text("last checkpoint"))?;
                bench::look(&mut pool, &mut seen).map_err(text("last read"))?;
                model.compare(&seen, size)?;
                return if choice & CHECK != 0 { sound(&mut pool, true) } else { Ok(()) };
            }
            let kind = input.byte();
            if kind >= 0xd0 {
                let (calls, when, left) = fault(kind, input.byte());
                story.push(Event::Planned(calls, when, left));
                pool.device_mut().plan(calls, when, left);
                continue;
            }
            let op = input.op(kind);
            story.push(Event::Did(op));
            next =
                if op == Op::Kill { Next::Mount } else { step(&mut pool, &mut model, op, each, (&mut seen, story))? };
        }
        let poisoned = matches!(next, Next::Poisoned);
        if poisoned {
            stays_poisoned(&mut pool)?;
            bench::look(&mut pool, &mut seen).map_err(text("read of a poisoned pool"))?;
            model.compare_after_crash(&seen, size)?;
        }
        drop(pool);
        if poisoned && input.byte() & 1 != 0 {
            let (after, fates) = power_cut(&disk.image(), input, size);
            story.push(Event::Cut(fates));
            disk = after;
        }
    }
}

fn fault(kind: u8, choice: u8) -> (Calls, When, Left) {
    let calls = match kind % 4 {
        0 => Calls::Reads,
        1 => Calls::Flushes,
        _ => Calls::Writes,
    };
    let after = u64::from(choice & 31);
    let when = if choice & 32 != 0 { When::from(after) } else { When::once(after) };
    let left = match choice >> 6 {
        0 => Left::Nothing,
        1 => Left::Half,
        _ => Left::All,
    };
    (calls, when, left)
}

/// Reads everything while nothing fails.
fn look(pool: &mut Pool<'_, Faulty>, seen: &mut Found) -> Result<(), String> {
    pool.device_mut().pause(true);
    let result = bench::look(pool, seen).map_err(text("read"));
    pool.device_mut().pause(false);
    result
}

/// One operation, and what it must leave if the device fails in it.
fn step(
    pool: &mut Pool<'_, Faulty>,
    model: &mut Model,
    op: Op,
    each: bool,
    (seen, story): (&mut Found, &mut Vec<Event>),
) -> Result<Next, String> {
    let result = apply(pool, model, op);
    let failed = pool.device_mut().take_struck();
    match (result, failed) {
        (Ok(_), None) => {
            if each {
                look(pool, seen)?;
                model.compare(seen, size_of_sector(pool))?;
            }
            Ok(Next::Goes)
        }
        (Err(Error::Device(Injected::Fault)), Some(struck)) => {
            story.push(Event::Failed(struck));
            if struck != Calls::Reads {
                return Ok(Next::Poisoned);
            }
            unchanged(pool, model, op, seen)?;
            Ok(Next::Goes)
        }
        (result, failed) => Err(format!("the device failed with {failed:?}, the operation returned {result:?}")),
    }
}

/// After a read that failed: an operation on layers has changed nothing; of a write, each sector is done or not.
fn unchanged(pool: &mut Pool<'_, Faulty>, model: &mut Model, op: Op, seen: &mut Found) -> Result<(), String> {
    if pool.info().poisoned {
        return Err("a read that failed has poisoned the pool".into());
    }
    look(pool, seen)?;
    let size = size_of_sector(pool);
    if op.is_barrier() {
        model.refused();
        return model.compare(seen, size);
    }
    model.compare_after_crash(seen, size)?;
    for (id, layer) in &mut model.now {
        layer.content = seen[id].1.chunks(size).map(value_of).collect();
    }
    Ok(())
}

fn size_of_sector(pool: &Pool<'_, Faulty>) -> usize {
    pool.info().sector_size as usize
}

/// Whatever would change something is refused, and no flush reports success.
fn stays_poisoned(pool: &mut Pool<'_, Faulty>) -> Result<(), String> {
    pool.device_mut().strike(When::NEVER);
    let sector = vec![0; size_of_sector(pool)];
    let refused = [
        pool.flush(),
        pool.checkpoint(),
        pool.write(LayerId(1), 0, &sector),
        pool.delete(LayerId(1)),
        pool.resize(LayerId(1), 3),
        pool.merge_step(1000).map(drop),
    ];
    for (i, result) in refused.iter().enumerate() {
        if !matches!(result, Err(Error::Poisoned | Error::NoSuchLayer(_))) {
            return Err(format!("change {i} of a poisoned pool: {result:?}"));
        }
    }
    if pool.info().poisoned { Ok(()) } else { Err("the pool forgot that it is poisoned".into()) }
}
