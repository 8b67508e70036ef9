//! Crash images from the explorer as real files, opened by another process.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
};

use super::{Outcome, said};
use crate::{
    FileDevice,
    sim::{
        Found,
        explore::{Choices, Scenario, Seed, Shape},
        found, mount,
    },
};

/// Opens the pool in a file and writes what it shows: of each layer the number, the length of its name, the length of its
/// content, the name and the content.
///
/// # Errors
/// The pool cannot be opened or read.
pub fn judge(path: &Path, workspace: usize, out: &mut dyn Write) -> Outcome<()> {
    let device = FileDevice::open(path).map_err(said("open"))?;
    let mut workspace = vec![0; workspace];
    let mut pool = mount(device, &mut workspace).map_err(said("mount"))?;
    for (id, (name, bytes)) in found(&mut pool).map_err(said("read"))? {
        let header = [u64::from(id), name.len() as u64, bytes.len() as u64].map(u64::to_le_bytes).concat();
        let write = |out: &mut dyn Write, bytes: &[u8]| out.write_all(bytes).map_err(said("standard output"));
        write(out, &header)?;
        write(out, name.as_bytes())?;
        write(out, &bytes)?;
    }
    Ok(())
}

/// Reads what [`judge`] has written.
fn parse(mut bytes: &[u8]) -> Outcome<Found> {
    let mut seen = Found::new();
    while !bytes.is_empty() {
        let mut header = [[0; 8]; 3];
        for field in &mut header {
            bytes.read_exact(field).map_err(said("a short answer"))?;
        }
        let [id, name, length] = header.map(u64::from_le_bytes).map(|number| number as usize);
        let (name, rest) = bytes.split_at_checked(name).ok_or("a short answer")?;
        let (content, rest) = rest.split_at_checked(length).ok_or("a short answer")?;
        seen.insert(id as u32, (String::from_utf8_lossy(name).into_owned(), content.to_vec()));
        bytes = rest;
    }
    Ok(seen)
}

/// Bytes of workspace for any pool of the explorer.
const WORKSPACE: usize = 1 << 20;

/// Plays short histories, makes files of the images that a power cut may leave, lets a fresh process open each, and compares.
/// At most so many images; how many there were.
///
/// # Errors
/// The promise that is broken, and by which image.
pub fn materialise(program: &Path, dir: &Path, images: u64, progress: &mut dyn FnMut(u64)) -> Outcome<u64> {
    let path = dir.join("image.cowl");
    let mut done = 0;
    let shapes = [Shape::Tiny, Shape::Journal, Shape::Eight, Shape::Units, Shape::Large];
    // One cut of one history of every place, then the next cut, so that few images are of many kinds.
    for turn in 0..u64::MAX {
        let before = done;
        for (shape, seed) in shapes.iter().flat_map(|shape| Seed::ALL.iter().map(move |seed| (*shape, *seed))) {
            let scenario = Scenario::new(shape, seed)?;
            let letters = [(turn * 7 % 20) as u8, (turn / 3 % 20) as u8];
            let mut workspace = scenario.config.workspace();
            let played = scenario.play(&scenario.operations(&letters), 2, &mut workspace)?;
            let number = turn as usize % played.cuts.len();
            let last = number + 1 == played.cuts.len();
            if last && !played.barrier {
                continue;
            }
            let choices: Vec<u16> = (0..40).map(|at| (turn.wrapping_mul(0x9e37_79b9) >> (at % 29)) as u16).collect();
            let image = played.disk.after(&played.cuts[number], Choices::prescribed(&choices));
            let model = if last { &played.after } else { &played.during };
            write_file(&path, &image.sectors(), scenario.config.sector_size)?;
            let what = || format!("{shape}-{seed} {letters:?} cut {number} turn {turn}");
            let seen = ask(program, &path).map_err(|why| format!("{}: {why}", what()))?;
            model
                .compare_after_crash(&seen, scenario.config.sector_size)
                .map_err(|why| format!("{}: {why}", what()))?;
            done += 1;
            progress(done);
            if done == images {
                return Ok(done);
            }
        }
        if done == before && turn > 400 {
            break;
        }
    }
    Ok(done)
}

fn write_file(path: &Path, sectors: &[crate::sim::Sector], sector_size: usize) -> Outcome<()> {
    let file = File::create(path).map_err(said("cannot make the file"))?;
    file.set_len((sectors.len() * sector_size) as u64).map_err(said("cannot make the file"))?;
    for (at, bytes) in sectors.iter().enumerate().filter_map(|(at, sector)| Some((at, sector.as_ref()?))) {
        file.write_all_at(bytes, (at * sector_size) as u64).map_err(said("cannot write the file"))?;
    }
    Ok(())
}

fn ask(program: &Path, path: &Path) -> Outcome<Found> {
    let mut command = Command::new(program);
    command.args(["sim", "judge"]).arg(path).args(["--workspace-bytes", &WORKSPACE.to_string()]).stdin(Stdio::null());
    let output = command.output().map_err(said("the process cannot be started"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_string());
    }
    parse(&output.stdout)
}
