//! What a repair did: for the app, for logs, and for an operator who wants to be
//! told.

use super::{Cursor, Head};
use crate::error::Refusal;
use crate::ids::{ItemId, ListKey};
use crate::{limits, wire};
use wire::receipt::{Reason as WireReason, Rung as WireRung};

/// What one repair of one list did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which list.
    pub list: ListKey,
    /// Why it was repaired.
    pub reason: Reason,
    /// The last rung that was climbed.
    pub rung: Rung,
    /// The copy was proved equal to the server's; else the list was quarantined.
    pub mended: bool,
    /// In what the mended copy differs from the one that was found wrong.
    pub difference: Difference,
    /// What it cost.
    pub cost: Cost,
    /// When the fault was found, in milliseconds since 1970, by the device's
    /// clock.
    pub began_at_ms: i64,
    /// From then to the proof, in milliseconds; 0 if the clock went back.
    pub duration_ms: u64,
    /// Where both sides stood when the fault was found.
    pub before: Standing,
    /// Where both sides stood at the end.
    pub after: Standing,
}

/// Where both sides stand in a list, and what their copies sum to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The device; `None`: it had no cursor.
    pub device: Option<Cursor>,
    /// The server; `None`: it had not said.
    pub server: Option<Head>,
}

/// In what two copies of a list differ, by ids and stamps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Elements that only the newer has.
    pub added: u64,
    /// Elements that only the older has.
    pub removed: u64,
    /// Elements that both have, with different content or place, or whose
    /// payload was lost.
    pub changed: u64,
    /// Those elements, up to 100 of them; the header's id is empty.
    pub ids: Vec<ItemId>,
}

/// What a repair cost, from the answer that showed the fault to the proof.
///
/// Counted are requests that were answered, and of them the list's own entries,
/// in protobuf, before compression. Headers, compression, and what was asked
/// about other lists in the same requests are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests.
    pub requests: u64,
    /// Bytes of the list's entries in requests.
    pub bytes_up: u64,
    /// Bytes of the list's entries in answers.
    pub bytes_down: u64,
    /// Part of `bytes_down`: id, rank and payload of the rows that came with
    /// their payload.
    pub item_bytes: u64,
}

macro_rules! words {
    ($($(#[$doc:meta])+ $name:ident ($wire:ident) {
        $($(#[$variant_doc:meta])+ $variant:ident = $word:literal, $on_wire:ident;)+
    })+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])+ $variant,)+
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in reports and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl From<$name> for $wire {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$variant => Self::$on_wire,)+
                }
            }
        }

        impl $name {
            fn from_wire(wire: $wire) -> Option<Self> {
                let mut all = Self::ALL.iter().copied();
                all.find(|word| $wire::from(*word) == wire)
            }
        }
    )+};
}

words! {
    /// Why a list was repaired.
    Reason (WireReason) {
        /// A reason that this software does not know.
        Unknown = "unknown", Unspecified;
        /// The cursor was of another lineage.
        Lineage = "lineage", Lineage;
        /// The cursor was ahead of the server.
        Ahead = "ahead", Ahead;
        /// The copy did not sum to what it should.
        Digest = "digest", Digest;
        /// Deletions below the server's purge floor were missing.
        Purged = "purged", Purged;
        /// Rows or bookkeeping on the device were not what it had stored.
        Damage = "damage", Damage;
        /// A payload that was fetched fitted no row.
        Details = "details", Details;
        /// The device was restarted in the middle of a repair: what came before
        /// is not in the receipt.
        Resumed = "resumed", Resumed;
    }
    /// The rungs of the repair ladder, in order.
    Rung (WireRung) {
        /// Recompute everything from the stored rows.
        Local = "local", Local;
        /// Find out in what the copies differ, and mend that.
        Sketch = "sketch", Sketch;
        /// Read the whole list's ids, ranks and stamps.
        Skeleton = "skeleton", Skeleton;
        /// Read everything.
        Reload = "reload", Reload;
    }
}

impl Rung {
    /// The rung above.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Local => Some(Self::Sketch),
            Self::Sketch => Some(Self::Skeleton),
            Self::Skeleton => Some(Self::Reload),
            Self::Reload => None,
        }
    }
}

impl Difference {
    /// Elements in which the copies differ.
    #[must_use]
    pub const fn elements(&self) -> u64 {
        self.added
            .saturating_add(self.removed)
            .saturating_add(self.changed)
    }
}

impl From<Standing> for wire::Standing {
    fn from(standing: Standing) -> Self {
        Self {
            device: standing.device.map(Into::into),
            server: standing.server.map(Into::into),
        }
    }
}

impl TryFrom<wire::Standing> for Standing {
    type Error = Refusal;

    fn try_from(standing: wire::Standing) -> Result<Self, Refusal> {
        let within = |field| move |no: Refusal| no.within(field);
        let device = standing.device.map(TryInto::try_into).transpose();
        let server = standing.server.map(TryInto::try_into).transpose();
        Ok(Self {
            device: device.map_err(within("device"))?,
            server: server.map_err(within("server"))?,
        })
    }
}

impl From<Receipt> for wire::Receipt {
    fn from(receipt: Receipt) -> Self {
        let Difference {
            added,
            removed,
            changed,
            ids,
        } = receipt.difference;
        let ids = ids.into_iter().take(limits::RECEIPT_IDS);
        Self {
            kind: receipt.list.kind.as_str().to_owned(),
            owner: receipt.list.owner.as_str().to_owned(),
            reason: WireReason::from(receipt.reason).into(),
            rung: WireRung::from(receipt.rung).into(),
            mended: receipt.mended,
            added,
            removed,
            changed,
            ids: ids.map(|id| id.as_str().to_owned()).collect(),
            requests: receipt.cost.requests,
            bytes_up: receipt.cost.bytes_up,
            bytes_down: receipt.cost.bytes_down,
            item_bytes: receipt.cost.item_bytes,
            began_at_ms: receipt.began_at_ms,
            duration_ms: receipt.duration_ms,
            before: Some(receipt.before.into()),
            after: Some(receipt.after.into()),
        }
    }
}

impl TryFrom<wire::Receipt> for Receipt {
    type Error = Refusal;

    fn try_from(receipt: wire::Receipt) -> Result<Self, Refusal> {
        if receipt.ids.len() > limits::RECEIPT_IDS {
            let ids = receipt.ids.len();
            return Err(Refusal::too_many("ids", ids, limits::RECEIPT_IDS));
        }
        let Some(rung) = Rung::from_wire(receipt.rung()) else {
            return Err(Refusal::invalid("rung", "a receipt names a known rung"));
        };
        let reason = Reason::from_wire(receipt.reason()).unwrap_or(Reason::Unknown);
        let list = ListKey::new(&receipt.kind, &receipt.owner)?;
        let ids = receipt.ids.iter().map(|id| ItemId::new_or_header(id));
        let ids = ids.collect::<Result<Vec<_>, _>>().map_err(|no| Refusal {
            field: "ids".to_owned(),
            ..no
        })?;
        let standing = |standing: Option<wire::Standing>, field: &str| {
            let parsed = standing.unwrap_or_default().try_into();
            parsed.map_err(|no: Refusal| no.within(field))
        };
        Ok(Self {
            list,
            reason,
            rung,
            mended: receipt.mended,
            difference: Difference {
                added: receipt.added,
                removed: receipt.removed,
                changed: receipt.changed,
                ids,
            },
            cost: Cost {
                requests: receipt.requests,
                bytes_up: receipt.bytes_up,
                bytes_down: receipt.bytes_down,
                item_bytes: receipt.item_bytes,
            },
            began_at_ms: receipt.began_at_ms,
            duration_ms: receipt.duration_ms,
            before: standing(receipt.before, "before")?,
            after: standing(receipt.after, "after")?,
        })
    }
}

/// What a device tells of its repairs in one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipts(pub Vec<Receipt>);

impl From<Receipts> for wire::Receipts {
    fn from(receipts: Receipts) -> Self {
        let receipts = receipts.0.into_iter().map(Into::into);
        Self {
            receipts: receipts.collect(),
        }
    }
}

impl TryFrom<wire::Receipts> for Receipts {
    type Error = Refusal;

    /// # Errors
    /// No receipt, more than 100, or one that holds a value which the protocol
    /// does not allow.
    fn try_from(receipts: wire::Receipts) -> Result<Self, Refusal> {
        let receipts = receipts.receipts;
        if receipts.is_empty() {
            let message = "a request brings at least one receipt";
            return Err(Refusal::invalid("receipts", message));
        }
        if receipts.len() > limits::RECEIPTS_PER_REQUEST {
            let (field, limit) = ("receipts", limits::RECEIPTS_PER_REQUEST);
            return Err(Refusal::too_many(field, receipts.len(), limit));
        }
        let parse = |(at, receipt)| {
            let parsed = Receipt::try_from(receipt);
            parsed.map_err(|no: Refusal| no.within(&format!("receipts[{at}]")))
        };
        let parsed = receipts.into_iter().enumerate().map(parse);
        Ok(Self(parsed.collect::<Result<_, _>>()?))
    }
}
