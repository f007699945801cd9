//! The sketches that repairs are answered from. Encoding costs a pass over the
//! list, so that it is made once for all who wait for it, a few at a time, and
//! from an earlier one where there is one: a busy list's is kept current for the
//! price of what changed.

use crate::allowance::Allowance;
use crate::audit::Suspects;
use crate::clock::Clock;
use crate::domain::Actor;
use highwater_core::Head;
use highwater_core::answer::Sketches;
use highwater_core::reads::Reads;
use highwater_core::sketch::{Encoding, Salt, Shelf};
use highwater_protocol::message::SketchId;
use highwater_protocol::{ListKey, Version};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Lists that are encoded at once.
const ENCODINGS_AT_ONCE: usize = 2;
/// Elements in all sketches that are kept: about 200 MB at the most.
const ELEMENTS_MAX: u64 = 2_000_000;
/// Elements that are read anew in a minute because one user asked: more than an
/// honest account holds. Beyond it, its devices are offered what is there.
const ELEMENTS_PER_USER: u64 = 3_000_000;
/// How much cheaper it is to follow a list by what changed than to read it.
const REFRESH_IS_CHEAPER: u64 = 16;

/// A bounded cache of sketches.
#[derive(Debug)]
pub(crate) struct SketchCache {
    clock: Clock,
    shelf: Mutex<Shelf>,
    /// Lists that are being encoded: whoever holds the lock encodes, the others
    /// wait for what comes of it.
    encoding: Mutex<HashMap<ListKey, Arc<tokio::sync::Mutex<()>>>>,
    turns: Semaphore,
    spent: Mutex<Allowance>,
    suspects: Arc<Suspects>,
}

/// The cache as one reader may use it.
#[derive(Debug)]
pub(crate) struct SketchesFor<'a> {
    cache: &'a SketchCache,
    actor: &'a Actor,
}

impl SketchCache {
    pub(crate) fn new(clock: Clock, suspects: Arc<Suspects>) -> Self {
        Self {
            clock,
            shelf: Mutex::new(Shelf::new(ELEMENTS_MAX)),
            encoding: Mutex::default(),
            turns: Semaphore::new(ENCODINGS_AT_ONCE),
            spent: Mutex::new(Allowance::new(ELEMENTS_PER_USER)),
            suspects,
        }
    }

    pub(crate) const fn for_reader<'a>(&'a self, actor: &'a Actor) -> SketchesFor<'a> {
        SketchesFor { cache: self, actor }
    }

    fn offered(&self, list: &ListKey, head: &Head, copy: Version) -> Option<Arc<Encoding>> {
        let now_ms = self.clock.now_ms();
        self.shelf.lock().offer(list, head, copy, now_ms)
    }

    async fn encode<R: Reads>(
        &self,
        reads: &R,
        actor: &Actor,
        list: &ListKey,
        head: &Head,
        copy: Version,
    ) -> Result<Option<Arc<Encoding>>, R::Error> {
        // Someone else may have encoded it meanwhile.
        if let Some(offered) = self.offered(list, head, copy) {
            return Ok(Some(offered));
        }
        if !self.shelf.lock().has_room(head.count, self.clock.now_ms()) {
            return Ok(self.offered_old(list, head));
        }
        let Ok(_turn) = self.turns.acquire().await else {
            return Ok(None);
        };
        let refreshed = match self.may(actor, head.count / REFRESH_IS_CHEAPER) {
            true => self.refresh(reads, list).await?,
            false => return Ok(self.offered_old(list, head)),
        };
        let made = match refreshed {
            Some(made) => Some(made),
            None if self.may(actor, head.count) => self.encode_anew(reads, list).await?,
            None => return Ok(self.offered_old(list, head)),
        };
        let made = made.map(Arc::new);
        if let Some(made) = &made {
            if made.digest() != head.digest {
                // The audit holds it against its rows, counts it and corrects it.
                self.suspects.report(list);
                return Ok(None);
            }
            let now_ms = self.clock.now_ms();
            self.shelf.lock().keep(list, Arc::clone(made), now_ms);
        }
        Ok(made)
    }

    fn offered_old(&self, list: &ListKey, head: &Head) -> Option<Arc<Encoding>> {
        let now_ms = self.clock.now_ms();
        self.shelf.lock().offer_old(list, head, now_ms)
    }

    async fn refresh<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
    ) -> Result<Option<Encoding>, R::Error> {
        let newest = self.shelf.lock().newest(list, self.clock.now_ms());
        match newest {
            Some(newest) => newest.refreshed(reads, list).await,
            None => Ok(None),
        }
    }

    async fn encode_anew<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
    ) -> Result<Option<Encoding>, R::Error> {
        let Ok(salt) = getrandom::u64() else {
            return Ok(None);
        };
        Encoding::of(reads, list, Salt(salt)).await
    }

    fn may(&self, actor: &Actor, elements: u64) -> bool {
        match actor {
            Actor::Service => true,
            Actor::User(user) => {
                let now_ms = self.clock.now_ms();
                self.spent.lock().take_first(user, elements, now_ms).is_ok()
            }
        }
    }
}

impl Sketches for SketchesFor<'_> {
    async fn offer<R: Reads>(
        &self,
        reads: &R,
        list: &ListKey,
        head: &Head,
        copy: Version,
    ) -> Result<Option<Arc<Encoding>>, R::Error> {
        let cache = self.cache;
        if let Some(offered) = cache.offered(list, head, copy) {
            return Ok(Some(offered));
        }
        let flight = Arc::clone(cache.encoding.lock().entry(list.clone()).or_default());
        let made = {
            let _mine = flight.lock().await;
            cache.encode(reads, self.actor, list, head, copy).await
        };
        drop(flight);
        // Those too whose askers went away while they waited.
        let mut encoding = cache.encoding.lock();
        encoding.retain(|_, flight| Arc::strong_count(flight) > 1);
        made
    }

    fn find(&self, list: &ListKey, id: &SketchId) -> Option<Arc<Encoding>> {
        let now_ms = self.cache.clock.now_ms();
        self.cache.shelf.lock().find(list, id, now_ms)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::domain::UserId;
    use highwater_core::reads::ListState;
    use highwater_core::sketch::KEPT_OF_A_LIST;
    use highwater_protocol::{ItemId, Rank};
    use highwater_store::memory::MemoryStore;
    use highwater_store::{Abort, Store, Write, WriteTxn};
    use std::convert::Infallible;
    use std::ops::Range;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// Puts items into a list.
    struct Put(ListKey, Range<u32>, &'static str);

    impl Write for Put {
        type Output = ();
        type Refusal = Infallible;

        fn lists(&self) -> Vec<ListKey> {
            vec![self.0.clone()]
        }

        async fn run<T: WriteTxn>(&self, txn: &mut T) -> Result<(), Abort<Infallible>> {
            for at in self.1.clone() {
                let id = ItemId::new(&format!("item-{at}")).unwrap();
                let payload = self.2.as_bytes().into();
                txn.put(&self.0, &id, Rank::default(), payload).await?;
            }
            Ok(())
        }
    }

    struct Bed {
        store: MemoryStore,
        list: ListKey,
        cache: SketchCache,
        now_ms: Arc<AtomicI64>,
        user: Actor,
    }

    impl Bed {
        async fn new() -> Self {
            let now_ms = Arc::new(AtomicI64::new(1_000_000_000));
            let told = Arc::clone(&now_ms);
            let bed = Self {
                store: MemoryStore::new([1; 16]),
                list: ListKey::new("members", "g1").unwrap(),
                cache: SketchCache::new(
                    Clock::new(move || told.load(Ordering::Relaxed)),
                    Arc::default(),
                ),
                now_ms,
                user: Actor::User(UserId::new("u1").unwrap()),
            };
            bed.put(0..200, "old").await;
            bed
        }

        async fn put(&self, items: Range<u32>, payload: &'static str) {
            let put = Put(self.list.clone(), items, payload);
            self.store.write(0, put).await.unwrap();
        }

        fn pass(&self, ms: i64) {
            self.now_ms.fetch_add(ms, Ordering::Relaxed);
        }

        async fn offer(&self) -> Option<Arc<Encoding>> {
            self.offer_to(Version::ZERO).await
        }

        async fn offer_to(&self, copy: Version) -> Option<Arc<Encoding>> {
            let list = [self.list.clone()];
            let snapshot = self.store.snapshot(&list).await.unwrap();
            let ListState::Live(head) = snapshot.state(&self.list).await.unwrap() else {
                return None;
            };
            let reader = self.cache.for_reader(&self.user);
            let offered = reader.offer(&snapshot, &self.list, &head, copy);
            offered.await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_sketch_is_offered_for_a_second_and_asked_for_until_60() {
        let bed = Bed::new().await;
        let first = bed.offer().await.unwrap();
        bed.put(5..6, "new").await;
        bed.pass(999);
        assert_eq!(bed.offer().await.unwrap().id(), first.id());
        bed.pass(29_001);
        let second = bed.offer().await.unwrap();
        assert!(second.point().version > first.point().version);
        let reader = bed.cache.for_reader(&bed.user);
        assert!(reader.find(&bed.list, &first.id()).is_some());
        bed.pass(30_000);
        assert!(reader.find(&bed.list, &first.id()).is_none());
        assert!(reader.find(&bed.list, &second.id()).is_some());
        // A clock that jumps back keeps nothing.
        bed.pass(-10_000_000);
        assert!(reader.find(&bed.list, &second.id()).is_none());
    }

    #[tokio::test]
    async fn a_sketch_that_is_older_than_a_devices_copy_is_not_offered_to_it() {
        let bed = Bed::new().await;
        let first = bed.offer().await.unwrap();
        bed.put(5..6, "new").await;
        let copy = first.point().version.next();
        assert_eq!(bed.offer_to(copy).await.unwrap().point().version, copy);
    }

    #[tokio::test]
    async fn who_has_spent_their_share_is_offered_an_older_sketch() {
        let bed = Bed::new().await;
        let first = bed.offer().await.unwrap();
        let Actor::User(user) = &bed.user else {
            unreachable!()
        };
        bed.put(5..6, "new").await;
        bed.pass(20_000);
        let now_ms = bed.cache.clock.now_ms();
        bed.cache
            .spent
            .lock()
            .take(user, ELEMENTS_PER_USER, now_ms)
            .unwrap();
        assert_eq!(bed.offer().await.unwrap().id(), first.id());
    }

    #[tokio::test]
    async fn a_busy_lists_sketch_is_kept_current_and_its_salt_does_not_live_for_ever() {
        let bed = Bed::new().await;
        let mut salts = vec![bed.offer().await.unwrap().id().salt];
        for round in 0..30 {
            bed.pass(30_000);
            bed.put(round..round + 3, if round % 2 == 0 { "a" } else { "b" })
                .await;
            let offered = bed.offer().await.unwrap();
            let snapshot = bed
                .store
                .snapshot(std::slice::from_ref(&bed.list))
                .await
                .unwrap();
            let anew = Encoding::of(&snapshot, &bed.list, offered.id().salt)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(offered.first_cells(), anew.first_cells());
            assert_eq!(offered.digest(), anew.digest());
            salts.push(offered.id().salt);
        }
        salts.dedup();
        assert_eq!(salts.len(), 2, "one for ten minutes, then another");
    }

    #[tokio::test]
    async fn many_who_ask_at_once_wait_for_one_encoding() {
        let bed = Bed::new().await;
        let offers = futures::future::join_all((0..50).map(|_| bed.offer())).await;
        let first = offers[0].as_ref().unwrap().id();
        assert!(
            offers
                .iter()
                .all(|offer| offer.as_ref().unwrap().id() == first)
        );
        assert!(
            bed.cache.encoding.lock().is_empty(),
            "nothing is left behind"
        );
    }

    #[tokio::test]
    async fn what_one_user_has_read_in_a_minute_is_limited() {
        let bed = Bed::new().await;
        let Actor::User(user) = &bed.user else {
            unreachable!()
        };
        bed.cache
            .spent
            .lock()
            .take(user, ELEMENTS_PER_USER, bed.cache.clock.now_ms())
            .unwrap();
        assert!(bed.offer().await.is_none());
        bed.pass(60_000);
        assert!(bed.offer().await.is_some());
    }

    #[tokio::test]
    async fn an_asker_who_goes_away_leaves_nothing_behind() {
        let bed = Bed::new().await;
        let turns = bed.cache.turns.acquire_many(2).await.unwrap();
        let gone = tokio::time::timeout(std::time::Duration::from_millis(1), bed.offer()).await;
        assert!(gone.is_err(), "it waits for a turn");
        drop(turns);
        assert_eq!(bed.cache.encoding.lock().len(), 1);
        assert!(bed.offer().await.is_some());
        assert!(bed.cache.encoding.lock().is_empty());
    }

    #[tokio::test]
    async fn a_list_that_is_repaired_every_second_is_read_once_in_ten_minutes() {
        let bed = Bed::new().await;
        let salt = bed.offer().await.unwrap().id().salt;
        for at in 0..100 {
            bed.pass(1_000);
            bed.put(at..at + 1, "new").await;
            assert_eq!(bed.offer().await.unwrap().id().salt, salt);
        }
        let now_ms = bed.cache.clock.now_ms();
        let most = KEPT_OF_A_LIST as u64 * 200;
        let mut shelf = bed.cache.shelf.lock();
        assert!(
            shelf.has_room(ELEMENTS_MAX - most, now_ms),
            "the others have room"
        );
    }

    #[tokio::test]
    async fn a_sketch_that_is_offered_late_may_be_asked_for_as_long() {
        let bed = Bed::new().await;
        bed.offer().await.unwrap();
        bed.pass(59_999);
        let late = bed.offer().await.unwrap();
        bed.pass(30_000);
        let reader = bed.cache.for_reader(&bed.user);
        assert!(reader.find(&bed.list, &late.id()).is_some());
    }
}
