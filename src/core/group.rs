//! Groups: named sets of contacts.
//!
//! Both counts (a group's members, a contact's groups) are kept. Lock order: contacts in id order, then groups. A group
//! or contact that goes takes at most 200 memberships (`DETACHED_MAX`) with it in the deleting unit; if there are more, a row
//! in `leaving` makes a sweep remove the rest, some at a time, and the counts of the other side follow.

use super::contact::{self, Contact, ContactId};
use super::phone::Msisdn;
use super::{Error, Listing, Noun, Page, Result, Scope, Timestamp};
use store::{FromRow, Row, Rx, Store, Tx, sql};

store::id! {
    /// A group's id.
    GroupId
}

/// Longest name, in characters (spec 06 section 2).
pub const NAME_MAX: usize = 255;
/// Most contacts that one call adds or removes (spec 06 section 8).
pub const BATCH_MAX: usize = 50;
/// Memberships that one unit removes.
const DETACHED_MAX: i64 = 200;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Need not be unique.
    pub name: String,
    /// How many contacts it has.
    pub members: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last renamed; at first the same.
    pub updated: Timestamp,
}

const COLUMNS: &str = "g.id, g.name, g.members, g.created, g.updated";

impl FromRow for Group {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Group {
            id: row.next()?,
            name: row.next()?,
            members: row.next()?,
            created: row.next()?,
            updated: row.next()?,
        })
    }
}

/// Makes an empty group.
pub async fn create(tx: &mut Tx, (scope, name): &(Scope, String)) -> Result<Group> {
    let (id, now): (GroupId, Timestamp) = (tx.id(), tx.now());
    tx.put(
        sql!(
            "INSERT INTO contact_group (root, account, id, name, members, created, updated)
             VALUES ($1, $2, $3, $4, 0, $5, $5)"
        ),
        &[&scope.root, &scope.account, &id, name, &now],
    )
    .await?;
    count(tx, scope, 1).await?;
    Ok(Group { id, name: name.clone(), members: 0, created: now, updated: now })
}

async fn count(tx: &mut Tx, scope: &Scope, by: i64) -> Result<()> {
    tx.put(
        sql!("UPDATE tally SET groups = groups + $3 WHERE root = $1 AND account = $2"),
        &[&scope.root, &scope.account, &by],
    )
    .await?;
    Ok(())
}

/// Names a group anew.
pub async fn rename(tx: &mut Tx, (scope, id, name): &(Scope, GroupId, String)) -> Result<Group> {
    let now: Timestamp = tx.now();
    tx.maybe(
        sql!(
            "UPDATE contact_group SET name = $4, updated = $5 WHERE root = $1 AND account = $2 AND id = $3
             RETURNING id, name, members, created, updated"
        ),
        &[&scope.root, &scope.account, id, name, &now],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Group))
}

/// Removes a group; its contacts stay.
pub async fn delete(tx: &mut Tx, (scope, id): &(Scope, GroupId)) -> Result<()> {
    // Contacts before groups: the members that the unit will count down are locked first.
    tx.all::<ContactId>(
        sql!(
            "SELECT c.id FROM contact c WHERE c.root = $1 AND c.account = $2 AND c.id IN (
                 SELECT contact FROM membership WHERE root = $1 AND account = $2 AND grp = $3
                 ORDER BY contact LIMIT $4
             ) ORDER BY c.id FOR UPDATE"
        ),
        &[&scope.root, &scope.account, id, &DETACHED_MAX],
    )
    .await?;
    let deleted = tx
        .exec(
            sql!("DELETE FROM contact_group WHERE root = $1 AND account = $2 AND id = $3"),
            &[&scope.root, &scope.account, id],
        )
        .await?;
    if deleted == 0 {
        return Err(Error::NotFound(Noun::Group));
    }
    count(tx, scope, -1).await?;
    detach(tx, scope, Side::Group(*id)).await
}

/// A group.
pub async fn view(rx: &mut Rx, (scope, id): &(Scope, GroupId)) -> Result<Group> {
    rx.maybe(
        sql!("SELECT ", COLUMNS, " FROM contact_group g WHERE g.root = $1 AND g.account = $2 AND g.id = $3"),
        &[&scope.root, &scope.account, id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Group))
}

/// A page of the account's groups.
pub async fn list(store: &Store, scope: Scope, page: Page) -> Result<Listing<Group>> {
    if page.is_near() { store.read((scope, page), all).await } else { store.scan((scope, page), all).await }
}

async fn all(rx: &mut Rx, (scope, page): &(Scope, Page)) -> Result<Listing<Group>> {
    let total = rx
        .one(
            sql!("SELECT groups FROM tally WHERE root = $1 AND account = $2"),
            &[&scope.root, &scope.account],
        )
        .await?;
    let items = rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM contact_group g WHERE g.root = $1 AND g.account = $2 ORDER BY g.id DESC LIMIT $3 OFFSET $4"
            ),
            &[&scope.root, &scope.account, &page.limit, &page.offset],
        )
        .await?;
    Ok(Listing { items, total })
}

/// A page of a group's contacts, newest contact first.
pub async fn contacts(store: &Store, scope: Scope, id: GroupId, page: Page) -> Result<Listing<Contact>> {
    let command = (scope, id, page);
    if page.is_near() { store.read(command, members).await } else { store.scan(command, members).await }
}

async fn members(rx: &mut Rx, (scope, id, page): &(Scope, GroupId, Page)) -> Result<Listing<Contact>> {
    let total = view(rx, &(*scope, *id)).await?.members;
    let items = rx
        .all(
            sql!(
                "SELECT ",
                contact::COLUMNS,
                " FROM membership m JOIN contact c ON c.root = m.root AND c.account = m.account AND c.id = m.contact
                 WHERE m.root = $1 AND m.account = $2 AND m.grp = $3 ORDER BY m.contact DESC LIMIT $4 OFFSET $5"
            ),
            &[&scope.root, &scope.account, id, &page.limit, &page.offset],
        )
        .await?;
    Ok(Listing { items, total })
}

/// A page of the groups that a contact is in, newest group first.
pub async fn of_contact(store: &Store, scope: Scope, id: ContactId, page: Page) -> Result<Listing<Group>> {
    let command = (scope, id, page);
    if page.is_near() { store.read(command, joined).await } else { store.scan(command, joined).await }
}

async fn joined(rx: &mut Rx, (scope, id, page): &(Scope, ContactId, Page)) -> Result<Listing<Group>> {
    let total = contact::view(rx, &(*scope, *id)).await?.groups;
    let items = rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM membership m
                 JOIN contact_group g ON g.root = m.root AND g.account = m.account AND g.id = m.grp
                 WHERE m.root = $1 AND m.account = $2 AND m.contact = $3 ORDER BY m.grp DESC LIMIT $4 OFFSET $5"
            ),
            &[&scope.root, &scope.account, id, &page.limit, &page.offset],
        )
        .await?;
    Ok(Listing { items, total })
}

/// The numbers of the contacts of some groups, at most one more than `max` of each; unknown groups have none.
pub async fn numbers(store: &Store, scope: Scope, groups: Vec<GroupId>, max: usize) -> Result<Vec<Msisdn>> {
    store.scan((scope, groups, max), numbers_of).await
}

async fn numbers_of(rx: &mut Rx, (scope, groups, max): &(Scope, Vec<GroupId>, usize)) -> Result<Vec<Msisdn>> {
    let most = i64::try_from(*max).unwrap_or(i64::MAX).saturating_add(1);
    let mut numbers = Vec::new();
    for group in groups {
        let members: Vec<Msisdn> = rx
            .all(
                sql!(
                    "SELECT c.msisdn FROM membership m
                     JOIN contact c ON c.root = m.root AND c.account = m.account AND c.id = m.contact
                     WHERE m.root = $1 AND m.account = $2 AND m.grp = $3 ORDER BY m.contact LIMIT $4"
                ),
                &[&scope.root, &scope.account, group, &most],
            )
            .await?;
        numbers.extend(members);
    }
    Ok(numbers)
}

/// Contacts to put into or to take out of a group.
#[derive(Debug, Clone)]
pub struct Members {
    /// Whose.
    pub scope: Scope,
    /// Which group.
    pub group: GroupId,
    /// At most [`BATCH_MAX`]; twice is once.
    pub contacts: Vec<ContactId>,
}

impl Members {
    fn sorted(&self) -> Vec<ContactId> {
        let mut ids = self.contacts.clone();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// Puts contacts into a group: all or none. One that is in it already stays.
pub async fn add(tx: &mut Tx, what: &Members) -> Result<()> {
    let Members { scope, group, .. } = what;
    view(tx, &(*scope, *group)).await?;
    let mut added = 0i64;
    for id in what.sorted() {
        lock_contact(tx, scope, id).await?;
        let new = tx
            .exec(
                sql!(
                    "INSERT INTO membership (root, account, grp, contact) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (root, account, grp, contact) DO NOTHING"
                ),
                &[&scope.root, &scope.account, group, &id],
            )
            .await?;
        if new == 1 {
            count_groups(tx, scope, id, 1).await?;
            added += 1;
        }
    }
    count_members(tx, scope, *group, added).await
}

/// Takes contacts out of a group: all or none. One that is not in it is not found.
pub async fn remove(tx: &mut Tx, what: &Members) -> Result<()> {
    let Members { scope, group, .. } = what;
    view(tx, &(*scope, *group)).await?;
    let mut removed = 0i64;
    for id in what.sorted() {
        lock_contact(tx, scope, id).await?;
        let gone = tx
            .exec(
                sql!("DELETE FROM membership WHERE root = $1 AND account = $2 AND grp = $3 AND contact = $4"),
                &[&scope.root, &scope.account, group, &id],
            )
            .await?;
        if gone == 0 {
            // The group may have gone since it was seen, and its members with it.
            view(tx, &(*scope, *group)).await?;
            return Err(Error::NotFound(Noun::Contact));
        }
        count_groups(tx, scope, id, -1).await?;
        removed += 1;
    }
    count_members(tx, scope, *group, -removed).await
}

async fn lock_contact(tx: &mut Tx, scope: &Scope, id: ContactId) -> Result<()> {
    tx.maybe::<ContactId>(
        sql!("SELECT id FROM contact WHERE root = $1 AND account = $2 AND id = $3 FOR UPDATE"),
        &[&scope.root, &scope.account, &id],
    )
    .await?
    .map(|_| ())
    .ok_or(Error::NotFound(Noun::Contact))
}

async fn count_groups(tx: &mut Tx, scope: &Scope, contact: ContactId, by: i64) -> Result<()> {
    tx.put(
        sql!("UPDATE contact SET groups = groups + $4 WHERE root = $1 AND account = $2 AND id = $3"),
        &[&scope.root, &scope.account, &contact, &by],
    )
    .await?;
    Ok(())
}

/// Last in the lock order, and the guard against a group that was deleted meanwhile.
async fn count_members(tx: &mut Tx, scope: &Scope, group: GroupId, by: i64) -> Result<()> {
    let counted = tx
        .exec(
            sql!(
                "UPDATE contact_group SET members = members + $4 WHERE root = $1 AND account = $2 AND id = $3"
            ),
            &[&scope.root, &scope.account, &group, &by],
        )
        .await?;
    if counted == 0 { Err(Error::NotFound(Noun::Group)) } else { Ok(()) }
}

/// What has gone and leaves memberships behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A deleted contact.
    Contact(ContactId),
    /// A deleted group.
    Group(GroupId),
}

impl Side {
    fn parts(self) -> (&'static str, [u8; 16]) {
        match self {
            Side::Contact(id) => ("contact", id.0),
            Side::Group(id) => ("group", id.0),
        }
    }
}

/// Removes memberships of what has gone, at most [`DETACHED_MAX`]; leaves a row for the sweep if there may be more.
pub(super) async fn detach(tx: &mut Tx, scope: &Scope, side: Side) -> Result<()> {
    if detach_some(tx, scope, side).await? == DETACHED_MAX {
        let (kind, id) = side.parts();
        tx.put(
            sql!(
                "INSERT INTO leaving (root, account, side, id) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (root, account, side, id) DO NOTHING"
            ),
            &[&scope.root, &scope.account, &kind, &id],
        )
        .await?;
    }
    Ok(())
}

async fn detach_some(tx: &mut Tx, scope: &Scope, side: Side) -> Result<i64> {
    let (root, account, most) = (&scope.root, &scope.account, &DETACHED_MAX);
    let gone = match side {
        Side::Contact(id) => {
            tx.put(
                sql!(
                    "UPDATE contact_group SET members = members - 1 WHERE root = $1 AND account = $2 AND id IN (
                         SELECT grp FROM membership WHERE root = $1 AND account = $2 AND contact = $3
                         ORDER BY grp LIMIT $4)"
                ),
                &[root, account, &id, most],
            )
            .await?;
            tx.exec(
                sql!(
                    "DELETE FROM membership WHERE root = $1 AND account = $2 AND contact = $3 AND grp IN (
                         SELECT grp FROM membership WHERE root = $1 AND account = $2 AND contact = $3
                         ORDER BY grp LIMIT $4)"
                ),
                &[root, account, &id, most],
            )
            .await?
        }
        Side::Group(id) => {
            tx.put(
                sql!(
                    "UPDATE contact SET groups = groups - 1 WHERE root = $1 AND account = $2 AND id IN (
                         SELECT contact FROM membership WHERE root = $1 AND account = $2 AND grp = $3
                         ORDER BY contact LIMIT $4)"
                ),
                &[root, account, &id, most],
            )
            .await?;
            tx.exec(
                sql!(
                    "DELETE FROM membership WHERE root = $1 AND account = $2 AND grp = $3 AND contact IN (
                         SELECT contact FROM membership WHERE root = $1 AND account = $2 AND grp = $3
                         ORDER BY contact LIMIT $4)"
                ),
                &[root, account, &id, most],
            )
            .await?
        }
    };
    Ok(i64::try_from(gone).unwrap_or(i64::MAX))
}

/// Removes some of the memberships that deleted groups and contacts left; answers whether there is more to do.
pub async fn sweep(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, one deleted object at a time.
    let next: Option<(super::AccountId, super::AccountId, String, [u8; 16])> = tx
        .maybe(
            sql!("SELECT root, account, side, id FROM leaving ORDER BY root, account, side, id LIMIT 1 FOR UPDATE"),
            &[],
        )
        .await?;
    let Some((root, account, kind, id)) = next else {
        return Ok(false);
    };
    let scope = Scope { root, account };
    let side = if kind == "group" { Side::Group(id.into()) } else { Side::Contact(id.into()) };
    if detach_some(tx, &scope, side).await? < DETACHED_MAX {
        tx.put(
            sql!("DELETE FROM leaving WHERE root = $1 AND account = $2 AND side = $3 AND id = $4"),
            &[&root, &account, &kind, &id],
        )
        .await?;
    }
    Ok(true)
}
