//! What a sector holds: looked up life by life, decided where the power failed while it was in flight, and only when it is asked for.

use super::{Atom, Bytes, STANDS_FOR, State};
use crate::sim::{
    disk::{Sector, garbage_byte},
    model::bytes_of,
};

impl State {
    pub(super) fn sectors_in_unit(&self) -> u64 {
        (u64::from(self.physical_size) / self.sector_size as u64).max(1)
    }

    pub(super) fn unit_of(&self, sector: u64) -> u64 {
        sector / self.sectors_in_unit()
    }

    /// New, torn in several ways, as after each earlier write, old.
    pub(super) fn ways(&self, atom: &Atom) -> usize {
        self.kinds + if atom.newest { 1 } else { 1 + atom.writes.len() }
    }

    pub(super) fn fate(&self, atom: &Atom) -> &'static str {
        match atom.decided {
            None => "not read",
            Some(0) => "new",
            Some(choice) if choice <= self.kinds => "torn",
            Some(choice) if choice < self.kinds + atom.writes.len() => "as after an earlier write",
            Some(_) => "old",
        }
    }

    /// What the sector holds now.
    pub(super) fn content(&mut self, sector: u64) -> Sector {
        let latest =
            |list: &[(u64, Bytes)]| list.iter().rev().find(|(at, _)| *at == sector).map(|(_, bytes)| bytes.clone());
        if let Some(bytes) = latest(&self.pending).or_else(|| latest(&self.flushed)) {
            return Some(bytes);
        }
        let lives = self.lives.len();
        self.content_in(sector, lives)
    }

    /// What the sector held before the life of that number began.
    fn content_in(&mut self, sector: u64, life: usize) -> Sector {
        let Some(index) = life.checked_sub(1) else { return self.base.get(sector as usize).cloned().flatten() };
        let unit = self.unit_of(sector);
        let Some(at) = self.lives[index].atoms.iter().position(|atom| atom.unit == unit) else {
            return self.before(sector, index);
        };
        if self.lives[index].atoms[at].decided.is_none() {
            if self.standing {
                return Some(self.stand_in_for(index, at, sector));
            }
            let ways = self.ways(&self.lives[index].atoms[at]);
            self.lives[index].atoms[at].decided = Some(self.choices.choose(ways));
        }
        let choice = self.lives[index].atoms[at].decided.unwrap_or(0);
        self.way(index, at, choice, sector)
    }

    /// What was durable when the power failed at the end of the life with this index.
    fn before(&mut self, sector: u64, index: usize) -> Sector {
        let flushed = self.lives[index].flushed.iter().rev().find(|(at, _)| *at == sector);
        if let Some((_, bytes)) = flushed {
            return Some(bytes.clone());
        }
        self.content_in(sector, index)
    }

    fn stand_in_for(&mut self, life: usize, at: usize, sector: u64) -> Bytes {
        let place = (life, at, sector);
        let known = self.stood_for.iter().position(|known| *known == place);
        let number = known.unwrap_or(self.stood_for.len());
        if known.is_none() {
            self.stood_for.push(place);
        }
        bytes_of(STANDS_FOR + number as u64, self.sector_size).into()
    }

    /// What a sector of an atom holds if that way is taken.
    pub(super) fn way(&mut self, life: usize, at: usize, choice: usize, sector: u64) -> Sector {
        let per_unit = self.sectors_in_unit();
        let writes = &self.lives[life].atoms[at].writes;
        let torn = choice.checked_sub(1).filter(|kind| *kind < self.kinds);
        let count = if choice == 0 || torn.is_some() { writes.len() } else { writes.len() + self.kinds - choice };
        let written = writes[..count].iter().rev().find(|(place, _)| *place == sector).map(|(_, bytes)| bytes.clone());
        let Some(kind) = torn else { return written.or_else(|| self.before(sector, life)) };
        let old = self.before(sector, life).unwrap_or_else(|| vec![0; self.sector_size].into());
        let new = written.unwrap_or_else(|| old.clone());
        let in_first_half = sector % per_unit < per_unit / 2;
        Some(match kind {
            2 | 3 if per_unit > 1 => {
                if in_first_half == (kind == 2) {
                    new
                } else {
                    old
                }
            }
            _ => tear(kind, &old, &new),
        })
    }
}

/// A sector that was being written when the power failed.
fn tear(kind: usize, old: &[u8], new: &[u8]) -> Bytes {
    let half = new.len() / 2;
    match kind {
        0 | 1 => (0..new.len()).map(|at| garbage_byte(kind == 1, at)).collect(),
        2 => [&new[..half], &old[half..]].concat().into(),
        _ => [&old[..half], &new[half..]].concat().into(),
    }
}
