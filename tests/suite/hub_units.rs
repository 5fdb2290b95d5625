//! The hub's units against themselves, statement by statement, as two nodes would run them: what is asked for twice at the
//! same moment is made once. On SQLite one runs after the other.

use crate::support::database::is_postgres;
use crate::support::{TestApp, books};
use futures_util::{StreamExt, stream};
use rookery::core::account::ChildOf;
use rookery::core::channel::{self, Cancel, MadeKey, Of, Stage};
use rookery::core::client::{self, Client, Details, NewClient};
use rookery::core::partner::Patch;
use rookery::core::sharing::{self, Request};
use rookery::core::{AccountId, Error, Result, partner};
use rookery::run::grow;
use rookery::wire::EVENTS;
use store::stepped::Step;
use store::{Rx, Tx, sql};

/// More statements than any of these units has before its end.
const LEADS: usize = 32;
const AT_ONCE: usize = 6;

/// Runs a unit twice: the first takes some steps, then the second goes as far as it can, then both end.
async fn twice<C, O, F>(app: &TestApp, command: C, unit: F, lead: usize) -> [Result<O>; 2]
where
    C: Clone + Send + 'static,
    O: Send + 'static,
    F: for<'t, 'c> AsyncFn(&'t mut Tx, &'c C) -> Result<O> + Clone + Send + 'static,
{
    if !is_postgres() {
        let first = app.store.write(command.clone(), unit.clone()).await;
        return [first, app.store.write(command, unit).await];
    }
    let mut first = app.store.stepped(command.clone(), unit.clone()).expect("a stepped unit");
    let mut second = app.store.stepped(command, unit).expect("a stepped unit");
    for _ in 0..lead {
        if first.step().await == Step::Done {
            break;
        }
    }
    while second.step().await == Step::Paused {}
    let (first, second) = tokio::join!(first.finish(), second.finish());
    [first, second]
}

fn leads() -> std::ops::Range<usize> {
    if is_postgres() { 0..LEADS } else { 0..1 }
}

/// How many events of a partner there are.
async fn events(app: &TestApp, partner: AccountId) -> i64 {
    let count: Result<i64> = app
        .store
        .read(partner, async |rx: &mut Rx, partner: &AccountId| {
            Ok(rx.one(sql!("SELECT CAST(count(*) AS BIGINT) FROM event WHERE root = $1"), &[partner]).await?)
        })
        .await;
    count.expect("a number")
}

/// A partner that is told of everything, though nobody listens.
async fn told(app: &TestApp) -> AccountId {
    let partner = app.partner("Acme").await.account.id;
    let patch = Patch { webhook_url: Some("http://127.0.0.1:9/".into()), ..Patch::default() };
    app.store.write((partner, patch), partner::update).await.expect("a URL");
    partner
}

fn new_client(app: &TestApp, partner: AccountId) -> NewClient {
    NewClient {
        partner,
        name: "Bakery".into(),
        email: "it@bakery.example".into(),
        details: Details::default(),
        payload: None,
        vault: app.vault.clone(),
        dialect: EVENTS,
    }
}

fn request(partner: AccountId, client: AccountId) -> Request {
    Request {
        partner,
        client: Some(client),
        owner: None,
        // A number is one account's in the whole installation.
        business: format!("70210{partner}"),
        number: None,
        solution: "1".into(),
        plan: None,
        phone: None,
        permitted: true,
        dialect: EVENTS,
    }
}

async fn creating(app: &TestApp, lead: usize) {
    let partner = told(app).await;
    let made: [Result<(Client, bool)>; 2] = twice(app, new_client(app, partner), client::create, lead).await;
    let [first, second] = made.map(|made| made.expect("a client"));
    assert_eq!(first.0.account.id, second.0.account.id, "{lead}");
    assert_eq!(usize::from(first.1) + usize::from(second.1), 1, "one has made it, {lead}");
    assert_eq!(events(app, partner).await, 1);
    let client = first.0.account.id;
    let shared = twice(app, request(partner, client), sharing::request, lead).await;
    let [first, second] = shared.map(|shared| shared.expect("it is taken").0.id);
    assert_eq!(first, second, "{lead}");
    let made = twice(app, request(partner, client), sharing::complete_at_once, lead).await;
    let [first, second] = made.map(|made| made.expect("it is done").expect("a channel"));
    assert_eq!((first.len(), &first), (1, &second), "{lead}");
    let of = (partner, first[0].clone());
    // Others are at it as well, and who comes second passes over what is locked.
    while app.store.read(of.clone(), channel::find).await.expect("the channel").channel.stage != Stage::Live {
        grow::turn(&app.store, EVENTS).await.expect("channels go on");
    }
    let before = events(app, partner).await;
    assert_eq!(before, 6, "the client, and five of the channel");
    let id = first[0].clone();
    let keys = twice(app, (partner, id.clone()), channel::make_key, lead).await;
    assert!(keys.iter().all(|made| matches!(made, Ok(MadeKey::Made(..)))), "{lead}");
    let (_, left) = app.store.read((partner, id.clone()), channel::keys).await.expect("keys");
    assert_eq!(left.len(), 1, "the later one is the only one, {lead}");
    let of = Of { client: ChildOf { partner, child: client }, id };
    let cancel = Cancel { of, enabled: true, dialect: EVENTS };
    let asked: [std::result::Result<_, Error>; 2] = twice(app, cancel, channel::cancel, lead).await;
    assert!(asked.iter().all(std::result::Result::is_ok), "{lead}");
    assert_eq!(events(app, partner).await, before + 1, "asked twice, told once, {lead}");
}

#[tokio::test]
async fn what_is_asked_for_twice_at_once_is_made_and_told_once() {
    let app = TestApp::new().await;
    stream::iter(leads()).for_each_concurrent(AT_ONCE, |lead| creating(&app, lead)).await;
    books::check(&app.store).await;
}
