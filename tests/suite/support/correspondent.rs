//! A child account that sends and is written to, with credit, a price, and a server for its callbacks.

use super::customer::{Call as Called, Customer};
use super::{Call, TestApp, live};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rookery::core::account::{self, NewAccount, Setting};
use rookery::core::carrier::CarrierId;
use rookery::core::inbound::{self, Inbound, Taken};
use rookery::core::ledger::{self, Balance, Grant};
use rookery::core::money::Amount;
use rookery::core::number::{self, Add, Form, Number};
use rookery::core::phone::{Msisdn, Originator};
use rookery::core::terms::MessagingSetting;
use rookery::core::{Result, Scope, rate};
use rookery::wire::signature::{Claims, Signer};
use serde_json::{Value, json};

/// What a part costs.
pub const PRICE: Amount = Amount(61_000);
/// What it begins with.
pub const CREDIT: Amount = Amount(100_000_000);
/// A number that it sends from and is written to.
pub const OWN: i64 = 31_655_500_099;

/// The account and its world.
pub struct Shop {
    pub app: TestApp,
    pub partner: NewAccount,
    pub sender: NewAccount,
    pub customer: Customer,
}

impl Shop {
    pub async fn new() -> Self {
        let app = TestApp::new().await;
        let partner = app.partner("Acme").await;
        let sender = app.child(partner.account.id, "Corner Bakery").await;
        let shop = Shop { app, partner, sender, customer: Customer::new().await };
        let account = shop.sender.account.id;
        let rate = rate::Set { account, prefix: String::new(), amount: PRICE, currency: None };
        shop.app.store.write(rate, rate::set).await.expect("a rate");
        let grant = Grant { account, amount: CREDIT, currency: None };
        shop.app.store.write(grant, ledger::grant).await.expect("credit");
        shop.app.notice_changes().await;
        shop
    }

    pub fn scope(&self) -> Scope {
        self.sender.account.scope()
    }

    pub fn call(&self, method: &str, target: &str) -> Call<'_> {
        self.app.request(method, target).key(live(&self.sender))
    }

    pub async fn set(&self, setting: MessagingSetting) {
        let command = (self.sender.account.id, Setting::Messaging(setting));
        self.app.store.write(command, account::set).await.expect("a setting");
        self.app.notice_changes().await;
    }

    /// Sends from its number to some others, with a reference and reports; answers the message.
    pub async fn send(&self, recipients: &Value) -> Value {
        let body = json!({"originator": OWN, "recipients": recipients, "body": "Your crate is ready",
            "reference": "order-8841", "reportUrl": self.customer.url("/dlr?shop=7")});
        self.call("POST", "/messages").json(&body).send().await.expect(201)
    }

    pub async fn view(&self, id: &str) -> Value {
        self.call("GET", &format!("/messages/{id}")).send().await.expect(200)
    }

    pub async fn balance(&self) -> Balance {
        self.app.store.read(self.scope(), ledger::balance).await.expect("a balance")
    }

    /// Gives a number, or texts to it that begin with a word, to an account.
    pub async fn number(
        &self,
        msisdn: i64,
        word: Option<&str>,
        to: &NewAccount,
        url: Option<String>,
        form: Option<Form>,
    ) -> Result<Number> {
        let word = word.map(|word| number::keyword(word).expect("a keyword"));
        let add = Add { msisdn: Msisdn(msisdn), word, account: to.account.id, inbound_url: url, form };
        self.app.store.write(add, number::add).await
    }

    /// A phone writes to a number.
    pub async fn receive(&self, from: &str, to: i64, text: &str) -> Taken {
        self.receive_as(from, to, text, None).await
    }

    /// The same, with the carrier's own name for it.
    pub async fn receive_as(&self, from: &str, to: i64, text: &str, reference: Option<&str>) -> Taken {
        let inbound = Inbound {
            carrier: CarrierId(1),
            reference: reference.map(str::to_owned),
            from: Originator::parse(from).expect("an originator"),
            to: Msisdn(to),
            body: text.into(),
            otherwise: None,
        };
        self.app.store.write(inbound, inbound::receive).await.expect("a text is taken")
    }
}

/// Whether a call's token, and the older signature if it is there, are what this key makes of the call as it came.
pub fn is_signed_by(call: &Called, url: &str, key: &str) -> bool {
    let token = call.header("messagebird-signature-jwt").expect("a token");
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let jti = claims["jti"].as_str().expect("a UUID").replace('-', "");
    let jti = u128::from_str_radix(&jti, 16).expect("a UUID").to_be_bytes();
    let (now, body) = (claims["exp"].as_i64().expect("a moment") - 60, call.body.as_slice());
    let signer = Signer::new(key.as_bytes(), true);
    let older = signer.headers(url, body, now, jti);
    let same = older.iter().all(|(name, value)| {
        let sent = call.header(&name.to_lowercase());
        sent.is_none() && *name != "MessageBird-Signature-JWT" || sent == Some(value.as_str())
    });
    same && token == signer.token(&Claims::new(url, body, now, jti))
}
