//! The update of `core/examples/update`, with a power cut at every write of its whole life, and at every write of the boot after that;
//! here, and on an emulated Cortex-M4 and an emulated machine with UEFI whose firmware has the same logic in it.

#[path = "../core/examples/update/logic.rs"]
mod logic;
#[allow(dead_code, clippy::cast_possible_truncation)]
#[path = "metal/machine.rs"]
mod machine;
#[allow(dead_code, clippy::cast_possible_truncation)]
#[path = "metal/record.rs"]
mod record;

use std::{fs, path::Path, rc::Rc};

use cowl::{BlockDevice, LayerFlags, LayerId, Merge, Pool};
use cowl_host::sim::{Config, Fate, Image, Sector, SimDisk, mount};
use cowl_tests::named;
use logic::{PREVIOUS, Start, boot, confirm, idle, install, system};

/// Sectors of an image, and one more that the running system writes to.
const IMAGE: u64 = 6;
const IMAGE_BYTES: usize = 6 * 512;
const TRIES: usize = 3;

/// What counts: the image that would be started, and the boots that were counted if it is on trial.
type State = (u8, Option<usize>);

type Running<'w> = Pool<'w, SimDisk>;

/// A step in the life of the machine, and the states that it goes through, one commit after the other.
struct Step {
    name: &'static str,
    /// What the firmware is told to do.
    order: &'static str,
    run: fn(&mut Running<'_>),
    states: &'static [State],
}

fn take(pool: &mut Running<'_>, byte: u8) {
    let image = |part: &mut [u8]| {
        part.fill(byte);
        part.len()
    };
    install(pool, 0, IMAGE * 512, &mut [0; 1024], image).unwrap();
}

/// Boots, and lets the system write something of its own.
fn start(pool: &mut Running<'_>, expected: Start) {
    assert_eq!(boot(pool, TRIES), Ok(expected));
    let system = system(pool).unwrap();
    pool.write(system, IMAGE, &[0xee; 512]).unwrap();
    pool.flush().unwrap();
}

fn tidy(pool: &mut Running<'_>) {
    while idle(pool, 120).unwrap() != Merge::Idle {}
}

const LIFE: &[Step] = &[
    Step { name: "a plain boot", order: "b", run: |pool| start(pool, Start::Settled), states: &[(b'A', None)] },
    Step { name: "an update", order: "B", run: |pool| take(pool, b'B'), states: &[(b'A', None), (b'B', Some(0))] },
    Step {
        name: "trial 1",
        order: "b",
        run: |pool| start(pool, Start::Trial(1)),
        states: &[(b'B', Some(0)), (b'B', Some(1))],
    },
    Step { name: "merging", order: "t", run: tidy, states: &[(b'B', Some(1))] },
    Step {
        name: "trial 2",
        order: "b",
        run: |pool| start(pool, Start::Trial(2)),
        states: &[(b'B', Some(1)), (b'B', Some(2))],
    },
    Step {
        name: "trial 3",
        order: "b",
        run: |pool| start(pool, Start::Trial(3)),
        states: &[(b'B', Some(2)), (b'B', Some(3))],
    },
    Step {
        name: "the way back",
        order: "b",
        run: |pool| start(pool, Start::WentBack),
        states: &[(b'B', Some(3)), (b'A', Some(3)), (b'A', None)],
    },
    Step { name: "another update", order: "C", run: |pool| take(pool, b'C'), states: &[(b'A', None), (b'C', Some(0))] },
    Step {
        name: "its trial",
        order: "b",
        run: |pool| start(pool, Start::Trial(1)),
        states: &[(b'C', Some(0)), (b'C', Some(1))],
    },
    Step {
        name: "its success",
        order: "c",
        run: |pool| confirm(pool).unwrap(),
        states: &[(b'C', Some(1)), (b'C', None)],
    },
    Step {
        name: "a plain boot after it",
        order: "b",
        run: |pool| start(pool, Start::Settled),
        states: &[(b'C', None)],
    },
    Step { name: "the last merging", order: "t", run: tidy, states: &[(b'C', None)] },
];

/// The machine that life begins with: a pool with one system on it.
fn machine(workspace: &mut [u8]) -> SimDisk {
    let disk = SimDisk::new(512, 400);
    Pool::format(disk.clone(), workspace, &Config::TINY.format()).unwrap();
    let mut pool = mount(disk.clone(), workspace).unwrap();
    let system = pool.create(&named("system"), IMAGE + 1, LayerFlags::empty()).unwrap();
    pool.write(system, 0, &[b'A'; IMAGE_BYTES]).unwrap();
    pool.unmount().unwrap();
    disk
}

/// What a layer holds where the image is; fails if that is not one image, whole.
fn image_of(pool: &mut Running<'_>, layer: LayerId) -> u8 {
    let mut bytes = [0; IMAGE_BYTES];
    pool.read(layer, 0, &mut bytes).unwrap();
    let first: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "an image in parts: {first:?}");
    bytes[0]
}

fn state(pool: &mut Running<'_>) -> State {
    let system = system(pool).unwrap();
    let counted = pool.find(PREVIOUS).unwrap().map(|previous| usize::from(previous.description));
    (image_of(pool, system), counted)
}

/// The states of a boot that starts in this one, worked out by hand.
fn states_of_boot(state: State) -> (Vec<State>, Start) {
    match state {
        (_, None) => (vec![state], Start::Settled),
        (_, Some(TRIES)) => (vec![state, (b'A', state.1), (b'A', None)], Start::WentBack),
        (image, Some(counted)) => (vec![state, (image, Some(counted + 1))], Start::Trial(counted + 1)),
    }
}

/// What power loss may leave: everything where few sectors are pending; else all of them old, new or torn, and each alone in one way and the
/// others in another.
fn leavings(image: &Image) -> Vec<Vec<Fate>> {
    let count = image.pending.len();
    if count <= 5 {
        return image.fates().collect();
    }
    let ways = [Fate::New, Fate::Old, Fate::Garbage];
    let mut all = Vec::new();
    for (others, alone) in ways.iter().flat_map(|others| ways.iter().map(move |alone| (*others, *alone))) {
        for at in 0..if alone == others { 1 } else { count } {
            let mut fates = vec![others; count];
            fates[at] = alone;
            all.push(fates);
        }
    }
    all
}

/// Opens what a cut left, which must be in one of these states.
fn judge(disk: SimDisk, workspace: &mut [u8], allowed: &[State], name: &str, cut: usize) -> State {
    let mut pool = mount(disk, workspace).unwrap_or_else(|error| panic!("{name}, cut {cut}: {error}"));
    let found = state(&mut pool);
    assert!(allowed.contains(&found), "{name}, cut {cut}: {found:?} is none of {allowed:?}");
    found
}

/// Boots after a cut, with cuts again; the boots that were judged.
fn boot_after(disk: &SimDisk, workspace: &mut [u8], found: State, name: &str) -> usize {
    let (states, expected) = states_of_boot(found);
    let mut pool = mount(disk.clone(), workspace).unwrap();
    disk.start_cuts();
    assert_eq!(boot(&mut pool, TRIES), Ok(expected), "{name}: a boot after a cut");
    assert_eq!(state(&mut pool), *states.last().unwrap(), "{name}: a boot after a cut");
    let cuts = disk.take_cuts();
    for (number, image) in cuts.iter().enumerate() {
        for fates in [Fate::New, Fate::Old, Fate::Garbage] {
            let left = SimDisk::from_sectors(512, image.after_cut(|_| fates));
            judge(left, workspace, &states, name, number);
        }
    }
    cuts.len() * 3
}

/// Judges every state that cuts during a step may leave, and the boots after them; how many there were of each.
fn judge_cuts(cuts: &[Image], step: &Step, workspace: &mut [u8]) -> (usize, usize) {
    let (mut judged, mut nested) = (0, 0);
    for (cut, image) in cuts.iter().enumerate() {
        for fates in leavings(image) {
            let left = SimDisk::from_sectors(512, image.after_cut(|at| fates[at]));
            let found = judge(left.clone(), workspace, step.states, step.name, cut);
            judged += 1;
            nested += boot_after(&left, workspace, found, step.name);
        }
    }
    (judged, nested)
}

#[test]
fn at_every_cut_of_its_life_a_machine_boots_one_image_whole_and_every_boot_is_counted_once() {
    let mut workspace = Config::TINY.workspace();
    let disk = machine(&mut workspace);
    let (mut judged, mut nested) = (0, 0);
    for (number, step) in LIFE.iter().enumerate() {
        let mut pool = mount(disk.clone(), &mut workspace).unwrap();
        assert_eq!(state(&mut pool), step.states[0], "{}", step.name);
        disk.start_cuts();
        (step.run)(&mut pool);
        assert_eq!(state(&mut pool), *step.states.last().unwrap(), "{}", step.name);
        // Every second time the power goes without an unmount.
        if number % 2 == 0 {
            pool.unmount().unwrap();
        }
        let (once, twice) = judge_cuts(&disk.take_cuts(), step, &mut workspace);
        (judged, nested) = (judged + once, nested + twice);
    }
    println!("| update, on the host | {judged} states after a cut, {nested} after a second one |");
    assert!(judged > 1000 && nested > 1000, "{judged} and {nested} are too few to mean anything");
    let mut pool = mount(disk, &mut workspace).unwrap();
    let mut findings = Vec::new();
    pool.check(&mut [0; 64], true, &mut |finding| findings.push(*finding)).unwrap();
    assert_eq!(findings, []);
    assert_eq!(pool.layers().count(), 1, "only the system is left");
}

/// The sectors of a disk image.
fn sectors(bytes: &[u8]) -> Vec<Sector> {
    bytes.chunks(512).map(|sector| Some(Rc::from(sector))).collect()
}

/// The bytes of a disk.
fn bytes_of(disk: &mut SimDisk) -> Vec<u8> {
    let count = usize::try_from(disk.geometry().sectors).unwrap();
    let mut bytes = vec![0; count * 512];
    disk.read(0, &mut bytes).unwrap();
    bytes
}

/// One boot of the firmware; what it says, and what a disk saw of it.
fn boot_of_firmware(folder: &Path, run: &dyn Fn() -> String) -> (String, Vec<Image>) {
    let before = sectors(&fs::read(folder.join("disk.img")).unwrap());
    let said = run();
    let mut disk = SimDisk::from_sectors(512, before);
    disk.start_cuts();
    for entry in record::read(&folder.join("writes.log")) {
        match entry {
            record::Entry::Write(sector, bytes) => disk.write(sector, &bytes).unwrap(),
            record::Entry::Flush => disk.flush().unwrap(),
        }
    }
    assert!(bytes_of(&mut disk) == fs::read(folder.join("disk.img")).unwrap(), "the record is not what was written");
    (said, disk.take_cuts())
}

/// The whole life on a machine whose program does what it is ordered in this folder.
fn live(name: &str, run: &dyn Fn(&Path, &str) -> String) {
    let folder = tempfile::tempdir().unwrap();
    let mut workspace = Config::TINY.workspace();
    fs::write(folder.path().join("disk.img"), bytes_of(&mut machine(&mut workspace))).unwrap();
    let (mut judged, mut nested, mut story) = (0, 0, Vec::new());
    for step in LIFE {
        let (said, cuts) = boot_of_firmware(folder.path(), &|| run(folder.path(), step.order));
        story.extend(said.lines().filter_map(|line| Some(line.trim().strip_prefix("started: ")?.to_owned())));
        let (once, twice) = judge_cuts(&cuts, step, &mut workspace);
        (judged, nested) = (judged + once, nested + twice);
        let disk = SimDisk::from_sectors(512, sectors(&fs::read(folder.path().join("disk.img")).unwrap()));
        judge(disk, &mut workspace, &step.states[step.states.len() - 1..], step.name, cuts.len());
    }
    println!("| update, {name} | {judged} states after a cut, {nested} after a second one |");
    assert!(judged > 1000 && nested > 1000, "{judged} and {nested} are too few to mean anything");
    let told = ["Settled: A", "Trial(1): B", "Trial(2): B", "Trial(3): B", "WentBack: A", "Trial(1): C", "Settled: C"];
    assert_eq!(story, told);
}

#[test]
fn the_same_life_on_a_cortex_m4_cut_at_every_write() {
    let target = "thumbv7em-none-eabihf";
    if !machine::has_program("qemu-system-arm") || !machine::has_target(target) {
        assert!(std::env::var_os("COWL_REQUIRE_ALL").is_none(), "the target {target} is missing");
        return;
    }
    let program = machine::build("cowl-cortex-m", target, &["--bin", "update"]).join("update");
    live("Cortex-M4", &|folder, order| {
        fs::write(folder.join("order"), order).unwrap();
        fs::write(folder.join("writes.log"), []).unwrap();
        machine::cortex_m4(&program, folder).1
    });
}

#[test]
fn the_same_life_under_uefi_cut_at_every_write() {
    let machine = machine::MACHINES.iter().find(|machine| machine.name == "UEFI, virtio-blk").unwrap();
    if machine.is_missing() {
        return;
    }
    let program = machine::build("cowl-uefi", "x86_64-unknown-uefi", &["--bin", "update"]).join("update.efi");
    live(machine.name, &|folder, order| {
        fs::create_dir_all(folder.join("boot")).unwrap();
        fs::write(folder.join("boot/order"), order).unwrap();
        machine.run_program(&program, folder, true)
    });
}

#[test]
fn going_back_takes_back_what_the_new_system_wrote() {
    let mut workspace = Config::TINY.workspace();
    let disk = machine(&mut workspace);
    let mut pool = mount(disk, &mut workspace).unwrap();
    take(&mut pool, b'B');
    for attempt in 1..=TRIES {
        start(&mut pool, Start::Trial(attempt));
    }
    assert_eq!(boot(&mut pool, TRIES), Ok(Start::WentBack));
    let system = system(&mut pool).unwrap();
    let mut own = [1; 512];
    pool.read(system, IMAGE, &mut own).unwrap();
    assert_eq!(own, [0; 512]);
}

#[test]
fn an_update_on_trial_refuses_another_and_an_image_that_ends_early_changes_nothing() {
    let mut workspace = Config::TINY.workspace();
    let disk = machine(&mut workspace);
    let mut pool = mount(disk, &mut workspace).unwrap();
    let mut parts = 2;
    let refused = install(&mut pool, 0, IMAGE * 512, &mut [7; 512], |part| {
        parts -= 1;
        if parts == 0 { 0 } else { part.len() }
    });
    assert_eq!(refused, Err(logic::Refused::Incomplete));
    assert_eq!((state(&mut pool), boot(&mut pool, TRIES)), ((b'A', None), Ok(Start::Settled)));
    idle(&mut pool, 120).unwrap();
    assert_eq!(pool.layers().count(), 1);
    take(&mut pool, b'B');
    let refused = install(&mut pool, 0, IMAGE * 512, &mut [7; 512], |part| part.len());
    assert_eq!(refused, Err(logic::Refused::OnTrial));
    assert_eq!(state(&mut pool), (b'B', Some(0)));
}
