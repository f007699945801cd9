//! The items that everything is measured with: from a fixed seed, so that two
//! runs, and both sides of a comparison, see the same bytes.
//!
//! An item is a friend as people have them: an id of 12 characters that says
//! nothing, a rank made from whether it is pinned and from the name, and a
//! payload with name, picture and remark; about 110 bytes in all. The first two
//! fields of the payload are those of a member, so that the SDK's typed list
//! reads it; the sync layer never looks inside.

use bytes::Bytes;
use highwater_protocol::{ItemId, Rank};
use prost::Message as _;

const SEED: u64 = 0x6869_6768_7761_7465;

/// One item, before it is anybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// 12 characters.
    pub(crate) id: ItemId,
    /// Pinned or not, then the name.
    pub(crate) rank: Rank,
    /// Protobuf.
    pub(crate) payload: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Friend {
    #[prost(uint32, tag = "1")]
    role: u32,
    #[prost(int64, tag = "2")]
    since_ms: i64,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    picture: String,
    #[prost(string, tag = "5")]
    remark: String,
    /// What changes when an item is changed.
    #[prost(uint32, tag = "6")]
    edition: u32,
}

const GIVEN: [&str; 32] = [
    "Ada", "Amir", "Anna", "Bao", "Carlos", "Chen", "Chloe", "Daniel", "Elif", "Emma", "Fatima",
    "Felix", "Hana", "Igor", "Ines", "Jonas", "Jun", "Kofi", "Laura", "Leo", "Lin", "Maria",
    "Mateo", "Mei", "Nadia", "Noah", "Olga", "Priya", "Sofia", "Tariq", "Wei", "Yuki",
];
const FAMILY: [&str; 40] = [
    "Adeyemi",
    "Ahmed",
    "Almeida",
    "Andersson",
    "Bakker",
    "Bauer",
    "Becker",
    "Castro",
    "Chen",
    "Costa",
    "Diaz",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Gupta",
    "Hansen",
    "Hernandez",
    "Ito",
    "Ivanova",
    "Jansen",
    "Kaya",
    "Khan",
    "Kim",
    "Kowalski",
    "Larsen",
    "Li",
    "Lopez",
    "Moreau",
    "Mwangi",
    "Nguyen",
    "Novak",
    "Okafor",
    "Patel",
    "Rossi",
    "Sato",
    "Silva",
    "Tanaka",
    "Wang",
    "Yilmaz",
];
const REMARKS: [&str; 8] = [
    "",
    "",
    "",
    "from work",
    "met at the conference",
    "neighbour, 3rd floor",
    "football on Sundays",
    "sister of a friend",
];

/// Numbers that look random (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    /// A sequence of its own for each `name`.
    #[must_use]
    pub(crate) const fn named(name: u64) -> Self {
        Self(SEED ^ name.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// The next number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number below `bound`.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        let at = self.below(of.len() as u64);
        of[usize::try_from(at).unwrap_or_default()]
    }
}

/// Item `index` of list `list`, as it was first written (`edition` 0) or after
/// so many changes. Id and rank stay what they are.
#[must_use]
pub(crate) fn item(list: u64, index: u64, edition: u32) -> Item {
    let mut numbers = Numbers::named((list << 32) ^ index);
    let id = id(&mut numbers);
    let name = format!("{} {}", numbers.one_of(&GIVEN), numbers.one_of(&FAMILY));
    let pinned = numbers.below(50) == 0;
    let friend = Friend {
        role: 1,
        since_ms: 1_500_000_000_000 + numbers.below(200_000_000) as i64 * 1_000,
        picture: format!("https://p.example/{:016x}.webp", numbers.next()),
        remark: numbers.one_of(&REMARKS).to_owned(),
        edition,
        name,
    };
    let mut rank = vec![u8::from(!pinned)];
    rank.extend_from_slice(friend.name.to_lowercase().as_bytes());
    Item {
        id: ItemId::new(&id).unwrap_or_else(|_| unreachable!("12 characters")),
        rank: Rank::new(rank).unwrap_or_else(|_| unreachable!("a short name")),
        payload: friend.encode_to_vec().into(),
    }
}

fn id(numbers: &mut Numbers) -> String {
    const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut number = numbers.next();
    (0..12)
        .map(|_| {
            let digit = number % 36;
            number /= 36;
            char::from(LETTERS[usize::try_from(digit).unwrap_or_default()])
        })
        .collect()
}

impl Item {
    /// Bytes of id, rank and payload.
    #[must_use]
    pub(crate) fn own_bytes(&self) -> usize {
        self.id.as_str().len() + self.rank.as_bytes().len() + self.payload.len()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use highwater_protocol::kinds::{Member, Payload as _, Role};
    use highwater_protocol::wire;
    use std::collections::BTreeSet;

    #[test]
    fn items_are_the_same_in_every_run_and_differ_from_each_other() {
        let first = item(1, 0, 0);
        assert_eq!(first.id.as_str(), "2h6ksjnz8rl5");
        assert_eq!(first, item(1, 0, 0));
        let ids: BTreeSet<_> = (0..10_000).map(|index| item(1, index, 0).id).collect();
        assert_eq!(ids.len(), 10_000);
        assert_ne!(item(2, 0, 0), first);
    }

    #[test]
    fn a_change_is_one_of_the_payload_alone() {
        let (before, after) = (item(1, 7, 0), item(1, 7, 1));
        assert_eq!((&before.id, &before.rank), (&after.id, &after.rank));
        assert_ne!(before.payload, after.payload);
    }

    #[test]
    fn an_item_is_a_friend_of_about_110_bytes_that_reads_as_a_member() {
        let mut bytes = 0;
        for index in 0..1_000 {
            let item = item(3, index, 1);
            assert_eq!(item.id.as_str().len(), 12);
            assert_eq!(Member::decode(&item.payload).unwrap().role, Role::Member);
            let row = wire::Row {
                id: item.id.to_string(),
                rank: item.rank.to_bytes(),
                payload: Some(item.payload),
                stamp: Vec::new().into(),
            };
            bytes += row.encoded_len();
        }
        assert!((100_000..120_000).contains(&bytes), "{bytes}");
    }
}
