//! The authority: one list, its tombstones, and the answers to a device.

use crate::{Broken, ITEMS, Point, Rows};

/// One item's place on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Slot {
    /// Never there, or its tombstone was purged.
    Empty,
    Live {
        content: u8,
        version: u8,
        created: u8,
    },
    Dead {
        version: u8,
        created: u8,
    },
}

/// The server's copy of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Where the list stands.
    pub point: Point,
    floor: u8,
    slots: [Slot; ITEMS],
    /// Its digest is wrong: no copy can be proved.
    is_wrong: bool,
}

/// What a device asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ask {
    /// "This is where I stand, and what I sum to."
    Cursor(Point, Rows),
    /// "Read it to me, from this item on."
    Scan(Option<Point>, u8),
    /// "A sketch, whichever."
    Sketch,
    /// "The rows that are set here, of the sketch of this version."
    SketchItems(Point, Rows),
}

/// What the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// Right, and where it says.
    Aligned,
    /// Right, but elsewhere.
    Adopt(Point),
    /// Changes, as far as they fit.
    Delta {
        /// New content of changed items; 0 where there is none here.
        rows: Rows,
        /// Whether an item is to be deleted.
        deleted: [bool; ITEMS],
        /// The cursor's version after this page.
        to: u8,
        /// On the last page: what the copy must be.
        proof: Option<Rows>,
        /// Deletions may be missing.
        incomplete: bool,
    },
    /// Not to be caught up from: the head, what its sketch tells, and what it is
    /// said to sum to.
    Diverged(Point, Rows, Rows),
    /// A page of a scan.
    Page {
        /// The version at which it began.
        point: Point,
        /// The rows of this page.
        rows: Rows,
        /// Where it goes on; `None`: no item is left.
        next: Option<u8>,
        /// If nothing changed since it began: what the copy must be.
        proof: Option<Rows>,
    },
    /// Rows of a sketch's version that have not changed since.
    SketchRows(Rows),
}

impl Server {
    /// Two items, at version 2.
    pub(crate) fn first(is_wrong: bool) -> Self {
        let live = |at: u8| Slot::Live {
            content: 1,
            version: at,
            created: at,
        };
        Self {
            point: Point {
                lineage: 1,
                version: 2,
            },
            floor: 0,
            slots: [live(1), live(2), Slot::Empty],
            is_wrong,
        }
    }

    /// What the list holds.
    #[must_use]
    pub fn rows(&self) -> Rows {
        self.slots.map(|slot| match slot {
            Slot::Live { content, .. } => content,
            Slot::Empty | Slot::Dead { .. } => 0,
        })
    }

    /// What it is said to sum to.
    fn digest(&self) -> Rows {
        match self.is_wrong {
            true => [9; ITEMS],
            false => self.rows(),
        }
    }

    /// Whether there is a tombstone.
    pub(crate) fn has_tombstones(&self) -> bool {
        let dead = |slot: &Slot| matches!(slot, Slot::Dead { .. });
        self.slots.iter().any(dead)
    }

    /// Creates an item, or changes its content to the other of two.
    pub(crate) fn put(&mut self, item: usize, broken: Broken) {
        self.point.version += 1;
        let version = self.point.version;
        let (content, created) = match self.slots[item] {
            Slot::Live {
                content, created, ..
            } => (3 - content, created),
            Slot::Dead { created, .. } if broken != Broken::CreatedAnew => (1, created),
            Slot::Dead { .. } | Slot::Empty => (1, version),
        };
        self.slots[item] = Slot::Live {
            content,
            version,
            created,
        };
    }

    /// Deletes an item that is there.
    pub(crate) fn delete(&mut self, item: usize) {
        if let Slot::Live { created, .. } = self.slots[item] {
            self.point.version += 1;
            let version = self.point.version;
            self.slots[item] = Slot::Dead { version, created };
        }
    }

    /// Forgets every tombstone.
    pub(crate) fn purge(&mut self, broken: Broken) {
        for slot in &mut self.slots {
            if let Slot::Dead { version, .. } = *slot {
                let floor = match broken {
                    Broken::FloorOffByOne => version - 1,
                    _ => version,
                };
                self.floor = self.floor.max(floor);
                *slot = Slot::Empty;
            }
        }
    }

    /// Answers from what there is now.
    pub(crate) fn answer(&self, ask: Ask, page: u8, broken: Broken) -> Answer {
        match ask {
            Ask::Cursor(point, digest) => self.cursor(point, digest, page, broken),
            Ask::Scan(Some(point), _) if !self.is_mine(point) => self.diverged(),
            Ask::Scan(point, from) => self.page(point.unwrap_or(self.point), from, page),
            Ask::Sketch => self.diverged(),
            Ask::SketchItems(point, _) if !self.is_mine(point) => self.diverged(),
            Ask::SketchItems(point, wanted) => Answer::SketchRows(self.unchanged(point, wanted)),
        }
    }

    fn is_mine(&self, point: Point) -> bool {
        point.lineage == self.point.lineage && point.version <= self.point.version
    }

    fn diverged(&self) -> Answer {
        Answer::Diverged(self.point, self.rows(), self.digest())
    }

    fn cursor(&self, point: Point, digest: Rows, page: u8, broken: Broken) -> Answer {
        if digest == self.digest() {
            return match point == self.point {
                true => Answer::Aligned,
                false => Answer::Adopt(self.point),
            };
        }
        if point.lineage != self.point.lineage && broken == Broken::AdoptWithoutDigest {
            return Answer::Adopt(self.point);
        }
        if !self.is_mine(point) || point == self.point {
            return self.diverged();
        }
        self.delta(point.version, page)
    }

    /// What changed after `from`, oldest first, up to `page` entries.
    fn delta(&self, from: u8, page: u8) -> Answer {
        let version_of = |slot: &Slot| match *slot {
            Slot::Live { version, .. } | Slot::Dead { version, .. } if version > from => {
                Some(version)
            }
            _ => None,
        };
        let mut versions: Vec<u8> = self.slots.iter().filter_map(version_of).collect();
        versions.sort_unstable();
        let to = match versions.get(usize::from(page)) {
            Some(_) => versions[usize::from(page) - 1],
            None => self.point.version,
        };
        let mut rows = [0; ITEMS];
        let mut deleted = [false; ITEMS];
        for (item, slot) in self.slots.iter().enumerate() {
            match *slot {
                Slot::Live {
                    content, version, ..
                } if version > from && version <= to => rows[item] = content,
                Slot::Dead { version, created }
                    if version > from && version <= to && created <= from =>
                {
                    deleted[item] = true;
                }
                _ => {}
            }
        }
        Answer::Delta {
            rows,
            deleted,
            to,
            proof: (to == self.point.version).then(|| self.digest()),
            incomplete: from < self.floor,
        }
    }

    /// The next rows that are not newer than the scan.
    fn page(&self, began: Point, from: u8, page: u8) -> Answer {
        let mut rows = [0; ITEMS];
        let end = from.saturating_add(page).min(ITEMS as u8);
        let of_page = usize::from(from)..usize::from(end);
        for (item, slot) in self.slots.iter().enumerate() {
            if let Slot::Live {
                content, version, ..
            } = *slot
                && version <= began.version
                && of_page.contains(&item)
            {
                rows[item] = content;
            }
        }
        let next = (usize::from(end) < ITEMS).then_some(end);
        Answer::Page {
            point: began,
            rows,
            next,
            proof: (next.is_none() && began == self.point).then(|| self.digest()),
        }
    }

    fn unchanged(&self, point: Point, wanted: Rows) -> Rows {
        let mut rows = [0; ITEMS];
        for (item, slot) in self.slots.iter().enumerate() {
            if let Slot::Live {
                content, version, ..
            } = *slot
                && version <= point.version
                && wanted[item] == content
            {
                rows[item] = content;
            }
        }
        rows
    }
}
