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

/// Elements that fit are put together first: hashing one piece is a fifth
/// faster than hashing six.
const BUFFER_BYTES: usize = 512;

fn hash_parts(parts: &[&[u8]]) -> [u8; 16] {
    let mut buffer = [0; BUFFER_BYTES];
    let bytes: usize = parts.iter().map(|part| 4 + part.len()).sum();
    let hash = match buffer.get_mut(..bytes) {
        Some(whole) => {
            let mut rest = &mut *whole;
            for part in parts {
                let (prefix, after) = rest.split_at_mut(4);
                prefix.copy_from_slice(&length(part));
                let (place, after) = after.split_at_mut(part.len());
                place.copy_from_slice(part);
                rest = after;
            }
            blake3::hash(whole)
        }
        None => {
            let mut hasher = blake3::Hasher::new();
            for part in parts {
                hasher.update(&length(part));
                hasher.update(part);
            }
            hasher.finalize()
        }
    };
    let mut out = [0; 16];
    out.copy_from_slice(&hash.as_bytes()[..16]);
    out
}

fn length(part: &[u8]) -> [u8; 4] {
    let length = u32::try_from(part.len()).unwrap_or_else(|_| unreachable!("parts are short"));
    length.to_le_bytes()
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
    fn long_elements_hash_by_the_same_rule_as_short_ones() {
        for bytes in [0, 1, BUFFER_BYTES - 15, BUFFER_BYTES - 14, 5_000] {
            let payload = vec![9; bytes];
            let mut whole = b"\x01\0\0\0a\x01\0\0\0b".to_vec();
            whole.extend_from_slice(&length(&payload));
            whole.extend_from_slice(&payload);
            let expected = blake3::hash(&whole);
            assert_eq!(stamp("a", b"b", &payload).0, expected.as_bytes()[..16]);
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
