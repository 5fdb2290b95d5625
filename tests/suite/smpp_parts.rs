//! Long messages that a customer's system cuts itself: joined whatever the order, told part by part, given up in time.

use crate::support::esme::{Line, SERVES, reported, text};
use crate::support::{TestApp, books};
use rookery::core::message::{self, MessageId, Status as MessageStatus};
use rookery::core::phone::Msisdn;
use rookery::core::smpp_outbox::{self, Receipts};
use rookery::core::smpp_part::{self, Arrived, Completion, Series};
use rookery::core::smpp_user::{self, New, SystemId};
use rookery::core::terms::Book;
use rookery::core::{Result, Scope};
use rookery::run::sweep;
use serde_json::json;
use smpp::concatenation::{Method, Part, segment};
use smpp::encoding::Coding;
use smpp::session::BindKind;
use smpp::short_message::{MessageState, Place, RegisteredDelivery, ShortMessage};
use smpp::status::Status;
use std::collections::BTreeSet;
use std::time::Duration;

/// A text cut into parts, all with receipts.
fn cut(body: &str, coding: Coding, method: Method, reference: u16) -> Vec<ShortMessage> {
    let data_coding = if coding == Coding::Ucs2 { 8 } else { 0 };
    let template = ShortMessage { data_coding, ..reported("31655500011", "") };
    segment(&template, body, coding, method, reference).expect("parts")
}

fn named(all: Vec<ShortMessage>) -> BTreeSet<String> {
    all.into_iter().map(|it| it.receipted_message_id.expect("an id")).collect()
}

#[tokio::test]
async fn parts_make_one_message_whatever_their_order() {
    let line = Line::new().await;
    let (mut esme, mut other) = (line.bound(BindKind::Transceiver), line.bound(BindKind::Transmitter));
    let plain = "Grüße, 5 € {ok}. ".repeat(20);
    let wide = "Привет 😀 ".repeat(18);
    for (number, (body, coding, method)) in [
        (&plain, Coding::Gsm7, Method::Header8),
        (&plain, Coding::Gsm7, Method::Header16),
        (&wide, Coding::Ucs2, Method::Sar),
        (&wide, Coding::Ucs2, Method::Header8),
    ]
    .into_iter()
    .enumerate()
    {
        let mut parts = cut(body, coding, method, 77);
        assert_eq!(parts.len(), 3);
        parts.rotate_left(number % 3);
        // The second goes over another bind of the same user, and the first twice.
        let mut ids =
            vec![esme.send(&parts[0]).expect("it is kept"), other.send(&parts[1]).expect("it is kept")];
        assert_eq!(esme.send(&parts[0]).as_ref(), Ok(&ids[0]), "the same part is the same id");
        let last = esme.send(&parts[2]).expect("it is taken");
        ids.push(last.clone());
        let seen = line.view(&format!("/messages/{last}"));
        assert_eq!(seen["body"], json!(body));
        assert_eq!(seen["recipients"]["items"][0]["messagePartCount"], 3);
        let told = esme.get_all(3);
        assert!(told.iter().all(|it| it.message_state == Some(MessageState::Delivered)));
        assert_eq!(named(told), ids.iter().cloned().collect());
        assert_eq!(
            line.view(&format!("/messages/{}", ids[0]))["errors"][0]["code"],
            20,
            "no message of its own"
        );
    }
    assert_eq!(line.view("/messages?limit=1")["totalCount"], 4);
    assert_eq!(line.balance(), ("9.268".into(), "0.00".into()), "12 parts");
    line.check().await;
}

#[tokio::test]
async fn parts_that_come_at_once_share_commits_and_make_their_messages() {
    let line = Line::with(&SERVES, &["--window", "500"]).await;
    let mut esme = line.bound(BindKind::Transceiver);
    let mut tokens = Vec::new();
    for reference in 0..30_u16 {
        // Only the last part wants a receipt, as some clients have it.
        let mut parts = cut(&"x".repeat(9 * 153), Coding::Gsm7, Method::Header8, reference);
        assert_eq!(parts.len(), 9);
        for part in parts.iter_mut().take(8) {
            part.registered_delivery = RegisteredDelivery::NONE;
            part.destination = smpp::short_message::Address::international("99900000000");
        }
        parts[8].destination = smpp::short_message::Address::international("99900000000");
        parts.reverse();
        tokens.extend(parts.iter().map(|part| esme.submit(part)));
    }
    let ids: BTreeSet<String> =
        tokens.iter().map(|token| esme.answer(*token).expect("it is taken")).collect();
    assert_eq!(ids.len(), 270);
    let told = named(esme.get_all(30));
    assert!(told.len() == 30 && told.is_subset(&ids));
    assert!(esme.got_within(Duration::from_millis(300)).is_empty());
    let listed = line.view("/messages?limit=100");
    assert_eq!(listed["totalCount"], 30);
    assert!(
        listed["items"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|it| it["body"].as_str().map(str::len) == Some(9 * 153))
    );
    line.check().await;
}

#[tokio::test]
async fn parts_of_another_message_are_not_mixed_in() {
    let line = Line::new().await;
    let mut esme = line.bound(BindKind::Transceiver);
    let old = cut(&"a".repeat(200), Coding::Gsm7, Method::Header8, 5);
    let new = cut(&"b".repeat(200), Coding::Gsm7, Method::Header8, 5);
    let lost = esme.send(&old[0]).expect("it is kept");
    let first = esme.send(&new[0]).expect("it is kept");
    let told = esme.get();
    assert_eq!((told.receipted_message_id, told.message_state), (Some(lost), Some(MessageState::Expired)));
    assert_eq!((told.source.value.as_str(), told.destination.value.as_str()), ("31655500011", "Bakery"));
    let last = esme.send(&new[1]).expect("it is taken");
    assert_eq!(line.view(&format!("/messages/{last}"))["body"], json!("b".repeat(200)));
    assert_eq!(named(esme.get_all(2)), BTreeSet::from([first, last]));
    // Too many, and none at all.
    let many = cut(&"x".repeat(10 * 153), Coding::Gsm7, Method::Header8, 6);
    assert_eq!(esme.send(&many[0]), Err(Status::INVALID_MESSAGE_LENGTH));
    let single = ShortMessage {
        octets: [&[5, 0, 3, 7, 1, 1][..], b"alone"].concat(),
        esm_class: smpp::short_message::EsmClass(0x40),
        ..text("31655500011", "")
    };
    let id = esme.send(&single).expect("it is taken");
    assert_eq!(line.view(&format!("/messages/{id}"))["body"], "alone");
    line.check().await;
}

/// A user of an account in this process, whose clock the test moves.
async fn user(app: &TestApp) -> (Scope, SystemId) {
    let partner = app.partner("Acme").await;
    let system_id = SystemId::parse("acme").expect("a name");
    let new = New {
        account: partner.account.id,
        system_id: Some(system_id.clone()),
        password: None,
        is_test: false,
        binds: 1,
        window: 1,
        throughput: None,
        vault: app.vault.clone(),
    };
    app.store.write(new, smpp_user::create).await.expect("a user");
    (partner.account.scope(), system_id)
}

fn arrived(scope: Scope, system_id: &SystemId, number: u8) -> Arrived {
    let place = Place { reference: 5, total: 2, number };
    Arrived {
        series: Series::of(scope, system_id, "Bakery", Msisdn(31_655_500_011), place),
        part: Part { place, data_coding: 0, header: 6, octets: vec![b'x'] },
        receipts: Receipts::asked(RegisteredDelivery::FINAL),
    }
}

async fn told(app: &TestApp, scope: Scope) -> Vec<(MessageId, MessageStatus, Vec<MessageId>)> {
    let lane = smpp_outbox::lane(scope, "acme");
    let taken = app.store.read(lane, smpp_outbox::batch).await.expect("the outbox");
    taken.iter().map(|it| (it.due.message, it.due.recipient.status, smpp_outbox::names(it))).collect()
}

/// Parts that are remembered, waiting or not.
async fn rows(app: &TestApp) -> i64 {
    // All tenants: there is one.
    let count = async |rx: &mut store::Rx, (): &()| -> Result<i64> {
        Ok(rx.one(store::sql!("SELECT CAST(count(*) AS BIGINT) FROM smpp_waiting"), &[]).await?)
    };
    app.store.read((), count).await.expect("a count")
}

#[tokio::test]
async fn what_is_not_complete_in_time_is_given_up_and_told() {
    let app = TestApp::new().await;
    let (scope, system_id) = user(&app).await;
    let kept =
        app.store.write(arrived(scope, &system_id, 1), smpp_part::keep).await.expect("a unit").expect("kept");
    // One of which nobody wants to hear.
    let mut unheard = arrived(scope, &system_id, 1);
    unheard.series.reference = 6;
    unheard.receipts = Receipts::default();
    app.store.write(unheard, smpp_part::keep).await.expect("a unit").expect("kept");
    app.pass(Duration::from_secs(299)).await;
    assert!(told(&app, scope).await.is_empty());
    assert_eq!(rows(&app).await, 2);
    assert!(app.store.read(smpp_outbox::BEFORE, smpp_outbox::due_lanes).await.expect("a look").is_empty());
    app.pass(Duration::from_secs(2)).await;
    assert_eq!(rows(&app).await, 1);
    let due = app.store.read(smpp_outbox::BEFORE, smpp_outbox::due_lanes).await.expect("a look");
    assert_eq!(due, [smpp_outbox::lane(scope, "acme")]);
    assert_eq!(told(&app, scope).await, [(kept, MessageStatus::Expired, vec![kept])]);
    let series = arrived(scope, &system_id, 1).series;
    assert!(app.store.read(series, smpp_part::waiting).await.expect("a look").is_empty());
    // The other comes too late, and waits for a first that nobody sends again.
    let other = app.store.write(arrived(scope, &system_id, 2), smpp_part::keep).await.expect("a unit");
    assert!(other.is_some());
    // What nobody fetches is given up as well, and all of it forgotten.
    app.pass(Duration::from_hours(8 * 24)).await;
    app.clock.advance(Duration::from_secs(10));
    assert!(told(&app, scope).await.iter().all(|(id, ..)| Some(*id) == other), "the first is too old");
    app.pass(Duration::from_hours(40 * 24)).await;
    assert!(told(&app, scope).await.is_empty());
    while sweep::turn(&app.store, true).await.expect("the sweep works") {}
    books::check(&app.store).await;
}

#[tokio::test]
async fn a_part_decides_on_what_is_there_and_not_on_what_was() {
    let app = TestApp::new().await;
    let (scope, system_id) = user(&app).await;
    let terms = Book::default().of(&app.store, scope.account).await.expect("the terms");
    let draft = message::Draft {
        originator: rookery::core::phone::Originator::parse("Bakery").expect("an originator"),
        body: "xx".into(),
        format: message::Format::Sms,
        coding: message::Coding::Auto,
        class: 1,
        reference: None,
        report_url: None,
        udh: None,
        scheduled: None,
        validity: None,
        gateway: None,
        numbers: vec![Msisdn(31_655_500_011)],
        groups: Vec::new(),
    };
    let plan = message::plan(&app.store, &terms, draft, 1).await.expect("a plan");
    let first =
        app.store.write(arrived(scope, &system_id, 1), smpp_part::keep).await.expect("a unit").expect("kept");
    let again = app.store.write(arrived(scope, &system_id, 1), smpp_part::keep).await.expect("a unit");
    assert_eq!(again, None, "it would be complete: look again");
    let complete = async |others: Vec<MessageId>| -> Option<MessageId> {
        let completion = Completion { last: arrived(scope, &system_id, 2), others, plan: plan.clone() };
        let made: Result<_> = app.store.write(completion, smpp_part::complete).await;
        made.expect("a unit").map(|made| made.id)
    };
    assert_eq!(complete(Vec::new()).await, None);
    let made = complete(vec![first]).await.expect("a message");
    assert_eq!(complete(vec![first]).await, None, "once");
    assert_ne!(made, first);
    app.settle().await;
}
