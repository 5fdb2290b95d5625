//! The thinnest path through everything: a partner makes a child over the wire, the child keeps contacts.

use crate::support::{TestApp, live};
use serde_json::json;

#[tokio::test]
async fn a_child_made_over_the_wire_keeps_contacts() {
    let app = TestApp::new().await;
    let partner = app.partner("Acme").await;
    let child = app
        .request("POST", "/child-accounts")
        .key(live(&partner))
        .json(&json!({"name": "Corner Bakery"}))
        .send()
        .await;
    let key = child.expect(201)["accessKeys"][0]["key"].as_str().unwrap().to_owned();

    let made =
        app.request("POST", "/contacts").key(&key).form("msisdn=31655500123&firstName=Ada").send().await;
    let made = made.expect(201);
    let id = made["id"].as_str().unwrap();
    let seen = app.request("GET", &format!("/contacts/{id}")).key(&key).send().await;
    assert_eq!(seen.expect(200), made);
    let group =
        app.request("POST", "/groups").key(&key).json(&json!({"name": "Regulars"})).send().await.expect(201);
    let group = group["id"].as_str().unwrap();
    let added = app
        .request("PUT", &format!("/groups/{group}/contacts"))
        .key(&key)
        .form(&format!("ids[]={id}"))
        .send()
        .await;
    assert_eq!(added.status, 204);
    let again =
        app.request("POST", "/contacts").key(&key).json(&json!({"msisdn": 31_655_500_123_i64})).send().await;
    assert_eq!((again.status.as_u16(), again.codes()), (422, vec![101]));
    app.settle().await;
    let gone = app.request("DELETE", &format!("/contacts/{id}")).key(&key).send().await;
    assert_eq!(gone.status, 204);
    app.settle().await;
}
