//! An installation with all three levels, and a key of the platform's own API for each.

use super::{Answer, TestApp};
use rookery::core::account::NewAccount;
use rookery::core::api_key::{self, New, Patch};
use rookery::core::key::{self, Role};
use rookery::core::mandate::Mandate;
use rookery::core::rights::{Right, Rights};
use rookery::core::{AccountId, Scope, Timestamp};
use rookery::wire::Options;
use serde_json::Value;

/// Operator, partner, child, and their keys.
pub struct Levels {
    pub app: TestApp,
    pub operator: String,
    pub partner: NewAccount,
    pub partner_key: String,
    pub child: NewAccount,
    pub child_key: String,
}

impl Levels {
    pub async fn new() -> Self {
        Self::with(Options { rate_limits: false, ..Options::default() }).await
    }

    pub async fn with(options: Options) -> Self {
        let app = TestApp::with(options).await;
        let partner = app.partner("Acme").await;
        let child = app.child(partner.account.id, "Corner Bakery").await;
        let operator = app.store.write(String::new(), key::create_operator).await.expect("an operator's key");
        let partner_key = platform_key(&app, partner.account.id, Rights::ALL).await;
        let child_key = platform_key(&app, child.account.id, Rights::ALL).await;
        let operator = operator.text.reveal().to_owned();
        Levels { app, operator, partner, partner_key, child, child_key }
    }

    /// A request with a bearer key; an empty body is none.
    pub async fn call(&self, method: &str, path: &str, key: &str, body: Value) -> Answer {
        call(&self.app, method, path, key, body).await
    }

    pub async fn get(&self, path: &str, key: &str) -> Answer {
        self.call("GET", path, key, Value::Null).await
    }

    pub async fn post(&self, path: &str, key: &str, body: Value) -> Answer {
        self.call("POST", path, key, body).await
    }

    /// A key of the partner with some rights only.
    pub async fn partners(&self, rights: &[Right]) -> String {
        platform_key(&self.app, self.partner.account.id, Rights::of(rights)).await
    }

    /// The path of the child, and what is below it.
    pub fn of_child(&self, below: &str) -> String {
        format!("/accounts/{}{below}", self.child.account.id)
    }
}

/// A request below `/platform/v1`.
pub async fn call(app: &TestApp, method: &str, path: &str, key: &str, body: Value) -> Answer {
    let call = app.request(method, &format!("/platform/v1{path}"));
    let call = if key.is_empty() { call } else { call.header("authorization", &format!("Bearer {key}")) };
    if body.is_null() { call.send().await } else { call.json(&body).send().await }
}

/// A key of the platform's own API.
pub async fn platform_key(app: &TestApp, account: AccountId, rights: Rights) -> String {
    key_with(app, account, Role::Platform, Patch { rights: Some(rights), ..Patch::default() }).await.1
}

/// A key with limits: its id and its text.
pub async fn key_with(app: &TestApp, account: AccountId, role: Role, patch: Patch) -> (String, String) {
    let operators = app.store.write(String::new(), key::create_operator).await.expect("an operator's key");
    let by = Mandate { from: Scope { root: AccountId(0), account: AccountId(0) }, key: operators.id };
    let new = New { by, account, role, text: None, patch };
    let (made, _) = app.store.write(new, api_key::create).await.expect("a key is made");
    (made.id.hyphenated(), made.text.reveal().to_owned())
}

/// The moment of the test's clock.
pub fn now(app: &TestApp) -> Timestamp {
    Timestamp(app.clock.now_us())
}

/// The code of an error.
pub fn code(answer: &Answer) -> (u16, String) {
    let is_json = answer.header("content-type").starts_with("application/json");
    let json = if is_json { answer.json() } else { Value::Null };
    let code = json["error"]["code"].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), code)
}

/// The fields that an error names, with their codes.
pub fn fields(answer: &Answer) -> Vec<(String, String)> {
    let json = answer.json();
    let fields = json["error"]["fields"].as_array().cloned().unwrap_or_default();
    let text = |field: &Value, name: &str| field[name].as_str().unwrap_or_default().to_owned();
    fields.iter().map(|field| (text(field, "field"), text(field, "code"))).collect()
}
