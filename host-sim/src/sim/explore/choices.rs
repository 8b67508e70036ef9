//! A tree of choices, walked by running the same program again and again.
//!
//! The program asks [`Choices::choose`] whenever something is left to chance: which operation, which write was the last,
//! what a torn sector holds. [`Choices::advance`] prepares the next run, until every path was taken.

/// The choices of one run: those that are prescribed, then the first of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    taken: Vec<(u16, u16)>,
    at: usize,
}

impl Choices {
    /// A run with these choices.
    pub fn prescribed(choices: &[u16]) -> Self {
        Self { taken: choices.iter().map(|choice| (*choice, u16::MAX)).collect(), at: 0 }
    }

    /// Nothing is prescribed.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// One of `of` possibilities.
    pub fn choose(&mut self, of: usize) -> usize {
        let of = of as u16;
        if self.at == self.taken.len() {
            self.taken.push((0, of));
        }
        let (choice, width) = &mut self.taken[self.at];
        // A prescribed choice may be beyond what there is, when it is random or a history was made shorter.
        *choice %= of.max(1);
        *width = of;
        self.at += 1;
        usize::from(*choice)
    }

    /// Goes on to the next path; false when all were taken.
    pub fn advance(&mut self) -> bool {
        self.taken.truncate(self.at);
        self.at = 0;
        while let Some((choice, of)) = self.taken.pop() {
            if choice + 1 < of {
                self.taken.push((choice + 1, of));
                return true;
            }
        }
        false
    }

    /// Replaces the path by another one.
    pub fn restart(&mut self, choices: &[u16]) {
        *self = Self::prescribed(choices);
    }

    /// What was chosen.
    pub fn path(&self) -> Vec<u16> {
        self.taken[..self.at].iter().map(|(choice, _)| *choice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Choices;

    #[test]
    fn every_path_is_taken_once() {
        let mut choices = Choices::default();
        let mut paths = Vec::new();
        loop {
            let first = choices.choose(3);
            let second = if first == 1 { choices.choose(2) } else { 9 };
            paths.push((first, second));
            if !choices.advance() {
                break;
            }
        }
        assert_eq!(paths, [(0, 9), (1, 0), (1, 1), (2, 9)]);
    }

    #[test]
    fn a_prescribed_path_is_followed() {
        let mut choices = Choices::prescribed(&[2, 1]);
        assert_eq!((choices.choose(3), choices.choose(2), choices.choose(5)), (2, 1, 0));
        assert_eq!(choices.path(), [2, 1, 0]);
    }
}
