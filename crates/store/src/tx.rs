//! What a unit and a read hold in their hands.
//!
//! Invariants: the first error of a statement poisons the `Tx` (every later statement repeats it, and
//! the unit fails though it returned `Ok`), because `PostgreSQL` has given up the transaction by then
//! and `SQLite` would keep the rest. Time stands still during a unit. Ids and random bytes come from
//! here only.

use std::ops::{Deref, DerefMut};

use crate::env::Entropy;
use crate::value::{FromRow, Param, Val};
use crate::{Error, Sql, lite, pg};

/// A connection of either engine.
pub(crate) enum Link {
    Lite(lite::Conn),
    Pg(pg::Conn),
}

/// Reads. A reading function takes `&mut Rx`; a unit calls it with its `&mut Tx`.
pub struct Rx {
    pub(crate) link: Link,
    pub(crate) poison: Option<Error>,
    /// Something may have been written.
    pub(crate) wrote: bool,
    now_us: i64,
}

impl Rx {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, poison: None, wrote: false, now_us: 0 }
    }

    /// A fresh start for the next unit or read on this connection.
    pub(crate) fn start(&mut self, now_us: i64) {
        self.poison = None;
        self.wrote = false;
        self.now_us = now_us;
    }

    /// The one row of the answer.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Several`] when there is another number of rows.
    pub async fn one<T: FromRow>(&mut self, sql: &'static Sql, params: &[&dyn Param]) -> Result<T, Error> {
        match self.maybe(sql, params).await? {
            Some(row) => Ok(row),
            None => self.note(Err(Error::Missing { at: sql.at })),
        }
    }

    /// The row of the answer, if there is one.
    ///
    /// # Errors
    /// [`Error::Several`] when there are more.
    pub async fn maybe<T: FromRow>(
        &mut self,
        sql: &'static Sql,
        params: &[&dyn Param],
    ) -> Result<Option<T>, Error> {
        let mut rows = self.all(sql, params).await?;
        if rows.len() > 1 {
            return self.note(Err(Error::Several { at: sql.at }));
        }
        Ok(rows.pop())
    }

    /// All rows of the answer. The statement bounds their number (`LIMIT`), not this function.
    pub async fn all<T: FromRow>(
        &mut self,
        sql: &'static Sql,
        params: &[&dyn Param],
    ) -> Result<Vec<T>, Error> {
        self.fit(sql, params)?;
        let rows = match &mut self.link {
            Link::Lite(conn) => conn.rows(sql, params),
            Link::Pg(conn) => conn.rows(sql, params).await,
        };
        // As with `exec`: what should return the rows that it changes and returns none leaves nothing to undo.
        let is_nothing = sql.returns() && matches!(&rows, Ok(rows) if rows.is_empty());
        self.wrote |= !sql.reads() && !is_nothing;
        self.note(rows)
    }

    /// The rows of one statement run for each of several items, in their order. On `PostgreSQL` all are
    /// sent before the first answer is awaited: many cost one round trip.
    pub async fn all_each<'i, T: FromRow, I, const N: usize>(
        &mut self,
        sql: &'static Sql,
        items: &'i [I],
        params: impl Fn(&'i I) -> [&'i dyn Param; N],
    ) -> Result<Vec<Vec<T>>, Error> {
        let each: Vec<_> = items.iter().map(params).collect();
        each.iter().try_for_each(|params| self.fit(sql, params))?;
        let rows = match &mut self.link {
            Link::Lite(conn) => conn.rows_each(sql, &each),
            Link::Pg(conn) => conn.rows_each(sql, &each).await,
        };
        let is_nothing = sql.returns() && matches!(&rows, Ok(rows) if rows.iter().all(Vec::is_empty));
        self.wrote |= !sql.reads() && !is_nothing;
        self.note(rows)
    }

    /// Like [`Rx::all_each`], where each answer has at most one row.
    ///
    /// # Errors
    /// [`Error::Several`] when one has more.
    pub async fn maybe_each<'i, T: FromRow, I, const N: usize>(
        &mut self,
        sql: &'static Sql,
        items: &'i [I],
        params: impl Fn(&'i I) -> [&'i dyn Param; N],
    ) -> Result<Vec<Option<T>>, Error> {
        let all = self.all_each(sql, items, params).await?;
        if all.iter().any(|rows| rows.len() > 1) {
            return self.note(Err(Error::Several { at: sql.at }));
        }
        Ok(all.into_iter().map(|mut rows| rows.pop()).collect())
    }

    /// Microseconds since the epoch, the same during the whole unit or read.
    pub fn now<T: From<i64>>(&self) -> T {
        T::from(self.now_us)
    }

    /// For code that only ever meets `SQLite`.
    pub(crate) fn lite(&self) -> &lite::Conn {
        match &self.link {
            Link::Lite(conn) => conn,
            Link::Pg(_) => unreachable!("SQLite's threads hold SQLite's connections"),
        }
    }

    pub(crate) fn lite_mut(&mut self) -> &mut lite::Conn {
        match &mut self.link {
            Link::Lite(conn) => conn,
            Link::Pg(_) => unreachable!("SQLite's threads hold SQLite's connections"),
        }
    }

    /// Whether the connection can be used for something new.
    pub(crate) fn alive(&self) -> bool {
        match &self.link {
            Link::Lite(_) => true,
            Link::Pg(conn) => conn.alive(),
        }
    }

    /// For code that only ever meets `PostgreSQL`.
    pub(crate) fn pg_mut(&mut self) -> &mut pg::Conn {
        match &mut self.link {
            Link::Pg(conn) => conn,
            Link::Lite(_) => unreachable!("PostgreSQL's threads hold PostgreSQL's connections"),
        }
    }

    pub(crate) fn sound(&self) -> Result<(), Error> {
        self.poison.clone().map_or(Ok(()), Err)
    }

    /// Whether a statement may be run, and with these.
    fn fit(&mut self, sql: &'static Sql, params: &[&dyn Param]) -> Result<(), Error> {
        self.sound()?;
        let has_nul = |param: &&dyn Param| matches!(param.val(), Val::Text(text) if text.contains('\0'));
        if params.iter().any(has_nul) {
            return self.note(Err(Error::Nul { at: sql.at }));
        }
        Ok(())
    }

    fn note<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            self.poison.get_or_insert_with(|| error.clone());
        }
        result
    }
}

/// Reads and writes, inside one unit.
pub struct Tx {
    rx: Rx,
    entropy: Entropy,
}

impl Deref for Tx {
    type Target = Rx;
    fn deref(&self) -> &Rx {
        &self.rx
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Rx {
        &mut self.rx
    }
}

impl Tx {
    pub(crate) fn new(link: Link, entropy: Entropy) -> Self {
        Self { rx: Rx::new(link), entropy }
    }

    /// Runs a statement now and tells the number of rows it changed.
    pub async fn exec(&mut self, sql: &'static Sql, params: &[&dyn Param]) -> Result<u64, Error> {
        self.fit(sql, params)?;
        let count = match &mut self.rx.link {
            Link::Lite(conn) => conn.exec(sql, params),
            Link::Pg(conn) => conn.exec(sql, params).await,
        };
        // A guard that let nothing through leaves nothing to undo.
        self.wrote |= !matches!(count, Ok(0));
        self.note(count)
    }

    /// Runs one statement for each of several items, in their order, and tells the number of rows that each changed. On `PostgreSQL` all are sent before the first answer is awaited: many cost one round trip.
    pub async fn exec_each<'i, I, const N: usize>(
        &mut self,
        sql: &'static Sql,
        items: &'i [I],
        params: impl Fn(&'i I) -> [&'i dyn Param; N],
    ) -> Result<Vec<u64>, Error> {
        let each: Vec<_> = items.iter().map(params).collect();
        each.iter().try_for_each(|params| self.fit(sql, params))?;
        let counts = match &mut self.rx.link {
            Link::Lite(conn) => conn.exec_each(sql, &each),
            Link::Pg(conn) => conn.exec_each(sql, &each).await,
        };
        self.wrote |= !matches!(&counts, Ok(counts) if counts.iter().all(|count| *count == 0));
        self.note(counts)
    }

    /// Runs a statement whose count nobody looks at. On `PostgreSQL` it is sent now and awaited with a
    /// later statement or with the commit: a unit of `put`s costs no round trip of its own, and an
    /// error may show up at a later statement, or as the unit's.
    pub async fn put(&mut self, sql: &'static Sql, params: &[&dyn Param]) -> Result<(), Error> {
        self.fit(sql, params)?;
        self.wrote = true;
        let sent = match &mut self.rx.link {
            Link::Lite(conn) => conn.exec(sql, params).map(drop),
            Link::Pg(conn) => conn.put(sql, params).await,
        };
        self.note(sent)
    }

    /// Runs a script of the migrator's. No parameters, no registration, no preparation.
    pub(crate) async fn script(&mut self, text: &str) -> Result<(), Error> {
        self.sound()?;
        self.wrote = true;
        let done = match &mut self.rx.link {
            Link::Lite(conn) => conn.script(text),
            Link::Pg(conn) => conn.script(text).await,
        };
        self.note(done)
    }

    /// A new id: 48 bits of milliseconds and 80 random bits, big endian, so that the order of bytes is
    /// the order of time (and nothing within a millisecond).
    pub fn id<T: From<[u8; 16]>>(&mut self) -> T {
        let ms = u64::try_from(self.now_us / 1000).unwrap_or(0);
        let mut id = [0; 16];
        id[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        self.entropy.fill(&mut id[6..]);
        T::from(id)
    }

    /// Fills `buf` with random bytes; secrets come from here.
    pub fn random(&mut self, buf: &mut [u8]) {
        self.entropy.fill(buf);
    }
}
