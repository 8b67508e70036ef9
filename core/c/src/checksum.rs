//! The checksum that pools are mounted with.
//!
//! The core takes it as a plain `fn`, which has no place for a pointer that a program hands over while it runs, and a static for that pointer
//! would be global state. So it is chosen when the program is linked: with the feature `checksum` it is the program's `cowl_checksum`.

#[cfg(not(feature = "checksum"))]
pub(crate) const CHECKSUM: cowl::Checksum = cowl::crc32c;

#[cfg(feature = "checksum")]
pub(crate) const CHECKSUM: cowl::Checksum = linked::checksum;

#[cfg(feature = "checksum")]
mod linked {
    use core::ffi::c_void;

    unsafe extern "C" {
        /// Not part of the library: the program defines it if the library was built with the feature `checksum`. CRC-32C over more bytes, with the
        /// same result as `cowl_crc32c`; it must not call the pool.
        fn cowl_checksum(so_far: u32, bytes: *const c_void, length: usize) -> u32;
    }

    pub(crate) fn checksum(so_far: u32, bytes: &[u8]) -> u32 {
        // SAFETY: as many bytes as are said; the program's function only reads them.
        unsafe { cowl_checksum(so_far, bytes.as_ptr().cast(), bytes.len()) }
    }
}
