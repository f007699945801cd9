//! The stamp of an element: 16 bytes that change whenever its content does.

use highwater_protocol::{ItemId, Lineage, ListKey, Rank, Stamp};

/// The first 16 bytes of BLAKE3 over id, rank and payload, each preceded by its
/// length as four little-endian bytes.
///
/// A stamp does not depend on versions, so two servers, or one restored from a
/// backup, agree on it exactly when the content agrees.
#[must_use]
pub fn stamp_of(id: &ItemId, rank: &Rank, payload: &[u8]) -> Stamp {
    Stamp(hash_parts(&[
        id.as_str().as_bytes(),
        rank.as_bytes(),
        payload,
    ]))
}

/// The lineage of a list: eight bytes of BLAKE3 over the store's incarnation
/// (16 random bytes, new after every restore), the list's name and its epoch
/// (how often the list was created before), little-endian. Zero becomes 1.
#[must_use]
pub fn lineage_of(incarnation: &[u8; 16], list: &ListKey, epoch: u64) -> Lineage {
    let hash = hash_parts(&[
        incarnation,
        list.kind.as_str().as_bytes(),
        list.owner.as_str().as_bytes(),
        &epoch.to_le_bytes(),
    ]);
    let [a, b, c, d, e, f, g, h, ..] = hash;
    let number = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    Lineage::new(number.max(1)).unwrap_or_else(|| unreachable!("at least 1"))
}

/// A device's own check over what it stores of a row (id, rank and stamp), so
/// that a row damaged on disk is known even without its payload.
#[must_use]
pub fn row_check(id: &ItemId, rank: &Rank, stamp: Stamp) -> u32 {
    let [a, b, c, d, ..] = hash_parts(&[id.as_str().as_bytes(), rank.as_bytes(), &stamp.0]);
    u32::from_le_bytes([a, b, c, d])
}

fn hash_parts(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        let length = u32::try_from(part.len()).unwrap_or_else(|_| unreachable!("parts are short"));
        hasher.update(&length.to_le_bytes());
        hasher.update(part);
    }
    let mut out = [0; 16];
    out.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn stamp(id: &str, rank: &[u8], payload: &[u8]) -> Stamp {
        stamp_of(
            &ItemId::new_or_header(id).unwrap(),
            &Rank::new(rank.to_vec()).unwrap(),
            payload,
        )
    }

    #[test]
    fn a_stamp_covers_id_rank_and_payload_and_where_each_ends() {
        let base = stamp("ab", b"c", b"d");
        assert_eq!(base, stamp("ab", b"c", b"d"));
        for other in [
            stamp("a", b"bc", b"d"),
            stamp("ab", b"", b"cd"),
            stamp("ab", b"c", b"e"),
            stamp("ab", b"x", b"d"),
            stamp("", b"", b""),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_lineage_changes_with_store_list_and_epoch() {
        let list = ListKey::new("groups", "u1").unwrap();
        let one = lineage_of(&[1; 16], &list, 1);
        assert_eq!(one, lineage_of(&[1; 16], &list, 1));
        assert_ne!(one, lineage_of(&[2; 16], &list, 1));
        assert_ne!(one, lineage_of(&[1; 16], &list, 2));
        assert_ne!(
            one,
            lineage_of(&[1; 16], &ListKey::new("groups", "u2").unwrap(), 1)
        );
    }
}
