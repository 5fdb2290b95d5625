//! Units against each other: every pair runs interleaved, statement by statement, in transactions of their own as two
//! nodes would run them, and must end as if one had run after the other.
//!
//! On PostgreSQL the first unit stops before each of its statements in turn and the second runs as far as locks let it;
//! SQLite runs one unit at a time, so there both orders are run and the kept counts checked. What is compared is what both
//! units answered and everything that the account holds, without ids.

use crate::support::{TestApp, database::is_postgres};
use futures_util::{StreamExt, stream};
use rookery::core::account::{self, ChildOf, NewChild, Setting};
use rookery::core::contact::{self, ContactId, Details, New, Patch};
use rookery::core::group::{self, GroupId, Members};
use rookery::core::key::{self, KeyId, Role};
use rookery::core::ledger::{self, Grant};
use rookery::core::money::{Amount, Currency};
use rookery::core::phone::Msisdn;
use rookery::core::secret::{Secret, Vault};
use rookery::core::{AccountId, Error, Result, Scope, partner, rate};
use std::sync::atomic::{AtomicUsize, Ordering};
use store::stepped::Step;
use store::{Tx, sql};

/// What one side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    CreateContact(i64),
    NameContact(&'static str),
    NumberContact(i64),
    DeleteContact,
    CreateGroup,
    RenameGroup(&'static str),
    DeleteGroup,
    Add,
    Remove,
    Sweep,
    Grant(i64),
    Terms(bool),
    SetRate(i64),
    Suspend,
    Resume,
    DeleteAccount,
    DeleteChild,
    CreateChild,
    DeletePartner,
    RenameChild,
    CreateKey,
    ImportKey,
    RevokeKey,
    SetSigningKey,
    UpdatePartner,
}

use Act::{
    Add, CreateChild, CreateContact, CreateGroup, CreateKey, DeleteAccount, DeleteChild, DeleteContact,
    DeleteGroup, DeletePartner, ImportKey, NameContact, NumberContact, Remove, RenameChild, RenameGroup,
    Resume, RevokeKey, SetRate, SetSigningKey, Suspend, Sweep, Terms, UpdatePartner,
};

/// Every unit against itself, and those against each other that touch the same rows.
const PAIRS: &[(Act, Act)] = &[
    (CreateContact(31_655_500_009), CreateContact(31_655_500_009)),
    (CreateContact(31_655_500_008), CreateContact(31_655_500_009)),
    (CreateContact(31_655_500_009), NumberContact(31_655_500_009)),
    (NameContact("Bea"), NameContact("Cleo")),
    (NumberContact(31_655_500_009), NumberContact(31_655_500_009)),
    (NameContact("Bea"), NumberContact(31_655_500_009)),
    (NameContact("Bea"), DeleteContact),
    (DeleteContact, DeleteContact),
    (CreateGroup, CreateGroup),
    (RenameGroup("One"), RenameGroup("Two")),
    (RenameGroup("One"), DeleteGroup),
    (DeleteGroup, DeleteGroup),
    (DeleteGroup, DeleteContact),
    (Add, Add),
    (Add, Remove),
    (Add, DeleteContact),
    (Add, DeleteGroup),
    (Add, NameContact("Bea")),
    (Remove, Remove),
    (Remove, DeleteContact),
    (Remove, DeleteGroup),
    (Sweep, Sweep),
    (Sweep, DeleteContact),
    (Act::Grant(5), Act::Grant(7)),
    (Act::Grant(5), DeleteAccount),
    (Act::Grant(5), Terms(true)),
    (Terms(true), Terms(false)),
    (SetRate(1), SetRate(2)),
    (Suspend, Suspend),
    (Suspend, Resume),
    (Suspend, DeleteAccount),
    (DeleteAccount, DeleteAccount),
    (DeleteChild, DeleteAccount),
    (DeleteChild, RenameChild),
    (CreateChild, CreateChild),
    (CreateChild, DeletePartner),
    (CreateKey, CreateKey),
    (CreateKey, DeleteAccount),
    (ImportKey, ImportKey),
    (RevokeKey, RevokeKey),
    (RevokeKey, DeleteAccount),
    (SetSigningKey, SetSigningKey),
    (UpdatePartner, UpdatePartner),
];

/// What both sides work on: a child with two contacts, of which the second is in a group, and money.
#[derive(Clone)]
struct World {
    scope: Scope,
    contacts: [ContactId; 2],
    group: GroupId,
    key: KeyId,
    secret: String,
    vault: Vault,
}

async fn world(app: &TestApp) -> World {
    static WORLDS: AtomicUsize = AtomicUsize::new(0);
    let number = WORLDS.fetch_add(1, Ordering::Relaxed);
    let partner = app.partner("Partner").await.account.id;
    let child = app.child(partner, "Child").await;
    let (scope, key, vault) = (child.account.scope(), child.keys[0].id, app.vault.clone());
    let contact = async |msisdn, name: &str| {
        let details = Details { first_name: name.into(), ..Details::default() };
        let new = New { scope, msisdn: Msisdn(msisdn), details };
        app.store.write(new, contact::create).await.expect("a contact").id
    };
    let contacts = [contact(31_655_500_001, "Ada").await, contact(31_655_500_002, "Abe").await];
    let group = app.store.write((scope, "Regulars".to_owned()), group::create).await.expect("a group").id;
    let members = Members { scope, group, contacts: vec![contacts[1]] };
    app.store.write(members, group::add).await.expect("a member");
    let grant = Grant { account: child.account.id, amount: Amount(100), currency: None };
    app.store.write(grant, ledger::grant).await.expect("a balance");
    World { scope, contacts, group, key, secret: format!("imported-key-of-world-{number}"), vault }
}

/// One unit of the product on the world; the answer without ids.
async fn perform(tx: &mut Tx, (world, act): &(World, Act)) -> Result<String> {
    let World { scope, contacts, group, key, secret, vault } = world.clone();
    let (root, id) = (scope.root, scope.account);
    let (child, nobody) = (
        ChildOf { partner: root, child: id },
        Patch {
            scope,
            id: contacts[1],
            msisdn: None,
            first_name: None,
            last_name: None,
            custom: Default::default(),
        },
    );
    let both = Members { scope, group, contacts: contacts.to_vec() };
    let one = Members { scope, group, contacts: vec![contacts[1]] };
    match *act {
        CreateContact(msisdn) => {
            let new = New { scope, msisdn: Msisdn(msisdn), details: Details::default() };
            contact::create(tx, &new).await?;
        }
        NameContact(name) => {
            contact::update(tx, &Patch { first_name: Some(name.into()), ..nobody }).await?;
        }
        NumberContact(msisdn) => {
            contact::update(tx, &Patch { msisdn: Some(Msisdn(msisdn)), ..nobody }).await?;
        }
        DeleteContact => contact::delete(tx, &(scope, contacts[1])).await?,
        CreateGroup => drop(group::create(tx, &(scope, "New".to_owned())).await?),
        RenameGroup(name) => drop(group::rename(tx, &(scope, group, name.to_owned())).await?),
        DeleteGroup => group::delete(tx, &(scope, group)).await?,
        Add => group::add(tx, &both).await?,
        Remove => group::remove(tx, &one).await?,
        Sweep => return group::sweep(tx, &()).await.map(|more| more.to_string()),
        Act::Grant(amount) => {
            let grant = Grant { account: id, amount: Amount(amount), currency: Some(Currency::EUR) };
            ledger::grant(tx, &grant).await?;
        }
        Terms(postpaid) => drop(account::set(tx, &(id, Setting::Postpaid(postpaid))).await?),
        SetRate(amount) => {
            let set = rate::Set { account: id, prefix: "31".into(), amount: Amount(amount), currency: None };
            rate::set(tx, &set).await?;
        }
        Suspend => account::suspend(tx, &id).await?,
        Resume => account::resume(tx, &id).await?,
        DeleteAccount => account::delete(tx, &id).await?,
        DeleteChild => account::delete_child(tx, &child).await?,
        CreateChild => {
            let new = NewChild { partner: root, name: Some("Second".into()), email: String::new(), vault };
            account::create_child(tx, &new).await?;
        }
        DeletePartner => account::delete(tx, &root).await?,
        RenameChild => drop(account::rename_child(tx, &(child, Some("Renamed".into()))).await?),
        CreateKey => drop(key::create_for(tx, &(id, Role::Live, "second".into())).await?),
        ImportKey => {
            let text = Secret::imported_key(&secret).expect("a key's text");
            key::import(tx, &(id, Role::Live, String::new(), text)).await?;
        }
        RevokeKey => key::revoke(tx, &key).await?,
        SetSigningKey => {
            let text = Secret::imported_signing_key(&secret.repeat(2)).expect("a signing key's text");
            account::set_signing_key(tx, &(id, text, vault)).await?;
        }
        UpdatePartner => {
            let patch = partner::Patch { clients_add_numbers: Some(false), ..partner::Patch::default() };
            partner::update(tx, &(root, patch)).await?;
        }
    }
    Ok("done".into())
}

/// Everything below the partner, without ids and times, in a fixed order.
async fn contents(tx: &mut Tx, root: &AccountId) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let accounts: Vec<(String, String, i64, i64, i64, bool, i64)> = tx
        .all(
            sql!(
                "SELECT a.name, a.status, t.contacts, t.groups, b.posted, b.postpaid, b.held FROM account a
                 JOIN tally t ON t.root = a.root AND t.account = a.id
                 JOIN balance b ON b.root = a.root AND b.account = a.id WHERE a.root = $1"
            ),
            &[root],
        )
        .await?;
    lines.extend(accounts.iter().map(|row| format!("account {row:?}")));
    let contacts: Vec<(i64, String, i64)> =
        tx.all(sql!("SELECT msisdn, first_name, groups FROM contact WHERE root = $1"), &[root]).await?;
    lines.extend(contacts.iter().map(|row| format!("contact {row:?}")));
    let words: Vec<String> = tx.all(sql!("SELECT word FROM contact_word WHERE root = $1"), &[root]).await?;
    lines.extend(words.iter().map(|row| format!("word {row:?}")));
    let groups: Vec<(String, i64)> =
        tx.all(sql!("SELECT name, members FROM contact_group WHERE root = $1"), &[root]).await?;
    lines.extend(groups.iter().map(|row| format!("group {row:?}")));
    let keys: Vec<(String, String, bool)> =
        tx.all(sql!("SELECT role, name, revoked IS NULL FROM access_key WHERE root = $1"), &[root]).await?;
    lines.extend(keys.iter().map(|row| format!("key {row:?}")));
    let rates: Vec<(String, i64)> =
        tx.all(sql!("SELECT prefix, amount FROM rate WHERE root = $1"), &[root]).await?;
    lines.extend(rates.iter().map(|row| format!("rate {row:?}")));
    let moved: Vec<(String, i64)> =
        tx.all(sql!("SELECT reason, amount FROM transfer WHERE root = $1"), &[root]).await?;
    lines.extend(moved.iter().map(|row| format!("transfer {row:?}")));
    lines.sort();
    Ok(lines)
}

fn answer(outcome: Result<String>) -> String {
    match outcome {
        Ok(text) => text,
        Err(error @ (Error::Internal(_) | Error::Unavailable(_))) => panic!("a unit failed: {error}"),
        Err(error) => error.to_string(),
    }
}

/// What the two sides answered and what they left.
#[derive(Debug, PartialEq, Eq)]
struct Ending {
    first: String,
    second: String,
    left: Vec<String>,
}

async fn ending(app: &TestApp, world: &World, first: Result<String>, second: Result<String>) -> Ending {
    let left: Result<Vec<String>> = app.store.write(world.scope.root, contents).await;
    Ending { first: answer(first), second: answer(second), left: left.expect("the contents") }
}

/// The endings of the two serial orders.
async fn serial(app: &TestApp, (a, b): (Act, Act)) -> [Ending; 2] {
    let one = world(app).await;
    let first = app.store.write((one.clone(), a), perform).await;
    let second = app.store.write((one.clone(), b), perform).await;
    let forward = ending(app, &one, first, second).await;
    let two = world(app).await;
    let second = app.store.write((two.clone(), b), perform).await;
    let first = app.store.write((two.clone(), a), perform).await;
    [forward, ending(app, &two, first, second).await]
}

/// Lets the first side take `lead` steps, then the second run until it ends or waits for a lock, then both to their ends.
/// `None` when the first had ended before it could be stopped there.
async fn interleaved(app: &TestApp, (a, b): (Act, Act), lead: usize) -> Option<Ending> {
    let world = world(app).await;
    let mut first = app.store.stepped((world.clone(), a), perform).expect("a stepped unit");
    let mut second = app.store.stepped((world.clone(), b), perform).expect("a stepped unit");
    for _ in 0..lead {
        if first.step().await == Step::Done {
            return None;
        }
    }
    while second.step().await == Step::Paused {}
    let (first, second) = tokio::join!(first.finish(), second.finish());
    Some(ending(app, &world, first, second).await)
}

/// Pairs that are under way at once: most of the time is spent waiting to see that a side is blocked.
const AT_ONCE: usize = 6;

#[tokio::test]
async fn pairs_of_units_end_as_if_one_had_run_after_the_other() {
    let app = TestApp::new().await;
    let both_ways = PAIRS.iter().flat_map(|&(a, b)| if a == b { vec![(a, b)] } else { vec![(a, b), (b, a)] });
    stream::iter(both_ways).for_each_concurrent(AT_ONCE, async |pair| serially(&app, pair).await).await;
    app.settle().await;
}

async fn serially(app: &TestApp, pair: (Act, Act)) {
    let serial = serial(app, pair).await;
    let mut lead = 1;
    while is_postgres() {
        let Some(ending) = interleaved(app, pair, lead).await else { break };
        assert!(
            serial.contains(&ending),
            "{pair:?} after {lead} steps: {ending:#?} is neither of {serial:#?}"
        );
        lead += 1;
    }
    assert!(lead > 2 || !is_postgres(), "{pair:?} was never interleaved");
}
