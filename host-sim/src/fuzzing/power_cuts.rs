//! `power_cuts`: a history in which the power fails wherever the bytes say, as often as they say.

use super::{
    bench::{Start, look, play, power_cut},
    input::Input,
};
use crate::sim::{Call, Fate, Found, Op, apply, mount, sound, text};

/// The first byte has this bit: at the end the pool is checked too.
const CHECK: u8 = 0x80;

/// Runs the history that the bytes are. Behind an operation they may let the power fail at one of its device writes and choose what
/// each pending sector becomes; the history goes on with what was found, so that the next cut hits the first changes after
/// recovery.
pub fn power_cuts(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    play(choice % CHECK, &mut input, |start, input, story| run(start, input, choice & CHECK != 0, story));
}

/// What happened, to be told if it goes wrong.
#[derive(Debug)]
#[allow(dead_code, reason = "printed with Debug")]
enum Event {
    Did(Op),
    /// The power failed during the operation before: after so many of its writes, of so many, and so the pending sectors were left.
    Cut(usize, usize, Vec<Fate>),
}

fn run(start: &Start, input: &mut Input<'_>, check: bool, story: &mut Vec<Event>) -> Result<(), String> {
    let size = start.config.sector_size;
    let mut disk = start.disk();
    let mut workspace = start.config.workspace();
    let mut model = start.model.clone();
    let mut seen = Found::new();
    loop {
        let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
        let calls = disk.take_calls();
        if calls != [Call::Flush] {
            return Err(format!("a mount that is not one flush: {calls:?}"));
        }
        look(&mut pool, &mut seen).map_err(text("read after a mount"))?;
        model.adopt(&seen, size)?;
        let mut next = None;
        while next.is_none() {
            if !input.goes_on() {
                pool.checkpoint().map_err(text("last checkpoint"))?;
                look(&mut pool, &mut seen).map_err(text("last read"))?;
                model.compare(&seen, size)?;
                return if check { sound(&mut pool, true) } else { Ok(()) };
            }
            let (kind, cut) = (input.byte(), input.byte());
            let op = input.op(kind);
            story.push(Event::Did(op));
            if op == Op::Kill {
                next = Some(disk.clone());
            } else if cut & 1 == 0 {
                apply(&mut pool, &mut model, op).map_err(text("operation"))?;
            } else {
                disk.start_cuts();
                let before = model.clone();
                apply(&mut pool, &mut model, op).map_err(text("operation"))?;
                let writes = disk.cuts();
                let at = usize::from(cut >> 1) % (writes + 1);
                // Behind the last write is behind the operation.
                let image = disk.take_cut(at).unwrap_or_else(|| disk.image());
                if at < writes {
                    model = before.during(&model, op.is_barrier());
                }
                let (after, fates) = power_cut(&image, input, size);
                story.push(Event::Cut(at, writes, fates));
                next = Some(after);
            }
        }
        drop(pool);
        disk = next.unwrap_or(disk);
        disk.take_calls();
    }
}
