//! `PostgreSQL`: connections, statements, transactions, and the pool of readers.
//!
//! **In flight.** A `put` is sent at once and awaited later. Every request of the driver has an answer
//! channel of one slot, and an answer that nobody takes blocks the connection: whatever awaits here
//! takes the earlier answers with it ([`Conn::joined`]). Answers come in order, so that an earlier
//! failure is known before a later statement's answer, and it is the one reported.
//!
//! **What a failure means** is noted on the connection: `aborted` (the server has given up the
//! transaction), `retry` (serialisation failure, deadlock, a plan outdated by a migration) and `lost`
//! (there is no connection any more; what was not yet committed never will be).

use std::collections::HashMap;
use std::future::{Ready, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt, TryStreamExt};
use tokio::sync::Semaphore;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, SimpleQueryMessage, Statement};

use crate::job::guarded;
use crate::pg_connect::{Connector, Role};
use crate::stepped::Gate;
use crate::tx::Link;
use crate::value::{FromRow, Param, Row, Val};
use crate::{Clock, Error, Rx, Sql};

/// `put`s in flight before their answers are waited for: bounds memory, never reached by a usual unit.
const FLIGHT_MAX: usize = 512;
/// How long a read waits for a connection before the answer is "unavailable".
const POOL_WAIT: Duration = Duration::from_secs(5);

type DriverError = tokio_postgres::Error;
/// A statement in flight; fails with the statement's place.
type Flight = Pin<Box<dyn Future<Output = Result<(), (&'static str, DriverError)>> + Send>>;

#[expect(clippy::struct_excessive_bools, reason = "marks that come and go apart from each other")]
pub(crate) struct Conn {
    client: Arc<Client>,
    statements: HashMap<&'static str, Statement>,
    unnamed: bool,
    flight: FuturesUnordered<Flight>,
    pub(crate) aborted: bool,
    pub(crate) retry: bool,
    pub(crate) lost: bool,
    /// Set while a statement's answer is awaited: tells a foreign await from one of ours.
    pub(crate) waiting: Arc<AtomicBool>,
    /// Lets a test decide when each statement goes.
    pub(crate) gate: Option<Gate>,
}

/// How long a unit of a batch waits for a lock while units before it hold theirs.
const TURN: &str = "SET LOCAL lock_timeout = '20ms'";

impl Conn {
    pub(crate) fn new(client: Client, unnamed: bool) -> Self {
        Self {
            client: Arc::new(client),
            statements: HashMap::new(),
            unnamed,
            flight: FuturesUnordered::new(),
            aborted: false,
            retry: false,
            lost: false,
            waiting: Arc::default(),
            gate: None,
        }
    }

    /// Whether it can be used for something new.
    pub(crate) fn alive(&self) -> bool {
        !self.lost && !self.client.is_closed()
    }

    pub(crate) async fn rows<T: FromRow>(
        &mut self,
        sql: &'static Sql,
        params: &[&dyn Param],
    ) -> Result<Vec<T>, Error> {
        let values: Vec<Bound<'_>> = params.iter().map(|p| Bound(p.val())).collect();
        let how = self.how(sql, &values).await?;
        let client = Arc::clone(&self.client);
        let rows = self.joined(sql.at, query(&client, &how, &values)).await?;
        rows.iter().map(|row| Row::pg(row, sql.at).decode()).collect()
    }

    pub(crate) async fn exec(&mut self, sql: &'static Sql, params: &[&dyn Param]) -> Result<u64, Error> {
        let values: Vec<Bound<'_>> = params.iter().map(|p| Bound(p.val())).collect();
        let how = self.how(sql, &values).await?;
        let client = Arc::clone(&self.client);
        self.joined(sql.at, execute(&client, &how, &values)).await
    }

    /// The rows of each answer; all are sent before the first is awaited.
    pub(crate) async fn rows_each<T: FromRow, const N: usize>(
        &mut self,
        sql: &'static Sql,
        each: &[[&dyn Param; N]],
    ) -> Result<Vec<Vec<T>>, Error> {
        if self.gate.is_some() {
            let mut all = Vec::with_capacity(each.len());
            for params in each {
                all.push(self.rows(sql, params).await?);
            }
            return Ok(all);
        }
        let answers =
            self.each(sql, each, async |client, how, values| query(client, how, values).await).await?;
        let decode = |rows: &Vec<tokio_postgres::Row>| {
            rows.iter().map(|row| Row::pg(row, sql.at).decode()).collect::<Result<Vec<T>, Error>>()
        };
        answers.iter().map(decode).collect()
    }

    /// What each changed; all are sent before the first answer is awaited.
    pub(crate) async fn exec_each<const N: usize>(
        &mut self,
        sql: &'static Sql,
        each: &[[&dyn Param; N]],
    ) -> Result<Vec<u64>, Error> {
        if self.gate.is_some() {
            let mut all = Vec::with_capacity(each.len());
            for params in each {
                all.push(self.exec(sql, params).await?);
            }
            return Ok(all);
        }
        self.each(sql, each, async |client, how, values| execute(client, how, values).await).await
    }

    async fn each<T, const N: usize>(
        &mut self,
        sql: &'static Sql,
        each: &[[&dyn Param; N]],
        run: impl AsyncFn(&Client, &How, &[Bound<'_>]) -> Result<T, DriverError>,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::with_capacity(each.len());
        for some in each.chunks(FLIGHT_MAX) {
            let bound: Vec<[Bound<'_>; N]> =
                some.iter().map(|row| row.map(|param| Bound(param.val()))).collect();
            // The statement is the same for all; so are the kinds of its parameters, an absent value aside.
            let mut how = None;
            for values in &bound {
                how = Some(self.how(sql, values).await?);
            }
            let Some(how) = how else { continue };
            let client = Arc::clone(&self.client);
            let (client, how) = (&*client, &how);
            let answers = async {
                // To the last, whatever failed: each answer is taken.
                let answers = join_all(bound.iter().map(|values| run(client, how, values))).await;
                answers.into_iter().collect::<Result<Vec<T>, DriverError>>()
            };
            all.extend(self.joined(sql.at, answers).await?);
        }
        Ok(all)
    }

    pub(crate) async fn put(&mut self, sql: &'static Sql, params: &[&dyn Param]) -> Result<(), Error> {
        if self.gate.is_some() {
            // Step by step, a statement is over before the next may go.
            return self.exec(sql, params).await.map(drop);
        }
        let values: Vec<Bound<'_>> = params.iter().map(|p| Bound(p.val())).collect();
        let how = self.how(sql, &values).await?;
        let owned: Vec<Owned> = values.iter().map(|v| Owned::from(v.0)).collect();
        let client = Arc::clone(&self.client);
        self.send(Box::pin(async move {
            let values: Vec<Bound<'_>> = owned.iter().map(|v| Bound(v.val())).collect();
            execute(&client, &how, &values).await.map(drop).map_err(|e| (sql.at, e))
        }))
        .await
    }

    pub(crate) async fn script(&mut self, text: &str) -> Result<(), Error> {
        let client = Arc::clone(&self.client);
        self.joined("migration", client.batch_execute(text)).await
    }

    /// Begins with `text`, which travels with the first statement.
    pub(crate) async fn begin(&mut self, text: String) -> Result<(), Error> {
        (self.aborted, self.retry) = (false, false);
        let client = Arc::clone(&self.client);
        self.send(Box::pin(async move { client.batch_execute(&text).await.map_err(|e| ("BEGIN", e)) })).await
    }

    /// From here on this transaction waits for nobody's lock longer than [`TURN`].
    pub(crate) async fn wait_little(&mut self) -> Result<(), Error> {
        let client = Arc::clone(&self.client);
        self.send(Box::pin(async move { client.batch_execute(TURN).await.map_err(|e| ("SET", e)) })).await
    }

    /// Runs a text outside of any transaction.
    pub(crate) async fn simple(&self, text: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.client.simple_query(text).await.map_err(|e| Error::unavailable(e.to_string()))
    }

    /// Commits. The server answers `COMMIT` in a failed transaction with a silent rollback, and the
    /// driver does not show which it was; the `SELECT` before it is refused there, and with it the
    /// rest of the text, so `Ok` means that it said `COMMIT`.
    ///
    /// # Errors
    /// When `lost` is set afterwards, the outcome is unknown; otherwise nothing was applied.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        self.pass_gate().await;
        let client = Arc::clone(&self.client);
        self.joined("COMMIT", client.batch_execute("SELECT 1; COMMIT")).await
    }

    /// Undoes; a connection that cannot is lost. Afterwards every earlier failure is noted.
    pub(crate) async fn rollback(&mut self) {
        let client = Arc::clone(&self.client);
        // What failed before is known already, or is the reason for undoing.
        let _ = self.joined("ROLLBACK", client.batch_execute("ROLLBACK")).await;
    }

    /// The number of parameters and columns of a statement, or why it cannot be used.
    pub(crate) async fn describe(&mut self, sql: &'static Sql) -> Result<(usize, usize), String> {
        let client = Arc::clone(&self.client);
        let prepared = self.joined(sql.at, client.prepare(sql.pg)).await;
        if prepared.is_err() && self.unnamed {
            // There a read runs in a transaction, which the failure has ended.
            let again = client.batch_execute("ROLLBACK; BEGIN READ ONLY");
            self.joined(sql.at, again).await.map_err(|e| e.to_string())?;
        }
        let statement = prepared.map_err(|e| e.to_string())?;
        for (i, column) in statement.columns().iter().enumerate() {
            if !Raw::accepts(column.type_()) {
                let (at, n, kind) = (sql.at, i + 1, column.type_());
                return Err(format!("{at}: column {n} ({}) is {kind}: cast it", column.name()));
            }
        }
        Ok((statement.params().len(), statement.columns().len()))
    }

    async fn pass_gate(&mut self) {
        if let Some(gate) = &mut self.gate {
            self.waiting.store(true, Ordering::Relaxed);
            gate.pass().await;
            self.waiting.store(false, Ordering::Relaxed);
        }
    }

    /// How a statement is sent, after its parameters were looked at: the driver's errors about them
    /// would say less.
    async fn how(&mut self, sql: &'static Sql, values: &[Bound<'_>]) -> Result<How, Error> {
        self.pass_gate().await;
        let given = values.len();
        if self.unnamed {
            let wanted = sql.parameters().1;
            return if wanted == given {
                Ok(How::Unnamed(sql.pg))
            } else {
                Err(Error::Parameters { at: sql.at, wanted, given })
            };
        }
        let statement = if let Some(statement) = self.statements.get(sql.pg) {
            statement.clone()
        } else {
            let client = Arc::clone(&self.client);
            let statement = self.joined(sql.at, client.prepare(sql.pg)).await?;
            self.statements.insert(sql.pg, statement.clone());
            statement
        };
        let types = statement.params();
        if types.len() != given {
            return Err(Error::Parameters { at: sql.at, wanted: types.len(), given });
        }
        for (i, (value, kind)) in values.iter().zip(types).enumerate() {
            if !value.fits(kind) {
                let message =
                    format!("parameter ${} is {}, the statement takes {kind}", i + 1, value.0.kind());
                return Err(Error::Sql { at: sql.at, code: "parameter".into(), message });
            }
        }
        Ok(How::Named(statement))
    }

    /// Sends a statement and does not wait for its answer.
    async fn send(&mut self, mut flight: Flight) -> Result<(), Error> {
        // The first poll is what sends it.
        match poll_fn(|cx| Poll::Ready(flight.as_mut().poll(cx))).await {
            Poll::Ready(Ok(())) => return Ok(()),
            Poll::Ready(Err((at, e))) => return Err(self.failed(at, &e)),
            Poll::Pending => self.flight.push(flight),
        }
        if self.flight.len() < FLIGHT_MAX {
            return Ok(());
        }
        let nothing: Ready<Result<(), DriverError>> = ready(Ok(()));
        self.joined("", nothing).await
    }

    /// Awaits `op` and every earlier answer.
    async fn joined<T>(
        &mut self,
        at: &'static str,
        op: impl Future<Output = Result<T, DriverError>>,
    ) -> Result<T, Error> {
        self.waiting.store(true, Ordering::Relaxed);
        let mut op = pin!(op);
        let mut first = None;
        let flight = &mut self.flight;
        let result = poll_fn(|cx| {
            let result = op.as_mut().poll(cx);
            while let Poll::Ready(Some(answer)) = flight.poll_next_unpin(cx) {
                first = first.take().or(answer.err());
            }
            result
        })
        .await;
        while let Some(answer) = self.flight.next().await {
            first = first.take().or(answer.err());
        }
        self.waiting.store(false, Ordering::Relaxed);
        match (first, result) {
            (None, Ok(value)) => Ok(value),
            (None, Err(e)) => Err(self.failed(at, &e)),
            (Some((at, e)), later) => {
                if let Err(later) = later {
                    // For its marks: the connection may have been lost after an ordinary failure.
                    self.failed(at, &later);
                }
                Err(self.failed(at, &e))
            }
        }
    }

    /// Notes what a failure means for the connection, and says it in our words.
    fn failed(&mut self, at: &'static str, e: &DriverError) -> Error {
        self.aborted = true;
        let Some(db) = e.as_db_error() else {
            // Parameters were looked at before, so what is left is the wire.
            self.lost = true;
            return Error::unavailable("the connection to PostgreSQL was lost");
        };
        let code = db.code().code();
        let fatal = matches!(db.severity(), "FATAL" | "PANIC");
        let plan = code == "0A000" && db.message().starts_with("cached plan");
        if plan {
            self.statements.clear();
        }
        let retry = plan || matches!(code, "40001" | "40P01");
        self.lost |= fatal;
        self.retry |= retry;
        let message = match code {
            "57014" => return Error::TooSlow,
            "22003" => return Error::Overflow { at },
            _ if fatal || retry || ["08", "53", "57"].contains(&&code[..2]) || code == "55P03" => {
                return Error::unavailable(format!("PostgreSQL: {} (code {code})", db.message()));
            }
            "26000" => {
                "a named statement is gone: behind a transaction pooler, unnamed statements are needed".into()
            }
            // Data exceptions quote the value.
            _ if code.starts_with("22") => "a value that the statement cannot take".into(),
            _ => db.message().to_owned(),
        };
        Error::Sql { at, code: code.to_owned(), message }
    }
}

enum How {
    Named(Statement),
    Unnamed(&'static str),
}

async fn query(
    client: &Client,
    how: &How,
    values: &[Bound<'_>],
) -> Result<Vec<tokio_postgres::Row>, DriverError> {
    let stream = match how {
        How::Named(statement) => client.query_raw(statement, values.iter().copied()).await?,
        How::Unnamed(text) => {
            client.query_typed_raw(text, values.iter().map(|v| (*v, v.stated_type()))).await?
        }
    };
    stream.try_collect().await
}

async fn execute(client: &Client, how: &How, values: &[Bound<'_>]) -> Result<u64, DriverError> {
    match how {
        How::Named(statement) => client.execute_raw(statement, values.iter().copied()).await,
        How::Unnamed(text) => {
            let typed: Vec<_> = values.iter().map(Bound::typed).collect();
            client.execute_typed(text, &typed).await
        }
    }
}

/// A value as a parameter. Prints its kind only (the driver logs parameters).
#[derive(Clone, Copy, Debug)]
struct Bound<'a>(Val<'a>);

impl Bound<'_> {
    /// Whether the inferred type takes this kind of value. `SELECT $1 + 1` makes an `int4` of it.
    fn fits(&self, kind: &Type) -> bool {
        match self.0 {
            Val::Null => true,
            Val::Int(n) => *kind == Type::INT8 || *kind == Type::INT4 && i32::try_from(n).is_ok(),
            Val::Bool(_) => *kind == Type::BOOL,
            Val::Text(_) => *kind == Type::TEXT,
            Val::Bytes(_) => *kind == Type::BYTEA,
        }
    }

    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        (self, self.stated_type())
    }

    /// The type to state where nothing was inferred.
    fn stated_type(&self) -> Type {
        match self.0 {
            Val::Null => Type::UNKNOWN,
            Val::Int(_) => Type::INT8,
            Val::Bool(_) => Type::BOOL,
            Val::Text(_) => Type::TEXT,
            Val::Bytes(_) => Type::BYTEA,
        }
    }
}

type Boxed = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Bound<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        match self.0 {
            Val::Null => Ok(IsNull::Yes),
            Val::Int(n) if *kind == Type::INT4 => i32::try_from(n)?.to_sql(kind, out),
            Val::Int(n) => n.to_sql(kind, out),
            Val::Bool(b) => b.to_sql(kind, out),
            Val::Text(t) => t.to_sql(kind, out),
            Val::Bytes(b) => b.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value that waits in flight.
enum Owned {
    Null,
    Int(i64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<Val<'_>> for Owned {
    fn from(v: Val<'_>) -> Self {
        match v {
            Val::Null => Self::Null,
            Val::Int(n) => Self::Int(n),
            Val::Bool(b) => Self::Bool(b),
            Val::Text(t) => Self::Text(t.to_owned()),
            Val::Bytes(b) => Self::Bytes(b.to_vec()),
        }
    }
}

impl Param for Owned {
    fn val(&self) -> Val<'_> {
        match self {
            Self::Null => Val::Null,
            Self::Int(n) => Val::Int(*n),
            Self::Bool(b) => Val::Bool(*b),
            Self::Text(t) => Val::Text(t),
            Self::Bytes(b) => Val::Bytes(b),
        }
    }
}

/// A column as a value: the four types of portable tables, and `int4`, which small literals have.
struct Raw<'a>(Val<'a>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        Ok(Self(match *kind {
            Type::INT4 => Val::Int(i32::from_sql(kind, raw)?.into()),
            Type::INT8 => Val::Int(i64::from_sql(kind, raw)?),
            Type::BOOL => Val::Bool(bool::from_sql(kind, raw)?),
            Type::TEXT => Val::Text(<&str>::from_sql(kind, raw)?),
            _ => Val::Bytes(raw),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Boxed> {
        Ok(Self(Val::Null))
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA, Type::BOOL, Type::INT4].contains(kind)
    }
}

pub(crate) fn column<'r>(row: &'r tokio_postgres::Row, i: usize, at: &'static str) -> Result<Val<'r>, Error> {
    row.try_get::<_, Raw<'r>>(i).map(|raw| raw.0).map_err(|_| {
        let kind = row.columns().get(i).map_or("?", |c| c.type_().name());
        Error::Decode { at, why: format!("column {}: {kind}: cast it", i + 1) }
    })
}

/// The connections of point reads.
pub(crate) struct Pool {
    pub(crate) connector: Arc<Connector>,
    idle: Mutex<Vec<Rx>>,
    permits: Semaphore,
}

impl Pool {
    pub(crate) fn new(connector: Arc<Connector>, max: usize) -> Self {
        Self { connector, idle: Mutex::new(Vec::new()), permits: Semaphore::new(max.max(1)) }
    }

    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Rx>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection that still lives, or a new one.
    async fn take(&self) -> Result<Rx, Error> {
        loop {
            // Not in the condition of the loop: the lock must not be held while connecting.
            let idle = self.idle().pop();
            match idle {
                Some(rx) if rx.alive() => return Ok(rx),
                Some(_) => {}
                None => return Ok(Rx::new(Link::Pg(self.connector.connect(Role::Read).await?))),
            }
        }
    }

    /// A read dropped half-way drops its connection too, so none comes back with anything under way.
    pub(crate) async fn read<C, O, E, F>(&self, clock: &Clock, cmd: &C, f: &F) -> Result<O, E>
    where
        E: From<Error>,
        F: for<'t, 'c> AsyncFn(&'t mut Rx, &'c C) -> Result<O, E>,
    {
        let permit = match tokio::time::timeout(POOL_WAIT, self.permits.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Error::unavailable("it is closed").into()),
            Err(_) => return Err(Error::unavailable("no connection to PostgreSQL is free").into()),
        };
        let mut again = true;
        loop {
            let mut rx = self.take().await?;
            rx.start(clock.now_us());
            if let Some(begin) = self.connector.begin_read() {
                rx.pg_mut().begin(begin).await?;
            }
            let waiting = Arc::clone(&rx.pg_mut().waiting);
            let result = match guarded(f(&mut rx, cmd), &waiting).await {
                // The connection goes too: it is not known what it is in the middle of.
                Err(foreign) => return Err(foreign.into()),
                Ok(result) => result,
            };
            let sound = rx.sound();
            let conn = rx.pg_mut();
            if self.connector.begin_read().is_some() {
                // Nothing was written: only the connection's state matters.
                let _ = conn.commit().await;
                if conn.aborted {
                    conn.rollback().await;
                }
            }
            let repeat = again && (conn.lost || conn.retry);
            if conn.lost {
                // A server that went away took all of them.
                self.idle().clear();
            } else {
                (conn.aborted, conn.retry) = (false, false);
                self.idle().push(rx);
            }
            if !repeat {
                drop(permit);
                return result.and_then(|value| sound.map(|()| value).map_err(E::from));
            }
            again = false;
        }
    }
}
