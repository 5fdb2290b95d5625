//! The domain: each noun's types, rules and SQL in one file. Calls neither `wire` nor `run`, and knows no vendor's words.
//!
//! Every change is a unit, an `async fn(&mut Tx, &Command) -> Result<Output>` that only runs SQL; units compose by
//! calling each other with the same `Tx`. Every function on tenant data takes a [`Scope`], and its SQL begins with it.

pub mod account;
pub mod again;
pub mod alert;
pub mod api_key;
pub mod archive;
pub mod audit;
pub mod batch;
pub mod binary;
pub mod business;
pub mod callback;
pub mod callback_log;
pub mod cap;
pub mod carrier;
pub mod ceiling;
pub mod change;
pub mod channel;
pub mod chat;
pub mod client;
pub mod closing;
pub mod contact;
pub mod country;
pub mod endpoint;
pub mod entry;
pub mod erasure;
pub mod error;
pub mod event;
pub mod expansion;
pub mod fragment;
pub mod group;
pub mod hook;
pub mod http_carrier;
pub mod http_transport;
pub mod idempotency;
pub mod inbound;
pub mod key;
pub mod lease;
pub mod ledger;
pub mod limits;
pub mod mandate;
pub mod media;
pub mod message;
pub mod money;
pub mod network;
pub mod number;
pub mod onboarding;
pub mod opt_out;
pub mod part;
pub mod partner;
pub mod password;
pub mod people;
pub mod person;
pub mod phone;
pub mod price_list;
pub mod query;
pub mod rate;
pub mod reach;
pub mod receipt;
pub mod recovery_code;
pub mod rendered;
pub mod report;
pub mod request_template;
pub mod rights;
pub mod rollup;
pub mod route;
pub mod schedule;
pub mod schema;
pub mod second_factor;
pub mod secret;
pub mod session;
pub mod sharing;
pub mod signing_key;
pub mod smpp_carrier;
pub mod smpp_outbox;
pub mod smpp_part;
pub mod smpp_user;
pub mod statement;
pub mod suspension;
pub mod template;
pub mod terms;
pub mod time;
pub mod transport;
pub mod usage;
pub mod wake;
mod words;

pub use account::AccountId;
pub use error::{Code, Error, Noun, Result, Violation};
pub use time::Timestamp;

use store::{Store, Tx};

/// Whose data: the account, and the root account (its partner, or itself) that begins every key of tenant data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The partner that owns the account; the account itself if it is a partner.
    pub root: AccountId,
    /// The account.
    pub account: AccountId,
}

impl Scope {
    /// That of the partner itself.
    #[must_use]
    pub fn of_root(self) -> Scope {
        Scope { root: self.root, account: self.root }
    }
}

/// A stretch of a list, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Most elements to answer, 1 to 1000.
    pub limit: i64,
    /// Elements to pass over first.
    pub offset: i64,
}

impl Page {
    /// Whether finding the page takes so few steps that it may run where it is asked for. A deeper one may scan, so it
    /// goes to the reader threads and their deadline.
    pub fn is_near(&self) -> bool {
        self.offset.saturating_add(self.limit) <= 2_000
    }
}

/// A stretch of a list with the number of all elements.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    /// The elements of the page.
    pub items: Vec<T>,
    /// How many there are over all pages.
    pub total: i64,
}

/// Runs a unit for its answer and undoes what it did: what a test key's create calls answer (spec 00 section 2).
pub async fn rehearse<C, O, F>(store: &Store, command: C, unit: F) -> Result<O>
where
    C: Send + 'static,
    O: Send + 'static,
    F: for<'t, 'c> AsyncFn(&'t mut Tx, &'c C) -> Result<O> + Send + 'static,
{
    enum Undone<O> {
        Answer(O),
        Failed(Error),
    }
    impl<O> From<store::Error> for Undone<O> {
        fn from(error: store::Error) -> Self {
            Undone::Failed(error.into())
        }
    }
    let outcome = store
        .write(command, async move |tx: &mut Tx, command: &C| match unit(tx, command).await {
            Ok(answer) => Err::<(), _>(Undone::Answer(answer)),
            Err(error) => Err(Undone::Failed(error)),
        })
        .await;
    match outcome {
        Err(Undone::Answer(answer)) => Ok(answer),
        Err(Undone::Failed(error)) => Err(error),
        Ok(()) => Err(Error::Internal("a rehearsal was committed".into())),
    }
}
