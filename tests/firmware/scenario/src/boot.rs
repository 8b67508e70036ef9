//! What a boot loader does: reads a pool that it does not change, with the small reader.

use cowl::{BlockDevice, Error, Image, Reader};

use crate::{
    BUFFER, Fault, WORKSPACE, Wanted,
    perform::filled,
    script::{Piece, piece},
};

/// What there is when the life has ended, each behind the layer that it is attached to.
pub const LIVED: &[(Option<&str>, Piece)] = &[
    (None, piece("trunk", 0, 8, 0xc000)),
    (None, piece("log", 0, 6, 0xd000)),
    (None, piece("history", 4, 10, 0x6000)),
    (None, piece("data", 4, 12, 0xb000)),
    (Some("history"), piece("console", 0, 2, 0xe000)),
];
/// What there is when a host's pool has been worked on.
pub const VISITED: &[(Option<&str>, Piece)] =
    &[(None, piece("before-visit", 30, 4, 0x3_0000)), (None, piece("ours", 0, 8, 0x4_0000))];
/// What there is behind a recovery.
pub const RECOVERED: &[(Option<&str>, Piece)] = &[(None, piece(crate::MARK, 0, 2, 0xf000))];

/// Reads these pieces.
///
/// # Errors
/// What is not as it should be; the number of the action is that of the piece.
#[inline(never)]
pub fn look<D: BlockDevice>(
    device: &mut D,
    workspace: &mut [u8; WORKSPACE],
    buffer: &mut [u8; BUFFER],
    pieces: &[(Option<&'static str>, Piece)],
) -> Result<(), Fault<D::Error>> {
    let mut reader = match Reader::mount(device, workspace, cowl::crc32c) {
        Ok(reader) => reader,
        Err(error) => return Err(Fault::at_start(error)),
    };
    for (action, (owner, piece)) in (0..).zip(pieces) {
        one(&mut reader, buffer, *owner, *piece).map_err(|what| Fault { action, what })?;
    }
    Ok(())
}

fn one<D: BlockDevice>(
    reader: &mut Reader<'_, D>,
    buffer: &mut [u8; BUFFER],
    owner: Option<&'static str>,
    piece: Piece,
) -> Result<(), Wanted<D::Error>> {
    let there = |found: Result<Option<Image>, Error<D::Error>>, name| {
        found.map_err(Wanted::Success)?.ok_or(Wanted::Layer(name))
    };
    let mut image = there(reader.find(owner.unwrap_or(piece.layer)), piece.layer)?;
    // A script writes layers two sectors at a time, attachments one by one.
    let mut together = 2;
    if owner.is_some() {
        image = there(reader.attachment(&image, piece.layer), piece.layer)?;
        together = 1;
    }
    let end = piece.sector + piece.count;
    for sector in (piece.sector..end).step_by(together) {
        let tag = piece.tag + sector;
        let bytes = filled(buffer, (end - sector).min(together as u64), !tag);
        reader.read(&image, sector, bytes).map_err(Wanted::Success)?;
        if bytes.chunks(8).any(|word| word != tag.to_le_bytes()) {
            return Err(Wanted::Content { sector, tag });
        }
    }
    Ok(())
}
