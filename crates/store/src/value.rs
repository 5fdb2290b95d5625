//! The five kinds of value that cross the door, and how the program's types become them and back.
//!
//! A borrowed five-way enum instead of the drivers' traits: no driver's name leaves the crate, both
//! engines refuse the same mistakes, and a typed id or an amount is two one-line impls
//! ([`id!`](crate::id!), [`int!`](crate::int!)).

use std::fmt;

use crate::Error;

/// A value on its way in or out. Text is UTF-8 without NUL, times and amounts are `Int`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Val<'a> {
    /// SQL's `NULL`.
    Null,
    /// `BIGINT`
    Int(i64),
    /// `BOOLEAN`; `SQLite` gives it back as `Int` 0 or 1.
    Bool(bool),
    /// `TEXT`
    Text(&'a str),
    /// `BYTEA`
    Bytes(&'a [u8]),
}

impl Val<'_> {
    /// The kind, for errors. Never the value.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Int(_) => "an integer",
            Self::Bool(_) => "a boolean",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
        }
    }
}

impl fmt::Debug for Val<'_> {
    /// The kind only: `tokio-postgres` prints parameters at its debug level, and values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// What can be given to a statement. Lists are `&[&a, &b]`; none is `&[]`.
pub trait Param: Sync {
    /// The value, borrowed.
    fn val(&self) -> Val<'_>;
}

/// What can be read from one column.
pub trait Column: Sized {
    /// Fails with [`Error::decode`] on another kind or width.
    fn col(v: Val<'_>) -> Result<Self, Error>;
}

/// What can be read from a row, left to right by [`Row::next`].
pub trait FromRow: Sized {
    /// Reads exactly the columns of the statement: one left over is an error.
    fn from_row(r: &mut Row<'_>) -> Result<Self, Error>;
}

fn unexpected(wanted: &str, got: Val<'_>) -> Error {
    Error::decode(format!("wanted {wanted}, got {}", got.kind()))
}

impl<T: Param + ?Sized> Param for &T {
    fn val(&self) -> Val<'_> {
        T::val(self)
    }
}

impl<T: Param> Param for Option<T> {
    fn val(&self) -> Val<'_> {
        self.as_ref().map_or(Val::Null, Param::val)
    }
}

impl<T: Column> Column for Option<T> {
    fn col(v: Val<'_>) -> Result<Self, Error> {
        if matches!(v, Val::Null) { Ok(None) } else { T::col(v).map(Some) }
    }
}

macro_rules! param {
    ($($t:ty => |$s:ident| $val:expr;)*) => {$(
        impl Param for $t {
            fn val(&self) -> Val<'_> {
                let $s = self;
                $val
            }
        }
    )*};
}

param! {
    i64 => |s| Val::Int(*s);
    bool => |s| Val::Bool(*s);
    str => |s| Val::Text(s);
    String => |s| Val::Text(s);
    [u8] => |s| Val::Bytes(s);
    Vec<u8> => |s| Val::Bytes(s);
}

impl<const N: usize> Param for [u8; N] {
    fn val(&self) -> Val<'_> {
        Val::Bytes(self)
    }
}

impl Column for i64 {
    fn col(v: Val<'_>) -> Result<Self, Error> {
        if let Val::Int(n) = v { Ok(n) } else { Err(unexpected("an integer", v)) }
    }
}

impl Column for bool {
    fn col(v: Val<'_>) -> Result<Self, Error> {
        match v {
            Val::Bool(b) => Ok(b),
            Val::Int(0) => Ok(false),
            Val::Int(1) => Ok(true),
            _ => Err(unexpected("a boolean", v)),
        }
    }
}

impl Column for String {
    fn col(v: Val<'_>) -> Result<Self, Error> {
        if let Val::Text(t) = v { Ok(t.to_owned()) } else { Err(unexpected("text", v)) }
    }
}

impl Column for Vec<u8> {
    fn col(v: Val<'_>) -> Result<Self, Error> {
        if let Val::Bytes(b) = v { Ok(b.to_vec()) } else { Err(unexpected("bytes", v)) }
    }
}

impl<const N: usize> Column for [u8; N] {
    fn col(v: Val<'_>) -> Result<Self, Error> {
        let Val::Bytes(b) = v else { return Err(unexpected("bytes", v)) };
        b.try_into().map_err(|_| Error::decode(format!("wanted {N} bytes, got {}", b.len())))
    }
}

/// One row while it is read. Positional: the order of `next` calls is the order of the columns.
pub struct Row<'r> {
    source: Source<'r>,
    at: &'static str,
    next: usize,
    columns: usize,
}

enum Source<'r> {
    Lite(&'r rusqlite::Row<'r>),
    Pg(&'r tokio_postgres::Row),
}

impl<'r> Row<'r> {
    pub(crate) fn lite(row: &'r rusqlite::Row<'r>, columns: usize, at: &'static str) -> Self {
        Self { source: Source::Lite(row), at, next: 0, columns }
    }

    pub(crate) fn pg(row: &'r tokio_postgres::Row, at: &'static str) -> Self {
        Self { source: Source::Pg(row), at, next: 0, columns: row.len() }
    }

    /// Reads the next column.
    ///
    /// # Errors
    /// [`Error::Decode`] when there is none left or it is not a `T`; [`Error::Overflow`] when `SQLite`
    /// made a floating point number of it.
    #[expect(clippy::should_implement_trait, reason = "each call may read another type")]
    pub fn next<T: Column>(&mut self) -> Result<T, Error> {
        let i = self.next;
        if i >= self.columns {
            return Err(
                self.wrong(format!("the program reads more than the {} columns there are", self.columns))
            );
        }
        self.next += 1;
        let value = match self.source {
            Source::Lite(row) => crate::lite::column(row, i, self.at)?,
            Source::Pg(row) => crate::pg::column(row, i, self.at)?,
        };
        T::col(value).map_err(|e| match e {
            Error::Decode { at: "", why } => self.wrong(format!("column {}: {why}", i + 1)),
            other => other,
        })
    }

    /// Reads nothing of what is left: an outer join found nothing for it.
    pub fn skip_rest(&mut self) {
        self.next = self.columns;
    }

    /// Reads a whole row: everything `T` reads and nothing left over.
    pub(crate) fn decode<T: FromRow>(mut self) -> Result<T, Error> {
        let value = T::from_row(&mut self)?;
        if self.next == self.columns {
            return Ok(value);
        }
        Err(self.wrong(format!("the program reads {} of {} columns", self.next, self.columns)))
    }

    fn wrong(&self, why: String) -> Error {
        Error::Decode { at: self.at, why }
    }
}

macro_rules! single {
    ($($t:ty),*) => {$(
        impl FromRow for $t {
            fn from_row(r: &mut Row<'_>) -> Result<Self, Error> {
                r.next()
            }
        }
    )*};
}
single!(i64, bool, String, Vec<u8>);

impl<const N: usize> FromRow for [u8; N] {
    fn from_row(r: &mut Row<'_>) -> Result<Self, Error> {
        r.next()
    }
}

impl<T: Column> FromRow for Option<T> {
    fn from_row(r: &mut Row<'_>) -> Result<Self, Error> {
        r.next()
    }
}

macro_rules! tuples {
    ($($first:ident $($rest:ident)*)?) => {$(
        impl<$first: Column, $($rest: Column),*> FromRow for ($first, $($rest,)*) {
            fn from_row(r: &mut Row<'_>) -> Result<Self, Error> {
                Ok((r.next::<$first>()?, $(r.next::<$rest>()?,)*))
            }
        }
        tuples!($($rest)*);
    )?};
}
tuples!(A B C D E F G H I J K L);

/// Text that is not an id: not exactly 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 32 hexadecimal digits are wanted")]
pub struct BadId;

#[doc(hidden)]
pub fn parse_hex(text: &str) -> Result<[u8; 16], BadId> {
    let mut out = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return Err(BadId);
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |d: u8| char::from(d).to_digit(16).and_then(|n| u8::try_from(n).ok()).ok_or(BadId);
        *byte = digit(pair[0])? * 16 + digit(pair[1])?;
    }
    Ok(out)
}

/// New types for 16-byte ids, one a name: `store::id!(/** Of a contact. */ ContactId, GroupId);`
///
/// Each is `pub struct Name(pub [u8; 16])` with [`Param`], [`Column`], [`FromRow`],
/// `From<[u8; 16]>` (so that [`Tx::id`](crate::Tx::id) makes one), `Copy`, `Eq`, `Ord`, `Hash`,
/// `Display` and `Debug` as 32 lower-case hexadecimal digits, and `FromStr` of exactly 32 digits in
/// either case.
#[macro_export]
macro_rules! id {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        #[doc = concat!("A 16-byte id: `", stringify!($name), "`.")]
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }
        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, "{:032x}", u128::from_be_bytes(self.0))
            }
        }
        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
        impl ::std::str::FromStr for $name {
            type Err = $crate::BadId;
            fn from_str(text: &str) -> ::std::result::Result<Self, $crate::BadId> {
                $crate::__parse_hex(text).map(Self)
            }
        }
        impl $crate::Param for $name {
            fn val(&self) -> $crate::Val<'_> {
                $crate::Val::Bytes(&self.0)
            }
        }
        impl $crate::Column for $name {
            fn col(v: $crate::Val<'_>) -> ::std::result::Result<Self, $crate::Error> {
                <[u8; 16] as $crate::Column>::col(v).map(Self)
            }
        }
        impl $crate::FromRow for $name {
            fn from_row(r: &mut $crate::Row<'_>) -> ::std::result::Result<Self, $crate::Error> {
                r.next()
            }
        }
    )+};
}

/// [`Param`], [`Column`] and [`FromRow`] for existing tuple structs over `i64`, so that an amount is
/// never taken for a time: `struct Money(i64); store::int!(Money, Micros);`
///
/// Nothing else is implemented: [`Rx::now`](crate::Rx::now) also wants `From<i64>`.
#[macro_export]
macro_rules! int {
    ($($name:ident),+ $(,)?) => {$(
        impl $crate::Param for $name {
            fn val(&self) -> $crate::Val<'_> {
                $crate::Val::Int(self.0)
            }
        }
        impl $crate::Column for $name {
            fn col(v: $crate::Val<'_>) -> ::std::result::Result<Self, $crate::Error> {
                <i64 as $crate::Column>::col(v).map(Self)
            }
        }
        impl $crate::FromRow for $name {
            fn from_row(r: &mut $crate::Row<'_>) -> ::std::result::Result<Self, $crate::Error> {
                r.next()
            }
        }
    )+};
}

#[cfg(test)]
mod tests {
    use super::*;

    id!(
        #[expect(unreachable_pub, reason = "nobody outside needs this one")]
        ThingId
    );
    #[derive(Debug, PartialEq)]
    struct Money(i64);
    int!(Money);

    #[test]
    fn ids_are_32_digits() {
        let id: ThingId = "00ff0102030405060708090A0B0C0D0E".parse().unwrap();
        assert_eq!(id.to_string(), "00ff0102030405060708090a0b0c0d0e");
        assert_eq!(format!("{id:?}"), "ThingId(00ff0102030405060708090a0b0c0d0e)");
        assert_eq!(ThingId::col(id.val()), Ok(id));
        for bad in ["", "00", "+0ff0102030405060708090a0b0c0d0e", "00ff0102030405060708090a0b0c0d0é", "zz"] {
            assert_eq!(bad.parse::<ThingId>(), Err(BadId), "{bad}");
        }
    }

    #[test]
    fn another_kind_is_refused_and_never_quoted() {
        assert_eq!(Money::col(Val::Int(3)), Ok(Money(3)));
        let error = Money::col(Val::Text("+31612345678")).unwrap_err();
        assert!(!format!("{error} {error:?} {:?}", Val::Text("+31612345678")).contains("316"));
        assert!(bool::col(Val::Int(2)).is_err() && <[u8; 16]>::col(Val::Bytes(&[0; 15])).is_err());
        assert_eq!(Option::<i64>::col(Val::Null), Ok(None));
        assert!(i64::col(Val::Null).is_err());
    }
}
