//! Short scripts over all verbs, run on a device with a fault, beside the model.

use std::collections::{BTreeMap, BTreeSet};

use cowl::{BlockDevice, Error, LayerFlags, LayerId, LayerKind, Pool};
use cowl_host::sim::{
    Config, Fate, Found, Image, Layer, Layers, Model, Op, Prepared, Sector, SimDisk, apply, found, garbage_byte, mount,
    tag_of,
};
use cowl_tests::{
    contents::{findings, is_spare_copy},
    named,
};

/// A step of a script: one operation of the simulator, or one that its histories do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Do(Op),
    Rename,
    Describe(&'static str),
    Attach(&'static str),
    DiscardFree,
}

use Step::{Attach, Describe, DiscardFree, Do, Rename};

/// All verbs, most of them over shared, owned and journaled blocks.
pub const SCRIPT: [Step; 22] = [
    Do(Op::Write(0, 0, 4, 1)),
    Do(Op::Flush),
    Do(Op::Write(0, 1, 2, 2)),
    Do(Op::Snapshot(0)),
    Do(Op::Write(0, 0, 1, 3)),
    Do(Op::Flush),
    Do(Op::Write(0, 0, 1, 4)),
    Do(Op::Flush),
    Do(Op::Write(0, 3, 1, 5)),
    Attach("a"),
    Do(Op::Clone(0)),
    Do(Op::Write(1, 2, 2, 6)),
    Do(Op::Rollback(0, 0, true)),
    Describe("a text"),
    Do(Op::Discard(0, 0, 2)),
    Rename,
    Do(Op::Resize(0, 40)),
    Do(Op::Zero(0, 3, 1)),
    Do(Op::Delete(2)),
    Do(Op::Merge(300)),
    DiscardFree,
    Do(Op::Write(0, 30, 2, 7)),
];

/// The pools that scripts run on.
pub fn configs() -> [Config; 4] {
    let larger = Config { block_size: 1024, sectors: 8, ..Config::TINY };
    [
        Config::TINY,
        larger,
        Config { flags: LayerFlags::INTEGRITY, ..larger },
        Config { flags: LayerFlags::GUARANTEED, blocks: 700, ..Config::TINY },
    ]
}

/// What the model does not have: descriptions and attachments of layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras(BTreeMap<u32, (String, Vec<Vec<u8>>)>);

/// What is expected of a pool.
#[derive(Debug, Clone)]
pub struct World {
    pub config: Config,
    pub model: Model,
    extras: Extras,
    /// What they become when the step in flight is durable.
    extras_after: Option<Extras>,
}

/// What a pool shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub found: Found,
    volumes: BTreeSet<u32>,
    extras: Extras,
}

impl Seen {
    /// Sectors that hold these bytes are torn ones.
    pub fn call_torn(&mut self, bytes: &[u8], sector_size: usize) {
        let garbage: Vec<u8> = (0..sector_size).map(|at| garbage_byte(false, at)).collect();
        for (_, content) in self.found.values_mut() {
            content
                .chunks_mut(sector_size)
                .filter(|part| *part == bytes)
                .for_each(|part| part.copy_from_slice(&garbage));
        }
    }
}

/// Reads everything.
pub fn see<D: BlockDevice>(pool: &mut Pool<'_, D>) -> Result<Seen, Error<D::Error>> {
    let found = found(pool)?;
    let (mut extras, mut volumes) = (Extras::default(), BTreeSet::new());
    for id in found.keys() {
        if pool.layer(LayerId(*id))?.kind == LayerKind::Volume {
            volumes.insert(*id);
        }
        let mut text = vec![0; 768];
        let length = pool.description(LayerId(*id), &mut text)?;
        text.truncate(length);
        let (mut attached, mut last) = (Vec::new(), None);
        while let Some(info) = pool.next_attachment(LayerId(*id), last)? {
            last = Some(info.id);
            let mut bytes = vec![0; info.sectors as usize * 512];
            pool.read(info.id, 0, &mut bytes)?;
            attached.push(bytes);
        }
        if length > 0 || !attached.is_empty() {
            extras.0.insert(*id, (String::from_utf8(text).expect("text"), attached));
        }
    }
    Ok(Seen { found, volumes, extras })
}

/// A formatted pool with its first volume, every bit of it durable.
pub fn prepared(config: Config) -> (Vec<Sector>, World) {
    let Prepared { disk, model, .. } = Prepared::new(&config).expect("a new pool");
    (disk.image().durable, World::new(config, model))
}

impl World {
    /// What is expected of a pool that the model describes.
    pub fn new(config: Config, model: Model) -> Self {
        Self { config, model, extras: Extras::default(), extras_after: None }
    }

    /// Applies a step to the pool and to what is expected of it. `Ok(false)`: the pool had no space for it.
    pub fn step<D: BlockDevice>(&mut self, pool: &mut Pool<'_, D>, step: Step) -> Result<bool, Error<D::Error>> {
        let volume = LayerId(self.model.ids(true)[0]);
        let mut after = self.model.now.clone();
        if let Do(op) = step {
            let result = apply(pool, &mut self.model, op)?;
            self.extras.0.retain(|id, _| self.model.now.contains_key(id));
            return Ok(result);
        }
        let mut extras = self.extras.clone();
        let of_volume = extras.0.entry(volume.0).or_default();
        match step {
            Rename => after.get_mut(&volume.0).expect("it").name = "renamed".into(),
            Describe(text) => of_volume.0 = text.into(),
            Attach(_) => of_volume.1.insert(0, vec![0x61; 1024]),
            Do(_) | DiscardFree => {}
        }
        self.model.begin(after);
        if matches!(step, Describe(_) | Attach(_)) {
            self.extras_after = Some(extras);
        }
        match step {
            Rename => pool.rename(volume, "renamed")?,
            Describe(text) => pool.describe(volume, text)?,
            Attach(name) => {
                let staged = pool.stage_attachment(&named(name), 1000)?;
                pool.write(staged, 0, &[0x61; 1024])?;
                pool.attach(volume, staged)?;
            }
            Do(_) | DiscardFree => drop(pool.discard_free(0, 1000)?),
        }
        self.model.complete();
        if let Some(after) = self.extras_after.take() {
            self.extras = after;
        }
        Ok(true)
    }

    /// The pool shows exactly this.
    pub fn shows(&self, seen: &Seen) -> Result<(), String> {
        self.model.compare(&seen.found, self.config.sector_size)?;
        if seen.extras == self.extras { Ok(()) } else { Err(format!("{:?}", seen.extras)) }
    }

    /// The pool may show this after a crash, or after the step in flight has failed.
    pub fn may_show(&self, seen: &Seen) -> Result<(), String> {
        self.model.compare_after_crash(&seen.found, self.config.sector_size)?;
        let known = seen.extras == self.extras || Some(&seen.extras) == self.extras_after.as_ref();
        if known { Ok(()) } else { Err(format!("{:?} instead of {:?}", seen.extras, self.extras)) }
    }

    /// What is expected in the middle of a step: `self` is before it.
    #[must_use]
    pub fn during(self, after: &Self, step: Step) -> Self {
        let barrier = !matches!(step, Do(op) if !op.is_barrier());
        let extras_after = Some(after.extras.clone());
        Self { model: self.model.during(&after.model, barrier), extras_after, ..self }
    }

    /// From now on what a mount shows is what must stay.
    pub fn adopt(&mut self, seen: &Seen) -> Result<(), String> {
        self.may_show(seen)?;
        let mut now = Layers::new();
        for (id, (name, bytes)) in &seen.found {
            let tags = bytes.chunks(self.config.sector_size).map(tag_of).collect::<Option<_>>();
            let content = tags.ok_or("a torn sector has no tag to go on with")?;
            now.insert(*id, Layer { volume: seen.volumes.contains(id), name: name.clone(), content });
        }
        self.model.begin(now);
        self.model.complete();
        self.extras = seen.extras.clone();
        self.extras_after = None;
        Ok(())
    }
}

/// A device of any kind with these errors.
pub type AnyDevice<'d, E> = &'d mut (dyn BlockDevice<Error = E> + 'd);

/// Opens the pool on a device whose type is forgotten: the core is compiled once for all the wrappers with the same errors.
pub fn mount_any<'w, D: BlockDevice>(
    device: &'w mut D,
    workspace: &'w mut [u8],
) -> Result<Pool<'w, AnyDevice<'w, D::Error>>, Error<D::Error>> {
    mount(device as AnyDevice<'w, D::Error>, workspace)
}

/// Mounts what a crash has left: it must be admissible, and everything must work. Gives back what it shows.
pub fn survives(world: &World, sectors: Vec<Sector>, workspace: &mut [u8]) -> Seen {
    let disk = SimDisk::from_sectors(world.config.sector_size, sectors);
    let seen = {
        let mut pool = mount(disk.clone(), workspace).expect("mount after a crash");
        let seen = see(&mut pool).expect("read after a crash");
        world.may_show(&seen).unwrap_or_else(|why| panic!("after a crash: {why}"));
        seen
    };
    works(disk, &seen, workspace);
    seen
}

/// Everything works on a pool, and what it showed stays.
pub fn works<D: BlockDevice>(mut device: D, seen: &Seen, workspace: &mut [u8]) {
    let mut pool = mount_any(&mut device, workspace).expect("mount");
    pool.checkpoint().expect("checkpoint");
    let found = findings(&mut pool).expect("check");
    assert!(found.iter().all(is_spare_copy), "{found:?}");
    assert!(see(&mut pool).expect("read") == *seen, "what was shown has changed");
    let volume = LayerId(*seen.found.keys().next().expect("a layer"));
    match pool.snapshot(volume, &named("alive")) {
        Ok(snapshot) => pool.delete(snapshot).expect("delete"),
        Err(Error::WrongKind(_) | Error::NoSpace { .. }) => {}
        Err(error) => panic!("snapshot: {error:?}"),
    }
    pool.merge_all(2000).expect("merge");
}

/// States that a power cut may leave: everything written, nothing, every second sector, everything torn.
pub fn outcomes(image: &Image) -> impl Iterator<Item = Vec<Sector>> {
    let fates: [fn(usize) -> Fate; 5] = [
        |_| Fate::New,
        |_| Fate::Old,
        |i| if i % 2 == 0 { Fate::New } else { Fate::Old },
        |i| if i % 2 == 0 { Fate::Old } else { Fate::New },
        |_| Fate::Garbage,
    ];
    let distinct = if image.pending.is_empty() { 1 } else { fates.len() };
    fates.into_iter().take(distinct).map(|fate| image.after_cut(fate))
}

/// Runs a script without a fault; at every device write of every step, and behind every step, hands out what power loss finds there:
/// the image, and what is expected.
pub fn every_cut(config: Config, script: &[Step], mut visit: impl FnMut(&Image, &World)) {
    let (sectors, mut world) = prepared(config);
    let disk = SimDisk::from_sectors(config.sector_size, sectors);
    let mut workspace = config.workspace();
    let mut pool = mount(disk.clone(), &mut workspace).expect("mount");
    for step in script {
        let before = world.clone();
        disk.start_cuts();
        world.step(&mut pool, *step).expect("sound");
        let during = before.during(&world, *step);
        for image in disk.take_cuts() {
            visit(&image, &during);
        }
        visit(&disk.image(), &world);
    }
    world.shows(&see(&mut pool).expect("read")).expect("sound");
}
