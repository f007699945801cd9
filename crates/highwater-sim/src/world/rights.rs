//! Who may read what: rights that are taken, narrowed and given back.

use super::World;
use super::workload::secret;
use crate::check::{Invariant, Verdict, demand};
use crate::model::{List, Live, Op};
use highwater_core::answer::Access;
use highwater_protocol::message::SyncRequest;
use highwater_protocol::{ItemId, ListKey, Rank};
use std::borrow::Cow;

impl World {
    /// What a device may read of a list.
    pub(super) fn access(&self, at: usize, list: &ListKey) -> Access {
        let right = self.rights.get(&(at, list.clone()));
        right.cloned().unwrap_or(Access::Read)
    }

    /// A list as a device should have it. `None`: not at all.
    pub(super) fn seen_by(&self, at: usize, list: &ListKey) -> Option<Cow<'_, Live>> {
        let live = self.model.live(list)?;
        match self.access(at, list) {
            Access::Read => Some(live),
            Access::Header => Some(Cow::Owned(live.header_alone())),
            Access::Denied | Access::Refused(_) => None,
        }
    }

    pub(super) fn change_right(&mut self) -> Verdict {
        let (at, list) = (self.a_device(), self.a_list());
        let was = self.access(at, &list);
        let others = [Access::Read, Access::Header, Access::Denied];
        let others: Vec<_> = others.into_iter().filter(|other| *other != was).collect();
        let now = match was == Access::Denied && self.random.one_in(2) {
            true => Access::Read,
            false => self.random.pick(&others).cloned().unwrap_or(Access::Read),
        };
        // Whoever may read the header alone learns that by the list's own change:
        // no version of it is ever two things for one reader.
        if [&was, &now].contains(&&Access::Header) && !self.touch(&list)? {
            return Ok(());
        }
        self.note(|| format!("d{at} may read of {list}: {now:?}, after {was:?}"));
        self.coverage.met(match (&was, &now) {
            (_, Access::Denied) => "right taken",
            (Access::Denied, Access::Read) => "right granted",
            (_, Access::Read) => "right widened",
            _ => "right to the header alone",
        });
        let key = (at, list.clone());
        if now == Access::Header {
            self.narrowed.insert(key.clone());
        }
        self.rights.insert(key, now);
        if was == Access::Denied && self.devices[at].held.contains(&list) {
            // The app opens it again.
            self.devices[at].replica.hold(&list);
            self.devices[at].replica.sync_list(&list);
        }
        self.pump(at)
    }

    /// Moves a list on by its header. `false`: it is not there, or stands as it
    /// did.
    fn touch(&mut self, list: &ListKey) -> Result<bool, crate::check::Violation> {
        let version = |world: &Self| match world.model.get(list) {
            Some(List::Live { live, .. }) => Some(live.version),
            _ => None,
        };
        let Some(before) = version(self) else {
            return Ok(false);
        };
        let payload = format!("{}={}", secret(list), self.random.below(1_000_000));
        let header = ItemId::header();
        let put = Op::Put(list.clone(), header, Rank::default(), payload.into());
        self.write(vec![put], false)?;
        Ok(version(self).is_some_and(|now| now > before))
    }

    /// I8, on the bytes: nothing of a list that the reader may not read. Every
    /// payload names its list, and its element unless that is the header.
    pub(super) fn privacy(&self, device: usize, request: &SyncRequest, body: &[u8]) -> Verdict {
        for list in request.lists.iter().map(|asked| &asked.list) {
            let hidden = match self.access(device, list) {
                Access::Read => continue,
                Access::Header => format!("{}item-", secret(list)),
                Access::Denied | Access::Refused(_) => secret(list),
            };
            let leaks = body
                .windows(hidden.len())
                .any(|window| window == hidden.as_bytes());
            demand(!leaks, Invariant::I8, || {
                format!("a response to d{device} holds a payload of {list}, which it may not read")
            })?;
        }
        Ok(())
    }
}
