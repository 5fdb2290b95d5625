//! Hints that something may be due, so that nobody waits for the next look at the tables. The tables are the truth: a
//! hint that is lost costs a moment.

use std::sync::Arc;
use tokio::sync::Notify;

/// The hints of a process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    parts: Arc<Notify>,
    callbacks: Arc<Notify>,
    receipts: Arc<Notify>,
}

impl Wake {
    /// A message was accepted.
    pub fn parts(&self) {
        self.parts.notify_one();
    }

    /// Something was said about a message.
    pub fn callbacks(&self) {
        self.callbacks.notify_one();
        self.receipts.notify_one();
    }

    /// Waits for the next accepted message.
    pub async fn on_parts(&self) {
        self.parts.notified().await;
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
