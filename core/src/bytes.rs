//! Little-endian numbers in byte slices, without a way to panic.
//!
//! A read past the end gives zero and a write past the end does nothing; both are programming errors, caught by a
//! debug assertion. Lengths of what comes from the device are checked before any field is read.
//!
//! Cores without unaligned access (`ARMv6-M`: the only ARM without atomics of 32 bits) take a number byte by byte. They have that once,
//! not in hundreds of places.

/// Reads `N` bytes at `offset`.
#[inline]
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let found = bytes.get(offset..).and_then(|tail| tail.first_chunk::<N>());
    debug_assert!(found.is_some(), "read of {N} bytes at {offset} of {}", bytes.len());
    found.copied().unwrap_or([0; N])
}

/// Writes `N` bytes at `offset`.
#[inline]
pub(crate) fn put_array<const N: usize>(bytes: &mut [u8], offset: usize, value: &[u8; N]) {
    let room = bytes.get_mut(offset..).and_then(|tail| tail.first_chunk_mut::<N>());
    debug_assert!(room.is_some(), "write of {N} bytes at {offset}");
    if let Some(room) = room {
        *room = *value;
    }
}

/// Writes bytes at `offset`.
#[inline]
pub(crate) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    let room = bytes.get_mut(offset..).and_then(|tail| tail.get_mut(..value.len()));
    debug_assert!(room.is_some(), "write of {} bytes at {offset}", value.len());
    if let Some(room) = room {
        copy(room, value);
    }
}

#[inline]
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(array(bytes, offset))
}

#[cfg_attr(not(all(target_arch = "arm", not(target_has_atomic = "32"))), inline)]
#[cfg_attr(all(target_arch = "arm", not(target_has_atomic = "32")), inline(never))]
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array(bytes, offset))
}

#[cfg_attr(not(all(target_arch = "arm", not(target_has_atomic = "32"))), inline)]
#[cfg_attr(all(target_arch = "arm", not(target_has_atomic = "32")), inline(never))]
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array(bytes, offset))
}

#[cfg_attr(not(all(target_arch = "arm", not(target_has_atomic = "32"))), inline)]
#[cfg_attr(all(target_arch = "arm", not(target_has_atomic = "32")), inline(never))]
pub(crate) fn u48_at(bytes: &[u8], offset: usize) -> u64 {
    let [a, b, c, d, e, f] = array(bytes, offset);
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

#[inline]
pub(crate) fn u8_at(bytes: &[u8], offset: usize) -> u8 {
    let [value] = array(bytes, offset);
    value
}

#[inline]
pub(crate) fn put_u8(bytes: &mut [u8], offset: usize, value: u8) {
    put_array(bytes, offset, &[value]);
}

#[inline]
pub(crate) fn put_u16(bytes: &mut [u8], offset: usize, value: u16) {
    put_array(bytes, offset, &value.to_le_bytes());
}

#[cfg_attr(not(all(target_arch = "arm", not(target_has_atomic = "32"))), inline)]
#[cfg_attr(all(target_arch = "arm", not(target_has_atomic = "32")), inline(never))]
pub(crate) fn put_u32(bytes: &mut [u8], offset: usize, value: u32) {
    put_array(bytes, offset, &value.to_le_bytes());
}

#[cfg_attr(not(all(target_arch = "arm", not(target_has_atomic = "32"))), inline)]
#[cfg_attr(all(target_arch = "arm", not(target_has_atomic = "32")), inline(never))]
pub(crate) fn put_u64(bytes: &mut [u8], offset: usize, value: u64) {
    put_array(bytes, offset, &value.to_le_bytes());
}

#[cfg_attr(not(all(target_arch = "arm", not(target_has_atomic = "32"))), inline)]
#[cfg_attr(all(target_arch = "arm", not(target_has_atomic = "32")), inline(never))]
pub(crate) fn put_u48(bytes: &mut [u8], offset: usize, value: u64) {
    let [a, b, c, d, e, f, _, _] = value.to_le_bytes();
    put_array(bytes, offset, &[a, b, c, d, e, f]);
}

/// A length or index that fits memory: device numbers index memory only after their bounds are checked.
#[inline]
pub(crate) fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The other way; never lossy on any supported target.
#[inline]
pub(crate) fn wide(value: usize) -> u64 {
    value as u64
}

/// Copies as much as both have. A copy that checks that their lengths are the same would have a way to panic.
#[inline]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// Two parts of a slice; the first is as long as the slice at most.
#[inline]
pub(crate) fn split(bytes: &mut [u8], at: usize) -> (&mut [u8], &mut [u8]) {
    let at = at.min(bytes.len());
    bytes.split_at_mut_checked(at).unwrap_or_default()
}

/// Bytes from the start of a slice to the next multiple of a power of two in memory.
#[inline]
pub(crate) fn padding(bytes: &[u8], alignment: usize) -> usize {
    bytes.as_ptr().addr().wrapping_neg() & alignment.wrapping_sub(1)
}

/// Parts of a size that it takes to hold so many.
#[inline]
pub(crate) fn parts(count: usize, size: usize) -> usize {
    let size = size.max(1);
    count / size + usize::from(!count.is_multiple_of(size))
}

/// A power of two by which numbers are divided and multiplied: neither can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Power(u32);

impl Power {
    /// Two to the power of `shift`, at most 63.
    #[inline]
    pub(crate) fn of_two(shift: u32) -> Self {
        Self(shift & 63)
    }

    #[inline]
    pub(crate) fn get(self) -> u64 {
        1 << self.0
    }

    /// How often it takes this number to reach `value`.
    #[inline]
    pub(crate) fn ceil(self, value: u64) -> u64 {
        value / self + u64::from(value % self != 0)
    }
}

#[allow(clippy::suspicious_arithmetic_impl)]
impl core::ops::Div<Power> for u64 {
    type Output = u64;

    #[inline]
    fn div(self, by: Power) -> u64 {
        self >> by.0
    }
}

impl core::ops::Rem<Power> for u64 {
    type Output = u64;

    #[inline]
    fn rem(self, by: Power) -> u64 {
        self & (by.get() - 1)
    }
}

#[allow(clippy::suspicious_arithmetic_impl)]
impl core::ops::Mul<Power> for u64 {
    type Output = u64;

    #[inline]
    fn mul(self, by: Power) -> u64 {
        self << by.0
    }
}
