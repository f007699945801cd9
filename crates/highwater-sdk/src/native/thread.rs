//! The thread that runs a client's tasks, and the time on it.

use crate::driver::{BoxFuture, Clock, Spawn};
use futures::StreamExt as _;
use futures::channel::mpsc;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A thread that runs tasks. It ends when its last handle is dropped; tasks
/// that still wait then are dropped on it.
pub(super) struct Thread {
    tasks: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
}

impl Thread {
    pub(super) fn start() -> io::Result<Self> {
        let (tasks, mut queue) = mpsc::unbounded::<BoxFuture<'static, ()>>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        std::thread::Builder::new()
            .name("highwater".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    while let Some(task) = queue.next().await {
                        tokio::spawn(task);
                    }
                });
            })?;
        Ok(Self { tasks })
    }
}

impl Spawn for Thread {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        // The thread takes tasks for as long as this handle lives.
        let _ = self.tasks.unbounded_send(task);
    }
}

/// The system's clock. Sleeps only on the driver's own thread.
pub(super) struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        // A clock before 1970 is as good as none.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    }

    fn sleep(&self, duration_ms: u64) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(Duration::from_millis(duration_ms)))
    }
}
