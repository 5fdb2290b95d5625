//! Managing the people of an account: nobody gives a role, a password or a way in to somebody who may do more than itself.
//!
//! What whoever asks may do is judged in the unit ([`Mandate`]), and of two owners who remove each other one stays.

use super::account;
use super::mandate::Mandate;
use super::person::{self, Change, NewPerson, Person, PersonId, Role};
use super::rights::{Right, Rights};
use super::second_factor::{self, Of};
use super::{Code, Error, Noun, Result, Scope, Violation, session};
use store::{Tx, sql};

/// Somebody, and who does something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Who asks.
    pub by: Mandate,
    /// Whose person.
    pub scope: Scope,
    /// Who.
    pub id: PersonId,
}

fn covers(rights: Rights, role: Role) -> Result<()> {
    let may = rights.allows(Right::Users) && rights.covers(Rights::of_role(role));
    if may { Ok(()) } else { Err(Error::Forbidden) }
}

/// The person, locked, if whoever asks may do this to somebody with its role.
async fn judged(tx: &mut Tx, about: &About) -> Result<(Person, Rights)> {
    let About { by, scope, id } = *about;
    account::lock(tx, &scope.account).await?;
    let person = person::lock(tx, &(scope, id)).await?;
    let rights = by.rights(tx, scope, Some(id)).await?;
    covers(rights, person.role)?;
    Ok((person, rights))
}

/// An account is not left without an owner by its own people and keys; whoever is above it may do so.
async fn stays_owned(tx: &mut Tx, by: Mandate, person: &Person) -> Result<()> {
    let Person { id, scope, role, .. } = person;
    if *role != Role::Owner || by.from.account != scope.account {
        return Ok(());
    }
    // The account's row is locked, and whoever makes or unmakes an owner locks it first.
    let another: Option<PersonId> = tx
        .maybe(
            sql!(
                "SELECT id FROM person WHERE root = $1 AND account = $2 AND role = 'owner' AND id <> $3 LIMIT 1"
            ),
            &[&scope.root, &scope.account, id],
        )
        .await?;
    if another.is_some() { Ok(()) } else { Err(Violation::new("role", Code::LastOwner).into()) }
}

/// Adds a person to an account within reach.
pub async fn create(tx: &mut Tx, (by, scope, new): &(Mandate, Scope, NewPerson)) -> Result<Person> {
    account::lock(tx, &scope.account).await?;
    covers(by.rights(tx, *scope, None).await?, new.role)?;
    let id = person::create(tx, new).await?;
    person::find(tx, &(*scope, id)).await
}

/// Changes a person. What it has signed in with ends when its role changes.
pub async fn update(tx: &mut Tx, (by, change): &(Mandate, Change)) -> Result<Person> {
    let about = About { by: *by, scope: change.scope, id: change.id };
    let (person, rights) = judged(tx, &about).await?;
    if let Some(role) = change.role {
        covers(rights, role)?;
        if role != Role::Owner {
            stays_owned(tx, *by, &person).await?;
        }
    }
    person::update(tx, change).await
}

/// Removes a person. What it has signed in with ends.
pub async fn remove(tx: &mut Tx, about: &About) -> Result<()> {
    let (person, _) = judged(tx, about).await?;
    stays_owned(tx, about.by, &person).await?;
    person::remove(tx, &(about.scope, about.id)).await
}

/// Gives a person another password, of which this is the hash. What it has signed in with ends.
pub async fn set_password(tx: &mut Tx, (about, hash): &(About, String)) -> Result<()> {
    judged(tx, about).await?;
    session::set_password(tx, &(about.scope, about.id, hash.clone(), None)).await
}

/// Ends what a person has signed in with.
pub async fn sign_out(tx: &mut Tx, about: &About) -> Result<()> {
    judged(tx, about).await?;
    person::sign_out(tx, &(about.scope, about.id)).await
}

/// Takes the second factor away from somebody who has lost it, and ends what it has signed in with.
pub async fn take_second_factor(tx: &mut Tx, about: &About) -> Result<()> {
    judged(tx, about).await?;
    second_factor::remove(tx, &Of { scope: about.scope, person: about.id }).await?;
    person::sign_out(tx, &(about.scope, about.id)).await
}

/// Somebody with this password who may come in now, as it is now: the first thing of every unit that lets somebody in, which
/// so locks in the same order as those above.
pub(super) async fn may_come_in(tx: &mut Tx, person: &Person) -> Result<Person> {
    let not_found = |error| match error {
        Error::NotFound(Noun::Account | Noun::Person) => Error::Unauthenticated,
        other => other,
    };
    match account::lock(tx, &person.scope.account).await.map_err(not_found)?.status {
        account::Status::Active => {}
        account::Status::Suspended => return Err(Error::Suspended),
        account::Status::Deleted => return Err(Error::Unauthenticated),
    }
    let now = person::lock(tx, &(person.scope, person.id)).await.map_err(not_found)?;
    if now.password == person.password { Ok(now) } else { Err(Error::Unauthenticated) }
}
