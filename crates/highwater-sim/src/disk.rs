//! A machine's disk, in memory, on which the power can fail.
//!
//! What was written and not yet synced is kept apart: when the power fails, all
//! of it, some of it or none of it has reached the disk, and a write may be torn
//! between two sectors. Each write, sync, cut and removal is a step; a fault is
//! set for so many steps ahead, so that it hits any instruction of a commit.

mod vfs;

pub(crate) use vfs::Machines;

use crate::random::Random;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// A write may be torn at multiples of this, in bytes.
const SECTOR: usize = 512;

/// A machine's disk. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: BTreeMap<String, File>,
    /// Raised when the power comes back: handles of before are dead.
    boot: u64,
    steps: u64,
    fault: Option<(u64, Fault)>,
    /// Faults that have happened.
    happened: u64,
    /// The power is off.
    off: bool,
    next_handle: u64,
}

/// What happens at the step that a fault is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power fails: nothing works until it comes back.
    PowerOff,
    /// The disk is full, for this one write.
    Full,
    /// The write fails; the next one works.
    Error,
}

/// What has reached the disk of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All: the process was killed, the machine was not.
    All,
    /// Nothing.
    Nothing,
    /// The first so many writes, the last of them torn.
    Prefix,
    /// Any of the writes, each whole or torn.
    Any,
}

#[derive(Default)]
struct File {
    /// What a reader sees.
    data: Vec<u8>,
    /// What is there after a power failure at the least.
    durable: Vec<u8>,
    pending: Vec<Pending>,
    locks: Locks,
    index: WalIndex,
}

enum Pending {
    Write(usize, Vec<u8>),
    Cut(usize),
}

/// SQLite's locks on a database file, by handle.
#[derive(Default)]
struct Locks {
    shared: Vec<u64>,
    reserved: Option<u64>,
    pending: Option<u64>,
    exclusive: Option<u64>,
}

/// The memory that connections to a database share while it has a log.
#[derive(Default)]
struct WalIndex {
    /// Each with a number that rises whenever it changes.
    regions: BTreeMap<u32, (u64, Box<[u8; 32_768]>)>,
    /// For each of SQLite's slots, who has it: one exclusively, or several.
    exclusive: [Option<u64>; 8],
    shared: [Vec<u64>; 8],
}

impl File {
    fn apply(bytes: &mut Vec<u8>, change: &Pending) {
        match change {
            Pending::Write(at, data) => {
                let end = at + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(data);
            }
            Pending::Cut(len) => bytes.resize(*len, 0),
        }
    }

    fn change(&mut self, change: Pending) {
        Self::apply(&mut self.data, &change);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            Self::apply(&mut self.durable, &change);
        }
    }

    fn power_cycle(&mut self, kept: Kept, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        let count = match kept {
            Kept::All | Kept::Any => pending.len(),
            Kept::Nothing => 0,
            Kept::Prefix => random.below_usize(pending.len() + 1),
        };
        for (at, change) in pending.into_iter().take(count).enumerate() {
            let tear = match kept {
                Kept::Any if random.one_in(2) => continue,
                Kept::Any => random.one_in(3),
                Kept::Prefix => at + 1 == count,
                Kept::All | Kept::Nothing => false,
            };
            match change {
                Pending::Write(at, mut data) if tear => {
                    let sectors = data.len().div_ceil(SECTOR);
                    data.truncate(random.below_usize(sectors + 1) * SECTOR);
                    Self::apply(&mut self.durable, &Pending::Write(at, data));
                }
                change => Self::apply(&mut self.durable, &change),
            }
        }
        self.data.clone_from(&self.durable);
        self.locks = Locks::default();
        self.index = WalIndex::default();
    }
}

impl Inner {
    /// Counts a step, and lets the fault happen that is set for it.
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        match self.fault {
            Some((at, fault)) if self.steps >= at => {
                self.fault = None;
                self.happened += 1;
                match fault {
                    Fault::PowerOff => {
                        self.off = true;
                        Err(io::Error::other("the power is off"))
                    }
                    Fault::Full => Err(io::ErrorKind::WriteZero.into()),
                    Fault::Error => Err(io::Error::other("the write failed")),
                }
            }
            _ => Ok(()),
        }
    }

    fn is_on(&self, boot: u64) -> io::Result<()> {
        if self.off || boot != self.boot {
            return Err(io::Error::other("the power is off"));
        }
        Ok(())
    }

    fn file(&mut self, path: &str) -> io::Result<&mut File> {
        self.files
            .get_mut(path)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk {
    /// Puts a file there, as if it had been there for long.
    pub(crate) fn install(&self, path: &str, bytes: &[u8]) {
        let file = File {
            data: bytes.to_vec(),
            durable: bytes.to_vec(),
            ..File::default()
        };
        self.0.lock().files.insert(path.to_owned(), file);
    }

    /// A copy of every file whose name begins so, as readers see them. `None`:
    /// the power is off.
    pub(crate) fn copy(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let inner = self.0.lock();
        let files = inner.files.iter();
        files
            .filter(|(path, _)| path.starts_with(prefix))
            .map(|(path, file)| (path.clone(), file.data.clone()))
            .collect()
    }

    /// Removes every file whose name begins so.
    pub(crate) fn remove(&self, prefix: &str) {
        self.0
            .lock()
            .files
            .retain(|path, _| !path.starts_with(prefix));
    }

    /// Gives every file whose name begins so another beginning.
    pub(crate) fn rename(&self, prefix: &str, to: &str) {
        let mut inner = self.0.lock();
        let names: Vec<String> = inner
            .files
            .keys()
            .filter(|path| path.starts_with(prefix))
            .cloned()
            .collect();
        for name in names {
            if let Some(file) = inner.files.remove(&name) {
                let renamed = format!("{to}{}", &name[prefix.len()..]);
                inner.files.insert(renamed, file);
            }
        }
    }

    /// Lengthens, shortens or overwrites a file that nobody has open, for good.
    pub(crate) fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = self.0.lock().files.get_mut(path) {
            change(&mut file.data);
            file.durable.clone_from(&file.data);
            file.pending.clear();
        }
    }

    /// Sets a fault for `steps` steps ahead, in place of an earlier one.
    pub(crate) fn fail_in(&self, steps: u64, fault: Fault) {
        let mut inner = self.0.lock();
        inner.fault = Some((inner.steps + steps.max(1), fault));
    }

    /// Takes a fault back that has not happened yet.
    pub(crate) fn no_fault(&self) {
        self.0.lock().fault = None;
    }

    /// Whether the power is off.
    pub(crate) fn is_off(&self) -> bool {
        self.0.lock().off
    }

    /// Cuts the power now.
    pub(crate) fn cut_power(&self) {
        self.0.lock().off = true;
    }

    /// How many faults have happened.
    pub(crate) fn happened(&self) -> u64 {
        self.0.lock().happened
    }

    /// The length of a file in bytes, if it is there.
    pub(crate) fn length(&self, path: &str) -> Option<usize> {
        self.0.lock().files.get(path).map(|file| file.data.len())
    }

    /// The power comes back, having failed now or before. Whoever had a file
    /// open must have gone.
    pub(crate) fn power_cycle(&self, kept: Kept, random: &mut Random) {
        let mut inner = self.0.lock();
        inner.off = false;
        inner.fault = None;
        inner.boot += 1;
        for file in inner.files.values_mut() {
            file.power_cycle(kept, random);
        }
    }
}
