//! Keys by the platform's own API: scopes, networks, expiry, rotation with an overlap, and that all of it holds at the
//! vendors' products too.

use crate::support::platform::{Levels, code, fields, key_with, now};
use crate::support::{TestApp, live};
use rookery::core::Timestamp;
use rookery::core::api_key::Patch;
use rookery::core::key::Role;
use rookery::core::rights::{Right, Rights};
use serde_json::{Value, json};
use std::time::Duration;

async fn rest(app: &TestApp, method: &str, path: &str, key: &str) -> u16 {
    let body = match path {
        "/contacts" => json!({"msisdn": 31_612_345_678_i64}),
        "/groups" => json!({"name": "Regulars"}),
        "/child-accounts" => json!({"name": "New"}),
        _ => json!({"originator": "Acme", "recipients": [31_612_345_678_i64], "body": "Hello"}),
    };
    let call = app.request(method, path).key(key);
    let call = if method == "GET" { call } else { call.json(&body) };
    call.send().await.status.as_u16()
}

#[tokio::test]
async fn scopes_hold_at_the_vendors_products_too() {
    let world = Levels::new().await;
    let calls = [
        ("GET", "/messages"),
        ("POST", "/messages"),
        ("GET", "/contacts"),
        ("POST", "/contacts"),
        ("POST", "/groups"),
        ("GET", "/balance"),
        ("GET", "/child-accounts"),
        ("POST", "/child-accounts"),
    ];
    for (scopes, allowed) in [
        (vec!["read"], vec![0, 2, 5, 6]),
        (vec!["send"], vec![0, 1, 5]),
        (vec!["contacts"], vec![2, 3, 4]),
        (vec!["accounts"], vec![6, 7]),
        (vec!["money"], vec![]),
        (vec!["admin"], (0..8).collect()),
    ] {
        let body = json!({"mode": "live", "scopes": scopes});
        let made = world.post("/accounts/me/keys", &world.partner_key, body).await.expect(201);
        let key = made["key"].as_str().unwrap();
        for (number, (method, path)) in calls.iter().enumerate() {
            let status = rest(&world.app, method, path, key).await;
            assert_eq!(status != 403, allowed.contains(&number), "{scopes:?}: {method} {path}: {status}");
        }
        let method =
            world.app.request("GET", "/contacts?_method=POST&msisdn=31612345679").key(key).send().await;
        let may = scopes.contains(&"contacts") || scopes.contains(&"admin");
        assert_eq!(method.status != 403, may, "a method in the query is one as well");
    }
    world.app.settle().await;
}

#[tokio::test]
async fn a_key_opens_from_its_networks_only() {
    let world = Levels::new().await;
    let body = json!({"mode": "live", "allowedNetworks": ["203.0.113.7", "2001:db8::/32"]});
    let made = world.post(&world.of_child("/keys"), &world.partner_key, body).await.expect(201);
    let key = made["key"].as_str().unwrap();
    for (from, status) in [
        ("203.0.113.7", 200),
        ("203.0.113.8", 401),
        ("2001:db8::5", 200),
        ("2001:db9::5", 401),
        ("127.0.0.1", 401),
    ] {
        let answer = world.app.request("GET", "/balance").key(key).from(from).send().await;
        assert_eq!(answer.status, status, "{from}");
    }
    let target = world.of_child(&format!("/keys/{}", made["id"].as_str().unwrap()));
    let view = world.get(&target, &world.partner_key).await.expect(200);
    assert_eq!(view["allowedNetworks"], json!(["203.0.113.7/32", "2001:db8::/32"]));
    world.call("PATCH", &target, &world.partner_key, json!({"allowedNetworks": []})).await.expect(200);
    assert_eq!(world.app.request("GET", "/balance").key(key).from("192.0.2.1").send().await.status, 200);
    let wrong = world.call("PATCH", &target, &world.partner_key, json!({"allowedNetworks": ["soap"]})).await;
    assert_eq!(fields(&wrong), [("allowedNetworks".into(), "invalid".into())]);
    world.app.settle().await;
}

#[tokio::test]
async fn a_key_ends_by_itself_and_stays_in_the_list() {
    let world = Levels::new().await;
    let at = |seconds: i64| Timestamp(now(&world.app).0 + seconds * 1_000_000).rfc3339_utc();
    let late = json!({"mode": "live", "expiresAt": at(-60)});
    assert_eq!(
        fields(&world.post(&world.of_child("/keys"), &world.partner_key, late).await),
        [("expiresAt".into(), "invalid".into())]
    );
    let body = json!({"mode": "live", "name": "Till", "expiresAt": at(3_600)});
    let made = world.post(&world.of_child("/keys"), &world.partner_key, body).await.expect(201);
    let key = made["key"].as_str().unwrap();
    assert_eq!(rest(&world.app, "GET", "/balance", key).await, 200);
    world.app.pass(Duration::from_hours(1)).await;
    assert_eq!(rest(&world.app, "GET", "/balance", key).await, 401);
    let listed = world.get(&world.of_child("/keys"), &world.partner_key).await.expect(200);
    assert!(
        listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|held| held["id"] == made["id"] && held["name"] == "Till")
    );
    world.app.settle().await;
}

#[tokio::test]
async fn a_successor_opens_the_same_and_the_old_key_until_the_overlap_is_over() {
    let world = Levels::new().await;
    let body =
        json!({"mode": "live", "name": "Till", "scopes": ["read"], "allowedNetworks": ["127.0.0.0/8"]});
    let made = world.post(&world.of_child("/keys"), &world.partner_key, body).await.expect(201);
    let (id, old) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(rest(&world.app, "GET", "/balance", old).await, 200);
    let rotate = world.of_child(&format!("/keys/{id}/rotate"));
    assert_eq!(
        fields(&world.post(&rotate, &world.partner_key, json!({})).await),
        [("overlapSeconds".into(), "required".into())]
    );
    let next = world.post(&rotate, &world.partner_key, json!({"overlapSeconds": 600})).await.expect(201);
    let new = next["key"].as_str().unwrap();
    assert_eq!(next["scopes"], json!(["read"]));
    let both = async || {
        (rest(&world.app, "GET", "/balance", old).await, rest(&world.app, "GET", "/balance", new).await)
    };
    assert_eq!(both().await, (200, 200));
    assert_eq!(rest(&world.app, "POST", "/contacts", new).await, 403);
    world.app.pass(Duration::from_mins(10)).await;
    assert_eq!(both().await, (401, 200));
    assert_eq!(
        code(&world.post(&rotate, &world.partner_key, json!({"overlapSeconds": 0})).await),
        (404, "not_found".into())
    );
    let target = world.of_child(&format!("/keys/{}", next["id"].as_str().unwrap()));
    let last = world
        .post(&format!("{target}/rotate"), &world.partner_key, json!({"overlapSeconds": 0}))
        .await
        .expect(201);
    assert_eq!(rest(&world.app, "GET", "/balance", new).await, 401);
    assert_eq!(rest(&world.app, "GET", "/balance", last["key"].as_str().unwrap()).await, 200);
    let view = world.get(&target, &world.partner_key).await.expect(200);
    assert!(view["revokedAt"].is_string(), "{view}");
    world.app.settle().await;
}

#[tokio::test]
async fn nobody_hands_out_more_than_it_has() {
    let world = Levels::new().await;
    let developer = world.partners(&[Right::Read, Right::Keys, Right::Send]).await;
    let keys = world.of_child("/keys");
    for scopes in [json!(["admin"]), json!(["money"]), json!(["send", "users"])] {
        let refused = world.post(&keys, &developer, json!({"mode": "platform", "scopes": scopes})).await;
        assert_eq!(code(&refused), (403, "forbidden".into()), "{scopes}");
    }
    let made = world.post(&keys, &developer, json!({"mode": "live"})).await.expect(201);
    assert_eq!(made["scopes"], json!(["read", "send", "keys"]), "its own, if it says nothing");
    let whole = key_with(&world.app, world.child.account.id, Role::Platform, Patch::default()).await.0;
    let target = format!("{keys}/{whole}");
    for refused in [
        world.post(&format!("{target}/rotate"), &developer, json!({"overlapSeconds": 0})).await,
        world.call("PATCH", &target, &developer, json!({"name": "mine"})).await,
        world
            .call(
                "PATCH",
                &format!("{keys}/{}", made["id"].as_str().unwrap()),
                &developer,
                json!({"scopes": ["admin"]}),
            )
            .await,
    ] {
        assert_eq!(code(&refused), (403, "forbidden".into()));
    }
    // The same from above and from the account itself; a sibling's and another's are not found.
    let other = world.app.partner("Globex").await;
    for key in [&world.operator, &world.child_key] {
        world.get(&target, key).await.expect(200);
    }
    let (other_key, _) = key_with(&world.app, other.account.id, Role::Live, Patch::default()).await;
    let foreign = format!("{keys}/{other_key}");
    assert_eq!(code(&world.get(&foreign, &world.partner_key).await), (404, "not_found".into()));
    assert_eq!(
        code(&world.call("DELETE", &foreign, &world.partner_key, Value::Null).await),
        (404, "not_found".into())
    );
    world.app.settle().await;
}

#[tokio::test]
async fn a_key_is_brought_along_once_and_revoked_for_good() {
    let world = Levels::new().await;
    let keys = world.of_child("/keys");
    let body = json!({"mode": "live", "key": "kEy-of-the-old-days"});
    let made = world.post(&keys, &world.partner_key, body.clone()).await.expect(201);
    assert_eq!(
        (&made["key"], rest(&world.app, "GET", "/balance", "kEy-of-the-old-days").await),
        (&Value::Null, 200)
    );
    assert_eq!(fields(&world.post(&keys, &world.partner_key, body).await), [("key".into(), "taken".into())]);
    let target = format!("{keys}/{}", made["id"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &target, &world.partner_key, Value::Null).await.status, 204);
    assert_eq!(rest(&world.app, "GET", "/balance", "kEy-of-the-old-days").await, 401);
    assert_eq!(
        code(&world.call("DELETE", &target, &world.partner_key, Value::Null).await),
        (404, "not_found".into())
    );
    world.app.settle().await;
}

#[tokio::test]
async fn it_is_known_when_a_key_was_last_used() {
    let world = Levels::new().await;
    let used = async || {
        world.app.notice_changes().await;
        let list = world.get(&world.of_child("/keys"), &world.operator).await.expect(200);
        let items = list["items"].as_array().unwrap();
        items.iter().find(|held| held["mode"] == "live").unwrap()["lastUsedAt"].clone()
    };
    assert_eq!(used().await, Value::Null);
    let key = live(&world.child);
    assert_eq!(rest(&world.app, "GET", "/balance", key).await, 200);
    let first = used().await;
    assert!(first.is_string());
    world.app.pass(Duration::from_mins(2)).await;
    assert_eq!(used().await, first);
    assert_eq!(rest(&world.app, "GET", "/balance", key).await, 200);
    assert!(used().await.as_str() > first.as_str());
    world.app.settle().await;
}

#[tokio::test]
async fn a_key_has_a_rate_of_its_own() {
    let world = Levels::new().await;
    let patch = Patch { requests: Some(Some(2)), rights: Some(Rights::ALL), ..Patch::default() };
    let (_, key) = key_with(&world.app, world.child.account.id, Role::Live, patch).await;
    // The test's clock goes on by a second for each request, so one that leaves it alone is needed.
    let call = async || {
        let request = crate::exact::get("/balance").header("authorization", format!("AccessKey {key}"));
        crate::exact::send(&world.app.service, request, "").await
    };
    let statuses = [call().await.status.as_u16(), call().await.status.as_u16()];
    let third = call().await;
    assert_eq!((statuses, third.status.as_u16(), third.header("retry-after")), ([200, 200], 429, "1"));
    world.app.clock.advance(Duration::from_secs(1));
    assert_eq!(call().await.status, 200);
    world.app.settle().await;
}

#[tokio::test]
async fn signing_keys_rotate_with_an_overlap() {
    let world = Levels::new().await;
    let target = world.of_child("/signing-key");
    let before = world.get(&target, &world.child_key).await.expect(200);
    assert_eq!(before["nextAt"], Value::Null);
    let made = world
        .post(&format!("{target}/rotate"), &world.child_key, json!({"overlapSeconds": 3_600}))
        .await
        .expect(201);
    assert_eq!(made["signingKey"].as_str().unwrap().len(), 32);
    assert_eq!(world.get(&target, &world.child_key).await.expect(200)["nextAt"], made["signsFrom"]);
    assert_eq!(world.call("DELETE", &target, &world.child_key, Value::Null).await.status, 204);
    assert_eq!(world.get(&target, &world.child_key).await.expect(200), before);
    assert_eq!(
        code(&world.call("DELETE", &target, &world.child_key, Value::Null).await),
        (404, "not_found".into())
    );
    world.app.settle().await;
}

#[tokio::test]
async fn a_key_gives_nobody_more_than_it_has_itself() {
    let world = Levels::new().await;
    // An answer is for whoever asked: not for a key with fewer rights that repeats the request.
    let body = json!({"mode": "platform"});
    let make = async |key: &str| {
        let request =
            world.app.request("POST", "/platform/v1/accounts/me/keys").header("idempotency-key", "once");
        request.header("authorization", &format!("Bearer {key}")).json(&body).send().await
    };
    let made = make(&world.partner_key).await;
    assert_eq!(
        made.expect(201),
        make(&world.partner_key).await.expect(201),
        "the same again for the same key"
    );
    let reader = world.partners(&[Right::Read]).await;
    assert_eq!(code(&make(&reader).await).0, 403);

    // The keys of an account that it makes have its rights.
    let maker = world.partners(&[Right::Accounts, Right::Read]).await;
    let child = world.post("/accounts", &maker, json!({"name": "Kiosk"})).await.expect(201);
    let live = child["keys"].as_array().unwrap().iter().find(|key| key["mode"] == "live").unwrap();
    assert_eq!(live["scopes"], json!(["read", "accounts"]));
    let send = world.app.request("POST", "/messages").key(live["key"].as_str().unwrap());
    let body = json!({"originator": "Kiosk", "recipients": [31_612_345_678_i64], "body": "Hi"});
    assert_eq!(send.json(&body).send().await.status, 403);

    let vendors = Patch { rights: Some(Rights::of(&[Right::Accounts, Right::Read])), ..Patch::default() };
    let (_, vendors) = key_with(&world.app, world.partner.account.id, Role::Live, vendors).await;
    let made_there =
        world.app.request("POST", "/child-accounts").key(&vendors).json(&json!({"name": "Stall"}));
    let made_there = made_there.send().await.expect(201);
    let keys = made_there["accessKeys"].as_array().unwrap();
    let live = keys.iter().find(|key| key["mode"] == "live").unwrap()["key"].as_str().unwrap();
    let sent = world.app.request("POST", "/messages").key(live);
    let body = json!({"originator": "Stall", "recipients": [31_612_345_678_i64], "body": "Hi"});
    assert_eq!(sent.json(&body).send().await.status, 403);

    // Nor does it lift its own bounds, revoke one that may do more, or make one that outlives it.
    let ends = Timestamp(now(&world.app).0 + 3_600_000_000);
    let patch = Patch {
        rights: Some(Rights::of(&[Right::Keys, Right::Read])),
        expires: Some(Some(ends)),
        ..Patch::default()
    };
    let (id, bounded) = key_with(&world.app, world.partner.account.id, Role::Platform, patch).await;
    for loose in
        [json!({"expiresAt": null}), json!({"allowedNetworks": []}), json!({"requestsPerSecond": null})]
    {
        let answer = world.call("PATCH", &format!("/accounts/me/keys/{id}"), &bounded, loose).await;
        assert_eq!(code(&answer), (403, "forbidden".to_owned()));
    }
    let stronger = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/accounts/me/keys/{stronger}");
    assert_eq!(code(&world.call("DELETE", &path, &bounded, Value::Null).await).0, 403);
    let next = world.post("/accounts/me/keys", &bounded, json!({"mode": "platform"})).await.expect(201);
    let path = format!("/accounts/me/keys/{}", next["id"].as_str().unwrap());
    let next = world.get(&path, &bounded).await.expect(200);
    let first = world.get(&format!("/accounts/me/keys/{id}"), &bounded).await.expect(200);
    assert_eq!(next["expiresAt"], first["expiresAt"]);

    // One that has ended stays so.
    world.app.pass(Duration::from_hours(2)).await;
    let revive = json!({"expiresAt": null});
    let answer = world.call("PATCH", &format!("/accounts/me/keys/{id}"), &world.partner_key, revive).await;
    assert_eq!(code(&answer).0, 404);
}
