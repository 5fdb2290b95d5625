//! An installation with one partner and its child, as most tests of conventions want it.

use crate::exact::{get, send};
use crate::support::{Answer, TestApp, live};
use rookery::core::account::NewAccount;
use rookery::wire::Options;
use std::collections::BTreeSet;

/// An installation with a partner and its child.
pub struct Home {
    pub app: TestApp,
    pub partner: NewAccount,
    pub child: NewAccount,
}

impl Home {
    pub async fn new() -> Self {
        Self::with(Options { rate_limits: false, ..Options::default() }).await
    }

    pub async fn with(options: Options) -> Self {
        let app = TestApp::with(options).await;
        let partner = app.partner("Acme").await;
        let child = app.child(partner.account.id, "Corner Bakery").await;
        Home { app, partner, child }
    }

    pub fn key(&self) -> &str {
        live(&self.child)
    }

    pub fn authorization(&self) -> String {
        format!("AccessKey {}", self.key())
    }

    pub async fn contact(&self, msisdn: &str) -> String {
        let answer = self
            .app
            .request("POST", "/contacts")
            .key(self.key())
            .form(&format!("msisdn={msisdn}&firstName=Ada"))
            .send()
            .await;
        id(&answer)
    }

    pub async fn group(&self) -> String {
        id(&self.app.request("POST", "/groups").key(self.key()).form("name=Regulars").send().await)
    }

    /// A read with the child's key, as the clock stands.
    pub async fn read(&self, target: &str) -> Answer {
        send(&self.app.service, get(target).header("authorization", self.authorization()), "").await
    }
}

#[track_caller]
pub fn id(answer: &Answer) -> String {
    answer.expect(201)["id"].as_str().expect("an id").to_owned()
}

/// The methods of the `Allow` header, in alphabetical order.
pub fn allowed(answer: &Answer) -> String {
    answer
        .header("allow")
        .split(',')
        .map(str::trim)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
        .join(",")
}

pub fn status_and_codes(answer: &Answer) -> (u16, Vec<i64>) {
    (answer.status.as_u16(), answer.codes())
}
