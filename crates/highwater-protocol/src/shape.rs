//! How many entries a request has, counted in its bytes: before it is decoded,
//! as an empty entry takes two bytes on the wire and a hundred in memory.

use crate::codec::Format;
use crate::error::Refusal;
use crate::limits;

/// Brackets and commas that a request in JSON may have: far more than the
/// largest request that the limits allow, far less than what would hurt.
const JSON_MARKS_MAX: usize = 400_000;

/// The numbers of `SyncRequest.lists`, `ListRequest.details` on the wire.
const LISTS: u64 = 2;
const DETAILS: u64 = 5;

/// Refuses a sync request that has more entries than the limits allow, without
/// decoding it. What is malformed passes: decoding it says what is wrong.
///
/// # Errors
/// `too_many`, with field and limit.
pub fn check_sync_request(format: Format, body: &[u8]) -> Result<(), Refusal> {
    match format {
        Format::Protobuf => check_protobuf(body),
        Format::Json => {
            let is_mark = |byte: &&u8| matches!(byte, b'{' | b'[' | b',');
            let marks = body.iter().filter(is_mark).count();
            if marks > JSON_MARKS_MAX {
                return Err(Refusal::too_many("lists", marks, limits::LISTS_PER_REQUEST));
            }
            Ok(())
        }
    }
}

/// The numbers of `Receipts.receipts`, `Receipt.ids` on the wire.
const RECEIPTS: u64 = 1;
const IDS: u64 = 9;

/// Refuses a report of repairs that has more entries than the limits allow,
/// without decoding it. What is malformed passes.
///
/// # Errors
/// `too_many`, with field and limit.
pub fn check_receipts(format: Format, body: &[u8]) -> Result<(), Refusal> {
    let (receipts_max, ids_max) = (limits::RECEIPTS_PER_REQUEST, limits::RECEIPT_IDS);
    let (receipts, ids) = match format {
        Format::Protobuf => {
            let of = |body, wanted| Fields(body).filter(move |(number, _)| *number == wanted);
            let receipts = of(body, RECEIPTS).count();
            let ids = of(body, RECEIPTS).map(|(_, receipt)| of(receipt, IDS).count());
            (receipts, ids.max().unwrap_or_default())
        }
        Format::Json => {
            let is_mark = |byte: &&u8| matches!(byte, b'{' | b'[' | b',');
            let marks = body.iter().filter(is_mark).count();
            // Each receipt has less than 64 marks beside those of its ids.
            let allowed = receipts_max * (ids_max + 64);
            (if marks > allowed { marks } else { 0 }, 0)
        }
    };
    if receipts > receipts_max {
        return Err(Refusal::too_many("receipts", receipts, receipts_max));
    }
    if ids > ids_max {
        return Err(Refusal::too_many("receipts.ids", ids, ids_max));
    }
    Ok(())
}

fn check_protobuf(body: &[u8]) -> Result<(), Refusal> {
    let (mut lists, mut details) = (0, 0);
    for (number, list) in Fields(body) {
        if number == LISTS {
            lists += 1;
            details += Fields(list)
                .filter(|(number, _)| *number == DETAILS)
                .count();
        }
    }
    if lists > limits::LISTS_PER_REQUEST {
        return Err(Refusal::too_many("lists", lists, limits::LISTS_PER_REQUEST));
    }
    if details > limits::DETAILS_PER_REQUEST {
        return Err(Refusal::too_many(
            "lists.details",
            details,
            limits::DETAILS_PER_REQUEST,
        ));
    }
    Ok(())
}

/// The fields of a protobuf message, one after another: number, and content if
/// it has a length. Ends at the first byte that is no field.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, bytes: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(bytes).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let content: &[u8] = match tag & 7 {
            0 => {
                self.varint()?;
                &[]
            }
            1 => self.take(8)?,
            2 => {
                let bytes = self.varint()?;
                self.take(bytes)?
            }
            5 => self.take(4)?,
            _ => return None,
        };
        Some((tag >> 3, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[track_caller]
    fn refused(format: Format, body: &[u8], field: &str) {
        let no = check_sync_request(format, body).map_err(|no| (no.code, no.field, no.limit));
        assert_eq!(no, Err((Code::TooMany, field.to_owned(), 1_000)));
    }

    #[test]
    fn a_request_of_many_empty_lists_is_refused_before_it_is_decoded() {
        let lists = |count: usize| [&[8, 1][..], &[0x12, 0].repeat(count)].concat();
        refused(Format::Protobuf, &lists(4_190_000), "lists");
        refused(Format::Protobuf, &lists(1_001), "lists");
        assert_eq!(check_sync_request(Format::Protobuf, &lists(1_000)), Ok(()));
        let json = format!(
            r#"{{"protocol":1,"lists":[{}]}}"#,
            vec!["{}"; 2_000_000].join(",")
        );
        refused(Format::Json, json.as_bytes(), "lists");
    }

    #[test]
    fn a_list_with_many_empty_details_is_refused_before_it_is_decoded() {
        let details = [0x2a, 0].repeat(1_001);
        let mut body = vec![0x12, 0xd2, 0x0f];
        body.extend(details);
        refused(Format::Protobuf, &body, "lists.details");
    }

    #[test]
    fn receipts_with_many_empty_entries_are_refused_before_they_are_decoded() {
        let refused = |format, body: &[u8]| {
            let no = check_receipts(format, body).map_err(|no| (no.code, no.field, no.limit));
            no.err()
        };
        let too_many = |field: &str| Some((Code::TooMany, field.to_owned(), 100));
        let receipts = |count: usize| [0x0a, 0].repeat(count);
        assert_eq!(refused(Format::Protobuf, &receipts(100)), None);
        let flood = receipts(4_000_000);
        assert_eq!(refused(Format::Protobuf, &flood), too_many("receipts"));
        let ids = |count: u8| {
            let ids = [0x4a, 0].repeat(usize::from(count));
            [&[0x0a, 2 * count][..], &ids].concat()
        };
        assert_eq!(refused(Format::Protobuf, &ids(60)), None);
        let mut many = vec![0x0a, 0xca, 0x01];
        many.extend([0x4a, 0].repeat(101));
        assert_eq!(refused(Format::Protobuf, &many), too_many("receipts.ids"));
        let json = format!(r#"{{"receipts":[{}]}}"#, vec!["{}"; 20_000].join(","));
        assert_eq!(refused(Format::Json, json.as_bytes()), too_many("receipts"));
    }

    #[test]
    fn what_is_malformed_passes_and_is_named_by_the_decoder() {
        for body in [&[0xff; 20][..], &[0x12, 0xff, 0xff], &[], &[0x13]] {
            assert_eq!(check_sync_request(Format::Protobuf, body), Ok(()));
        }
    }
}
