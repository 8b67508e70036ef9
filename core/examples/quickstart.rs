//! A pool in memory: a volume, a snapshot, a rollback.
//!
//! `cargo run -p cowl --example quickstart`

use cowl::{Attributes, Error, FormatOptions, LayerFlags, MountOptions, OutOfRange, Pool, RamDisk};

fn main() -> Result<(), Error<OutOfRange>> {
    let mut memory = vec![0; 1 << 20]; // the disk: 1 MiB in sectors of 512 bytes
    let mut workspace = [0; 16 << 10]; // all the memory that cowl uses
    let mut disk = RamDisk::new(&mut memory);
    Pool::format(&mut disk, &mut workspace, &FormatOptions::new(512, [7; 16]))?;

    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default())?;
    let named = |name| Attributes { name, ..Attributes::default() };
    let volume = pool.create(&named("vm"), 512, LayerFlags::empty())?;
    pool.write(volume, 8, &[1; 1024])?;
    let before = pool.snapshot(volume, &named("before"))?;
    pool.write(volume, 8, &[2; 512])?;
    pool.flush()?; // from here on the write survives a power loss

    let kept = pool.rollback(volume, before, 0, Some(&named("after")))?.expect("asked to keep");
    let mut sector = [0; 512];
    pool.read(volume, 8, &mut sector)?;
    assert_eq!(sector, [1; 512]); // as when the snapshot was taken
    pool.read(kept, 8, &mut sector)?;
    assert_eq!(sector, [2; 512]); // and what came later is kept

    pool.delete(before)?; // in the middle of the tree: no data moves
    pool.merge_all(1000)?;
    for layer in pool.layers() {
        let layer = layer?;
        println!("{} {:8} {:?}, owns {} blocks", layer.id, layer.name, layer.kind, layer.delta.data);
    }
    pool.unmount().map(drop)
}
