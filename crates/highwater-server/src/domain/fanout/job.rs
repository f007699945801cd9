//! Jobs, and how they are stored: as JSON that says what to recompute.

use super::super::{GroupId, UserId};
use bytes::Bytes;
use highwater_protocol::{Lineage, ListKey, Point, Version};
use serde::{Deserialize, Serialize};

/// What a write leaves to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Job {
    /// A group ended: it leaves its former members' lists.
    Dismissed(Dismissed),
    /// A group was found large: its members' conversations say so.
    Shared(Shared),
    /// A user has another name or avatar: their copies follow.
    Renamed(UserId),
    /// A user has another locale: their friends are ranked anew.
    Reranked(UserId),
    /// A user goes: they leave all lists, and theirs end.
    Deleted(UserId),
    /// A list ended: what it left behind is forgotten.
    Forgotten(EndedList),
}

/// One life of a group that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Dismissed {
    /// Which group.
    pub(in super::super) group: GroupId,
    /// Where the life of its members ended: it left no more tombstones than it
    /// had versions.
    pub(in super::super) ended: Point,
    /// The same of the applications to it, if there were any.
    pub(in super::super) requests: Option<Point>,
    /// Which life of its activity ended, if it was large.
    pub(in super::super) activity: Option<Lineage>,
}

/// A group whose activity is shared from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Shared {
    /// Which group.
    pub(in super::super) group: GroupId,
    /// Which life of its activity.
    pub(in super::super) activity: Lineage,
    /// The sequence of the message with which that began.
    pub(in super::super) began: u64,
}

/// One life of a list that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct EndedList {
    /// Which list.
    pub(in super::super) list: ListKey,
    /// Which life of it ended.
    pub(in super::super) ended: Lineage,
    /// Where that life ended.
    pub(in super::super) version: Version,
}

/// A job as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Dismissed {
        group: String,
        lineage: String,
        version: u64,
        // (Older servers knew of the members only.)
        #[serde(default, skip_serializing_if = "Option::is_none")]
        requests: Option<(String, u64)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        activity: Option<String>,
    },
    Shared {
        group: String,
        activity: String,
        began: u64,
    },
    Renamed {
        user: String,
    },
    Reranked {
        user: String,
    },
    Deleted {
        user: String,
    },
    Forgotten {
        list: String,
        lineage: String,
        version: u64,
    },
}

impl Job {
    pub(in super::super) fn encode(&self) -> Bytes {
        let text = |user: &UserId| user.as_str().to_owned();
        let stored = match self {
            Self::Dismissed(job) => Stored::Dismissed {
                group: job.group.as_str().to_owned(),
                lineage: job.ended.lineage.to_string(),
                version: job.ended.version.get(),
                requests: job.requests.map(|requests| {
                    let Point { lineage, version } = requests;
                    (lineage.to_string(), version.get())
                }),
                activity: job.activity.map(|activity| activity.to_string()),
            },
            Self::Shared(job) => Stored::Shared {
                group: job.group.as_str().to_owned(),
                activity: job.activity.to_string(),
                began: job.began,
            },
            Self::Renamed(user) => Stored::Renamed { user: text(user) },
            Self::Reranked(user) => Stored::Reranked { user: text(user) },
            Self::Deleted(user) => Stored::Deleted { user: text(user) },
            Self::Forgotten(job) => Stored::Forgotten {
                list: job.list.to_string(),
                lineage: job.ended.to_string(),
                version: job.version.get(),
            },
        };
        serde_json::to_vec(&stored)
            .unwrap_or_else(|error| unreachable!("a job is always JSON: {error}"))
            .into()
    }

    /// `None`: a job of some newer server.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let user = |user: String| UserId::new(&user).ok();
        Some(match serde_json::from_slice(payload).ok()? {
            Stored::Dismissed {
                group,
                lineage: ended,
                version,
                requests,
                activity,
            } => Self::Dismissed(Dismissed {
                group: GroupId::new(&group).ok()?,
                ended: point(&ended, version)?,
                requests: match requests {
                    Some((ended, version)) => Some(point(&ended, version)?),
                    None => None,
                },
                activity: match activity {
                    Some(ended) => Some(lineage(&ended)?),
                    None => None,
                },
            }),
            Stored::Shared {
                group,
                activity,
                began,
            } => Self::Shared(Shared {
                group: GroupId::new(&group).ok()?,
                activity: lineage(&activity)?,
                began,
            }),
            Stored::Renamed { user: id } => Self::Renamed(user(id)?),
            Stored::Reranked { user: id } => Self::Reranked(user(id)?),
            Stored::Deleted { user: id } => Self::Deleted(user(id)?),
            Stored::Forgotten {
                list,
                lineage: ended,
                version,
            } => Self::Forgotten(EndedList {
                list: list.parse().ok()?,
                ended: lineage(&ended)?,
                version: Version::new(version),
            }),
        })
    }
}

fn lineage(text: &str) -> Option<Lineage> {
    Lineage::new(u64::from_str_radix(text, 16).ok()?)
}

fn point(ended: &str, version: u64) -> Option<Point> {
    Some(Point {
        lineage: lineage(ended)?,
        version: Version::new(version),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_job_reads_back_and_one_of_a_newer_server_is_left_alone() {
        let ended = Lineage::new(0xfeed).unwrap();
        let user = UserId::new("u/\"é\"").unwrap();
        let jobs = [
            Job::Dismissed(Dismissed {
                group: GroupId::new("org/team \"é\"").unwrap(),
                ended: point("feed", 7).unwrap(),
                requests: point("beef", 9),
                activity: Some(ended),
            }),
            Job::Shared(Shared {
                group: GroupId::new("g").unwrap(),
                activity: ended,
                began: 8,
            }),
            Job::Renamed(user.clone()),
            Job::Reranked(user.clone()),
            Job::Deleted(user.clone()),
            Job::Forgotten(EndedList {
                list: user.friends(),
                ended,
                version: Version::new(9),
            }),
        ];
        for job in jobs {
            assert_eq!(Job::decode(&job.encode()), Some(job));
        }
        assert_eq!(Job::decode(br#"{"moved":{"user":"u"}}"#), None);
        assert_eq!(Job::decode(b""), None);
    }

    #[test]
    fn a_job_that_an_older_server_queued_is_still_carried_out() {
        let older = br#"{"dismissed":{"group":"g","lineage":"00000000000000ff","version":3}}"#;
        let job = Job::Dismissed(Dismissed {
            group: GroupId::new("g").unwrap(),
            ended: point("ff", 3).unwrap(),
            requests: None,
            activity: None,
        });
        assert_eq!(Job::decode(older), Some(job));
    }
}
