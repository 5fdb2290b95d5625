//! Price lists (docs/spec/19-pricing.md): an account's prices by prefix, told by country and network.

use crate::support::shop::Shop;
use crate::support::{live, smpp_user, test};
use rookery::core::money::Amount;
use rookery::core::network::{self, Network, Prefix};
use rookery::core::price_list;
use rookery::core::rate;
use rookery::core::smpp_user::{self as core_user, SystemId};
use serde_json::{Value, json};

async fn rates(shop: &Shop, rates: &[(&str, i64)]) {
    for (prefix, micro) in rates {
        let account = shop.sender.account.id;
        let rate = rate::Set { account, prefix: (*prefix).into(), amount: Amount(*micro), currency: None };
        shop.app.store.write(rate, rate::set).await.expect("a rate");
    }
    shop.app.notice_changes().await;
}

fn row(price: &str, mccmnc: &str, mnc: &Value, country: (&str, &str), operator: &Value) -> Value {
    json!({"price": price, "currencyCode": "EUR", "mccmnc": mccmnc, "mcc": &mccmnc[..mccmnc.len().min(3)], "mnc": mnc,
        "countryName": country.1, "countryIsoCode": country.0, "operatorName": operator})
}

#[tokio::test]
async fn a_list_has_the_default_the_countries_and_the_networks() {
    let shop = Shop::new().await;
    let prefix = |digits: &str, mnc: &str, operator: &str| Prefix {
        digits: digits.into(),
        network: Network { mcc: "204".into(), mnc: mnc.into(), operator: operator.into() },
    };
    let prefixes = vec![
        prefix("31651", "99", "Examplecell"),
        prefix("31652", "08", "Widenet"),
        prefix("31653", "99", "Examplecell"),
    ];
    shop.app.store.write(prefixes, network::set_all).await.expect("prefixes");
    rates(
        &shop,
        &[
            ("", 71_000),
            ("31", 52_000),
            ("31651", 49_500),
            ("49", 71_000),
            ("1", 8_000),
            ("1876", 90_000),
            ("7", 30_000),
            ("77", 31_000),
        ],
    )
    .await;
    let list = shop.call("GET", "/pricing/sms/outbound").send().await.expect(200);
    assert_eq!(
        list["prices"][0],
        row("0.071000", "0", &Value::Null, ("XX", "Default Rate"), &json!("Default Rate"))
    );
    assert_eq!((&list["gateway"], &list["currencyCode"]), (&json!(1), &json!("EUR")));
    let prices = list["prices"].as_array().expect("prices");
    assert_eq!(list["totalCount"], json!(prices.len()));
    let of = |mccmnc: &str| prices.iter().find(|row| row["mccmnc"] == mccmnc).cloned();
    assert_eq!(of("204"), Some(row("0.052000", "204", &Value::Null, ("NL", "Netherlands"), &Value::Null)));
    // One of its prefixes has the country's price, which is the higher one: the network costs that and is not listed.
    assert_eq!((of("20499"), of("20408")), (None, None));
    assert_eq!(of("262"), None, "Germany costs what all others cost");
    assert_eq!(of("310"), Some(row("0.008000", "310", &Value::Null, ("US", "United States"), &Value::Null)));
    assert_eq!(of("338"), Some(row("0.090000", "338", &Value::Null, ("JM", "Jamaica"), &Value::Null)));
    assert_eq!(
        of("302").map(|row| row["price"].clone()),
        Some(json!("0.008000")),
        "Canada has the same code"
    );
    assert_eq!(of("401").map(|row| row["price"].clone()), Some(json!("0.031000")), "Kazakhstan");
    let places: Vec<&str> = prices.iter().skip(1).filter_map(|row| row["mccmnc"].as_str()).collect();
    assert!(places.is_sorted(), "{places:?}");

    rates(&shop, &[("31653", 49_500)]).await;
    let list = shop.call("GET", "/pricing/sms/outbound").send().await.expect(200);
    let network =
        list["prices"].as_array().expect("prices").iter().find(|row| row["mccmnc"] == "20499").cloned();
    let wanted = row("0.049500", "20499", &json!("99"), ("NL", "Netherlands"), &json!("Examplecell"));
    assert_eq!(network, Some(wanted));
    // What a message to that network costs is what the list says for its row.
    let id = shop.send(&json!([31_651_000_011_i64])).await;
    assert_eq!(shop.view(&id).await["recipients"]["items"][0]["price"]["amount"], json!(0.0495));
}

#[tokio::test]
async fn an_account_without_prices_pays_nothing_and_a_test_key_reads_the_same() {
    let shop = Shop::new().await;
    let other = shop.app.child(shop.partner.account.id, "Wool Shop").await;
    let list = shop.app.request("GET", "/pricing/sms/outbound").key(live(&other)).send().await.expect(200);
    let free = row("0.000000", "0", &Value::Null, ("XX", "Default Rate"), &json!("Default Rate"));
    assert_eq!(list["prices"], json!([free]));
    let key = test(&other);
    assert_eq!(shop.app.request("GET", "/pricing/sms/outbound").key(key).send().await.expect(200), list);
}

#[tokio::test]
async fn an_smpp_user_has_the_prices_of_its_account_and_nobody_elses_is_found() {
    let shop = Shop::new().await;
    let other = shop.app.child(shop.partner.account.id, "Wool Shop").await;
    smpp_user(&shop.app, &shop.sender, "bakery.1").await;
    smpp_user(&shop.app, &other, "wool").await;
    let list = shop.call("GET", "/pricing/sms/outbound").send().await.expect(200);
    let users = shop.call("GET", "/pricing/sms/outbound/smpp/bakery%2E1").send().await.expect(200);
    assert_eq!(users, list);
    for name in ["wool", "nobody", "bakery"] {
        let answer = shop.call("GET", &format!("/pricing/sms/outbound/smpp/{name}")).send().await;
        assert_eq!((answer.status.as_u16(), answer.codes()), (404, vec![20]), "{name}");
    }
    let gone = SystemId::parse("bakery.1").expect("a system id");
    assert!(shop.app.store.write(gone, core_user::revoke).await.expect("revoked"));
    shop.call("GET", "/pricing/sms/outbound/smpp/bakery%2E1").send().await.expect(404);
}

#[tokio::test]
async fn what_is_not_sent_here_has_an_empty_list() {
    let shop = Shop::new().await;
    for list in ["/pricing/mms/outbound", "/pricing/tts/outbound"] {
        let told = shop.call("GET", list).send().await.expect(200);
        assert_eq!(
            told,
            json!({"gateway": 0, "currencyCode": "EUR", "totalCount": 0, "prices": []}),
            "{list}"
        );
        assert_eq!(shop.app.request("GET", list).send().await.status.as_u16(), 401);
    }
}

/// Made once, anew after a change of prices, and by prefixes of many regions that share a code.
#[tokio::test]
async fn a_list_is_remembered_until_prices_change() {
    let shop = Shop::new().await;
    let account = shop.sender.account.id;
    rates(&shop, &[("1", 8_000), ("1876", 90_000), ("44", 30_000)]).await;
    let book = &shop.app.common.terms;
    let (_, first) = book.price_list(&shop.app.store, account).await.expect("a list");
    let (_, again) = book.price_list(&shop.app.store, account).await.expect("a list");
    assert!(std::sync::Arc::ptr_eq(&first, &again), "the same list");
    rates(&shop, &[("1242", 95_000)]).await;
    let (_, after) = book.price_list(&shop.app.store, account).await.expect("a list");
    let bahamas =
        |list: &[price_list::Entry]| list.iter().find(|entry| entry.mcc == "364").map(|one| one.price);
    assert_eq!((bahamas(&first), bahamas(&after)), (Some(Amount(8_000)), Some(Amount(95_000))));
}
