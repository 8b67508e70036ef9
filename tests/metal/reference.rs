//! The scenario on the host, with a model of what its pool must show before, during and after every action.
//!
//! The model is the simulator's: it shares no code with the core, and learns of the actions only by their names.

use std::{cell::RefCell, rc::Rc};

use cowl::{BlockDevice, Geometry, Pool};
use cowl_host::sim::{Found, Layer, Model, SimDisk, found};
use cowl_scenario::{Action, BUFFER, DISK_SECTORS, Done, HANDED, Outcome, WORKSPACE, Witness};

use crate::record::Entry;

/// An action: its part of the record, and what the pool may show meanwhile.
#[derive(Debug, Clone)]
pub struct Span {
    /// Entries before it.
    pub from: usize,
    /// Entries after it.
    pub to: usize,
    /// What a power cut within it may leave.
    pub during: Model,
    /// What one after it may leave.
    pub after: Model,
}

/// The scenario as it went on the host.
#[derive(Debug)]
pub struct Reference {
    /// What the disk was asked.
    pub log: Vec<Entry>,
    /// Every action, in order.
    pub spans: Vec<Span>,
    /// What the pool must show in the end.
    pub model: Model,
    /// The disk in the end.
    pub image: Vec<u8>,
    /// Sectors that were written until the pool was full.
    pub filled: u64,
    /// Steps of merge that did something.
    pub merges: u64,
}

/// A disk in memory whose writes are recorded.
struct Recorded {
    image: Vec<u8>,
    log: Rc<RefCell<Vec<Entry>>>,
}

/// A transfer past the end.
#[derive(Debug)]
pub struct PastEnd;

impl BlockDevice for Recorded {
    type Error = PastEnd;

    fn geometry(&self) -> Geometry {
        Geometry::new(512, self.image.len() as u64 / 512)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), PastEnd> {
        let at = sector as usize * 512;
        buffer.copy_from_slice(self.image.get(at..at + buffer.len()).ok_or(PastEnd)?);
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), PastEnd> {
        let at = sector as usize * 512;
        self.image.get_mut(at..at + buffer.len()).ok_or(PastEnd)?.copy_from_slice(buffer);
        self.log.borrow_mut().push(Entry::Write(sector, buffer.to_vec()));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PastEnd> {
        self.log.borrow_mut().push(Entry::Flush);
        Ok(())
    }
}

/// Leads the model beside the pool.
struct Watcher {
    log: Rc<RefCell<Vec<Entry>>>,
    model: Model,
    before: Model,
    from: usize,
    spans: Vec<Span>,
    filled: u64,
    merges: u64,
}

impl Witness for Watcher {
    fn begins(&mut self, _: &Action) {
        self.from = self.log.borrow().len();
        self.before = self.model.clone();
    }

    fn ended(&mut self, action: &Action, outcome: Outcome) {
        let barrier = self.follow(action, outcome);
        let to = self.log.borrow().len();
        let during = self.before.clone().during(&self.model, barrier);
        self.spans.push(Span { from: self.from, to, during, after: self.model.clone() });
    }
}

impl Watcher {
    /// The model does what the pool has done; true if everything so far is durable now.
    fn follow(&mut self, action: &Action, outcome: Outcome) -> bool {
        let Outcome::Done(made) = outcome else { return false };
        let mut after = self.model.now.clone();
        let mut make = |model: &Model, name: &str, volume: bool, of: &str| {
            let content = model.now[&id(model, of)].content.clone();
            after.insert(made.expect("a layer was made"), Layer { volume, name: name.to_owned(), content });
        };
        match *action {
            Action::Write(piece) => {
                let range = piece.sector as usize..(piece.sector + piece.count) as usize;
                self.model.write(id(&self.model, piece.layer), range, piece.tag);
                self.filled = if piece.layer == cowl_scenario::SCRATCH { piece.sector + 1 } else { self.filled };
                return false;
            }
            Action::Discard(volume, sector, count) => {
                self.model.write(id(&self.model, volume), sector as usize..(sector + count) as usize, 0);
                return false;
            }
            Action::WriteStaged => return false,
            Action::Create(name, sectors) => {
                let layer = Layer { volume: true, name: name.to_owned(), content: vec![0; sectors as usize] };
                after.insert(made.expect("a volume was made"), layer);
            }
            Action::Snapshot(volume, name) => make(&self.model, name, false, volume),
            Action::Clone(snapshot, name) => make(&self.model, name, true, snapshot),
            Action::Rollback(volume, snapshot, keep) => {
                if let Some(name) = keep {
                    make(&self.model, name, false, volume);
                }
                let content = self.model.now[&id(&self.model, snapshot)].content.clone();
                after.get_mut(&id(&self.model, volume)).expect("a volume").content = content;
            }
            Action::Delete(name) => drop(after.remove(&id(&self.model, name))),
            Action::Rename(name, to) => {
                to.clone_into(&mut after.get_mut(&id(&self.model, name)).expect("a layer").name);
            }
            Action::Merge => self.merges += 1,
            Action::Flush | Action::Stage | Action::Unmount => {}
        }
        self.model.begin(after);
        self.model.complete();
        true
    }
}

/// The number of the layer with this name.
fn id(model: &Model, name: &str) -> u32 {
    let found = model.now.iter().find(|(_, layer)| layer.name == name);
    *found.unwrap_or_else(|| panic!("the model has no {name}")).0
}

impl Reference {
    /// A pool is made and lives.
    pub fn of_life() -> Self {
        Self::of(vec![0; DISK_SECTORS as usize * 512], Model::default(), Done::Lived)
    }

    /// A host's pool is worked on.
    pub fn of_visit(image: &[u8]) -> Self {
        let tags = |own: bool| {
            let tag = move |sector: u64| if own && (10..20).contains(&sector) { 0x2_0000 } else { 0x1_0000 };
            (0..40).map(|sector| tag(sector) + sector / 2 * 2).collect()
        };
        let layer = |volume, name: &str| Layer { volume, name: name.to_owned(), content: tags(volume) };
        let mut model = Model::default();
        model.begin([(1, layer(true, HANDED)), (2, layer(false, "theirs"))].into());
        model.complete();
        Self::of(image.to_vec(), model, Done::Visited)
    }

    fn of(image: Vec<u8>, model: Model, expected: Done) -> Self {
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut disk = Recorded { image, log: log.clone() };
        let (before, spans) = (Model::default(), Vec::new());
        let mut watcher = Watcher { log: log.clone(), model, before, from: 0, spans, filled: 0, merges: 0 };
        let done = cowl_scenario::run(&mut disk, &mut [0; WORKSPACE], &mut [0; BUFFER], &mut watcher);
        assert_eq!(done.expect("the scenario runs on the host"), expected);
        let Watcher { model, spans, filled, merges, .. } = watcher;
        Self { log: log.take(), spans, model, image: disk.image, filled, merges }
    }

    /// What the pool shows in the end.
    pub fn found(&self) -> Found {
        let mut workspace = vec![0; WORKSPACE];
        let mut pool: Pool<'_, SimDisk> =
            cowl_host::sim::mount(crate::cuts::disk_of(&self.image), &mut workspace).expect("a pool");
        found(&mut pool).expect("readable")
    }
}
