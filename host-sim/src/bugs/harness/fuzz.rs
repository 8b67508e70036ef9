//! The fuzz targets: their committed corpora, then inputs that a seeded generator makes of these and of nothing.

use std::{fs, path::Path};

use super::{Clock, text};
use crate::{fuzzing::TARGETS, sim::Rng};

/// Bytes of an input, at most.
const LONGEST: u64 = 260;

type Inputs = Vec<Vec<u8>>;

pub(super) fn run(clock: &Clock) -> Result<(), String> {
    let corpora = TARGETS.iter().map(|(name, _)| corpus(name)).collect::<Result<Vec<Inputs>, String>>()?;
    for ((_, target), inputs) in TARGETS.iter().zip(&corpora) {
        for input in inputs {
            target(input);
            if clock.is_over() {
                return Ok(());
            }
        }
    }
    let mut rng = Rng::new(1);
    while !clock.is_over() {
        for ((_, target), inputs) in TARGETS.iter().zip(&corpora) {
            target(&input(&mut rng, inputs));
        }
    }
    Ok(())
}

/// The committed inputs of a target, in the checkout that this program was built from.
fn corpus(target: &str) -> Result<Inputs, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(text("an entry"))?;
    // What a fuzzer has left there is named by its SHA-1, and is not the same on every machine.
    paths.retain(|path| path.file_name().is_some_and(|name| name.len() < 40));
    paths.sort();
    paths.iter().map(fs::read).collect::<Result<Inputs, _>>().map_err(text("an input"))
}

/// An input of any bytes, or one of the corpus with a few changes.
fn input(rng: &mut Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = if rng.below(2) == 0 { Vec::new() } else { pick(rng, inputs).to_vec() };
    if bytes.is_empty() {
        let length = 8 + rng.below(LONGEST);
        return (0..length).map(|_| rng.below(256) as u8).collect();
    }
    for _ in 0..=rng.below(6) {
        let at = rng.below(bytes.len() as u64) as usize;
        match rng.below(4) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.below(256) as u8,
            2 => bytes.insert(at, rng.below(256) as u8),
            _ => splice(&mut bytes, at, pick(rng, inputs)),
        }
    }
    bytes
}

fn pick<'i>(rng: &mut Rng, inputs: &'i [Vec<u8>]) -> &'i [u8] {
    inputs.get(rng.below(inputs.len() as u64) as usize).map_or(&[], Vec::as_slice)
}

/// The end of another input from the same place on.
fn splice(bytes: &mut Vec<u8>, at: usize, other: &[u8]) {
    if let Some(tail) = other.get(at..) {
        bytes.truncate(at);
        bytes.extend_from_slice(tail);
    }
}
