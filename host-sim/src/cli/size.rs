//! Sizes as people write them: `512`, `4K`, `64M`, `2G`, `1.5T`; powers of 1024, an `iB` after the letter is allowed.

use std::fmt;

const UNITS: [(&str, u32); 7] = [("", 0), ("K", 10), ("M", 20), ("G", 30), ("T", 40), ("P", 50), ("E", 60)];

/// Reads a size in bytes.
///
/// # Errors
/// A text that says what is wrong with it.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_uppercase();
    let letter =
        unit.strip_suffix("IB").filter(|letter| !letter.is_empty()).unwrap_or(if unit == "B" { "" } else { &unit });
    let Some((_, shift)) = UNITS.iter().find(|(name, _)| *name == letter) else {
        return Err(format!("`{unit}` is not a unit; use K, M, G, T or P, which are powers of 1024"));
    };
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let bad = || "a size is a number and a unit, as in 4K, 64M or 2G".to_owned();
    let large = || "that is more than 64 bits can say".to_owned();
    if whole.is_empty() || fraction.len() > 9 {
        return Err(bad());
    }
    let whole: u64 = whole.parse().map_err(|_| large())?;
    let bytes = whole.checked_mul(1 << shift).ok_or_else(large)?;
    if fraction.is_empty() {
        return if number.ends_with('.') { Err(bad()) } else { Ok(bytes) };
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| bad())?);
    let part = fraction.parse::<u128>().map_err(|_| bad())? << shift;
    if !part.is_multiple_of(scale) {
        return Err("that is not a whole number of bytes".to_owned());
    }
    bytes.checked_add(u64::try_from(part / scale).map_err(|_| large())?).ok_or_else(large)
}

/// A number of bytes, shown to three digits: `512 B`, `4 KiB`, `1.50 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, shift) = UNITS.iter().rev().find(|(_, shift)| self.0 >> shift > 0).unwrap_or(&UNITS[0]);
        let text = if *shift == 0 {
            format!("{} B", self.0)
        } else {
            let whole = self.0 >> shift;
            let rest = self.0 & ((1 << shift) - 1);
            let hundredths = (u128::from(rest) * 100) >> shift;
            match (rest, whole) {
                (0, _) | (_, 100..) => format!("{whole} {name}iB"),
                (_, 10..) => format!("{whole}.{} {name}iB", hundredths / 10),
                _ => format!("{whole}.{hundredths:02} {name}iB"),
            }
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, parse_size};

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("4K", 4096),
            ("4k", 4096),
            ("4KiB", 4096),
            ("1M", 1 << 20),
            ("1.5G", 3 << 29),
            ("2 T", 2 << 40),
            ("1_000", 1000),
            ("0.5K", 512),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_in_words() {
        for text in [
            "",
            "G",
            "4X",
            "4KB",
            "-1",
            "1.",
            ".5G",
            "1.2.3K",
            "0.3",
            "99999999999999999999",
            "20E",
            "1e9",
            "0x10",
            "iB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_to_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (4096, "4 KiB"),
            (1536, "1.50 KiB"),
            (12_800, "12.5 KiB"),
            (1 << 30, "1 GiB"),
            ((1 << 30) * 300 + 7, "300 GiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
        assert_eq!(format!("{:>8}|", Bytes(4096)), "   4 KiB|");
    }
}
