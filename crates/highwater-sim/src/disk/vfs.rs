//! The disks of a world's machines as a file system of SQLite.

use super::{Disk, File, Pending, WalIndex};
use parking_lot::Mutex;
use sqlite_vfs::wip::{WalIndex as SqliteWalIndex, WalIndexLock};
use sqlite_vfs::{DatabaseHandle, LockKind, OpenAccess, OpenOptions, Vfs};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// SQLite keeps every file system that it was told of, so those of worlds that
/// have ended are used again.
static IDLE: Mutex<Vec<(String, Shared)>> = Mutex::new(Vec::new());
static MADE: AtomicU64 = AtomicU64::new(0);

type Shared = Arc<Mutex<BTreeMap<String, Disk>>>;

/// The machines of one world, each with its disk, as one file system of SQLite:
/// the file `d1/x` is on the disk of the machine `d1`.
pub(crate) struct Machines {
    name: String,
    disks: Shared,
}

impl Machines {
    /// A file system without machines.
    ///
    /// # Panics
    /// If SQLite does not take another file system.
    pub(crate) fn new() -> Self {
        let idle = IDLE.lock().pop();
        let (name, disks) = idle.unwrap_or_else(|| {
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            let name = format!("highwater-sim-{number}");
            let disks = Shared::default();
            let vfs = Files(Arc::clone(&disks));
            if let Err(error) = sqlite_vfs::register(&name, vfs, false) {
                panic!("SQLite takes no further file system: {error}");
            }
            (name, disks)
        });
        Self { name, disks }
    }

    /// What SQLite calls this file system.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Adds a machine, and returns its disk.
    pub(crate) fn add(&self, machine: &str) -> Disk {
        let disk = Disk::default();
        self.disks.lock().insert(machine.to_owned(), disk.clone());
        disk
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.disks.lock().clear();
        let slot = (std::mem::take(&mut self.name), Arc::clone(&self.disks));
        IDLE.lock().push(slot);
    }
}

struct Files(Shared);

impl Files {
    fn disk(&self, path: &str) -> io::Result<Disk> {
        let machine = path.split('/').next().unwrap_or_default();
        let disk = self.0.lock().get(machine).cloned();
        disk.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Vfs for Files {
    type Handle = Handle;

    fn open(&self, path: &str, options: OpenOptions) -> io::Result<Handle> {
        let disk = self.disk(path)?;
        let (boot, id) = {
            let mut inner = disk.0.lock();
            let boot = inner.boot;
            inner.is_on(boot)?;
            let exists = inner.files.contains_key(path);
            match options.access {
                OpenAccess::Create if !exists => {
                    inner.files.insert(path.to_owned(), File::default());
                }
                OpenAccess::CreateNew if exists => {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                OpenAccess::CreateNew => {
                    inner.files.insert(path.to_owned(), File::default());
                }
                _ if !exists => return Err(io::ErrorKind::NotFound.into()),
                _ => {}
            }
            inner.next_handle += 1;
            (boot, inner.next_handle)
        };
        Ok(Handle {
            disk,
            path: path.to_owned(),
            boot,
            id,
            lock: LockKind::None,
        })
    }

    fn delete(&self, path: &str) -> io::Result<()> {
        let disk = self.disk(path)?;
        let mut inner = disk.0.lock();
        let boot = inner.boot;
        inner.is_on(boot)?;
        inner.step()?;
        match inner.files.remove(path) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        let disk = self.disk(path)?;
        let inner = disk.0.lock();
        inner.is_on(inner.boot)?;
        Ok(inner.files.contains_key(path))
    }

    fn temporary_name(&self) -> String {
        "no-machine/temporary".to_owned()
    }

    /// SQLite mixes this into its own random numbers; no trace depends on them.
    fn random(&self, buffer: &mut [i8]) {
        buffer.fill(7);
    }

    fn sleep(&self, duration: Duration) -> Duration {
        duration
    }
}

/// An open file.
pub(super) struct Handle {
    disk: Disk,
    path: String,
    boot: u64,
    id: u64,
    lock: LockKind,
}

impl Handle {
    fn with<T>(&self, work: impl FnOnce(&mut File) -> T) -> io::Result<T> {
        let mut inner = self.disk.0.lock();
        inner.is_on(self.boot)?;
        Ok(work(inner.file(&self.path)?))
    }

    fn step<T>(&self, work: impl FnOnce(&mut File) -> T) -> io::Result<T> {
        let mut inner = self.disk.0.lock();
        inner.is_on(self.boot)?;
        inner.step()?;
        Ok(work(inner.file(&self.path)?))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.lock(LockKind::None);
    }
}

impl DatabaseHandle for Handle {
    type WalIndex = Index;

    fn size(&self) -> io::Result<u64> {
        self.with(|file| file.data.len() as u64)
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        self.with(|file| {
            let there = file.data.get(at..).unwrap_or_default();
            let length = there.len().min(buffer.len());
            buffer[..length].copy_from_slice(&there[..length]);
            buffer[length..].fill(0);
            length == buffer.len()
        })
        .and_then(|whole| match whole {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        })
    }

    fn write_all_at(&mut self, buffer: &[u8], offset: u64) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        self.step(|file| file.change(Pending::Write(at, buffer.to_vec())))
    }

    fn sync(&mut self, _data_only: bool) -> io::Result<()> {
        self.step(File::sync)
    }

    fn set_len(&mut self, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        self.step(|file| file.change(Pending::Cut(size)))
    }

    fn lock(&mut self, lock: LockKind) -> io::Result<bool> {
        let (id, held) = (self.id, self.lock);
        let taken = self.with(|file| {
            let locks = &mut file.locks;
            let others = |by: Option<u64>| by.is_some_and(|by| by != id);
            let free = |by: &mut Option<u64>| {
                if *by == Some(id) {
                    *by = None;
                }
            };
            match lock {
                LockKind::None | LockKind::Shared if held != LockKind::None => {
                    free(&mut locks.reserved);
                    free(&mut locks.pending);
                    free(&mut locks.exclusive);
                    if lock == LockKind::None {
                        locks.shared.retain(|by| *by != id);
                    }
                    true
                }
                LockKind::None => true,
                LockKind::Shared => {
                    let refused = others(locks.pending) || others(locks.exclusive);
                    if !refused && !locks.shared.contains(&id) {
                        locks.shared.push(id);
                    }
                    !refused
                }
                LockKind::Reserved | LockKind::Pending => {
                    let refused =
                        others(locks.reserved) || others(locks.pending) || others(locks.exclusive);
                    if !refused {
                        locks.reserved = Some(id);
                    }
                    !refused
                }
                LockKind::Exclusive => {
                    if others(locks.reserved) || others(locks.pending) || others(locks.exclusive) {
                        return false;
                    }
                    locks.pending = Some(id);
                    let alone = locks.shared.iter().all(|by| *by == id);
                    if alone {
                        locks.exclusive = Some(id);
                    }
                    alone
                }
            }
        })?;
        if taken {
            self.lock = lock;
        }
        Ok(taken)
    }

    fn reserved(&mut self) -> io::Result<bool> {
        self.with(|file| {
            let locks = &file.locks;
            locks.reserved.is_some() || locks.pending.is_some() || locks.exclusive.is_some()
        })
    }

    fn current_lock(&self) -> io::Result<LockKind> {
        Ok(self.lock)
    }

    fn wal_index(&self, _readonly: bool) -> io::Result<Index> {
        Ok(Index {
            disk: self.disk.clone(),
            path: self.path.clone(),
            boot: self.boot,
            id: self.id,
            seen: BTreeMap::new(),
        })
    }
}

/// A connection's part in the memory that a log needs.
pub(super) struct Index {
    disk: Disk,
    path: String,
    boot: u64,
    id: u64,
    /// The numbers of the regions as this connection has them.
    seen: BTreeMap<u32, u64>,
}

impl Index {
    fn with<T>(&self, work: impl FnOnce(&mut WalIndex) -> T) -> io::Result<T> {
        let mut inner = self.disk.0.lock();
        inner.is_on(self.boot)?;
        Ok(work(&mut inner.file(&self.path)?.index))
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = SqliteWalIndex::lock(self, 0..8, WalIndexLock::None);
    }
}

impl SqliteWalIndex for Index {
    fn map(&mut self, region: u32) -> io::Result<[u8; 32_768]> {
        let (number, bytes) = self.with(|index| {
            let (number, there) = index.regions.entry(region).or_insert_with(empty);
            (*number, **there)
        })?;
        self.seen.insert(region, number);
        Ok(bytes)
    }

    fn lock(&mut self, slots: Range<u8>, lock: WalIndexLock) -> io::Result<bool> {
        let id = self.id;
        self.with(|index| {
            let slots = || slots.clone().map(usize::from);
            let others =
                |index: &WalIndex, slot: usize| index.exclusive[slot].is_some_and(|by| by != id);
            let shared =
                |index: &WalIndex, slot: usize| index.shared[slot].iter().any(|by| *by != id);
            let refused = slots().any(|slot| match lock {
                WalIndexLock::None => false,
                WalIndexLock::Shared => others(index, slot),
                WalIndexLock::Exclusive => others(index, slot) || shared(index, slot),
            });
            if refused {
                return false;
            }
            for slot in slots() {
                if index.exclusive[slot] == Some(id) {
                    index.exclusive[slot] = None;
                }
                index.shared[slot].retain(|by| *by != id);
                match lock {
                    WalIndexLock::None => {}
                    WalIndexLock::Shared => index.shared[slot].push(id),
                    WalIndexLock::Exclusive => index.exclusive[slot] = Some(id),
                }
            }
            true
        })
    }

    fn delete(self) -> io::Result<()> {
        self.with(|index| index.regions.clear())
    }

    fn pull(&mut self, region: u32, data: &mut [u8; 32_768]) -> io::Result<()> {
        let seen = self.seen.get(&region).copied();
        let number = self.with(|index| match index.regions.get(&region) {
            Some((number, there)) if Some(*number) != seen => {
                data.copy_from_slice(&there[..]);
                Some(*number)
            }
            _ => seen,
        })?;
        self.seen.extend(number.map(|number| (region, number)));
        Ok(())
    }

    fn push(&mut self, region: u32, data: &[u8; 32_768]) -> io::Result<()> {
        let number = self.with(|index| {
            let (number, there) = index.regions.entry(region).or_insert_with(empty);
            if there[..] != data[..] {
                there.copy_from_slice(data);
                *number += 1;
            }
            *number
        })?;
        self.seen.insert(region, number);
        Ok(())
    }
}

fn empty() -> (u64, Box<[u8; 32_768]>) {
    (0, Box::new([0; 32_768]))
}
