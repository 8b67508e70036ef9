//! The demonstration as it is told: numbered steps with the time that each took.

use std::{
    io::{self, Write},
    time::Instant,
};

use serde::Serialize;

use crate::cli::{
    failure::Failure,
    ui::{Report, Style, settle},
};

/// Columns of a line of text.
const WIDTH: usize = 100;

/// The steps so far.
#[derive(Debug, Serialize)]
pub struct Story {
    #[serde(skip)]
    silent: bool,
    #[serde(skip)]
    started: Instant,
    #[serde(skip)]
    step: Instant,
    steps: Vec<Step>,
}

#[derive(Debug, Serialize)]
struct Step {
    title: &'static str,
    text: String,
    milliseconds: u64,
}

impl Story {
    /// Begins; a silent story is only told at the end, as JSON.
    pub fn new(silent: bool) -> Self {
        Self { silent, started: Instant::now(), step: Instant::now(), steps: Vec::new() }
    }

    /// A step is done.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn tell(&mut self, title: &'static str, text: &str) -> Result<(), Failure> {
        let milliseconds = u64::try_from(self.step.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.step = Instant::now();
        self.steps.push(Step { title, text: text.to_owned(), milliseconds });
        if self.silent {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let text = format!("{text} ({milliseconds} ms)");
        for (index, line) in wrap(&text, WIDTH).into_iter().enumerate() {
            let head = if index == 0 { format!("{:>2}  {title:<12}", self.steps.len()) } else { " ".repeat(16) };
            settle(writeln!(out, "{head}  {line}"))?;
        }
        Ok(())
    }
}

impl Report for Story {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\nEvery comparison came out right. {:.1} seconds.", self.started.elapsed().as_secs_f64())
    }
}

/// Breaks a text into lines at blanks.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let full = lines
            .last()
            .is_some_and(|line| !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn text_is_broken_at_blanks_and_long_words_stay_whole() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("a-very-long-word b", 5), ["a-very-long-word", "b"]);
    }
}
