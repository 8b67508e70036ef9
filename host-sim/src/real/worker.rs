//! The worker: a history on a pool in a file, acknowledged byte by byte.
//!
//! It says [`ACK_OPENING`] before it touches the file and [`ACK_OPENED`] before its first operation; then one byte for each that is done.

use std::{io::Write, path::Path};

use cowl::{BlockDevice, Error, LayerKind, Pool};

use crate::{
    DeviceError, FileOptions,
    sim::{Config, Layer, Model, Op, Rng, apply, mount, random_op},
};

/// The pool is about to be opened.
pub const ACK_OPENING: u8 = b'(';
/// The pool is open, the first operation is about to begin.
pub const ACK_OPENED: u8 = b')';
/// The operation took effect.
pub const ACK_DONE: u8 = b'.';
/// There was nothing to do, or no space for it.
pub const ACK_REFUSED: u8 = b'-';
/// The operation reported an error.
pub const ACK_FAILED: u8 = b'!';

/// Every so many operations comes a checkpoint, and with it discards.
const TRIM_EVERY: usize = 8;
/// Discards at a time.
const TRIMMED: u32 = 6;

/// The beginning of the history of a seed.
pub fn history(config: &Config, seed: u64, count: usize) -> Vec<Op> {
    operations(config, seed).take(count).collect()
}

/// The history of a seed, which has no end.
pub fn operations(config: &Config, seed: u64) -> impl Iterator<Item = Op> + use<> {
    let mut rng = Rng::new(seed);
    let sectors = config.sectors;
    let all = std::iter::from_fn(move || Some(random_op(&mut rng, sectors, (seed << 12 | 1) & 0xff_ffff, false)));
    all.filter(|op| *op != Op::Kill).enumerate().map(move |(i, op)| match op {
        _ if i % TRIM_EVERY == TRIM_EVERY - 3 => Op::Checkpoint,
        Op::Write(volume, sector, sectors, _) => {
            Op::Write(volume, sector, sectors, (seed & 0xffff) << 24 | (i as u64 + 1) << 1 | 1)
        }
        op => op,
    })
}

/// Applies an operation. After a checkpoint the device is told of free blocks, each time elsewhere; no layer sees anything of it.
///
/// # Errors
/// The pool's; of the discards only after the checkpoint is complete.
pub fn perform<D: BlockDevice>(pool: &mut Pool<'_, D>, model: &mut Model, op: Op) -> Result<bool, Error<D::Error>> {
    let done = apply(pool, model, op)?;
    if op == Op::Checkpoint {
        let from = pool.stats().checkpoints * 61 % pool.space().total;
        pool.discard_free(from, TRIMMED)?;
    }
    Ok(done)
}

/// A model that knows which layers there are, enough to choose operations by.
pub fn layers_of<D: BlockDevice>(pool: &mut Pool<'_, D>) -> Result<Model, Error<D::Error>> {
    let mut model = Model::default();
    let mut after = None;
    let mut layers = crate::sim::Layers::new();
    while let Some(info) = pool.next_layer(after)? {
        let content = vec![0; info.sectors as usize];
        layers
            .insert(info.id.0, Layer { volume: info.kind == LayerKind::Volume, name: info.name.to_string(), content });
        after = Some(info.id);
    }
    model.begin(layers);
    model.complete();
    Ok(model)
}

/// Works off a history on the pool in a file; what it does is acknowledged on `out`. After an error it goes on, to show that
/// nothing reports success any more.
///
/// # Errors
/// The first error of an operation; or the pool cannot be opened, or the acknowledgement has no reader.
pub fn work(
    path: &Path,
    config: &Config,
    ops: impl Iterator<Item = Op>,
    discard: bool,
    out: &mut dyn Write,
) -> Result<(), Error<DeviceError>> {
    let mut tell = |answer| {
        let told = out.write_all(&[answer]).and_then(|()| out.flush());
        told.map_err(|error| Error::Device(DeviceError::new("acknowledge", path, error)))
    };
    tell(ACK_OPENING)?;
    let device = FileOptions::new().discard(discard).open(path).map_err(Error::Device)?;
    let mut workspace = config.workspace();
    let mut pool = mount(device, &mut workspace)?;
    let mut model = layers_of(&mut pool)?;
    tell(ACK_OPENED)?;
    let mut first = Ok(());
    for op in ops {
        let answer = match perform(&mut pool, &mut model, op) {
            Ok(true) => ACK_DONE,
            Ok(false) => ACK_REFUSED,
            Err(error) => {
                model.refused();
                first = first.and(Err(error));
                ACK_FAILED
            }
        };
        tell(answer)?;
    }
    first
}
