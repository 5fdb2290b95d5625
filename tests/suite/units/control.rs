//! People who manage each other, the keys that they come with, and who may undo what was done to an account.

use super::{AT_ONCE, Act, World, all};
use crate::support::TestApp;
use rookery::core::api_key::{self, Rotation};
use rookery::core::cap::{self, Caps};
use rookery::core::ceiling::{self, Patch};
use rookery::core::closing::{self, Close};
use rookery::core::key::{self, KeyId};
use rookery::core::mandate::Mandate;
use rookery::core::money::Amount;
use rookery::core::people::{self, About};
use rookery::core::person::{self, Change, NewPerson, Person, Role};
use rookery::core::reach::Sight;
use rookery::core::rights::Rights;
use rookery::core::second_factor::{self, Of, Try};
use rookery::core::secret::{Secret, Vault};
use rookery::core::session;
use rookery::core::suspension::{self, Level};
use rookery::core::{AccountId, Error, Result, Scope, Timestamp};
use store::{Tx, sql};
use totp_rs::Builder;

/// Two owners and a developer of the world's account, each with a session; the developer has a second factor.
#[derive(Debug, Clone)]
pub(super) struct People {
    people: Vec<(Person, KeyId)>,
    code: String,
}

/// What one side does. Numbers are people: who does it, then to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    SignIn(usize),
    Add(usize),
    Remove(usize, usize),
    Demote(usize, usize),
    Password(usize, usize),
    OwnPassword(usize),
    SignOut(usize, usize),
    EndSession(usize),
    TakeFactor(usize, usize),
    Make(usize),
    Widen(usize),
    Rotate(usize),
    Revoke(usize),
    Hold(Level),
    Release(Level),
    Close(Level),
    Reopen(Level),
    Limit(Level, i64),
    Cap(Level, i64),
}

use Deed::{
    Add, Cap, Close as End, Demote, EndSession, Hold, Limit, Make, OwnPassword, Password, Release, Remove,
    Reopen, Revoke, Rotate, SignIn, SignOut, TakeFactor, Widen,
};
use Level::{Operator, Partner};

/// Against each other.
const PAIRS: &[(Deed, Deed)] = &[
    // The last owner stays, whoever is faster.
    (Remove(0, 0), Remove(1, 1)),
    (Demote(0, 0), Demote(1, 1)),
    (Remove(0, 0), Demote(1, 1)),
    // Whoever was demoted or removed meanwhile does nothing more.
    (Remove(0, 1), Remove(1, 0)),
    (Demote(0, 1), Demote(1, 0)),
    (Demote(0, 1), Remove(1, 2)),
    (Demote(0, 1), Add(1)),
    (Demote(0, 1), Password(1, 2)),
    (Remove(0, 1), TakeFactor(1, 2)),
    (EndSession(1), Remove(1, 2)),
    (Add(0), Add(1)),
    // Signing in against what ends it.
    (SignIn(2), SignIn(2)),
    (SignIn(2), Remove(0, 2)),
    (SignIn(2), Demote(0, 2)),
    (SignIn(2), Password(0, 2)),
    (SignIn(2), OwnPassword(2)),
    (SignIn(2), SignOut(0, 2)),
    (SignIn(2), TakeFactor(0, 2)),
    (SignIn(2), EndSession(2)),
    (SignIn(2), Hold(Partner)),
    (OwnPassword(2), Remove(0, 2)),
    // Keys against each other and against their account.
    (Rotate(0), Rotate(0)),
    (Rotate(0), Revoke(0)),
    (Rotate(0), Widen(1)),
    (Revoke(0), Revoke(1)),
    (Rotate(0), Limit(Operator, 5)),
    // Whoever was demoted or removed meanwhile makes, widens, replaces and ends no key.
    (Demote(0, 1), Make(1)),
    (Demote(0, 1), Widen(1)),
    (Demote(0, 1), Rotate(1)),
    (Remove(0, 1), Revoke(1)),
    (EndSession(1), Rotate(1)),
    // What the operator did stays.
    (Hold(Operator), Hold(Partner)),
    (Hold(Operator), Release(Partner)),
    (Hold(Partner), Release(Operator)),
    (Release(Partner), Release(Operator)),
    (End(Operator), End(Partner)),
    (End(Operator), Reopen(Partner)),
    (End(Partner), Reopen(Partner)),
    (End(Partner), Reopen(Operator)),
    (End(Partner), Hold(Operator)),
    (End(Partner), Release(Partner)),
    (Limit(Operator, 5), Limit(Partner, 9)),
    (Limit(Operator, 5), Limit(Partner, 3)),
    (Limit(Partner, 5), Limit(Partner, 9)),
    (Cap(Operator, 5), Cap(Partner, 9)),
    (Cap(Operator, 5), Cap(Partner, 3)),
];

/// Against the units of the account.
const BESIDE: &[(Deed, Act)] = &[
    (SignIn(2), Act::DeleteAccount),
    (Remove(0, 2), Act::DeleteAccount),
    (Add(0), Act::DeleteAccount),
    (OwnPassword(2), Act::DeleteAccount),
    (Rotate(0), Act::DeleteAccount),
    (Rotate(0), Act::RevokeKey),
    (Make(0), Act::DeleteAccount),
    (Hold(Partner), Act::DeleteAccount),
    (End(Operator), Act::DeleteChild),
    (End(Partner), Act::DeleteAccount),
    (Cap(Operator, 5), Act::Accept),
];

fn by_sight(world: &World, level: Level) -> Sight {
    let Scope { root, account } = world.scope;
    match level {
        Operator => Sight::operators(account),
        Partner => Sight { from: Scope { root, account: root }, at: account },
    }
}

/// Makes the people, within one unit.
pub(super) async fn arrange(tx: &mut Tx, (scope, vault): &(Scope, Vault)) -> Result<People> {
    let mut people = Vec::new();
    let mut code = String::new();
    for (number, role) in [Role::Owner, Role::Owner, Role::Developer].into_iter().enumerate() {
        let email = format!("{number}@child.example");
        let new =
            NewPerson { account: scope.account, email, name: String::new(), role, password: "hash".into() };
        let id = person::create(tx, &new).await?;
        let found = person::find(tx, &(*scope, id)).await?;
        let begun = session::begin(tx, &asked(&found, scope, number, vault, None)).await?;
        people.push((found, begun.expect("a session").key.id));
        if role == Role::Developer {
            let of = Of { scope: *scope, person: id };
            let seed = second_factor::enrol(tx, &(of, vault.clone())).await?;
            let now: Timestamp = tx.now();
            let seconds = u64::try_from(now.0 / 1_000_000).expect("a time");
            let seed = totp_rs::Secret::try_from_base32(&seed).expect("base 32");
            code = Builder::new().with_secret(seed).build().expect("a seed").generate(seconds).to_string();
            let tried = Try { of, code: Some(code.clone()), vault: vault.clone() };
            second_factor::confirm(tx, &tried).await?.expect("a first code");
            // The code counts once more.
            tx.put(sql!("UPDATE second_factor SET step = 0 WHERE root = $1"), &[&scope.root]).await?;
        }
    }
    Ok(People { people, code })
}

fn asked(
    person: &Person,
    scope: &Scope,
    number: usize,
    vault: &Vault,
    code: Option<String>,
) -> session::Asked {
    let token = Secret::new(format!("token-{}-{number}-{}", scope.account, code.is_some()));
    session::Asked { person: person.clone(), token, code, address: String::new(), vault: vault.clone() }
}

pub(super) async fn act(tx: &mut Tx, world: &World, deed: Deed) -> Result<String> {
    let scope = world.scope;
    let People { people, code } = &world.people;
    let by = |who: usize| Mandate { from: scope, key: people[who].1 };
    let about = |who: usize, whom: usize| About { by: by(who), scope, id: people[whom].0.id };
    let of_key = |who: usize| api_key::About { by: by(who), account: scope.account, id: world.key };
    match deed {
        SignIn(who) => {
            let asked = asked(&people[who].0, &scope, who, &world.vault, Some(code.clone()));
            return Ok(match session::begin(tx, &asked).await {
                Ok(Ok(begun)) => begun.role.name().into(),
                Ok(Err(proof)) => format!("{proof:?}"),
                // Two with one token: only a test does that.
                Err(Error::Invalid(_)) => "the token is taken".into(),
                Err(error) => return Err(error),
            });
        }
        Add(who) => {
            let (account, email) = (scope.account, "new@child.example".to_owned());
            let new =
                NewPerson { account, email, name: String::new(), role: Role::Owner, password: "hash".into() };
            people::create(tx, &(by(who), scope, new)).await?;
        }
        Remove(who, whom) => people::remove(tx, &about(who, whom)).await?,
        Demote(who, whom) => {
            let id = people[whom].0.id;
            let change = Change { scope, id, name: None, role: Some(Role::ReadOnly) };
            people::update(tx, &(by(who), change)).await?;
        }
        Password(who, whom) => people::set_password(tx, &(about(who, whom), "another".into())).await?,
        OwnPassword(who) => {
            let (person, key) = &people[who];
            session::set_password(tx, &(scope, person.id, "mine".into(), Some(*key))).await?;
        }
        SignOut(who, whom) => people::sign_out(tx, &about(who, whom)).await?,
        EndSession(who) => session::end(tx, &(scope, people[who].0.id, people[who].1)).await?,
        TakeFactor(who, whom) => people::take_second_factor(tx, &about(who, whom)).await?,
        Make(who) => {
            let (by, account, role) = (by(who), scope.account, key::Role::Live);
            let patch = api_key::Patch { name: Some("made".into()), ..api_key::Patch::default() };
            api_key::create(tx, &api_key::New { by, account, role, text: None, patch }).await?;
        }
        Widen(who) => {
            let patch = api_key::Patch { rights: Some(Rights::ALL), ..api_key::Patch::default() };
            api_key::update(tx, &(of_key(who), patch)).await?;
        }
        Rotate(who) => {
            api_key::rotate(tx, &Rotation { about: of_key(who), overlap: 0 }).await?;
        }
        Revoke(who) => api_key::revoke(tx, &of_key(who)).await?,
        Hold(level) => drop(suspension::suspend(tx, &by_sight(world, level)).await?),
        Release(level) => drop(suspension::resume(tx, &by_sight(world, level)).await?),
        End(level) => {
            drop(closing::close(tx, &Close { sight: by_sight(world, level), days: 30 }).await?);
        }
        Reopen(level) => drop(closing::reopen(tx, &by_sight(world, level)).await?),
        Limit(level, most) => {
            let patch = Patch { messages: Some(Some(most)), ..Patch::default() };
            ceiling::limit(tx, &(scope, level, patch)).await?;
        }
        Cap(level, most) => {
            let caps = Caps { day: Some(Some(Amount(most))), month: None };
            ceiling::cap(tx, &(scope, level, caps)).await?;
            cap::set(tx, &(scope, caps)).await?;
        }
    }
    Ok("done".into())
}

/// What is left of it, in any order.
pub(super) async fn contents(tx: &mut Tx, root: &AccountId) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let held: Vec<(Option<String>, Option<String>, bool)> = tx
        .all(sql!("SELECT held_by, closed_by, closes IS NOT NULL FROM account WHERE root = $1"), &[root])
        .await?;
    lines.extend(held.iter().map(|row| format!("held {row:?}")));
    let people: Vec<(String, String, String)> =
        tx.all(sql!("SELECT email, role, password FROM person WHERE root = $1"), &[root]).await?;
    lines.extend(people.iter().map(|row| format!("person {row:?}")));
    let factors: Vec<(bool, bool)> =
        tx.all(sql!("SELECT confirmed, step > 0 FROM second_factor WHERE root = $1"), &[root]).await?;
    lines.extend(factors.iter().map(|row| format!("factor {row:?}")));
    let limits: Vec<Option<i64>> =
        tx.all(sql!("SELECT messages FROM allowance WHERE root = $1"), &[root]).await?;
    lines.extend(limits.iter().map(|row| format!("limit {row:?}")));
    let ceilings: Vec<(Option<i64>, Option<i64>)> =
        tx.all(sql!("SELECT messages, day_cap FROM ceiling WHERE root = $1"), &[root]).await?;
    lines.extend(ceilings.iter().map(|row| format!("ceiling {row:?}")));
    let caps: Vec<Option<i64>> = tx.all(sql!("SELECT day_cap FROM balance WHERE root = $1"), &[root]).await?;
    lines.extend(caps.iter().map(|row| format!("cap {row:?}")));
    Ok(lines)
}

#[tokio::test]
async fn people_keys_and_holds_end_as_if_one_had_been_done_after_the_other() {
    let pairs = PAIRS.iter().map(|(a, b)| (Act::Control(*a), Act::Control(*b)));
    let beside = BESIDE.iter().map(|(deed, act)| (Act::Control(*deed), *act));
    let pairs: Vec<(Act, Act)> = pairs.chain(beside).collect();
    all(&TestApp::new().await, &pairs, AT_ONCE).await;
}

/// A deletion of the partner's is undone by the partner, one of the operator's is not, and never is more given back than
/// there was.
#[tokio::test]
async fn nobody_is_left_without_an_owner_and_nothing_is_undone_by_the_wrong_one() {
    let app = TestApp::new().await;
    let world = super::world(&app).await;
    let run = async |deed: Deed| app.store.write((world.clone(), Act::Control(deed)), super::perform).await;
    let refused = async |deed: Deed| run(deed).await.expect_err("a refusal").to_string();
    run(Demote(0, 1)).await.expect("one of two owners");
    assert_eq!(refused(Demote(0, 0)).await, "role is that of the last owner");
    assert_eq!(refused(Remove(0, 0)).await, "role is that of the last owner");
    run(Hold(Partner)).await.expect("suspended");
    run(Hold(Operator)).await.expect("suspended as well");
    run(Hold(Partner)).await.expect("suspending twice is once");
    assert_eq!(refused(Release(Partner)).await, "suspended by the operator");
    assert_eq!(refused(End(Partner)).await, "suspended by the operator", "nor is that ended by an end");
    run(Release(Operator)).await.expect("resumed");
    run(End(Partner)).await.expect("closing");
    assert_eq!(refused(Release(Operator)).await, "status is invalid");
    run(Hold(Operator)).await.expect("one that is about to be deleted");
    run(Reopen(Partner)).await.expect("its own");
    assert_eq!(refused(Release(Partner)).await, "suspended by the operator");
    run(End(Operator)).await.expect("closing, by the operator");
    assert_eq!(refused(Reopen(Partner)).await, "being deleted by the operator");
    assert_eq!(refused(End(Partner)).await, "being deleted by the operator");
    run(Reopen(Operator)).await.expect("the operator's own");
    run(Limit(Partner, 9)).await.expect("no ceiling yet");
    run(Limit(Operator, 5)).await.expect("the operator's");
    assert_eq!(
        refused(Limit(Partner, 6)).await,
        "messagesPerSecond is limited by the operator, and can only be made stricter"
    );
    run(Limit(Partner, 4)).await.expect("stricter");
    app.settle().await;
}
