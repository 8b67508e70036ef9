//! One line that shows a failure again, its shrinking, and its story.

use std::{fmt, str::FromStr};

use super::{
    choices::Choices,
    disk::Fault,
    errors,
    judge::{Bench, Broken},
    play::tagged,
    scenario::{Scenario, Seed, Shape},
    search::Search,
    walk::{Bound, Violation, Watch},
};

/// A failure, or any other image: where it begins, what is done, where the power fails, and what is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The shape of the pool.
    pub shape: Shape,
    /// The state it starts from.
    pub seed: Seed,
    /// The operations, as positions in the scenario's alphabet.
    pub letters: Vec<u8>,
    /// Ways to tear a sector.
    pub tearings: usize,
    /// The device's flush lies.
    pub lying: bool,
    /// A device call that fails.
    pub fault: Option<Fault>,
    /// The cut.
    pub cut: usize,
    /// A second operation and cut follow.
    pub second: bool,
    /// What was chosen.
    pub choices: Vec<u16>,
}

impl Token {
    /// A history on a scenario, nothing lost.
    pub fn new(scenario: &Scenario, letters: &[u8], tearings: usize) -> Self {
        Self {
            shape: scenario.shape,
            seed: scenario.seed,
            letters: letters.to_vec(),
            tearings,
            lying: scenario.lying,
            fault: None,
            cut: 0,
            second: false,
            choices: Vec::new(),
        }
    }

    /// Runs it again: what is broken, if anything.
    ///
    /// # Errors
    /// The promise that was broken.
    pub fn run(&self, scenario: &Scenario, bench: &mut Bench) -> Result<(), Broken> {
        let ops = scenario.operations(&self.letters);
        if let Some(fault) = self.fault {
            let mut faults = errors::Faults::default();
            return errors::with_fault(scenario, &ops, fault, bench, &mut faults)
                .map(drop)
                .map_err(|(_, broken)| broken);
        }
        let played =
            scenario.play(&ops, self.tearings, &mut bench.workspace).map_err(|what| Broken { promise: "O13", what })?;
        let watch = &Watch::default();
        let mut search = Search { scenario, bench, limit: usize::MAX, second: self.second, watch };
        search.one(&played, self.cut, &mut Choices::prescribed(&self.choices))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |numbers: &mut dyn Iterator<Item = String>| numbers.collect::<Vec<_>>().join(".");
        write!(f, "cowl1:{}:{}:{}", self.shape, self.seed, join(&mut self.letters.iter().map(u8::to_string)))?;
        write!(f, ":{}{}", if self.lying { 'l' } else { 't' }, self.tearings)?;
        match self.fault {
            Some(Fault { call, for_good, kept }) => write!(f, ":e{call}.{}.{}", u8::from(for_good), u8::from(kept))?,
            None => write!(f, ":{}{}", if self.second { 's' } else { 'c' }, self.cut)?,
        }
        write!(f, ":{}", join(&mut self.choices.iter().map(u16::to_string)))
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a replay token such as cowl1:tiny:empty:7.0:t2:c3:0.1");
        let parts: Vec<&str> = text.trim().split(':').collect();
        let ["cowl1", shape, seed, letters, tearings, cut, choices] = parts[..] else { return Err(wrong()) };
        let list = |text: &str| -> Result<Vec<u16>, String> {
            text.split('.').filter(|part| !part.is_empty()).map(|part| part.parse().map_err(|_| wrong())).collect()
        };
        let letters = list(letters)?
            .into_iter()
            .map(|letter| u8::try_from(letter).map_err(|_| wrong()))
            .collect::<Result<Vec<u8>, _>>()?;
        let lying = tearings.starts_with('l');
        let tearings = tearings.strip_prefix(['t', 'l']).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
        let (kind, number) = cut.split_at_checked(1).ok_or_else(wrong)?;
        let fault = match (kind, &list(number)?[..]) {
            ("e", [call, for_good, kept]) => {
                Some(Fault { call: usize::from(*call), for_good: *for_good == 1, kept: *kept == 1 })
            }
            ("c" | "s", [_]) => None,
            _ => return Err(wrong()),
        };
        if letters.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            shape: shape.parse()?,
            seed: seed.parse()?,
            letters,
            tearings,
            lying,
            fault,
            cut: if fault.is_none() { number.parse().map_err(|_| wrong())? } else { 0 },
            second: kind == "s",
            choices: list(choices)?,
        })
    }
}

impl Violation {
    /// The same failure with fewer operations and less that is lost.
    #[must_use]
    pub fn shrink(mut self, scenario: &Scenario, bound: &Bound, bench: &mut Bench) -> Self {
        let mut at = 0;
        while at < self.token.letters.len() && self.token.letters.len() > 1 {
            let mut letters = self.token.letters.clone();
            letters.remove(at);
            match fail_again(scenario, &letters, &self, bound, bench) {
                Some(smaller) => (self, at) = (smaller, 0),
                None => at += 1,
            }
        }
        for choice in 0..self.token.choices.len() {
            let mut token = self.token.clone();
            token.choices[choice] = 0;
            if let Err(broken) = token.run(scenario, bench) {
                self = Self { token, broken };
            }
        }
        self
    }
}

/// The first failure of these operations, looked for as the longer ones were.
fn fail_again(
    scenario: &Scenario,
    letters: &[u8],
    like: &Violation,
    bound: &Bound,
    bench: &mut Bench,
) -> Option<Violation> {
    let token = Token { letters: letters.to_vec(), fault: None, cut: 0, choices: Vec::new(), ..like.token.clone() };
    if like.token.fault.is_some() {
        return errors::sweep(scenario, letters, bench, &Watch::default()).violations.pop();
    }
    let played = match scenario.play(&scenario.operations(letters), token.tearings, &mut bench.workspace) {
        Ok(played) => played,
        Err(what) => return Some(Violation { token, broken: Broken { promise: "O13", what } }),
    };
    let watch = &Watch::default();
    let mut search = Search { scenario, bench, limit: bound.runs, second: token.second, watch };
    let (cut, choices, broken) = search.sequence(&played).broken?;
    Some(Violation { token: Token { cut, choices, ..token }, broken })
}

/// Tells the story of a token: operations, what was on the device, what was lost, what recovery saw, which promise broke.
///
/// # Errors
/// The state to start from cannot be built.
pub fn narrate(token: &Token) -> Result<(Vec<String>, Option<Broken>), String> {
    let scenario = Scenario { lying: token.lying, ..Scenario::new(token.shape, token.seed)? };
    let mut bench = scenario.bench();
    let ops = scenario.operations(&token.letters);
    let config = &scenario.config;
    let mut lines = vec![format!(
        "shape {}: blocks of {} bytes, sectors of {}, {} blocks, {} pending records, {} journal units",
        token.shape, config.block_size, config.sector_size, config.blocks, config.pending, config.journal_units
    )];
    lines.push(format!("seed {}: {} layers", token.seed, scenario.model.now.len()));
    lines.extend(scenario.warming.iter().map(|op| format!("before: {op:?}")));
    lines.extend(ops.iter().enumerate().map(|(i, op)| format!("operation {}: {:?}", i + 1, tagged(*op, i))));
    if let Some(fault) = token.fault {
        let more = if fault.for_good { ", and every later one" } else { "" };
        lines.push(format!("device call {} of the last operation fails{more}", fault.call));
    } else {
        lines.extend(narrate_cut(token, &scenario, &mut bench));
    }
    let broken = token.run(&scenario, &mut bench).err();
    lines.push(broken.as_ref().map_or_else(
        || "no promise is broken".to_string(),
        |broken| format!("broken: {}: {}", broken.promise, broken.what),
    ));
    Ok((lines, broken))
}

/// What was on the device, what was lost, what recovery saw.
fn narrate_cut(token: &Token, scenario: &Scenario, bench: &mut Bench) -> Vec<String> {
    let played = scenario.play(&scenario.operations(&token.letters), token.tearings, &mut bench.workspace);
    let Ok(played) = played else { return Vec::new() };
    let Some(cut) = played.cuts.get(token.cut) else { return Vec::new() };
    let sectors: Vec<u64> = cut.pending().collect();
    let mut lines = vec![format!(
        "the power fails at cut {} (device call {}), with sectors {sectors:?} not flushed",
        token.cut, cut.call
    )];
    let disk = played.disk.after(cut, Choices::prescribed(&token.choices));
    let mut model = if token.cut + 1 == played.cuts.len() { played.after } else { played.during };
    let seen = bench.recover(&disk, &mut model, true);
    lines.extend(disk.fates().into_iter().map(|(sector, fate)| format!("  sector {sector}: {fate}")));
    lines.push(match seen {
        Ok(outcome) => format!("recovery finds the state {outcome:?} the operation"),
        Err(broken) => format!("recovery: {}", broken.what),
    });
    if token.second {
        lines.push(format!("then one of {:?}, and the power fails again", scenario.second));
    }
    lines
}
