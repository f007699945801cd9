//! A device: what it has stored, what its process knows, and how it takes an
//! answer.

use crate::server::{Answer, Ask};
use crate::{Broken, ITEMS, Point, Rows};

/// How often a rung may begin again because the list was replaced meanwhile.
const RESTARTS_MAX: u8 = 2;

/// How the copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not yet proved equal.
    Syncing,
    /// Proved equal at its version.
    InSync,
    /// Finding out in what it differs.
    Sketch,
    /// Reading everything anew, beside what is shown.
    Skeleton,
    /// Once more.
    Reload,
    /// Every rung failed, with a server of this lineage.
    Quarantined(u8),
}

/// One copy of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Copy {
    pub(crate) point: Option<Point>,
    pub(crate) rows: Rows,
    /// What the copy is said to sum to.
    pub(crate) digest: Rows,
    /// The next item of the scan that fills it.
    pub(crate) scan: Option<u8>,
    restarts: u8,
}

impl Copy {
    const fn to_scan(restarts: u8) -> Self {
        Self {
            point: None,
            rows: [0; ITEMS],
            digest: [0; ITEMS],
            scan: Some(0),
            restarts,
        }
    }
}

/// What the process knows of the sketch rung; lost when it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Work {
    None,
    /// The list at this point, what it is said to sum to, and how often the
    /// rung began again.
    Fetching(Point, (Rows, Rows), u8),
    Mended,
}

/// What an answer must find unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Basis {
    point: Option<Point>,
    digest: Rows,
    scan: Option<u8>,
}

/// A request that is under way, and then its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) ask: Ask,
    pub(crate) answer: Option<Answer>,
    basis: Basis,
    /// The fence was raised since.
    stale: bool,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    pub(crate) shown: Copy,
    build: Option<Copy>,
    pub(crate) phase: Phase,
    work: Work,
    /// A page of the delta under way said that deletions may be missing.
    marked: bool,
    pub(crate) due: bool,
    pub(crate) messages: Vec<Message>,
    /// Rows that are not yet durable while their cursor is: only of a device
    /// that is broken so.
    pub(crate) unwritten: Option<Rows>,
    /// Requests since all was calm.
    pub(crate) requests: u8,
    /// Hints since all was calm.
    pub(crate) hints: u8,
    /// An answer landed that was asked for before a reset.
    pub(crate) landed_late: bool,
    /// A delta that said nothing of missing deletions left the copy wrong.
    pub(crate) wrongly_unmarked: bool,
}

impl Device {
    const fn with(shown: Copy, phase: Phase) -> Self {
        Self {
            shown,
            build: None,
            phase,
            work: Work::None,
            marked: false,
            due: false,
            messages: Vec::new(),
            unwritten: None,
            requests: 0,
            hints: 0,
            landed_late: false,
            wrongly_unmarked: false,
        }
    }

    /// One that never read the list.
    pub(crate) const fn new() -> Self {
        Self::with(Copy::to_scan(0), Phase::Syncing)
    }

    /// One that was proved equal.
    pub(crate) const fn in_sync(point: Point, rows: Rows) -> Self {
        let copy = Copy {
            point: Some(point),
            rows,
            digest: rows,
            scan: None,
            restarts: 0,
        };
        Self::with(copy, Phase::InSync)
    }

    /// How it stands, where, and with what.
    #[must_use]
    pub const fn standing(&self) -> (Phase, Option<Point>, Rows) {
        (self.phase, self.shown.point, self.shown.rows)
    }

    /// I4: what a copy is said to sum to is what its rows sum to.
    pub(crate) fn books_agree(&self) -> bool {
        let agree = |copy: &Copy| copy.digest == copy.rows;
        agree(&self.shown) && self.build.as_ref().is_none_or(agree)
    }

    /// Where it stands, and where an answer under way may bring it.
    pub(crate) fn points(&self, points: &mut Vec<Point>) {
        points.extend(self.shown.point);
        points.extend(self.build.and_then(|build| build.point));
        if let Work::Fetching(point, ..) = self.work {
            points.push(point);
        }
        for message in &self.messages {
            match (message.answer, message.ask) {
                (Some(Answer::Adopt(point) | Answer::Diverged(point, ..)), _)
                | (Some(Answer::Page { point, .. }), _)
                | (Some(Answer::SketchRows(_)), Ask::SketchItems(point, _))
                | (Some(Answer::Aligned), Ask::Cursor(point, _)) => points.push(point),
                (Some(Answer::Delta { to, .. }), Ask::Cursor(point, _)) => {
                    points.push(Point {
                        version: to,
                        ..point
                    });
                }
                _ => {}
            }
        }
    }

    const fn working(&mut self) -> &mut Copy {
        match &mut self.build {
            Some(build) => build,
            None => &mut self.shown,
        }
    }

    fn basis(&self) -> Basis {
        let working = self.build.as_ref().unwrap_or(&self.shown);
        Basis {
            point: working.point,
            digest: working.digest,
            scan: working.scan,
        }
    }

    /// Asks what is next.
    pub(crate) fn ask(&mut self) -> Message {
        let working = self.build.unwrap_or(self.shown);
        let cursor = match (working.point, working.scan) {
            (Some(point), None) => Ask::Cursor(point, working.digest),
            (point, from) => Ask::Scan(point, from.unwrap_or(0)),
        };
        let ask = match (self.phase, self.work) {
            (Phase::Sketch, Work::None) => Ask::Sketch,
            (Phase::Sketch, Work::Fetching(point, (theirs, _), _)) => {
                Ask::SketchItems(point, only_in(theirs, self.shown.rows))
            }
            _ => cursor,
        };
        self.due = false;
        Message {
            ask,
            answer: None,
            basis: self.basis(),
            stale: false,
        }
    }

    /// A hint, the app, or time that has passed.
    pub(crate) const fn hint(&mut self) {
        self.due = true;
        if let Phase::Quarantined(_) = self.phase {
            // Of no server's lineage: it may be tried again.
            self.phase = Phase::Quarantined(0);
        }
    }

    /// Whether the process has anything that is not stored.
    pub(crate) fn loses_by_a_crash(&self) -> bool {
        self.work != Work::None || !self.messages.is_empty()
    }

    /// The process dies and comes back.
    pub(crate) fn crash(&mut self) {
        self.work = Work::None;
        self.messages.clear();
        self.unwritten = None;
        self.due = true;
    }

    /// The answer arrives; the message is no longer under way.
    pub(crate) fn receive(&mut self, message: Message, broken: Broken) {
        let Some(answer) = message.answer else {
            return;
        };
        let fits = !message.stale && message.basis == self.basis();
        if !fits && broken != Broken::NoFence {
            // It counts as a hint.
            self.due = true;
            return;
        }
        self.landed_late |= !fits;
        if broken == Broken::CursorBeforeRows {
            let rows = self.shown.rows;
            self.apply(message.ask, answer, broken);
            if self.shown.rows != rows {
                self.unwritten = Some(self.shown.rows);
                self.shown.rows = rows;
            }
        } else {
            self.apply(message.ask, answer, broken);
        }
    }

    /// The rows become durable, of a device that writes them later.
    pub(crate) const fn write_rows(&mut self) {
        if let Some(rows) = self.unwritten.take() {
            self.shown.rows = rows;
        }
    }

    fn apply(&mut self, ask: Ask, answer: Answer, broken: Broken) {
        match answer {
            Answer::Aligned => self.proved(),
            Answer::Adopt(point) => {
                self.working().point = Some(point);
                self.proved();
            }
            Answer::Delta {
                rows,
                deleted,
                to,
                proof,
                incomplete,
            } => {
                self.marked |= incomplete;
                for item in 0..ITEMS {
                    if rows[item] != 0 || deleted[item] {
                        self.set(item, rows[item]);
                    }
                }
                if let Some(point) = &mut self.working().point {
                    point.version = to;
                }
                self.prove_or_go_on(proof, broken);
            }
            Answer::Diverged(head, rows, digest) => {
                self.failed(head, Some((rows, digest)), broken);
            }
            Answer::Page {
                point,
                rows,
                next,
                proof,
            } => {
                for (item, content) in rows.into_iter().enumerate() {
                    if content != 0 {
                        self.set(item, content);
                    }
                }
                let working = self.working();
                working.point = Some(point);
                working.scan = next;
                match next {
                    Some(_) => self.due = true,
                    None => self.prove_or_go_on(proof, broken),
                }
            }
            Answer::SketchRows(rows) => {
                if let (Ask::SketchItems(point, wanted), Work::Fetching(_, sketch, _)) =
                    (ask, self.work)
                {
                    self.mend(point, sketch, rows, wanted == rows, broken);
                }
            }
        }
    }

    const fn set(&mut self, item: usize, content: u8) {
        let working = self.working();
        working.rows[item] = content;
        working.digest[item] = content;
    }

    fn raise_fence(&mut self) {
        for message in &mut self.messages {
            message.stale = true;
        }
    }

    fn prove_or_go_on(&mut self, proof: Option<Rows>, broken: Broken) {
        let Some(proof) = proof else {
            if self.phase == Phase::InSync {
                self.phase = Phase::Syncing;
            }
            self.due = true;
            return;
        };
        let working = *self.working();
        if working.digest == proof || broken == Broken::NoProof {
            return self.proved();
        }
        self.wrongly_unmarked |= !self.marked;
        if let Some(point) = working.point {
            self.failed(point, None, broken);
        }
    }

    fn proved(&mut self) {
        if let Some(build) = self.build.take() {
            self.shown = build;
            self.raise_fence();
        }
        self.shown.restarts = 0;
        self.phase = Phase::InSync;
        self.work = Work::None;
        self.marked = false;
    }

    /// The copy is not what the server has at `head`; each rung once.
    fn failed(&mut self, head: Point, sketch: Option<(Rows, Rows)>, broken: Broken) {
        let scanning = |copy: &Copy| copy.scan.is_some() && copy.restarts < RESTARTS_MAX;
        let begins_again = self.build.as_ref().is_some_and(scanning);
        match self.phase {
            Phase::Quarantined(lineage) if lineage == head.lineage => {}
            Phase::Sketch => self.sketch_failed(head, sketch, broken),
            Phase::Skeleton | Phase::Reload if begins_again => self.read_anew(self.phase),
            Phase::Skeleton => self.read_anew(match broken {
                Broken::EndlessRung => Phase::Skeleton,
                _ => Phase::Reload,
            }),
            Phase::Reload => {
                self.build = None;
                self.phase = Phase::Quarantined(head.lineage);
                self.raise_fence();
            }
            _ if self.shown.scan.is_some() => self.read_anew(Phase::Skeleton),
            _ => {
                self.phase = Phase::Sketch;
                self.work = Work::None;
                self.raise_fence();
                self.due = true;
                if let Some(sketch) = sketch {
                    self.decode(head, sketch, 0, broken);
                }
            }
        }
    }

    fn sketch_failed(&mut self, head: Point, sketch: Option<(Rows, Rows)>, broken: Broken) {
        let restarts = match self.work {
            Work::None => Some(0),
            Work::Fetching(_, _, restarts) => (restarts < RESTARTS_MAX).then_some(restarts + 1),
            Work::Mended if broken == Broken::EndlessRung => Some(0),
            Work::Mended => None,
        };
        match (restarts, sketch) {
            (Some(restarts), Some(sketch)) => {
                self.raise_fence();
                self.decode(head, sketch, restarts, broken);
            }
            _ => self.read_anew(Phase::Skeleton),
        }
    }

    /// A sketch decodes at once; what only the server has is asked for.
    fn decode(&mut self, point: Point, sketch: (Rows, Rows), restarts: u8, broken: Broken) {
        if only_in(sketch.0, self.shown.rows) == [0; ITEMS] {
            self.mend(point, sketch, [0; ITEMS], true, broken);
        } else {
            self.work = Work::Fetching(point, sketch, restarts);
            self.due = true;
        }
    }

    /// Drops what only this side has, and puts what was fetched.
    fn mend(
        &mut self,
        point: Point,
        (theirs, digest): (Rows, Rows),
        fetched: Rows,
        complete: bool,
        broken: Broken,
    ) {
        for item in 0..ITEMS {
            if fetched[item] != 0 {
                self.set(item, fetched[item]);
            } else if self.shown.rows[item] != theirs[item] {
                self.set(item, 0);
            }
        }
        self.shown.point = Some(point);
        self.raise_fence();
        self.work = Work::Mended;
        // What is missing is no fault of a mark.
        self.marked = true;
        if complete {
            self.prove_or_go_on(Some(digest), broken);
        } else {
            self.due = true;
        }
    }

    fn read_anew(&mut self, rung: Phase) {
        let restarts = match (&self.build, self.phase == rung) {
            (Some(build), true) => build.restarts.saturating_add(1).min(RESTARTS_MAX),
            _ => 0,
        };
        self.work = Work::None;
        self.build = Some(Copy::to_scan(restarts));
        self.phase = rung;
        self.marked = false;
        self.raise_fence();
        self.due = true;
    }
}

/// What is in one copy and not, or not the same, in the other.
fn only_in(theirs: Rows, ours: Rows) -> Rows {
    let mut only = theirs;
    for item in 0..ITEMS {
        if theirs[item] == ours[item] {
            only[item] = 0;
        }
    }
    only
}
