//! A sender with credit and prices, and a server for its callbacks: what tests of a message's life begin with.

use super::customer::Customer;
use super::{Call, TestApp, live};
use rookery::core::account::{self, NewAccount, Setting};
use rookery::core::ledger::{self, Balance, Grant};
use rookery::core::money::Amount;
use rookery::core::rate;
use rookery::core::terms::MessagingSetting;
use serde_json::{Value, json};

/// What a part costs the sender, and its partner.
pub const PRICE: Amount = Amount(61_000);
pub const COST: Amount = Amount(40_000);
pub const CREDIT: Amount = Amount(10_000_000);

pub struct Shop {
    pub app: TestApp,
    pub partner: NewAccount,
    pub sender: NewAccount,
    pub customer: Customer,
}

impl Shop {
    /// A sender with credit and prices, and a server for its callbacks.
    pub async fn new() -> Self {
        let app = TestApp::new().await;
        let partner = app.partner("Acme").await;
        let sender = app.child(partner.account.id, "Corner Bakery").await;
        let shop = Shop { app, partner, sender, customer: Customer::new().await };
        for (account, amount) in [(&shop.sender, PRICE), (&shop.partner, COST)] {
            let rate =
                rate::Set { account: account.account.id, prefix: String::new(), amount, currency: None };
            shop.app.store.write(rate, rate::set).await.expect("a rate");
        }
        let grant = Grant { account: shop.sender.account.id, amount: CREDIT, currency: None };
        shop.app.store.write(grant, ledger::grant).await.expect("credit");
        shop.app.notice_changes().await;
        shop
    }

    pub fn call(&self, method: &str, target: &str) -> Call<'_> {
        self.app.request(method, target).key(live(&self.sender))
    }

    pub async fn set(&self, setting: MessagingSetting) {
        let command = (self.sender.account.id, Setting::Messaging(setting));
        self.app.store.write(command, account::set).await.expect("a setting");
        self.app.notice_changes().await;
    }

    /// Sends to some numbers, with a reference and reports.
    pub async fn send(&self, recipients: &Value) -> String {
        let body = json!({"originator": "31655500099", "recipients": recipients, "body": "Your crate is ready",
            "reference": "order-8841", "reportUrl": self.customer.url("/dlr?shop=7")});
        let sent = self.call("POST", "/messages").json(&body).send().await.expect(201);
        sent["id"].as_str().expect("an id").to_owned()
    }

    pub async fn view(&self, id: &str) -> Value {
        self.call("GET", &format!("/messages/{id}")).send().await.expect(200)
    }

    /// Status, reason and code of a message's only recipient.
    pub async fn state(&self, id: &str) -> (String, Value, Value) {
        let seen = self.view(id).await;
        let item = &seen["recipients"]["items"][0];
        let status = item["status"].as_str().expect("a status").to_owned();
        (status, item["statusReason"].clone(), item["statusErrorCode"].clone())
    }

    pub async fn balance(&self, of: &NewAccount) -> Balance {
        self.app.store.read(of.account.scope(), ledger::balance).await.expect("a balance")
    }

    /// What the sender has paid so far.
    pub async fn paid(&self) -> Amount {
        Amount(CREDIT.0 - self.balance(&self.sender).await.posted.0)
    }

    /// The statuses that the customer was told, in order.
    pub fn told(&self) -> Vec<String> {
        self.customer.calls().iter().filter_map(|call| call.parameter("status")).collect()
    }
}
