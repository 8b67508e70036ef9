//! Log lines, through `defmt` or `log` if one of them is a feature; else nothing.

/// One line for a rare event: a mount, a checkpoint that was dropped, the end of a merge.
macro_rules! event {
    ($($argument:tt)*) => {{
        #[cfg(feature = "defmt")]
        defmt::debug!($($argument)*);
        #[cfg(all(feature = "log", not(feature = "defmt")))]
        log::debug!($($argument)*);
        #[cfg(not(any(feature = "defmt", feature = "log")))]
        let _ = || ($($argument)*);
    }};
}

pub(crate) use event;
