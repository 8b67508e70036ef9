//! CRC-32C (Castagnoli), the one checksum of the format.
//!
//! [`crc32c`] is the software version of the `crc` crate. A host with a CRC instruction hands its own function to
//! [`MountOptions`](crate::MountOptions); the bytes on the device are the same.

use crc::{CRC_32_ISCSI, Crc};

/// A CRC-32C over more bytes: takes the checksum so far (0 to start) and returns the new one.
pub type Checksum = fn(u32, &[u8]) -> u32;

#[cfg(feature = "crc-table")]
static CRC: Crc<u32, crc::Table<16>> = Crc::<u32, crc::Table<16>>::new(&CRC_32_ISCSI);
#[cfg(not(feature = "crc-table"))]
static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// CRC-32C in software; `so_far` is the checksum of the bytes before, 0 if there are none.
pub fn crc32c(so_far: u32, bytes: &[u8]) -> u32 {
    // The crate wants the initial register, before reflection and the final inversion.
    let mut digest = CRC.digest_with_initial((!so_far).reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_checksum_in_parts_is_the_checksum_of_the_whole() {
        assert_eq!(crc32c(crc32c(0, b"1234"), b"56789"), 0xe306_9283);
        assert_eq!(crc32c(crc32c(0, b""), b"123456789"), 0xe306_9283);
    }
}
