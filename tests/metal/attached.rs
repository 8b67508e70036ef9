//! Attachments: the model of the layers knows none, so the script says what they hold.

use cowl::{BlockDevice, Pool, Reader};
use cowl_host::sim::value_of;
use cowl_scenario::{LIFE, Piece, Step};

/// The snapshots that the script takes with an attachment.
fn scripted() -> impl Iterator<Item = (&'static str, Piece)> {
    LIFE.iter().flat_map(|part| part.iter()).filter_map(|step| match step {
        Step::Snapshot(_, name, Some(piece)) => Some((*name, *piece)),
        _ => None,
    })
}

/// Every layer has the attachments that it was given, whole, and no other; their number.
pub fn judged<D: BlockDevice>(pool: &mut Pool<'_, D>) -> Result<u64, String> {
    let mut count = 0;
    let mut after = None;
    while let Some(layer) = pool.next_layer(after).map_err(|error| format!("{error:?}"))? {
        after = Some(layer.id);
        let expected = scripted().find(|(name, _)| *name == layer.name.as_str()).map(|(_, piece)| piece);
        let attached = pool.next_attachment(layer.id, None).map_err(|error| format!("{error:?}"))?;
        let (Some(piece), Some(attached)) = (expected, attached) else {
            if expected.is_some() || attached.is_some() {
                return Err(format!("`{}` has {attached:?} attached instead of {expected:?}", layer.name));
            }
            continue;
        };
        if pool.next_attachment(layer.id, Some(attached.id)).map_err(|error| format!("{error:?}"))?.is_some() {
            return Err(format!("`{}` has a second attachment", layer.name));
        }
        if attached.name.as_str() != piece.layer || attached.length != piece.count * 512 {
            return Err(format!("`{}` has {attached:?} attached instead of {piece:?}", layer.name));
        }
        for sector in 0..piece.count {
            let mut bytes = [0; 512];
            pool.read(attached.id, sector, &mut bytes).map_err(|error| format!("{error:?}"))?;
            if value_of(&bytes) != piece.tag + sector {
                return Err(format!(
                    "sector {sector} of `{}` at `{}` is {:x}",
                    piece.layer,
                    layer.name,
                    value_of(&bytes)
                ));
            }
        }
        count += 1;
    }
    Ok(count)
}

/// The same of what the small reader finds.
pub fn read_small<D: BlockDevice>(reader: &mut Reader<'_, D>) -> Result<(), String> {
    for (name, piece) in scripted() {
        let Some(layer) = reader.find(name).map_err(|error| format!("{error:?}"))? else { continue };
        let attached = reader.attachment(&layer, piece.layer).map_err(|error| format!("{error:?}"))?;
        let attached = attached.filter(|attached| attached.length() == piece.count * 512);
        let attached = attached.ok_or_else(|| format!("the reader does not find `{}` at `{name}`", piece.layer))?;
        for sector in 0..piece.count {
            let mut bytes = [0; 512];
            reader.read(&attached, sector, &mut bytes).map_err(|error| format!("{error:?}"))?;
            if value_of(&bytes) != piece.tag + sector {
                return Err(format!("the reader sees {:x} in sector {sector} of `{}`", value_of(&bytes), piece.layer));
            }
        }
    }
    Ok(())
}
