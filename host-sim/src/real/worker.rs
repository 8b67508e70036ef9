//! The worker: a history on a pool in a file, acknowledged byte by byte.

use std::{io::Write, path::Path};

use cowl::{BlockDevice, Error, LayerKind, Pool};

use super::{Outcome, said};
use crate::{
    FileDevice,
    sim::{Config, Layer, Model, Op, Rng, apply, mount, random_op},
};

/// The operation took effect.
pub const ACK_DONE: u8 = b'.';
/// There was nothing to do, or no space for it.
pub const ACK_REFUSED: u8 = b'-';
/// The operation reported an error.
pub const ACK_FAILED: u8 = b'!';

/// The history of a seed.
pub fn history(config: &Config, seed: u64, count: usize) -> Vec<Op> {
    let mut rng = Rng::new(seed);
    let all = std::iter::from_fn(|| Some(random_op(&mut rng, config.sectors, (seed << 12 | 1) & 0xff_ffff, false)));
    let tagged = all.enumerate().map(|(i, op)| match op {
        Op::Write(volume, sector, sectors, _) => {
            Op::Write(volume, sector, sectors, (seed & 0xffff) << 24 | (i as u64 + 1) << 1 | 1)
        }
        op => op,
    });
    tagged.filter(|op| *op != Op::Kill).take(count).collect()
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
/// The pool cannot be opened, or the acknowledgement has no reader.
pub fn work(path: &Path, config: &Config, ops: &[Op], out: &mut dyn Write) -> Outcome<()> {
    let device = FileDevice::open(path).map_err(said("open"))?;
    let mut workspace = config.workspace();
    let mut pool = mount(device, &mut workspace).map_err(said("mount"))?;
    let mut model = layers_of(&mut pool).map_err(said("list"))?;
    let mut failures = 0;
    for op in ops {
        let answer = match apply(&mut pool, &mut model, *op) {
            Ok(true) => ACK_DONE,
            Ok(false) => ACK_REFUSED,
            Err(error) => {
                eprintln!("{op:?}: {error}");
                model.refused();
                failures += 1;
                ACK_FAILED
            }
        };
        out.write_all(&[answer]).and_then(|()| out.flush()).map_err(said("acknowledge"))?;
        if failures > 8 {
            return Err("gave up after several failures".into());
        }
    }
    Ok(())
}
