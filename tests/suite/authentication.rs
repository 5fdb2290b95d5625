//! Who is let in: where a key may stand, what it looks like, and how soon it is refused once it is void
//! (docs/spec/00-overview.md section 2).

use crate::exact::{get, send};
use crate::home::{Home, status_and_codes};
use crate::support::{live, partner_api, test};
use rookery::core::account::{self};
use rookery::core::key::{self, Role};
use rookery::core::secret::Secret;
use rookery::run::egress::Egress;
use rookery::run::{Duties, Means, Tasks};
use rookery::wire::{Common, DIALECT, EVENTS, Metrics, Options, Service};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Entropy;

#[tokio::test]
async fn the_scheme_is_taken_in_any_case_and_blanks_are_trimmed() {
    let home = Home::new().await;
    let key = home.key();
    for header in [
        format!("AccessKey {key}"),
        format!("accesskey {key}"),
        format!("ACCESSKEY   {key}"),
        format!("  AccessKey {key}  "),
        format!("AccessKey\t{key}"),
    ] {
        let answer = home.app.request("GET", "/balance").header("authorization", &header).send().await;
        assert_eq!(answer.status, 200, "{header:?}");
    }
    for header in [
        key.to_owned(),
        format!("Bearer {key}"),
        format!("AccessKey{key}"),
        "AccessKey".into(),
        "AccessKey ".into(),
        String::new(),
    ] {
        let answer = home.app.request("GET", "/balance").header("authorization", &header).send().await;
        assert_eq!(status_and_codes(&answer), (401, vec![2]), "{header:?}");
        assert_eq!(answer.json()["errors"][0]["parameter"], "access_key");
    }
}

#[tokio::test]
async fn a_key_may_stand_in_the_query_or_in_a_form_and_the_header_wins() {
    let home = Home::new().await;
    let (key, app) = (home.key(), &home.app);
    app.request("GET", &format!("/balance?access_key={key}")).send().await.expect(200);
    app.request("GET", &format!("/balance?x=1&access%5Fkey={key}")).send().await.expect(200);
    app.request("POST", "/contacts")
        .form(&format!("msisdn=31655500001&access_key={key}"))
        .send()
        .await
        .expect(201);
    // A client that sends another scheme for a proxy in between.
    app.request("GET", &format!("/balance?access_key={key}"))
        .header("authorization", "Basic eDp5")
        .send()
        .await
        .expect(200);
    // A GET with a form, as curl -G without -G sends it.
    app.request("GET", "/balance").form(&format!("access_key={key}")).send().await.expect(200);

    let wrong = "A1b2C3d4E5f6G7h8I9j0K1l2M";
    app.request("GET", &format!("/balance?access_key={wrong}")).key(key).send().await.expect(200);
    app.request("POST", "/contacts")
        .key(key)
        .form(&format!("msisdn=31655500002&access_key={wrong}"))
        .send()
        .await
        .expect(201);
    app.request("GET", &format!("/balance?access_key={key}")).key(wrong).send().await.expect(401);
    app.request("POST", "/contacts")
        .key(wrong)
        .form(&format!("msisdn=31655500003&access_key={key}"))
        .send()
        .await
        .expect(401);
    // The hub knows one place only.
    let (api_key, handle) = partner_api(&home.partner);
    app.request("GET", &format!("/api/v2/partners/{handle}?access_key={api_key}")).send().await.expect(401);
    app.request("GET", &format!("/api/v2/partners/{handle}")).key(api_key).send().await.expect(401);
    app.request("GET", &format!("/api/v2/partners/{handle}"))
        .header("x-api-key", &format!(" {api_key} "))
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn imported_keys_open_their_account_whatever_they_look_like() {
    let home = Home::new().await;
    let account = home.child.account.id;
    for (role, text) in [
        (Role::Live, "live_Zz9Yy8Xx7Ww6Vv5Uu4Tt3Ss2R"),
        (Role::Live, "Aa1Bb2Cc3Dd4Ee5Ff6Gg7Hh8I"),
        (Role::Test, "test_Qq1Rr2Ss3Tt4Uu5Vv6Ww7Xx8Y"),
        // The mode is that of the stored key, not of its text.
        (Role::Live, "test_butlive_0123456789"),
    ] {
        let secret = Secret::imported_key(text).expect("a key that may be imported");
        let import = (account, role, "from the vendor".to_owned(), secret);
        home.app.store.write(import, key::import).await.expect("a key is imported");
        home.app.request("GET", "/balance").key(text).send().await.expect(200);
        home.app.request("GET", &format!("/balance?access_key={text}")).send().await.expect(200);
        home.app.request("GET", "/balance").key(&text[..text.len() - 1]).send().await.expect(401);
    }
}

#[tokio::test]
async fn what_changes_at_an_account_is_effective_at_once() {
    let home = Home::new().await;
    let (app, key) = (&home.app, home.key());
    let balance = async |key: &str| app.request("GET", "/balance").key(key).send().await.status.as_u16();
    let (api_key, handle) = partner_api(&home.partner);
    let hub = async || {
        let call = app.request("GET", &format!("/api/v2/partners/{handle}"));
        call.header("x-api-key", api_key).send().await.status.as_u16()
    };
    assert_eq!((balance(key).await, hub().await), (200, 200));

    for (account, hub_says) in [(home.child.account.id, 200), (home.partner.account.id, 403)] {
        app.store.write(account, account::suspend).await.expect("suspended");
        app.notice_changes().await;
        assert_eq!((balance(key).await, balance(test(&home.child)).await, hub().await), (401, 401, hub_says));
        app.store.write(account, account::resume).await.expect("resumed");
        app.notice_changes().await;
        assert_eq!((balance(key).await, hub().await), (200, 200));
    }

    let another = app
        .store
        .write((home.child.account.id, Role::Live, String::new()), key::create_for)
        .await
        .expect("a key");
    assert_eq!(balance(another.text.reveal()).await, 200);
    app.store.write(another.id, key::revoke).await.expect("revoked");
    app.notice_changes().await;
    assert_eq!((balance(another.text.reveal()).await, balance(key).await), (401, 200));

    // Over the wire, this process knows by itself.
    let target = format!("/child-accounts/{}", home.child.account.id);
    app.request("DELETE", &target).key(live(&home.partner)).send().await.expect(200);
    assert_eq!((balance(key).await, balance(live(&home.partner)).await), (401, 200));
    app.settle().await;
}

#[tokio::test]
async fn another_process_notices_a_change() {
    let home = Home::new().await;
    let app = &home.app;
    let common = Common::default();
    let options = Options { rate_limits: false, ..Options::default() };
    let (metrics, entropy) = (Arc::new(Metrics::default()), Entropy::seeded(8));
    let other = Service::new(
        app.store.clone(),
        app.vault.clone(),
        common.clone(),
        metrics,
        options,
        app.clock.clone(),
        entropy.clone(),
    );
    let means = Means {
        store: app.store.clone(),
        keys: common.keys,
        terms: common.terms,
        vault: app.vault.clone(),
        clock: app.clock.clone(),
        entropy,
        wake: common.wake,
        dialect: DIALECT,
        events: EVENTS,
        egress: Egress::new(false).expect("a client"),
    };
    let tasks = Tasks::start(means, Duties { submit: false, deliver: false });
    let balance = async || {
        send(&other, get("/balance").header("authorization", home.authorization()), "").await.status.as_u16()
    };
    assert_eq!(balance().await, 200);
    let target = format!("/child-accounts/{}", home.child.account.id);
    app.request("DELETE", &target).key(live(&home.partner)).send().await.expect(200);
    // Within a second on a machine with nothing else to do; here it is enough that it comes by itself.
    let begun = Instant::now();
    while balance().await != 401 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the other process still takes the key");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tasks.stop().await;
}
