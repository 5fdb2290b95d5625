//! The balance on the wire (docs/spec/04-balance.md): what clients see of the ledger.

use crate::support::record::Record;
use crate::support::{TestApp, live, test};
use rookery::core::account::{self, AccountId, NewAccount, NewPartner, Setting};
use rookery::core::ledger::{self, Grant};
use rookery::core::money::{Amount, Currency};
use rookery::core::{Result, Scope};
use serde_json::json;
use store::{Tx, sql};

/// Has the operator grant credit, such as `84.2` or `-0.001`.
async fn grant(app: &TestApp, account: AccountId, amount: &str) {
    let grant = Grant { account, amount: Amount::parse(amount).unwrap(), currency: None };
    app.store.write(grant, ledger::grant).await.expect("credit is granted");
}

async fn set(app: &TestApp, account: AccountId, setting: Setting) {
    app.store.write((account, setting), account::set).await.expect("the setting is changed");
}

async fn partner_in(app: &TestApp, currency: &str) -> NewAccount {
    let new = NewPartner {
        name: "Acme".into(),
        currency: Currency::parse(currency).unwrap(),
        vault: app.vault.clone(),
    };
    app.store.write(new, account::create_partner).await.expect("a partner is made")
}

/// The body as it is on the wire, where the number's form counts.
async fn body(app: &TestApp, account: &NewAccount) -> String {
    let answer = app.request("GET", "/balance").key(live(account)).send().await;
    answer.expect(200);
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test]
async fn prepaid() {
    let (app, mut record) = (TestApp::new().await, Record::new());
    let partner = app.partner("Acme").await;
    let id = partner.account.id;
    let call = || app.request("GET", "/balance").key(live(&partner));
    record.send("a new account", call()).await.expect(200);
    grant(&app, id, "84.2").await;
    let seen = record.send("with credit", call()).await.expect(200);
    assert_eq!(seen, json!({"payment": "prepaid", "type": "euros", "amount": 84.2}));
    let java = app.request("GET", "/balance/").key(live(&partner));
    assert_eq!(record.send("Java's slash", java).await.expect(200), seen);
    let with_test_key = app.request("GET", "/balance").key(test(&partner)).send().await;
    assert_eq!(with_test_key.expect(200), seen, "a test key sees the real balance");
    let in_query = app.request("GET", &format!("/balance?access_key={}", live(&partner))).send().await;
    assert_eq!(in_query.expect(200), seen);

    grant(&app, id, "-100.25").await;
    let owing = record.send("below zero", call()).await.expect(200);
    assert_eq!(owing["amount"], json!(-16.05));
    app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn the_amount_is_a_plain_number_cut_to_cents() {
    let app = TestApp::new().await;
    let partner = app.partner("Acme").await;
    for (granted, shown) in [
        ("0.009999", "0"),
        ("0.000001", "0.01"),
        ("-0.010001", "-0.01"),
        ("0.000001", "0"),
        ("12", "12"),
        ("0.05", "12.05"),
        ("123456789012", "123456789024.05"),
        ("-123456789025", "-0.95"),
    ] {
        grant(&app, partner.account.id, granted).await;
        let expected = format!(r#"{{"payment":"prepaid","type":"euros","amount":{shown}}}"#);
        assert_eq!(body(&app, &partner).await, expected, "after {granted}");
    }
    app.settle().await;
}

#[tokio::test]
async fn postpaid() {
    let (app, mut record) = (TestApp::new().await, Record::new());
    let partner = app.partner("Acme").await;
    let id = partner.account.id;
    grant(&app, id, "-30").await;
    set(&app, id, Setting::Postpaid(true)).await;
    set(&app, id, Setting::CreditLimit(Amount::parse("50").unwrap())).await;
    let call = || app.request("GET", "/balance").key(live(&partner));
    let seen = record.send("a postpaid account shows 0", call()).await.expect(200);
    assert_eq!(seen, json!({"payment": "postpaid", "type": "euros", "amount": 0}));
    set(&app, id, Setting::Postpaid(false)).await;
    assert_eq!(call().send().await.expect(200)["amount"], -30, "the credit limit is no part of it");
    app.settle().await;
    insta::assert_snapshot!(record.text());
}

#[tokio::test]
async fn every_currency_has_its_word() {
    let app = TestApp::new().await;
    for (currency, word) in
        [("EUR", "euros"), ("USD", "dollars"), ("GBP", "pounds"), ("CHF", "CHF"), ("jpy", "JPY")]
    {
        let partner = partner_in(&app, currency).await;
        grant(&app, partner.account.id, "1.5").await;
        let child = app.child(partner.account.id, "Corner Bakery").await;
        assert_eq!(
            body(&app, &partner).await,
            format!(r#"{{"payment":"prepaid","type":"{word}","amount":1.5}}"#)
        );
        let childs = format!(r#"{{"payment":"prepaid","type":"{word}","amount":0}}"#);
        assert_eq!(body(&app, &child).await, childs, "a child has its own, in its partner's currency");
    }
    app.settle().await;
}

#[tokio::test]
async fn a_deleted_child_leaves_its_credit_to_its_partner() {
    let app = TestApp::new().await;
    let partner = app.partner("Acme").await;
    for (credit, after) in [("7.5", "7.5"), ("-10", "-2.5")] {
        let child = app.child(partner.account.id, "Corner Bakery").await;
        grant(&app, child.account.id, credit).await;
        let gone = app
            .request("DELETE", &format!("/child-accounts/{}", child.account.id))
            .key(live(&partner))
            .send();
        gone.await.expect(200);
        let expected = format!(r#"{{"payment":"prepaid","type":"euros","amount":{after}}}"#);
        assert_eq!(body(&app, &partner).await, expected);
        app.settle().await;
    }
}

#[tokio::test]
async fn refused() {
    let (app, mut record) = (TestApp::new().await, Record::new());
    let partner = app.partner("Acme").await;
    record.send("no key", app.request("GET", "/balance")).await.expect(401);
    record.send("a wrong key", app.request("GET", "/balance").key("test_wrong")).await.expect(401);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let refused =
            record.send("another method", app.request(method, "/balance").key(live(&partner))).await;
        assert_eq!((refused.status.as_u16(), refused.codes()), (405, vec![98]));
    }
    record.send("below it", app.request("GET", "/balance/x").key(live(&partner))).await.expect(404);
    app.settle().await;
    insta::assert_snapshot!(record.text());
}

/// Stores what no unit would: a currency of six letters.
async fn spoil(tx: &mut Tx, scope: &Scope) -> Result<()> {
    let spoil = sql!("UPDATE balance SET currency = 'broken' WHERE root = $1 AND account = $2");
    tx.put(spoil, &[&scope.root, &scope.account]).await?;
    Ok(())
}

#[tokio::test]
async fn an_unexpected_failure_tells_its_request_id_and_nothing_else() {
    let (app, mut record) = (TestApp::new().await, Record::new());
    let partner = app.partner("Acme").await;
    app.store.write(partner.account.scope(), spoil).await.unwrap();
    let failed =
        record.send("a row that cannot be read", app.request("GET", "/balance").key(live(&partner))).await;
    assert_eq!((failed.status.as_u16(), failed.codes()), (500, vec![99]));
    let id = failed.header("x-request-id");
    assert!(String::from_utf8_lossy(&failed.body).contains(id));
    record.name("request id", id);
    app.settle().await;
    insta::assert_snapshot!(record.text());
}
