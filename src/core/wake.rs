//! Hints that something may be due, so that nobody waits for the next look at the tables. The tables are the truth: a
//! hint that is lost costs a moment.

use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// The hints of a process. Clones share them; a hint about parts is for each clone, since each carrier's work has its own.
#[derive(Debug, Clone)]
pub struct Wake {
    parts: watch::Sender<()>,
    seen: watch::Receiver<()>,
    callbacks: Arc<Notify>,
    receipts: Arc<Notify>,
}

impl Default for Wake {
    fn default() -> Self {
        let (parts, seen) = watch::channel(());
        Wake { parts, seen, callbacks: Arc::default(), receipts: Arc::default() }
    }
}

impl Wake {
    /// A message was accepted.
    pub fn parts(&self) {
        self.parts.send_replace(());
    }

    /// Something was said about a message.
    pub fn callbacks(&self) {
        self.callbacks.notify_one();
        self.receipts.notify_one();
    }

    /// Waits for the next accepted message.
    pub async fn on_parts(&mut self) {
        // There is a sender as long as there is this.
        let _ = self.seen.changed().await;
    }

    /// Waits for the next thing to tell.
    pub async fn on_callbacks(&self) {
        self.callbacks.notified().await;
    }

    /// Waits for the next thing to tell, for those who are told by SMPP.
    pub async fn on_receipts(&self) {
        self.receipts.notified().await;
    }
}
