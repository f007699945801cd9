//! How a running server is told to stop: once, and everybody hears it.

use tokio::sync::watch;

/// The end that says stop.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<bool>);

/// The end that hears it. Clones hear the same.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stopper {
    pub(crate) fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// One that is never said.
    pub(crate) fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether it was said.
    pub(crate) fn is_said(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is said, or nobody is left who could. May be waited for
    /// again.
    pub(crate) async fn said(&mut self) {
        // An error: the stopper is gone, and with it the server.
        let _ = self.0.wait_for(|said| *said).await;
    }
}
