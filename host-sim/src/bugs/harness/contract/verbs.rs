//! Operations on layers that histories leave out: refusals, names, descriptions, attachments, numbers, discards of free space.

use cowl::{Attributes, BlockDevice, Error, LayerFlags, LayerId, Pool};

use super::{
    super::{
        medium::{Disk, Medium},
        text,
    },
    filled, merge_all, same, values,
};
use crate::sim::{Config, Found, found, mount, sound};

type Done<D> = Result<(), Error<<D as BlockDevice>::Error>>;

pub(super) fn run(medium: &impl Medium, seed: u64) -> Result<(), String> {
    let config = Config { blocks: 700, pending: 4, more_workspace: (seed % 2) as usize * 20_000, ..Config::TINY };
    let disk = medium.disk(config.sector_size, config.device_sectors())?;
    let mut workspace = config.workspace();
    Pool::format(disk.open()?, &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount"))?;
    let fresh = pool.space().free;
    let (volume, snapshot) = prepared(&mut pool, seed).map_err(text("preparation"))?;
    refusals(&mut pool, volume, snapshot)?;
    attachments(&mut pool, snapshot).map_err(text("attachments"))?;
    let shown = found(&mut pool).map_err(text("read"))?;
    free_space_is_discarded(&mut pool, volume)?;
    drop(pool);
    let mut pool = mount(disk.open()?, &mut workspace).map_err(text("mount again"))?;
    attached(&mut pool, snapshot)?;
    let again = found(&mut pool).map_err(text("read"))?;
    if again.keys().ne(shown.keys()) {
        return Err(format!("layers {:?} instead of {:?}", again.keys(), shown.keys()));
    }
    sound(&mut pool, true)?;
    numbers(&mut pool)?;
    branches(&mut pool)?;
    for id in shown.keys() {
        pool.delete(LayerId(*id)).map_err(text("delete"))?;
    }
    merge_all(&mut pool).map_err(text("merge"))?;
    sound(&mut pool, true)?;
    let (free, layers) = (pool.space().free, pool.info().layers);
    if free == fresh && layers == 0 { Ok(()) } else { Err(format!("{free} free of {fresh}, {layers} layers")) }
}

fn named(name: &str) -> Attributes<'_> {
    Attributes { name, description: "in a few words", ..Attributes::default() }
}

fn prepared<D: BlockDevice>(pool: &mut Pool<'_, D>, seed: u64) -> Result<(LayerId, LayerId), Error<D::Error>> {
    let volume = pool.create(&named("one"), 60, LayerFlags::empty())?;
    pool.create(&named("two"), 9, LayerFlags::GUARANTEED)?;
    pool.write(volume, seed % 9, &filled(5, 30))?;
    let snapshot = pool.snapshot(volume, &named("taken"))?;
    pool.write(volume, 3, &filled(6, 2))?;
    Ok((volume, snapshot))
}

/// A verb by name, and what it does.
type Case<'a, D> = (&'a str, &'a dyn Fn(&mut Pool<'_, D>) -> Done<D>);

/// What is refused changes nothing, now and after a checkpoint.
fn refusals<D: BlockDevice<Error: std::fmt::Debug>>(
    pool: &mut Pool<'_, D>,
    volume: LayerId,
    snapshot: LayerId,
) -> Result<(), String> {
    let two = LayerId(2);
    let cases: [Case<'_, D>; 8] = [
        ("create", &|pool| pool.create(&named("taken"), 5, LayerFlags::empty()).map(drop)),
        ("create a guaranteed volume", &|pool| pool.create(&named("big"), 9999, LayerFlags::GUARANTEED).map(drop)),
        ("snapshot", &|pool| pool.snapshot(volume, &named("two")).map(drop)),
        ("rollback of another volume", &|pool| pool.rollback(two, snapshot, 1, None).map(drop)),
        ("rollback that keeps under a taken name", &|pool| {
            pool.rollback(volume, snapshot, 1, Some(&named("two"))).map(drop)
        }),
        ("clone", &|pool| pool.clone_snapshot(snapshot, &named("one"), false).map(drop)),
        ("rename", &|pool| pool.rename(volume, "two")),
        ("write behind the end", &|pool| pool.write(volume, 59, &filled(9, 2))),
    ];
    for (i, (name, refused)) in (30..).zip(cases) {
        pool.write(volume, i, &filled(i, 1)).map_err(text("write"))?;
        let before = shown(pool)?;
        if refused(pool).is_ok() {
            return Err(format!("{name}: was not refused"));
        }
        let behind = shown(pool)?;
        pool.write(volume, 20, &filled(7, 1)).and_then(|()| pool.checkpoint()).map_err(text(name))?;
        sound(pool, true).map_err(|why| format!("{name}: {why}"))?;
        if before.0 != behind.0 || before.1 > behind.1 {
            return Err(format!("{name}: was refused and has changed something"));
        }
    }
    pool.rename(volume, "other").map_err(text("rename"))?;
    pool.describe(volume, "described again, at more length").map_err(text("describe"))?;
    let mut buffer = [0; 100];
    let length = pool.description(volume, &mut buffer).map_err(text("description"))?;
    let renamed = pool.find("other").map_err(text("find"))?.map(|info| info.id) == Some(volume);
    let described = &buffer[..length] == b"described again, at more length";
    if renamed && described { Ok(()) } else { Err("a name or a description is not what it was made".into()) }
}

/// What is shown, and the next number.
fn shown<D: BlockDevice<Error: std::fmt::Debug>>(pool: &mut Pool<'_, D>) -> Result<(Found, u32), String> {
    Ok((found(pool).map_err(text("read"))?, pool.info().next_layer))
}

/// One attachment for the snapshot, and one that stays staged.
fn attachments<D: BlockDevice>(pool: &mut Pool<'_, D>, snapshot: LayerId) -> Done<D> {
    let staged = pool.stage_attachment(&named("memory"), 3000)?;
    pool.write(staged, 0, &filled(8, 6))?;
    pool.attach(snapshot, staged)?;
    let forgotten = pool.stage_attachment(&named("half"), 512)?;
    pool.write(forgotten, 0, &filled(9, 1))
}

fn attached<D: BlockDevice<Error: std::fmt::Debug>>(pool: &mut Pool<'_, D>, owner: LayerId) -> Result<(), String> {
    let info = pool.next_attachment(owner, None).map_err(text("attachment"))?.ok_or("the attachment is gone")?;
    same(&values(pool, info.id, 6).map_err(text("read"))?, &[8; 6])?;
    // The staged one was the next number; nobody owns it any more.
    let forgotten = LayerId(info.id.0 + 1);
    match pool.write(forgotten, 0, &filled(1, 1)) {
        Err(Error::NoSuchLayer(_)) => Ok(()),
        other => Err(format!("a staged attachment of an earlier mount: {other:?}")),
    }
}

/// Data that was just written is not taken for free space.
fn free_space_is_discarded<D: BlockDevice<Error: std::fmt::Debug>>(
    pool: &mut Pool<'_, D>,
    volume: LayerId,
) -> Result<(), String> {
    pool.write(volume, 40, &filled(77, 3)).map_err(text("write"))?;
    let before = values(pool, volume, 60).map_err(text("read"))?;
    let mut from = Some(0);
    while let Some(at) = from {
        from = pool.discard_free(at, 3).map_err(text("discard"))?;
        pool.write(volume, 44, &filled(before[44], 1)).map_err(text("write"))?;
    }
    same(&values(pool, volume, 60).map_err(text("read"))?, &before)
}

/// A branching point that was deleted keeps nothing once all its children have written over it.
fn branches<D: BlockDevice<Error: std::fmt::Debug>>(pool: &mut Pool<'_, D>) -> Result<(), String> {
    let before = pool.space().free;
    let grown = |pool: &mut Pool<'_, D>| -> Done<D> {
        let volume = pool.create(&named("trunk"), 40, LayerFlags::empty())?;
        pool.write(volume, 0, &filled(1, 40))?;
        let fork = pool.snapshot(volume, &named("fork"))?;
        let branch = pool.clone_snapshot(fork, &named("branch"), false)?;
        let twig = pool.clone_snapshot(fork, &named("twig"), false)?;
        pool.delete(fork)?;
        merge_all(pool)?;
        for layer in [volume, branch, twig] {
            pool.write(layer, 0, &filled(u64::from(layer.0), 40))?;
        }
        pool.checkpoint()?;
        merge_all(pool)
    };
    grown(pool).map_err(text("branches"))?;
    let used = before - pool.space().free;
    // Three volumes of 40 blocks, two levels of nodes each, and a few pages.
    if used > 3 * 40 + 3 * 4 + 20 {
        return Err(format!("{used} blocks for three volumes of 40: somebody keeps what nobody reads"));
    }
    for name in ["trunk", "branch", "twig"] {
        let id = pool.find(name).map_err(text("find"))?.ok_or("a volume is gone")?.id;
        same(&values(pool, id, 40).map_err(text("read"))?, &[u64::from(id.0); 40])?;
        pool.delete(id).map_err(text("delete"))?;
    }
    merge_all(pool).map_err(text("merge"))
}

/// A number is never given out twice, not even that of the last layer after it is gone.
fn numbers<D: BlockDevice<Error: std::fmt::Debug>>(pool: &mut Pool<'_, D>) -> Result<(), String> {
    let mut last = LayerId(0);
    for round in 0..3 {
        let id = pool.create(&named("short-lived"), 4, LayerFlags::empty()).map_err(text("create"))?;
        if id <= last {
            return Err(format!("round {round}: number {} again", id.0));
        }
        last = id;
        pool.delete(id).map_err(text("delete"))?;
        merge_all(pool).map_err(text("merge"))?;
    }
    Ok(())
}
