//! People at the hub: what their role opens, how often a password may be tried, and that nothing of them stays behind.

use crate::exact;
use crate::hub::{Hub, text};
use crate::support::{Answer, TestApp, live};
use futures_util::future::join_all;
use rookery::core::partner::Patch;
use rookery::core::person::{self, Role};
use rookery::wire::Options;
use serde_json::{Value, json};

impl Hub {
    async fn token(&self, email: &str, password: &str, from: &str) -> Answer {
        let body = json!({"username": email, "password": password});
        let request = exact::ask("POST", "/api/v2/token").header("content-type", "application/json");
        exact::from(&self.app.service, from, request, body.to_string()).await
    }
}

#[tokio::test]
async fn who_only_looks_changes_nothing() {
    let hub = Hub::new().await;
    let client = hub.client("it@bakery.example").await;
    for (role, may) in [
        (Role::Owner, 200),
        (Role::Admin, 200),
        (Role::Developer, 200),
        (Role::Billing, 403),
        (Role::ReadOnly, 403),
    ] {
        let email = format!("{}@acme.example", role.name());
        hub.user_as(role, &email, "not-a-real-password").await;
        let token =
            text(&hub.token(&email, "not-a-real-password", "127.0.0.1").await.expect(200)["access_token"]);
        let call = async |method: &str, body: &Value| {
            let call = hub.app.request(method, &hub.path(&format!("/clients/{client}")));
            call.header("authorization", &format!("Bearer {token}")).json(body).send().await.status.as_u16()
        };
        assert_eq!(call("GET", &Value::Null).await, 200, "{role:?}");
        assert_eq!(call("PATCH", &json!({"partner_payload": "x"})).await, may, "{role:?}");
        // Whoever is to be out is out, however little the token opens.
        if role == Role::ReadOnly {
            hub.set(Patch { token_sign_in: Some(false), ..Patch::default() }).await;
            hub.app.notice_changes().await;
            assert_eq!(call("GET", &Value::Null).await, 401);
            hub.set(Patch { token_sign_in: Some(true), ..Patch::default() }).await;
        } else {
            let people = hub.app.store.read(hub.partner.account.scope(), person::list).await.unwrap();
            let one = people.iter().find(|one| one.email == email).expect("the person");
            hub.app.store.write((one.scope, one.id), person::sign_out).await.unwrap();
            hub.app.notice_changes().await;
            assert_eq!(call("GET", &Value::Null).await, 401, "{role:?}");
        }
    }
    hub.app.settle().await;
}

/// A hub with limits, and with time for what is slow by design.
async fn limited() -> Hub {
    let answered_within = std::time::Duration::from_mins(5);
    Hub::of(TestApp::with(Options { answered_within, ..Options::default() }).await).await
}

/// How many of some tries at once were looked at.
fn looked_at(tries: &[Answer]) -> usize {
    assert!(tries.iter().all(|answer| matches!(answer.status.as_u16(), 401 | 429)));
    tries.iter().filter(|answer| answer.status == 401).count()
}

#[tokio::test]
async fn passwords_can_be_tried_so_often_however_many_come_at_once() {
    let hub = limited().await;
    hub.user("ops@acme.example", "not-a-real-password").await;
    for _ in 0..21 {
        hub.token("ops@acme.example", "not-a-real-password", "192.0.2.1").await.expect(200);
    }
    // One customer has 2⁶⁴ addresses of IPv6.
    let at_once = (0..24)
        .map(async |n| hub.token(&format!("{n}@acme.example"), "wrong", &format!("2001:db8::{n}")).await);
    assert_eq!(looked_at(&join_all(at_once).await), 20);
    // And one person's password is tried from everywhere.
    let at_once =
        (0..24).map(async |n| hub.token("ops@acme.example", "wrong", &format!("198.51.100.{n}")).await);
    assert_eq!(looked_at(&join_all(at_once).await), 20);
    hub.token("ops@acme.example", "not-a-real-password", "203.0.113.7").await.expect(429);
    hub.app.clock.advance(std::time::Duration::from_mins(1));
    hub.token("ops@acme.example", "not-a-real-password", "203.0.113.7").await.expect(200);
}

#[tokio::test]
async fn signing_up_is_limited_and_tells_nobody_who_is_here() {
    let hub = limited().await;
    let body = json!({"partner_redirect_url": "https://acme.example/"});
    hub.call("PATCH", "").json(&body).send().await.expect(200);
    let path = format!("/onboarding/{}", crate::support::partner_api(&hub.partner).1);
    let sign_up = async |email: &str, number: &str| {
        let form = format!("step=sign-up&name=B&email={email}&password=long+enough&number={number}");
        let request = exact::ask("POST", &path).header("content-type", "application/x-www-form-urlencoded");
        exact::send(&hub.app.service, request, form).await
    };
    assert_eq!(sign_up("it@bakery.example", "31612345678").await.status, 302);
    let again = sign_up("it@bakery.example", "31612345679").await;
    let taken = sign_up("other@bakery.example", "31612345678").await;
    assert!(String::from_utf8_lossy(&again.body).contains("If you have signed up before"));
    let problem = |answer: &Answer| {
        let html = String::from_utf8_lossy(&answer.body).into_owned();
        html.split("problem\" role").nth(1).and_then(|rest| rest.split("</p>").next()).map(str::to_owned)
    };
    assert_eq!(problem(&again), problem(&taken));
    for n in 0..17 {
        assert_eq!(sign_up("it@bakery.example", "31612345679").await.status, 200, "{n}");
    }
    assert_eq!(sign_up("new@bakery.example", "31612345670").await.status, 429, "nothing is given back");
    hub.app.settle().await;
}

#[tokio::test]
async fn whoever_is_deleted_may_sign_up_again() {
    let hub = Box::pin(Hub::welcoming()).await;
    assert_eq!(hub.sign_up("it@bakery.example", "31612345678").await.status, 302);
    let children = hub.app.request("GET", "/child-accounts").key(live(&hub.partner)).send().await.expect(200);
    let path = format!("/child-accounts/{}", children[0]["id"]);
    hub.app.request("DELETE", &path).key(live(&hub.partner)).send().await.expect(200);
    assert_eq!(hub.submit("step=sign-in&email=it@bakery.example&password=long+enough").await.status, 200);
    assert_eq!(hub.sign_up("it@bakery.example", "31612345679").await.status, 302);
    assert_eq!(hub.get("/clients").await["total"], 1);
    hub.app.settle().await;
}
