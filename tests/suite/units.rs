//! Units against each other: every pair runs interleaved, statement by statement, in transactions of their own as two
//! nodes would run them, and must end as if one had run after the other.
//!
//! On PostgreSQL the first unit stops before each of its statements in turn and the second runs as far as locks let it;
//! SQLite runs one unit at a time, so there both orders are run and the kept counts checked. What is compared is what both
//! units answered and everything that the account holds, without ids.

mod contents;
mod control;
mod smpp;

use self::contents::contents;
use crate::support::{TestApp, books, database::is_postgres};
use futures_util::{StreamExt, stream};
use rookery::core::account::{self, ChildOf, NewChild, Setting};
use rookery::core::archive;
use rookery::core::batch;
use rookery::core::callback::{self, Attempt, Due};
use rookery::core::carrier::CarrierId;
use rookery::core::contact::{self, ContactId, Details, New, Patch};
use rookery::core::endpoint::{self, Heard, Standing};
use rookery::core::group::{self, GroupId, Members};
use rookery::core::idempotency::{self, Claim};
use rookery::core::key::{self, KeyId, Role};
use rookery::core::lease::{self, Holder, Lane};
use rookery::core::ledger::{self, Grant};
use rookery::core::message::{self, Coding, Draft, Format, MessageId, Plan, Reason, Status};
use rookery::core::money::{Amount, Currency};
use rookery::core::number;
use rookery::core::opt_out::{self, Source};
use rookery::core::part::{self, Answer, Part, Shift};
use rookery::core::phone::{Msisdn, Originator};
use rookery::core::query::{self, Askable};
use rookery::core::receipt::{self, Outcome, Receipt};
use rookery::core::rendered::Rendered;
use rookery::core::secret::{Secret, Vault};
use rookery::core::signing_key::{self, Rotation};
use rookery::core::smpp_part;
use rookery::core::smpp_user::{self, SystemId};
use rookery::core::terms::Book;
use rookery::core::{AccountId, Error, Result, Scope, Timestamp, partner, rate, schedule};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
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
    Accept,
    AcceptShort,
    AcceptBelowCost,
    AcceptOnce,
    Claim(u8),
    Ask(u8),
    TakeBack,
    AnswerYes,
    AnswerNo,
    Report(usize, Status),
    DeleteMessage,
    TakeLane(u8),
    Attempted(u16),
    Expire,
    OptOut(i64),
    OptIn(i64),
    Rotate,
    AddNumber,
    Failed,
    AcceptForLater,
    AcceptBatch,
    Cancel,
    Release,
    MakeUser(&'static str),
    RevokeUser,
    Keep(u8),
    Complete,
    Supersede,
    Control(control::Deed),
}

use Act::{
    Accept, AcceptBatch, AcceptBelowCost, AcceptForLater, AcceptOnce, AcceptShort, Add, AnswerNo, AnswerYes,
    Attempted, Cancel, CreateChild, CreateContact, CreateGroup, CreateKey, DeleteAccount, DeleteChild,
    DeleteContact, DeleteGroup, DeleteMessage, DeletePartner, Expire, ImportKey, NameContact, NumberContact,
    Release, Remove, RenameChild, RenameGroup, Report, Resume, RevokeKey, SetRate, SetSigningKey, Suspend,
    Sweep, TakeBack, TakeLane, Terms, UpdatePartner,
};
use Act::{Complete, Keep, MakeUser, RevokeUser, Supersede};

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
    (Accept, Accept),
    (AcceptShort, AcceptShort),
    (Accept, AcceptBelowCost),
    (AcceptBelowCost, AcceptBelowCost),
    (AcceptOnce, AcceptOnce),
    (Accept, Act::Grant(5)),
    (Accept, DeleteAccount),
    (AcceptBelowCost, DeleteAccount),
    (Accept, DeleteMessage),
    (Accept, CreateContact(31_655_500_009)),
    (Accept, AnswerYes),
    (AcceptBelowCost, AnswerNo),
    (Act::Claim(1), Act::Claim(1)),
    (Act::Claim(1), Act::Claim(2)),
    (Act::Claim(1), Suspend),
    (Act::Ask(1), Act::Ask(1)),
    (Act::Ask(1), Act::Ask(2)),
    (Act::Ask(1), AnswerYes),
    (Act::Ask(1), Report(0, Status::Delivered)),
    (TakeBack, TakeBack),
    (TakeBack, AnswerYes),
    (AnswerYes, AnswerYes),
    (AnswerYes, AnswerNo),
    (AnswerNo, AnswerNo),
    (AnswerYes, DeleteAccount),
    (AnswerNo, DeleteMessage),
    (Report(0, Status::Delivered), Report(0, Status::Delivered)),
    (Report(0, Status::Delivered), Report(0, Status::Failed)),
    (Report(0, Status::Delivered), Report(1, Status::Delivered)),
    (Report(0, Status::Delivered), Report(1, Status::Failed)),
    (Report(0, Status::Buffered), Report(0, Status::Buffered)),
    (Report(0, Status::Buffered), Report(1, Status::Failed)),
    (Report(0, Status::Delivered), DeleteMessage),
    (Report(0, Status::Failed), DeleteAccount),
    (DeleteMessage, DeleteMessage),
    (TakeLane(1), TakeLane(2)),
    (TakeLane(1), Suspend),
    (Attempted(200), Attempted(200)),
    (Attempted(200), Attempted(500)),
    (Act::OptOut(0), Act::OptOut(0)),
    (Act::OptOut(0), Act::OptOut(31_655_500_002)),
    (Act::OptOut(0), Act::OptIn(0)),
    (Act::OptOut(0), Act::Claim(1)),
    (Act::OptOut(0), Accept),
    (Act::OptOut(0), DeleteAccount),
    (Act::Rotate, Act::Rotate),
    (Act::Rotate, SetSigningKey),
    (Act::Rotate, DeleteAccount),
    (Act::AddNumber, Act::AddNumber),
    (Act::AddNumber, DeleteAccount),
    (Act::Failed, Act::Failed),
    (Act::Failed, TakeLane(1)),
    (AcceptForLater, AcceptForLater),
    (AcceptForLater, Accept),
    (AcceptBatch, AcceptBatch),
    (AcceptBatch, Accept),
    (AcceptBatch, AcceptBelowCost),
    (Cancel, Cancel),
    (Cancel, Accept),
    (Cancel, AcceptBelowCost),
    (Cancel, AnswerYes),
    (Cancel, DeleteAccount),
    (MakeUser("new"), MakeUser("new")),
    (MakeUser("new"), DeleteAccount),
    (MakeUser("old"), RevokeUser),
    (RevokeUser, RevokeUser),
    (Keep(2), Keep(2)),
    (Keep(2), Keep(3)),
    (Complete, Complete),
    (Complete, Supersede),
    (Complete, Accept),
    (Supersede, Supersede),
];

/// Those of which one works for everybody, so that only one world may be under way.
const FOR_ALL: &[(Act, Act)] = &[
    (Expire, Expire),
    (Expire, Act::Claim(1)),
    (Expire, Act::Ask(1)),
    (Expire, AnswerYes),
    (Expire, Report(0, Status::Delivered)),
    (Expire, Report(1, Status::Failed)),
    (Expire, Accept),
    (Release, Release),
    (Release, Cancel),
    (Release, Accept),
    (Release, DeleteAccount),
];

/// What both sides work on: a child with two contacts, of which the second is in a group, money, and four messages of two
/// parts: its own carrier has accepted one, has been given one, and has not seen one, and one waits for its hour. The
/// money left covers one more, or two of one part. Its day and month of spending are over.
#[derive(Clone)]
struct World {
    scope: Scope,
    contacts: [ContactId; 2],
    group: GroupId,
    key: KeyId,
    secret: String,
    vault: Vault,
    carrier: CarrierId,
    plans: [Plan; 4],
    /// The message for later.
    later: MessageId,
    /// The accepted message, its carrier's names for its parts, and what is told about it.
    accepted: MessageId,
    references: Vec<String>,
    callback: Due,
    given: Vec<Part>,
    /// Its SMPP user, and the part that waits of a message of two.
    user: SystemId,
    waiting: MessageId,
    people: control::People,
}

/// What one part costs the child; its partner pays nothing for it, but more for one to a dear number.
const PRICE: i64 = 20;
const DEAR: i64 = 50;

fn shift(carrier: CarrierId, holder: u8) -> Shift {
    Shift { carrier, holder: Holder([holder; 16]) }
}

/// A message to a number, planned under the account's terms of this moment.
async fn plan(app: &TestApp, account: AccountId, to: i64, body: &str) -> Plan {
    planned(app, account, (to, body), None).await
}

async fn planned(
    app: &TestApp,
    account: AccountId,
    (to, body): (i64, &str),
    scheduled: Option<Timestamp>,
) -> Plan {
    let terms = Book::default().of(&app.store, account).await.expect("the terms");
    let draft = Draft {
        originator: Originator::parse("Rookery").expect("an originator"),
        body: body.into(),
        format: Format::Sms,
        udh: None,
        coding: Coding::Plain,
        class: 1,
        scheduled,
        reference: Some("mine".into()),
        report_url: Some("http://localhost/reports".into()),
        validity: None,
        gateway: None,
        numbers: vec![Msisdn(to)],
        groups: Vec::new(),
    };
    message::plan(&app.store, &terms, draft, 50).await.expect("a plan")
}

/// Gives the parts that wait to their carrier, and says what it answers.
async fn hand_over(app: &TestApp, carrier: CarrierId, accept: bool) -> Vec<Part> {
    let given = app.store.write((shift(carrier, 1), part::BATCH), part::claim).await.expect("parts");
    let mut given = given.parts;
    given.sort_by_key(|part| part.number);
    // A claim tells its parts from earlier ones by the moment.
    app.clock.advance(Duration::from_millis(1));
    if accept {
        app.store.write((shift(carrier, 1), yes(&given)), part::answered).await.expect("an answer");
    }
    given
}

fn yes(parts: &[Part]) -> Vec<(Part, Answer)> {
    let askable = |part: &Part| Askable { name: part.id.to_string().to_uppercase(), after_us: 0 };
    parts.iter().map(|part| (part.clone(), Answer::Askable(part.id.to_string(), askable(part)))).collect()
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
    for (account, amount) in
        [(child.account.id, Amount(10 * PRICE + 19)), (partner, Amount(DEAR - PRICE + 10))]
    {
        let grant = Grant { account, amount, currency: None };
        app.store.write(grant, ledger::grant).await.expect("a balance");
    }

    // Its own numbers and its own carrier: what works for everybody does not meet other worlds there.
    let own = i64::try_from(number).expect("a number");
    let (usual, dear, carrier) = (79_000_000_000 + own, 78_000_000_000 + own, CarrierId(1_000 + own));
    for (account, prefix, amount) in [(child.account.id, "", PRICE), (partner, "78", DEAR)] {
        let set = rate::Set { account, prefix: prefix.into(), amount: Amount(amount), currency: None };
        app.store.write(set, rate::set).await.expect("a rate");
    }
    for number in [usual, dear] {
        let added: Result<()> = app.store.write((number.to_string(), carrier), route).await;
        added.expect("a route");
    }
    let long = plan(app, scope.account, usual, &"x".repeat(200)).await;
    let send = async || app.store.write(long.clone(), message::accept).await.expect("a message").id;
    let accepted = send().await;
    let references = hand_over(app, carrier, true).await.iter().map(|part| part.id.to_string()).collect();
    send().await;
    let given = hand_over(app, carrier, false).await;
    send().await;
    let hour = Timestamp(app.clock.now_us() + 86_400_000_000);
    let later = planned(app, scope.account, (usual, &"x".repeat(200)), Some(hour)).await;
    let kept = app.store.write(later.clone(), message::accept).await.expect("a message for later").id;
    let over: Result<()> = app.store.write(scope, midnight).await;
    over.expect("a day that is over");
    let over: Result<()> = app.store.write(carrier, time_is_over).await;
    over.expect("parts that may be given up");
    let callback = app.store.read(lane(app, scope).await, callback::batch).await;
    let callback = callback.expect("callbacks").due.remove(0);
    let (short, below) =
        (plan(app, scope.account, usual, "Hello").await, plan(app, scope.account, dear, "Hello").await);
    let user = SystemId::parse(&format!("old-{number}")).expect("a name");
    let new = smpp::new_user(scope.account, &user, &vault);
    app.store.write(new, smpp_user::create).await.expect("a user");
    let keep = async |part| app.store.write(part, smpp_part::keep).await.expect("a unit").expect("a part");
    let people = app.store.write((scope, vault.clone()), control::arrange).await.expect("people");
    let waiting = keep(smpp::arrived(scope, &user, 2, 1)).await;
    keep(smpp::arrived(scope, &user, 3, 1)).await;
    World {
        user,
        waiting,
        people,
        scope,
        contacts,
        group,
        key,
        secret: format!("imported-key-of-world-{number}"),
        vault,
        carrier,
        plans: [long, short, below, later],
        later: kept,
        accepted,
        references,
        callback,
        given,
    }
}

async fn route(tx: &mut Tx, (prefix, carrier): &(String, CarrierId)) -> Result<()> {
    let name = format!("world-{}", carrier.0);
    let known =
        sql!("INSERT INTO carrier (id, name, kind) VALUES ($1, $2, 'simulated') ON CONFLICT DO NOTHING");
    tx.put(known, &[carrier, &name]).await?;
    tx.put(sql!("INSERT INTO route (prefix, carrier) VALUES ($1, $2)"), &[prefix, carrier]).await?;
    Ok(())
}

/// The time of everything that a carrier has is over, for whoever gives up what is.
async fn time_is_over(tx: &mut Tx, carrier: &CarrierId) -> Result<()> {
    tx.put(sql!("UPDATE part SET expires = 0 WHERE carrier = $1"), &[carrier]).await?;
    Ok(())
}

/// Whoever spends first begins a new day and a new month.
async fn midnight(tx: &mut Tx, scope: &Scope) -> Result<()> {
    let ends = sql!("UPDATE balance SET day_ends = 1, month_ends = 1 WHERE root = $1 AND account = $2");
    tx.put(ends, &[&scope.root, &scope.account]).await?;
    Ok(())
}

/// The lane of the account's callbacks.
async fn lane(app: &TestApp, scope: Scope) -> Lane {
    let lane: Result<[u8; 16]> = app
        .store
        .write(scope, async |tx: &mut Tx, scope: &Scope| {
            let lane = sql!("SELECT lane FROM callback WHERE root = $1 AND account = $2 LIMIT 1");
            let lane: Vec<u8> = tx.one(lane, &[&scope.root, &scope.account]).await?;
            Ok(lane.try_into().expect("16 bytes"))
        })
        .await;
    Lane(lane.expect("a lane"))
}

/// One unit of the product on the world; the answer without ids.
async fn perform(tx: &mut Tx, (world, act): &(World, Act)) -> Result<String> {
    let World { scope, contacts, group, key, secret, vault, .. } = world.clone();
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
        Act::Control(deed) => return control::act(tx, world, deed).await,
        _ => return send(tx, world, *act).await,
    }
    Ok("done".into())
}

/// The number that the world's messages are to in place of 0.
fn phone(world: &World, number: i64) -> Msisdn {
    if number == 0 { world.given[0].to } else { Msisdn(number) }
}

/// What a customer answered at the first attempt.
fn attempt(world: &World, status: u16) -> Attempt {
    Attempt {
        callback: world.callback.clone(),
        rendered: Rendered::get("http://localhost/reports".into()),
        headers: Vec::new(),
        at: Timestamp(0),
        took_ms: 0,
        answer: Ok(status),
        said: String::new(),
    }
}

/// What is done with messages.
async fn send(tx: &mut Tx, world: &World, act: Act) -> Result<String> {
    let World { scope, carrier, .. } = *world;
    match act {
        Accept => drop(message::accept(tx, &world.plans[0]).await?),
        AcceptShort => drop(message::accept(tx, &world.plans[1]).await?),
        AcceptBelowCost => drop(message::accept(tx, &world.plans[2]).await?),
        AcceptOnce => {
            let claim = Claim::new(scope, "POST", "/messages", "key", &[b"body"]);
            message::accept(tx, &world.plans[1]).await?;
            let answer = idempotency::Answer { status: 201, body: b"{}".to_vec() };
            if !idempotency::keep(tx, &claim, &world.vault, &answer).await? {
                return Err(Error::Limited { retry_after: Duration::from_secs(1) });
            }
        }
        Act::Claim(holder) => {
            return match part::claim(tx, &(shift(carrier, holder), part::BATCH)).await {
                Ok(claimed) => Ok(format!("{} parts", claimed.parts.len())),
                Err(Error::Unavailable(_)) => Ok("not its lane".into()),
                Err(error) => Err(error),
            };
        }
        Act::Ask(holder) => {
            return match query::claim(tx, &(shift(carrier, holder), 0, part::BATCH)).await {
                Ok(questions) => Ok(format!("{} questions", questions.len())),
                Err(Error::Unavailable(_)) => Ok("not its lane".into()),
                Err(error) => Err(error),
            };
        }
        TakeBack => return part::take_back(tx, &shift(carrier, 1)).await.map(|more| more.to_string()),
        AnswerYes => part::answered(tx, &(shift(carrier, 1), yes(&world.given))).await?,
        AnswerNo => {
            let no = Answer::Refused { reason: Reason::Rejected, error: None };
            let answers = world.given.iter().map(|part| (part.clone(), no.clone())).collect();
            part::answered(tx, &(shift(carrier, 1), answers)).await?;
        }
        Report(part, status) => {
            let outcome = Outcome { status, reason: Reason::Generic, error: None };
            let receipt = Receipt { reference: world.references[part].clone(), outcome };
            return receipt::reported(tx, &(carrier, vec![receipt])).await.map(|_| "done".into());
        }
        DeleteMessage => archive::delete(tx, &(scope, world.accepted)).await?,
        TakeLane(holder) => {
            let lane: Vec<u8> = tx
                .one(
                    sql!("SELECT lane FROM callback WHERE root = $1 AND account = $2 LIMIT 1"),
                    &[&scope.root, &scope.account],
                )
                .await?;
            let lane = Lane(lane.try_into().expect("16 bytes"));
            let is_ours = lease::take(tx, &(lane, Holder([holder; 16]))).await?;
            let due = if is_ours { Some(callback::batch(tx, &lane).await?.due) } else { None };
            return Ok(due.map_or("not its lane".into(), |due| format!("{} callbacks", due.len())));
        }
        Attempted(status) => {
            let attempt = attempt(world, status);
            callback::attempted(tx, &vec![attempt]).await?;
        }
        Expire => drop(part::expire(tx, &()).await?),
        Act::OptOut(number) => {
            let add = (scope, vec![phone(world, number)], Source::Command);
            return opt_out::add(tx, &add).await.map(|added| added.to_string());
        }
        Act::OptIn(number) => {
            let remove = (scope, vec![phone(world, number)]);
            return opt_out::remove(tx, &remove).await.map(|gone| gone.to_string());
        }
        Act::Rotate => {
            let at = Timestamp(i64::MAX);
            let rotation = Rotation { account: scope.account, at, vault: world.vault.clone() };
            signing_key::rotate(tx, &rotation).await?;
        }
        Act::AddNumber => {
            let msisdn = Msisdn(1_000_000_000_000 + scope.account.0);
            let add =
                number::Add { msisdn, word: None, account: scope.account, inbound_url: None, form: None };
            number::add(tx, &add).await?;
        }
        Act::Failed => {
            let mut lane = [0xFF; 16];
            lane[8..].copy_from_slice(&scope.account.0.to_be_bytes());
            let attempts = vec![attempt(world, 500)];
            let heard = Heard { lane: Lane(lane), standing: Standing::default(), attempts };
            endpoint::heard(tx, &heard).await?;
        }
        AcceptForLater => drop(message::accept(tx, &world.plans[3]).await?),
        AcceptBatch => {
            let [_, short, below, _] = world.plans.clone();
            batch::accept(tx, &vec![short, below]).await?;
        }
        Cancel => archive::delete(tx, &(scope, world.later)).await?,
        Release => {
            // The hour of this world's message alone has come.
            tx.put(sql!("UPDATE schedule SET due = 0 WHERE root = $1"), &[&scope.root]).await?;
            return schedule::release_some(tx, &()).await.map(|_| "done".into());
        }
        MakeUser(_) | RevokeUser | Keep(_) | Complete | Supersede => return smpp::act(tx, world, act).await,
        other => unreachable!("{other:?} is not about messages"),
    }
    Ok("done".into())
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
const AT_ONCE: usize = 12;

#[tokio::test]
async fn pairs_of_units_end_as_if_one_had_run_after_the_other() {
    all(&TestApp::new().await, PAIRS, AT_ONCE).await;
}

#[tokio::test]
async fn pairs_that_work_for_everybody_do_so_as_well() {
    let app = TestApp::new().await;
    all(&app, FOR_ALL, 1).await;
}

async fn all(app: &TestApp, pairs: &[(Act, Act)], at_once: usize) {
    let both_ways = pairs.iter().flat_map(|&(a, b)| if a == b { vec![(a, b)] } else { vec![(a, b), (b, a)] });
    stream::iter(both_ways)
        .for_each_concurrent(at_once, async |pair| Box::pin(serially(app, pair)).await)
        .await;
    while app.store.bulk((), group::sweep).await.expect("the sweep works") {}
    books::check(&app.store).await;
}

async fn serially(app: &TestApp, pair: (Act, Act)) {
    let serial = Box::pin(serial(app, pair)).await;
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
