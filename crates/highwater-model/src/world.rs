//! Everything that may happen, and what must hold all the while.

use crate::device::{Device, Message, Phase};
use crate::server::{Answer, Ask, Server};
use crate::{Bounds, Broken, DEVICES, ITEMS, Point, Rows};
use stateright::{Model, Property};

/// Requests that a device sends at most once all is calm.
const REQUESTS_MAX: u8 = 24;
/// Hints, or times that an app asks, that a device needs at most once all is
/// calm, beside the first: one after a quarantine that an earlier fault led to.
const HINTS_MAX: u8 = 1;
/// Requests of one device that are under way while nobody waits for them.
const MESSAGES_MAX: usize = 2;

/// A world, and how much may happen in it.
#[derive(Clone, Debug)]
pub struct World {
    bounds: Bounds,
    broken: Broken,
}

/// How the world stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The authority.
    pub server: Server,
    /// Its followers.
    pub devices: Vec<Device>,
    /// What may still happen.
    left: Bounds,
    /// Nothing happens any more but syncs.
    calm: bool,
    /// What the list was, wherever a device stands or may come to stand.
    history: Vec<(Point, Rows)>,
}

/// One thing that happens. Devices and messages go by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An item is created or changed.
    Put(usize),
    /// An item is deleted.
    Delete(usize),
    /// Tombstones are forgotten.
    Purge,
    /// The server comes back under another lineage: from its first backup, or
    /// with nothing lost.
    Restore {
        /// Whether from the backup.
        backup: bool,
    },
    /// A device's process dies.
    Crash(usize),
    /// A device hears that there is something to ask about. Before all is calm
    /// that may happen at any time, and is no event: a device just asks.
    Hint(usize),
    /// A device asks and is answered. Between the two it would not change, and
    /// the server keeps nothing of it: it may as well have asked later. To lose
    /// the answer would change nothing.
    Exchange(usize),
    /// The same, and the answer will arrive again.
    ExchangeTwice(usize),
    /// A device asks, and does not wait for the answer.
    Ask(usize),
    /// The server answers a request that nobody waits for.
    Answer(usize, usize),
    /// Its answer arrives.
    Deliver(usize, usize),
    /// It is lost.
    Lose(usize, usize),
    /// Rows become durable, of a device that is broken so.
    WriteRows(usize),
    /// From now on, only syncs; and one device is looked at, as then none
    /// depends on another.
    Calm(usize),
}

impl World {
    /// A world within bounds, by the rules.
    #[must_use]
    pub const fn of(bounds: Bounds) -> Self {
        Self::broken(bounds, Broken::Nothing)
    }

    /// A world where one rule is left out.
    #[must_use]
    pub const fn broken(bounds: Bounds, broken: Broken) -> Self {
        Self { bounds, broken }
    }

    /// Whether a device is in sync at the server's version, with its content.
    fn is_settled(&self, state: &State, device: &Device) -> bool {
        match device.standing() {
            (Phase::InSync, point, rows) => {
                point == Some(state.server.point) && rows == state.server.rows()
            }
            (Phase::Quarantined(_), ..) => self.bounds.wrong_server,
            _ => false,
        }
    }

    fn of_server(state: &State, events: &mut Vec<Event>) {
        if state.left.writes > 0 {
            for (item, content) in state.server.rows().into_iter().enumerate() {
                events.push(Event::Put(item));
                if content != 0 {
                    events.push(Event::Delete(item));
                }
            }
        }
        if state.left.purges > 0 && state.server.has_tombstones() {
            events.push(Event::Purge);
        }
        if state.left.restores > 0 {
            events.push(Event::Restore { backup: true });
            events.push(Event::Restore { backup: false });
        }
    }

    fn of_device(&self, state: &State, at: usize, events: &mut Vec<Event>) {
        let device = &state.devices[at];
        if device.unwritten.is_some() {
            events.push(Event::WriteRows(at));
            if !state.calm && state.left.crashes > 0 {
                events.push(Event::Crash(at));
            }
            return;
        }
        let settled = self.is_settled(state, device);
        let idle = !device.due && device.messages.is_empty();
        if state.calm && idle && !settled && device.hints <= HINTS_MAX {
            events.push(Event::Hint(at));
        }
        let wants = match state.calm {
            true => device.due && device.requests <= REQUESTS_MAX,
            // What is told that it is aligned does not change.
            false => !settled || state.left.lates > 0,
        };
        if wants {
            events.push(Event::Exchange(at));
            if state.left.lates > 0 && device.messages.len() < MESSAGES_MAX {
                events.push(Event::ExchangeTwice(at));
                events.push(Event::Ask(at));
            }
        }
        for (number, message) in device.messages.iter().enumerate() {
            match message.answer {
                None => events.push(Event::Answer(at, number)),
                Some(_) => events.push(Event::Deliver(at, number)),
            }
            if !state.calm {
                events.push(Event::Lose(at, number));
            }
        }
        if state.calm {
            return;
        }
        if state.left.crashes > 0 && device.loses_by_a_crash() {
            events.push(Event::Crash(at));
        }
    }

    fn happen_to_server(&self, state: &mut State, event: Event) {
        match event {
            Event::Put(item) => {
                state.left.writes -= 1;
                state.server.put(item, self.broken);
            }
            Event::Delete(item) => {
                state.left.writes -= 1;
                state.server.delete(item);
            }
            Event::Purge => {
                state.left.purges -= 1;
                state.server.purge(self.broken);
            }
            Event::Restore { backup } => {
                state.left.restores -= 1;
                let lineage = state.server.point.lineage + 1;
                if backup {
                    state.server = Server::first(self.bounds.wrong_server);
                }
                state.server.point.lineage = lineage;
            }
            _ => {}
        }
        let now = (state.server.point, state.server.rows());
        state.history.push(now);
        state.history.sort_unstable();
        state.history.dedup();
    }

    fn answer(&self, state: &State, ask: Ask) -> Answer {
        state.server.answer(ask, self.bounds.page, self.broken)
    }

    /// A question and its answer.
    fn exchange(&self, state: &mut State, at: usize) -> Message {
        state.devices[at].requests += u8::from(state.calm);
        let mut message = state.devices[at].ask();
        message.answer = Some(self.answer(state, message.ask));
        message
    }

    /// Forgets what the list was where nobody stands or may come to stand: two
    /// worlds that differ only in that are one.
    fn forget(state: &mut State) {
        let mut points = vec![state.server.point];
        for device in &state.devices {
            device.points(&mut points);
        }
        state.history.retain(|(point, _)| points.contains(point));
    }

    fn happen_to_device(&self, state: &mut State, event: Event) {
        let left = &mut state.left;
        match event {
            Event::Crash(at) => {
                left.crashes -= 1;
                state.devices[at].crash();
            }
            Event::Hint(at) => {
                state.devices[at].hint();
                state.devices[at].hints += 1;
            }
            Event::Exchange(at) => {
                let message = self.exchange(state, at);
                state.devices[at].receive(message, self.broken);
            }
            Event::ExchangeTwice(at) => {
                left.lates -= 1;
                let message = self.exchange(state, at);
                state.devices[at].messages.push(message);
                // What comes second finds the fence raised by the first, if it was.
                state.devices[at].receive(message, self.broken);
            }
            Event::Ask(at) => {
                left.lates -= 1;
                let message = state.devices[at].ask();
                state.devices[at].messages.push(message);
            }
            Event::Answer(at, number) => {
                let ask = state.devices[at].messages[number].ask;
                let answer = self.answer(state, ask);
                state.devices[at].messages[number].answer = Some(answer);
            }
            Event::Deliver(at, number) => {
                let message = state.devices[at].messages.remove(number);
                state.devices[at].receive(message, self.broken);
            }
            Event::Lose(at, number) => drop(state.devices[at].messages.remove(number)),
            Event::WriteRows(at) => state.devices[at].write_rows(),
            Event::Calm(at) => {
                state.calm = true;
                state.devices.swap(0, at);
                state.devices.truncate(1);
                state.devices[0].due = true;
                // Which of them were left does not matter any more.
                state.left = Bounds {
                    page: self.bounds.page,
                    devices: self.bounds.devices,
                    ..Bounds::NONE
                };
            }
            _ => {}
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Event;

    /// One device is in sync, the other has never read the list.
    fn init_states(&self) -> Vec<State> {
        let server = Server::first(self.bounds.wrong_server);
        let devices = [Device::in_sync(server.point, server.rows()), Device::new()];
        let taking_part = usize::from(self.bounds.devices).min(DEVICES);
        vec![State {
            server,
            devices: devices.into_iter().take(taking_part).collect(),
            left: self.bounds,
            calm: false,
            history: vec![(server.point, server.rows())],
        }]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        if !state.calm {
            Self::of_server(state, events);
            events.extend((0..state.devices.len()).map(Event::Calm));
        }
        for at in 0..state.devices.len() {
            self.of_device(state, at, events);
        }
    }

    fn next_state(&self, state: &State, event: Event) -> Option<State> {
        let mut state = state.clone();
        match event {
            Event::Put(_) | Event::Delete(_) | Event::Purge | Event::Restore { .. } => {
                self.happen_to_server(&mut state, event);
            }
            _ => self.happen_to_device(&mut state, event),
        }
        if !state.calm {
            // It asks when it likes.
            state
                .devices
                .iter_mut()
                .for_each(|device| device.due = false);
        }
        Self::forget(&mut state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "I1: what is calm ends equal",
                |world: &Self, state: &State| {
                    let mut events = Vec::new();
                    world.actions(state, &mut events);
                    let settled = |device: &Device| world.is_settled(state, device);
                    !state.calm || !events.is_empty() || state.devices.iter().all(settled)
                },
            ),
            Property::always("I2: no false calm", |_, state: &State| {
                state.devices.iter().all(|device| match device.standing() {
                    (Phase::InSync, Some(point), rows) => state.history.contains(&(point, rows)),
                    (Phase::InSync, None, _) => false,
                    _ => true,
                })
            }),
            Property::always("I4: the books agree", |_, state: &State| {
                state.devices.iter().all(Device::books_agree)
            }),
            Property::always("I7: a bounded repair", |_, state: &State| {
                let bounded =
                    |device: &Device| device.requests <= REQUESTS_MAX && device.hints <= HINTS_MAX;
                state.devices.iter().all(bounded)
            }),
            Property::always("nothing lands after a reset", |_, state: &State| {
                !state.devices.iter().any(|device| device.landed_late)
            }),
            Property::always("an unmarked delta proves", |world: &Self, state: &State| {
                world.bounds.wrong_server
                    || !state.devices.iter().any(|device| device.wrongly_unmarked)
            }),
        ]
    }
}

const _: () = assert!(ITEMS == 3, "Server::first fills three");
