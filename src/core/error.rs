//! The one error of the domain.
//!
//! A variant exists if a program must react differently; a [`Code`] exists if a person must. Each vendor's folder
//! under `wire/` renders both once, exhaustively, so a new one does not compile until every vendor has decided.
//! Nothing here says how an error looks on the wire.

use super::cap::Reached;
use std::time::Duration;

/// What a unit or a reader of the domain answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the domain refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks rules; all of them, each with its field.
    #[error("{}", Listed(.0))]
    Invalid(Vec<Violation>),
    /// No key, a wrong key, a revoked one, or the key of an account that may not act (design section 6).
    #[error("the key is not valid")]
    Unauthenticated,
    /// The key is good, the account may not act: a vendor that says so answers differently from a wrong key.
    #[error("the account is suspended")]
    Suspended,
    /// The caller is known and may not do this.
    #[error("not allowed")]
    Forbidden,
    /// What the operator did and only the operator undoes.
    #[error("{}", .0.text())]
    Held(Hold),
    /// Not there, or somebody else's: the same answer.
    #[error("{} not found", .0.name())]
    NotFound(Noun),
    /// Too many requests; worth trying again after this time.
    #[error("too many requests")]
    Limited {
        /// When the next request will be let through.
        retry_after: Duration,
    },
    /// The balance does not cover it.
    #[error("not enough balance")]
    Balance,
    /// The balance would cover it, a spending cap does not.
    #[error("{0}")]
    Cap(Reached),
    /// Could not be done now; nothing is known to be wrong with the request.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Our own failure. The text is for the log and never for a client.
    #[error("internal: {0}")]
    Internal(String),
}

/// What the operator did to an account, which its partner cannot undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Suspended it.
    Suspended,
    /// Asked for its end.
    Closing,
}

impl Hold {
    /// What is so.
    pub fn text(self) -> &'static str {
        match self {
            Hold::Suspended => "suspended by the operator",
            Hold::Closing => "being deleted by the operator",
        }
    }
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The attribute, by the name that the surface used in the request.
    pub field: &'static str,
    /// Which rule.
    pub code: Code,
}

/// The closed list of rules a request can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Needed and not given.
    Required,
    /// No number that could be sent to.
    NoRecipients,
    /// A number that no carrier takes.
    NoRoute,
    /// The key of a request that was another one.
    OtherRequest,
    /// Not served yet.
    Unsupported,
    /// Given, but empty or only blanks.
    Blank,
    /// Not of the expected form.
    Invalid,
    /// More characters than this.
    TooLong(usize),
    /// More elements than this.
    TooMany(usize),
    /// A number outside of these bounds (both included).
    OutOfRange(i64, i64),
    /// Not an absolute http or https URL.
    NotUrl,
    /// Not `true` or `false`.
    NotBool,
    /// Another object of this account has this value, which must be unique.
    Taken,
    /// One object is asked for and several match.
    Ambiguous,
    /// More matches than a search can handle; a narrower question is needed.
    TooBroad,
    /// Another currency than the account's own.
    Currency,
    /// Beyond what the account may do: where to, how many, at which price.
    NotAllowed,
    /// Less strict than what the operator has set.
    Ceiling,
    /// Nobody else may do everything.
    LastOwner,
}

/// What can be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// An account of any level.
    Account,
    /// A contact.
    Contact,
    /// A group of contacts.
    Group,
    /// A key.
    Key,
    /// A message.
    Message,
    /// A carrier.
    Carrier,
    /// A route.
    Route,
    /// A threshold that somebody is told of.
    Alert,
    /// A number that phones write to.
    Number,
    /// A keyword of such a number.
    Keyword,
    /// A callback.
    Callback,
    /// An endpoint of callbacks that fails.
    Endpoint,
    /// A signing key that is to come.
    NextSigningKey,
    /// An account of a partner, as its partner calls it.
    Client,
    /// A channel.
    Channel,
    /// An account at the network that channels belong to.
    Business,
    /// A template of messages.
    Template,
    /// A file.
    Media,
    /// Somebody who signs in.
    Person,
    /// What somebody proves beside a password.
    SecondFactor,
    /// Who carries channels.
    Transport,
    /// What somebody who has signed in goes on with.
    Session,
    /// Whatever a text with a NUL was to find: nothing that is stored holds one.
    Record,
}

impl Noun {
    /// The noun in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Noun::Account => "account",
            Noun::Contact => "contact",
            Noun::Group => "group",
            Noun::Key => "key",
            Noun::Message => "message",
            Noun::Carrier => "carrier",
            Noun::Route => "route",
            Noun::Alert => "alert",
            Noun::Number => "number",
            Noun::Keyword => "keyword",
            Noun::Callback => "callback",
            Noun::Endpoint => "failing endpoint",
            Noun::NextSigningKey => "next signing key",
            Noun::Client => "client",
            Noun::Channel => "channel",
            Noun::Business => "business account",
            Noun::Template => "template",
            Noun::Media => "media",
            Noun::Person => "user",
            Noun::SecondFactor => "second factor",
            Noun::Transport => "transport",
            Noun::Session => "session",
            Noun::Record => "record",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Code::Required => f.write_str("is required"),
            Code::NoRecipients => f.write_str("has no usable number"),
            Code::NoRoute => f.write_str("has a number that no carrier takes"),
            Code::OtherRequest => f.write_str("was used for another request"),
            Code::Unsupported => f.write_str("is not supported yet"),
            Code::Blank => f.write_str("must not be empty"),
            Code::Invalid => f.write_str("is invalid"),
            Code::TooLong(max) => write!(f, "is invalid (at most {max} characters)"),
            Code::TooMany(max) => write!(f, "is invalid (at most {max} elements)"),
            Code::OutOfRange(low, high) => write!(f, "is invalid (from {low} to {high})"),
            Code::NotUrl => f.write_str("is invalid (an absolute http or https URL is needed)"),
            Code::NotBool => f.write_str("is invalid (true or false is needed)"),
            Code::Taken => f.write_str("is in use already"),
            Code::Ambiguous => f.write_str("matches several"),
            Code::TooBroad => f.write_str("matches too many; give more of it"),
            Code::Currency => f.write_str("is not the account's currency"),
            Code::NotAllowed => f.write_str("is beyond the account's limits"),
            Code::Ceiling => f.write_str("is limited by the operator, and can only be made stricter"),
            Code::LastOwner => f.write_str("is that of the last owner"),
        }
    }
}

impl Violation {
    /// The field `field` breaks the rule `code`.
    pub fn new(field: &'static str, code: Code) -> Self {
        Violation { field, code }
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Error::Invalid(vec![violation])
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        if error.is_unavailable() {
            Error::Unavailable(error.to_string())
        } else if matches!(error, store::Error::Nul { .. }) {
            Error::NotFound(Noun::Record)
        } else {
            Error::Internal(error.to_string())
        }
    }
}

struct Listed<'a>(&'a [Violation]);

impl std::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, violation) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", violation.field, violation.code)?;
        }
        Ok(())
    }
}
