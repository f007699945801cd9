//! The work that no request waits for: fan-out, purging, and the audit of heads.

use crate::audit;
use crate::domain::{FanOut, purge_answers};
use crate::http::App;
use highwater_store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};

/// How long a worker that failed badly is left alone.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// The workers of a running server. They stop with it.
pub(crate) struct Upkeep {
    workers: JoinSet<()>,
}

impl Upkeep {
    pub(crate) fn start<S: Store>(app: &Arc<App<S>>, fan_out: &Arc<FanOut<S>>) -> Self {
        let mut workers = JoinSet::new();
        let (at, work) = (Arc::clone(app), Arc::clone(fan_out));
        workers.spawn(supervised("fan-out", Arc::clone(app), move || {
            let (app, fan_out) = (Arc::clone(&at), Arc::clone(&work));
            tokio::spawn(async move { fan_out.run(&app.clock, app.stop.clone()).await })
        }));
        let at = Arc::clone(app);
        workers.spawn(supervised("purge", Arc::clone(app), move || {
            tokio::spawn(purge(Arc::clone(&at)))
        }));
        let at = Arc::clone(app);
        workers.spawn(supervised("audit", Arc::clone(app), move || {
            tokio::spawn(audit::run(Arc::clone(&at)))
        }));
        Self { workers }
    }

    /// Waits until the workers have finished the step that they are at.
    pub(crate) async fn finish(mut self) {
        while self.workers.join_next().await.is_some() {}
    }
}

/// Keeps a worker at work: one that panics is a fault of ours, and no reason
/// that its work is never done again.
async fn supervised<S: Store>(
    name: &'static str,
    app: Arc<App<S>>,
    start: impl Fn() -> JoinHandle<()> + Send,
) {
    let mut stop = app.stop.clone();
    while !stop.is_said() {
        if let Err(error) = start().await {
            tracing::error!(worker = name, %error, "a worker failed, and is started again");
            let _ = tokio::time::timeout(RESTART_DELAY, stop.said()).await;
        }
    }
}

/// Purges tombstones and answers now and then.
async fn purge<S: Store>(app: Arc<App<S>>) {
    let mut stop = app.stop.clone();
    loop {
        tokio::select! {
            () = stop.said() => return,
            () = tokio::time::sleep(app.config.purge_interval) => {}
        }
        match purge_answers(&app.store, app.clock.now_ms()).await {
            Ok(answers) => tracing::debug!(answers, "purged answers"),
            Err(error) => tracing::warn!(%error, "answers could not be purged"),
        }
        match app.store.purge(app.clock.now_ms(), app.config.purge).await {
            Ok(purged) => {
                app.metrics.purged(purged.tombstones);
                tracing::debug!(purged.lists, purged.tombstones, "purged");
            }
            Err(error) => tracing::warn!(%error, "tombstones could not be purged"),
        }
    }
}
