//! Who did what to which object: a row in the unit that does it, never changed afterwards.

use super::account::AccountId;
use super::callback_log::{escaped, unescaped};
use super::words::words;
use super::{Error, Noun, Result, Timestamp};
use store::{FromRow, Row, Rx, Tx, sql};

store::id! {
    /// Of a line of the audit log; later lines have larger ones.
    AuditId
}

words! {
    /// What somebody came with.
    ActorKind {
        /// A key of the operator.
        Operator = "operator",
        /// A key of an account.
        Key = "key",
        /// Somebody who has signed in.
        User = "user",
        /// The command line: whoever may open the database.
        CommandLine = "command-line",
        /// Nobody: time was over.
        System = "system",
    }
}

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// What it came with.
    pub kind: ActorKind,
    /// The id of the key or of the person; empty for the others.
    pub id: String,
    /// From where.
    pub address: Option<String>,
}

impl Actor {
    /// Whoever may open the database.
    pub fn command_line() -> Self {
        Actor { kind: ActorKind::CommandLine, id: String::new(), address: None }
    }

    /// Nobody: time was over.
    pub fn system() -> Self {
        Actor { kind: ActorKind::System, id: String::new(), address: None }
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Whose object; the operator's is 0.
    pub account: AccountId,
    /// A noun and a verb, such as `key.revoke`.
    pub action: &'static str,
    /// The object's id; empty for the account itself.
    pub object: String,
    /// What was asked for: names and values, none of them secret.
    pub detail: Vec<(&'static str, String)>,
}

impl Act {
    /// Something done to an account itself.
    pub fn on(account: AccountId, action: &'static str) -> Self {
        Act { account, action, object: String::new(), detail: Vec::new() }
    }

    /// To an object of it.
    #[must_use]
    pub fn object(mut self, id: impl std::fmt::Display) -> Self {
        self.object = id.to_string();
        self
    }

    /// With this.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.detail.push((name, value.to_string()));
        self
    }

    /// With this, if it was given.
    #[must_use]
    pub fn with_given(self, name: &'static str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

/// Writes a line: part of the unit that does it.
pub async fn record(tx: &mut Tx, actor: &Actor, act: &Act) -> Result<()> {
    let (id, now): (AuditId, Timestamp) = (tx.id(), tx.now());
    let mut detail = String::new();
    for (name, value) in &act.detail {
        detail.extend([*name, "\t", escaped(value).as_str(), "\n"]);
    }
    let root = if act.account == AccountId(0) {
        act.account
    } else {
        let root: Option<AccountId> =
            tx.maybe(sql!("SELECT root FROM account WHERE id = $1"), &[&act.account]).await?;
        root.ok_or(Error::NotFound(Noun::Account))?
    };
    tx.put(
        sql!(
            "INSERT INTO audit (root, id, account, at, actor_kind, actor, address, action, object, detail)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        ),
        &[
            &root,
            &id,
            &act.account,
            &now,
            &actor.kind,
            &actor.id,
            &actor.address,
            &act.action,
            &act.object,
            &detail,
        ],
    )
    .await?;
    Ok(())
}

/// A unit that writes its line as well; none, where it says that nothing was done.
pub fn audited<C, O, F, A, M>(
    actor: Actor,
    unit: F,
    about: A,
) -> impl for<'t, 'c> AsyncFn(&'t mut Tx, &'c C) -> Result<O> + Send + 'static
where
    C: 'static,
    O: 'static,
    F: for<'t, 'c> AsyncFn(&'t mut Tx, &'c C) -> Result<O> + Send + 'static,
    A: Fn(&C, &O) -> M + Send + 'static,
    M: Into<Option<Act>>,
{
    async move |tx: &mut Tx, command: &C| {
        let done = unit(tx, command).await?;
        let act: Option<Act> = about(command, &done).into();
        if let Some(act) = act {
            record(tx, &actor, &act).await?;
        }
        Ok(done)
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its id.
    pub id: AuditId,
    /// Whose object.
    pub account: AccountId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// A noun and a verb.
    pub action: String,
    /// The object's id.
    pub object: String,
    /// What was asked for.
    pub detail: Vec<(String, String)>,
}

impl FromRow for Line {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let (id, account, at) = (row.next()?, row.next()?, row.next()?);
        let actor = Actor { kind: row.next()?, id: row.next()?, address: row.next()? };
        let (action, object) = (row.next()?, row.next()?);
        let detail: String = row.next()?;
        let detail = detail.lines().filter_map(|line| line.split_once('\t'));
        let detail = detail.map(|(name, value)| (name.to_owned(), unescaped(value))).collect();
        Ok(Line { id, account, at, actor, action, object, detail })
    }
}

/// Which lines.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Whose tree.
    pub root: AccountId,
    /// One account of it, or all.
    pub account: Option<AccountId>,
    /// Only older ones than this.
    pub before: Option<AuditId>,
    /// Most of them.
    pub limit: i64,
}

const COLUMNS: &str = "id, account, at, actor_kind, actor, address, action, object, detail";

/// The newest lines.
pub async fn list(rx: &mut Rx, stretch: &Stretch) -> Result<Vec<Line>> {
    let before = stretch.before.unwrap_or(AuditId([0xff; 16]));
    Ok(match stretch.account {
        Some(account) => {
            rx.all(
                sql!(
                    "SELECT ",
                    COLUMNS,
                    " FROM audit WHERE root = $1 AND account = $2 AND id < $3 ORDER BY id DESC LIMIT $4"
                ),
                &[&stretch.root, &account, &before, &stretch.limit],
            )
            .await?
        }
        None => {
            rx.all(
                sql!("SELECT ", COLUMNS, " FROM audit WHERE root = $1 AND id < $2 ORDER BY id DESC LIMIT $3"),
                &[&stretch.root, &before, &stretch.limit],
            )
            .await?
        }
    })
}
