//! The oracle and the simulated disk against cases made by hand: what is wrong must be called wrong, what is right, right.

use cowl::BlockDevice;

use crate::sim::{Fate, Found, Layer, Layers, Model, SimDisk, bytes_of};

const SIZE: usize = 512;

/// Every case.
pub(super) fn run() -> Result<(), String> {
    present()?;
    after_a_crash()?;
    in_a_barrier()?;
    disk()
}

fn layer(name: &str, content: &[u64]) -> Layer {
    Layer { volume: true, name: name.into(), content: content.to_vec() }
}

fn shows(layers: &[(u32, &str, &[u64])]) -> Found {
    let bytes = |content: &[u64]| content.iter().flat_map(|tag| bytes_of(*tag, SIZE)).collect();
    layers.iter().map(|(id, name, content)| (*id, ((*name).to_owned(), bytes(content)))).collect()
}

/// Two volumes, durable.
fn settled() -> Model {
    let mut model = Model::default();
    let layers: Layers = [(1, layer("a", &[1, 2, 3])), (2, layer("b", &[4]))].into();
    model.begin(layers);
    model.complete();
    model
}

fn expect(what: &str, right: bool, found: Result<(), String>) -> Result<(), String> {
    match (right, found) {
        (true, Err(why)) => Err(format!("{what}: refused although it is right: {why}")),
        (false, Ok(())) => Err(format!("{what}: accepted although it is wrong")),
        _ => Ok(()),
    }
}

fn present() -> Result<(), String> {
    let model = settled();
    let cases: [(&str, bool, Found); 7] = [
        ("the state as it is", true, shows(&[(1, "a", &[1, 2, 3]), (2, "b", &[4])])),
        ("another value", false, shows(&[(1, "a", &[1, 2, 9]), (2, "b", &[4])])),
        ("another value in the last layer", false, shows(&[(1, "a", &[1, 2, 3]), (2, "b", &[0])])),
        ("a missing layer", false, shows(&[(1, "a", &[1, 2, 3])])),
        ("a layer too many", false, shows(&[(1, "a", &[1, 2, 3]), (2, "b", &[4]), (3, "c", &[5])])),
        ("another name", false, shows(&[(1, "x", &[1, 2, 3]), (2, "b", &[4])])),
        ("another size", false, shows(&[(1, "a", &[1, 2]), (2, "b", &[4])])),
    ];
    for (what, right, found) in cases {
        expect(what, right, model.compare(&found, SIZE))?;
        expect(&format!("after a crash, {what}"), right, model.compare_after_crash(&found, SIZE).map(drop))?;
    }
    let mut mixed = shows(&[(1, "a", &[1, 2, 3]), (2, "b", &[4])]);
    if let Some((_, bytes)) = mixed.get_mut(&1) {
        bytes[100] = 7;
    }
    expect("a sector of two values", false, model.compare(&mixed, SIZE))
}

/// Sector 1 of the first volume was written twice since the last barrier.
fn written() -> Model {
    let mut model = settled();
    model.write(1, 1..2, 10);
    model.write(1, 1..2, 11);
    model
}

fn after_a_crash() -> Result<(), String> {
    for (what, right, value) in [
        ("the old value", true, 2),
        ("the first write", true, 10),
        ("the second write", true, 11),
        ("a third", false, 12),
    ] {
        let found = shows(&[(1, "a", &[1, value, 3]), (2, "b", &[4])]);
        expect(what, right, written().compare_after_crash(&found, SIZE).map(drop))?;
    }
    let elsewhere = shows(&[(1, "a", &[10, 2, 3]), (2, "b", &[4])]);
    expect("a write at another place", false, written().compare_after_crash(&elsewhere, SIZE).map(drop))?;
    let mut flushed = written();
    flushed.begin(flushed.now.clone());
    flushed.complete();
    let lost = shows(&[(1, "a", &[1, 10, 3]), (2, "b", &[4])]);
    expect("a flushed write that is gone", false, flushed.compare_after_crash(&lost, SIZE).map(drop))?;
    let kept = shows(&[(1, "a", &[1, 11, 3]), (2, "b", &[4])]);
    expect("a flushed write", true, flushed.compare_after_crash(&kept, SIZE).map(drop))?;
    let mut shown = written();
    shown.adopt(&shows(&[(1, "a", &[1, 10, 3]), (2, "b", &[4])]), SIZE)?;
    let again = shows(&[(1, "a", &[1, 11, 3]), (2, "b", &[4])]);
    expect("what was shown has changed", false, shown.compare_after_crash(&again, SIZE).map(drop))?;
    let invented = written().adopt(&shows(&[(1, "a", &[1, 99, 3]), (2, "b", &[4])]), SIZE).map(drop);
    expect("a mount that shows what was never written", false, invented)?;
    let torn = |whole: bool| {
        let mut model = written();
        model.whole = whole;
        let mut found = shows(&[(1, "a", &[1, 10, 3]), (2, "b", &[4])]);
        if let Some((_, bytes)) = found.get_mut(&1) {
            for (at, byte) in bytes[SIZE..2 * SIZE].iter_mut().enumerate() {
                *byte = crate::sim::garbage_byte(false, at);
            }
        }
        model.compare_after_crash(&found, SIZE).map(drop)
    };
    expect("a torn sector", true, torn(false))?;
    expect("a torn sector of a volume with checksums", false, torn(true))
}

/// A snapshot on its way, with a write before it.
fn in_a_barrier() -> Result<(), String> {
    let before = written();
    let mut after = before.clone();
    let mut layers = after.now.clone();
    layers.insert(3, layer("s", &[1, 11, 3]));
    after.begin(layers);
    after.complete();
    let during = before.during(&after, true);
    let cases: [(&str, bool, Found); 4] = [
        ("before the barrier, an old value", true, shows(&[(1, "a", &[1, 2, 3]), (2, "b", &[4])])),
        ("behind the barrier", true, shows(&[(1, "a", &[1, 11, 3]), (2, "b", &[4]), (3, "s", &[1, 11, 3])])),
        ("the layer without its content", false, shows(&[(1, "a", &[1, 11, 3]), (2, "b", &[4]), (3, "s", &[1, 2, 3])])),
        ("the layer, the write lost", false, shows(&[(1, "a", &[1, 2, 3]), (2, "b", &[4]), (3, "s", &[1, 11, 3])])),
    ];
    for (what, right, found) in cases {
        expect(what, right, during.compare_after_crash(&found, SIZE).map(drop))?;
    }
    let undone = shows(&[(1, "a", &[1, 11, 3]), (2, "b", &[4])]);
    expect("a barrier that had returned", false, after.compare_after_crash(&undone, SIZE).map(drop))?;
    let mut refused = written();
    let mut layers = refused.now.clone();
    layers.insert(3, layer("s", &[1, 11, 3]));
    refused.begin(layers);
    refused.refused();
    let there = shows(&[(1, "a", &[1, 11, 3]), (2, "b", &[4]), (3, "s", &[1, 11, 3])]);
    expect("what was refused", false, refused.compare_after_crash(&there, SIZE).map(drop))
}

/// A flush makes durable what was written, once and for all; nothing else does.
fn disk() -> Result<(), String> {
    let mut disk = SimDisk::new(SIZE, 4);
    let told = |what: &str, right: bool| if right { Ok(()) } else { Err(format!("simulated disk: {what}")) };
    let holds = |disk: &SimDisk, sector: usize, tag: u64| {
        let image = disk.image().after_cut(|_| Fate::Old);
        image[sector].as_ref().map_or(vec![0; SIZE], |bytes| bytes.to_vec()) == bytes_of(tag, SIZE)
    };
    let write = |disk: &mut SimDisk, sector: u64, tag: u64| disk.write(sector, &bytes_of(tag, SIZE));
    write(&mut disk, 1, 5).map_err(super::text("write"))?;
    told("a write is durable without a flush", holds(&disk, 1, 0))?;
    told("a pending write is not known", disk.image().pending.len() == 1)?;
    disk.flush().map_err(super::text("flush"))?;
    told("a flush does not make durable", holds(&disk, 1, 5))?;
    told("a flush leaves something pending", disk.image().pending.is_empty())?;
    disk.lie();
    write(&mut disk, 2, 6).and_then(|()| disk.flush()).map_err(super::text("flush"))?;
    told("a flush that lies makes durable", holds(&disk, 2, 0))
}
