//! `ops`: any history against the model.

use super::{
    bench::{Start, look, play},
    input::Input,
};
use crate::sim::{Found, Op, apply, leaves_nothing, mount, sound, text};

/// The first byte chooses the start in its lower bits; the upper two say what is looked at beside the end of each mount.
const UPPER: u8 = 6;
/// Everything is compared after every operation. What that would find is found in a shorter history too, unless a later operation hides
/// it.
const LOOK: u8 = 2;
/// At the end the pool is checked, everything is deleted, and nothing may be left.
const EMPTY: u8 = 3;

/// Runs the history that the bytes are; compares at the end of every mount, after the next one, and if the bytes say so after every
/// operation.
pub fn ops(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let start = choice & ((1 << UPPER) - 1);
    play(start, &mut input, |start, input, history| run(start, input, choice >> UPPER, history));
}

fn run(start: &Start, input: &mut Input<'_>, more: u8, history: &mut Vec<Op>) -> Result<(), String> {
    let size = start.config.sector_size;
    let disk = start.flat();
    let mut workspace = start.config.workspace();
    let mut model = start.model.clone();
    let mut seen = Found::new();
    let mut goes_on = true;
    while goes_on {
        let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
        if !history.is_empty() {
            look(&mut pool, &mut seen).map_err(text("read after a mount"))?;
            model.adopt(&seen, size)?;
        }
        let mut killed = false;
        while !killed {
            goes_on = input.goes_on();
            if !goes_on {
                break;
            }
            let kind = input.byte();
            let op = input.op(kind);
            history.push(op);
            killed = op == Op::Kill;
            if !killed {
                apply(&mut pool, &mut model, op).map_err(text("operation"))?;
            }
            if more == LOOK {
                look(&mut pool, &mut seen).map_err(text("read"))?;
                model.compare(&seen, size)?;
            }
        }
        look(&mut pool, &mut seen).map_err(text("read at the end"))?;
        model.compare(&seen, size)?;
    }
    let mut pool = mount(disk, &mut workspace).map_err(text("last mount"))?;
    look(&mut pool, &mut seen).map_err(text("last read"))?;
    model.adopt(&seen, size)?;
    if more != EMPTY {
        return Ok(());
    }
    sound(&mut pool, true)?;
    leaves_nothing(&mut pool, &model, start.fresh)
}
