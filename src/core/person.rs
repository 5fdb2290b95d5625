//! People: who signs in with e-mail address and password, and the tokens that they get for it.
//!
//! A partner's people sign in without naming the partner, so their addresses are unique in the installation; the people of
//! a partner's clients sign in on that partner's pages, so theirs are unique there. A token is a key that ends by itself.

use super::account::{self, AccountId, Status};
use super::key::{self, NewKey, Role as Opens};
use super::secret::Secret;
use super::words::words;
use super::{Code, Error, Noun, Result, Scope, Timestamp, Violation, people, second_factor};
use store::{FromRow, Row, Rx, Tx, sql};

store::id! {
    /// A person's id.
    PersonId
}

words! {
    /// What a person may do for the account.
    Role {
        /// Everything.
        Owner = "owner",
        /// Everything but people's roles.
        Admin = "admin",
        /// Keys, callbacks, messages.
        Developer = "developer",
        /// Money.
        Billing = "billing",
        /// Looks only.
        ReadOnly = "read-only",
    }
}

impl Role {
    /// What a token of such a person opens.
    pub fn opens(self) -> Opens {
        match self {
            Role::Owner | Role::Admin | Role::Developer => Opens::Session,
            Role::Billing | Role::ReadOnly => Opens::Viewing,
        }
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Its id.
    pub id: PersonId,
    /// Whose.
    pub scope: Scope,
    /// In lower case.
    pub email: String,
    /// May be empty.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The hash of its password, in PHC's form.
    pub password: String,
}

impl FromRow for Person {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Person {
            id: row.next()?,
            scope: Scope { root: row.next()?, account: row.next()? },
            email: row.next()?,
            name: row.next()?,
            role: row.next()?,
            password: row.next()?,
        })
    }
}

/// Checks and folds an address: something, an at sign, something, no blanks.
pub fn email(text: &str) -> std::result::Result<String, Code> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@').ok_or(Code::Invalid)?;
    let fits = !local.is_empty()
        && domain.len() > 2
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if text.chars().count() > account::NAME_MAX {
        Err(Code::TooLong(account::NAME_MAX))
    } else if fits {
        Ok(text.to_lowercase())
    } else {
        Err(Code::Invalid)
    }
}

/// Where an address is unique.
fn realm(scope: Scope) -> AccountId {
    if scope.account == scope.root { AccountId(0) } else { scope.root }
}

/// Asks for a person.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// Whose.
    pub account: AccountId,
    /// As [`email`] gives it.
    pub email: String,
    /// May be empty.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The hash of its password.
    pub password: String,
}

/// Adds a person to an account.
pub async fn create(tx: &mut Tx, new: &NewPerson) -> Result<PersonId> {
    let owner = account::lock(tx, &new.account).await?;
    if owner.status == Status::Deleted {
        return Err(Error::NotFound(Noun::Account));
    }
    let (id, now, scope): (PersonId, Timestamp, _) = (tx.id(), tx.now(), owner.scope());
    let made = tx
        .exec(
            sql!(
                "INSERT INTO person (root, id, account, realm, email, name, password, role, created)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (realm, email) DO NOTHING"
            ),
            &[
                &scope.root,
                &id,
                &scope.account,
                &realm(scope),
                &new.email,
                &new.name,
                &new.password,
                &new.role,
                &now,
            ],
        )
        .await?;
    if made == 0 { Err(Violation::new("email", Code::Taken).into()) } else { Ok(id) }
}

const COLUMNS: &str = "id, root, account, email, name, role, password";

/// The partner's person with this address.
#[expect(clippy::ptr_arg, reason = "a read takes its question by reference")]
pub async fn of_partners(rx: &mut Rx, email: &String) -> Result<Option<Person>> {
    // All tenants: who signs in names no partner.
    Ok(rx.maybe(sql!("SELECT ", COLUMNS, " FROM person WHERE realm = 0 AND email = $1"), &[email]).await?)
}

/// The person of one of a partner's clients with this address.
pub async fn of_clients(rx: &mut Rx, (partner, email): &(AccountId, String)) -> Result<Option<Person>> {
    Ok(rx
        .maybe(
            sql!("SELECT ", COLUMNS, " FROM person WHERE root = $1 AND realm = $1 AND email = $2"),
            &[partner, email],
        )
        .await?)
}

/// The people of an account, oldest first.
pub async fn list(rx: &mut Rx, scope: &Scope) -> Result<Vec<Person>> {
    Ok(rx
        .all(
            sql!("SELECT ", COLUMNS, " FROM person WHERE root = $1 AND account = $2 ORDER BY id"),
            &[&scope.root, &scope.account],
        )
        .await?)
}

/// Asks for a page of an account's people.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Whose.
    pub scope: Scope,
    /// Only those who came after this one.
    pub after: Option<PersonId>,
    /// Most of them.
    pub limit: i64,
}

/// Somebody, and whether signing in asks for a second factor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed(pub Person, pub bool);

impl FromRow for Listed {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Listed(Person::from_row(row)?, row.next()?))
    }
}

/// A page of an account's people, oldest first.
pub async fn page(rx: &mut Rx, asked: &Asked) -> Result<Vec<Listed>> {
    let Asked { scope, after, limit } = asked;
    let after = after.unwrap_or(PersonId([0; 16]));
    Ok(rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                ", EXISTS (SELECT 1 FROM second_factor s WHERE s.root = person.root AND s.person = person.id
                     AND s.confirmed)
                 FROM person WHERE root = $1 AND account = $2 AND id > $3 ORDER BY id LIMIT $4"
            ),
            &[&scope.root, &scope.account, &after, limit],
        )
        .await?)
}

/// One person of an account.
pub async fn find(rx: &mut Rx, (scope, id): &(Scope, PersonId)) -> Result<Person> {
    rx.maybe(
        sql!("SELECT ", COLUMNS, " FROM person WHERE root = $1 AND account = $2 AND id = $3"),
        &[&scope.root, &scope.account, id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Person))
}

/// The same, which no other unit will change before this one ends.
pub(super) async fn lock(tx: &mut Tx, (scope, id): &(Scope, PersonId)) -> Result<Person> {
    tx.maybe(
        sql!("SELECT ", COLUMNS, " FROM person WHERE root = $1 AND account = $2 AND id = $3 FOR UPDATE"),
        &[&scope.root, &scope.account, id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Person))
}

/// What is changed of a person; `None` leaves it.
#[derive(Debug, Clone)]
pub struct Change {
    /// Whose.
    pub scope: Scope,
    /// Who.
    pub id: PersonId,
    /// May be empty.
    pub name: Option<String>,
    /// What it may do. What it has signed in with ends when that changes.
    pub role: Option<Role>,
}

/// Changes a person.
pub async fn update(tx: &mut Tx, change: &Change) -> Result<Person> {
    let Change { scope, id, name, role } = change;
    let before = lock(tx, &(*scope, *id)).await?;
    let after = role.unwrap_or(before.role);
    tx.put(
        sql!("UPDATE person SET name = $4, role = $5 WHERE root = $1 AND account = $2 AND id = $3"),
        &[&scope.root, &scope.account, id, name.as_ref().unwrap_or(&before.name), &after],
    )
    .await?;
    if after != before.role {
        sign_out(tx, &(*scope, *id)).await?;
    }
    find(tx, &(*scope, *id)).await
}

/// Removes a person. What it has signed in with ends.
pub async fn remove(tx: &mut Tx, (scope, id): &(Scope, PersonId)) -> Result<()> {
    account::lock(tx, &scope.account).await?;
    let gone = tx
        .exec(
            sql!("DELETE FROM person WHERE root = $1 AND account = $2 AND id = $3"),
            &[&scope.root, &scope.account, id],
        )
        .await?;
    if gone == 0 {
        return Err(Error::NotFound(Noun::Person));
    }
    super::second_factor::remove(tx, &super::second_factor::Of { scope: *scope, person: *id }).await?;
    sign_out(tx, &(*scope, *id)).await
}

/// Removes all people of an account: part of deleting it, when all keys are void anyway. Their addresses are free again.
pub(super) async fn remove_all(tx: &mut Tx, scope: Scope) -> Result<()> {
    tx.put(
        sql!("DELETE FROM second_factor WHERE root = $1 AND account = $2"),
        &[&scope.root, &scope.account],
    )
    .await?;
    tx.put(
        sql!(
            "DELETE FROM recovery_code WHERE root = $1
             AND person IN (SELECT id FROM person WHERE root = $1 AND account = $2)"
        ),
        &[&scope.root, &scope.account],
    )
    .await?;
    tx.put(sql!("DELETE FROM person WHERE root = $1 AND account = $2"), &[&scope.root, &scope.account])
        .await?;
    Ok(())
}

/// Makes all tokens of a person void, everywhere within a second.
pub async fn sign_out(tx: &mut Tx, (scope, id): &(Scope, PersonId)) -> Result<()> {
    key::revoke_of_person(tx, scope.account, &id.to_string(), None).await
}

/// Asks for a token.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Who was found and has proved to be who it is.
    pub person: Person,
    /// The token's text.
    pub token: Secret,
    /// What it opens.
    pub opens: Opens,
    /// How long, in seconds.
    pub lasts: i64,
}

/// Stores a token, if the password that was proved is still the person's.
pub async fn sign_in(tx: &mut Tx, asked: &SignIn) -> Result<NewKey> {
    let Person { id, scope, .. } = &asked.person;
    let now = people::may_come_in(tx, &asked.person).await?;
    // Where nobody asks for a second factor, whoever has one does not come in by the password alone.
    if second_factor::is_on(tx, scope, *id).await? {
        return Err(Error::Forbidden);
    }
    // By the role of now: another one may have been given since the password was looked at.
    let opens = if asked.opens == Opens::Onboarding { asked.opens } else { now.role.opens() };
    issue(tx, &SignIn { opens, ..asked.clone() }).await
}

/// Stores a token of somebody who has proved to be who it is.
pub(super) async fn issue(tx: &mut Tx, asked: &SignIn) -> Result<NewKey> {
    let Person { id, scope, .. } = &asked.person;
    let now: Timestamp = tx.now();
    let ends = Timestamp(now.0.saturating_add(asked.lasts.saturating_mul(1_000_000)));
    key::add_for(tx, *scope, asked.opens, "", asked.token.clone(), Some(&id.to_string()), Some(ends)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_folded() {
        assert_eq!(email(" Ops@Acme.example "), Ok("ops@acme.example".into()));
        for bad in ["", "acme", "@acme.example", "a@b", "a b@acme.example", "a@acme\u{7}.example"] {
            assert_eq!(email(bad), Err(Code::Invalid), "{bad}");
        }
    }
}
