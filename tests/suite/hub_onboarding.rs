//! The onboarding pages (docs/spec/32-360-webhooks-onboarding.md sections 4 and 5): from the vendor's link to the redirect.

use crate::hub::{Hub, text};
use crate::support::{Answer, partner_api};
use hmac::{Hmac, KeyInit, Mac};
use rookery::core::partner::{self, Patch};
use serde_json::json;
use sha2::Sha512;
use std::time::Duration;

const BACK: &str = "https://acme.example/connected?x=1";

impl Hub {
    /// A hub whose partner says where its clients are led back to.
    pub async fn welcoming() -> Hub {
        let hub = Hub::new().await;
        let body = json!({"partner_redirect_url": BACK});
        hub.call("PATCH", "").json(&body).send().await.expect(200);
        hub
    }

    fn entrance(&self) -> String {
        format!("/dashboard/app/{}", partner_api(&self.partner).1)
    }

    async fn show(&self, query: &str) -> Answer {
        self.app.request("GET", &format!("{}{query}", self.entrance())).send().await
    }

    pub async fn submit(&self, form: &str) -> Answer {
        self.app.request("POST", &self.entrance()).form(form).send().await
    }

    pub async fn sign_up(&self, email: &str, number: &str) -> Answer {
        let form = format!(
            "step=sign-up&name=Bakery&contact=John&email={email}&password=long+enough&number={number}&state=a%26b&partner=crm-1"
        );
        self.submit(&form).await
    }
}

/// The parameters of the place to which somebody is led back, as the vendor's button reads them.
fn back(answer: &Answer) -> Vec<(String, String)> {
    assert_eq!(answer.status, 302, "{}", String::from_utf8_lossy(&answer.body));
    let location = answer.header("location");
    let query = location.strip_prefix("https://acme.example/connected?").expect("the partner's own place");
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn of<'a>(back: &'a [(String, String)], name: &str) -> Option<&'a str> {
    back.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn page(answer: &Answer) -> String {
    assert!(answer.header("content-type").starts_with("text/html"));
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = String::from_utf8(answer.body.clone()).unwrap();
    assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("http:"), "{html}");
    html
}

#[tokio::test]
async fn somebody_signs_up_and_is_led_back_with_a_channel() {
    let hub = Box::pin(Hub::welcoming()).await;
    for path in ["/dashboard/app/{}", "/dashboard/app/{}/permissions", "/onboarding/{}"] {
        let path = path.replace("{}", partner_api(&hub.partner).1);
        let shown = hub.app.request("GET", &format!("{path}?email=a%40b.example&name=%3Cb%3E")).send().await;
        assert_eq!(shown.status, 200, "{path}");
        let html = page(&shown);
        assert!(
            html.contains("Acme Chat")
                && html.contains("value=\"a@b.example\"")
                && html.contains("&lt;b&gt;")
        );
    }
    let led = back(&hub.sign_up("it@bakery.example", "31612345678").await);
    assert_eq!((of(&led, "x"), of(&led, "state"), of(&led, "revoked")), (Some("1"), Some("a&b"), None));
    let (client, channels) = (of(&led, "client").unwrap(), of(&led, "channels").unwrap());
    let id = channels.strip_prefix('[').and_then(|ids| ids.strip_suffix(']')).expect("ids in brackets");
    let channel = hub.get(&format!("/channels/{id}")).await;
    assert_eq!(
        (&channel["client_id"], &channel["setup_info"]["phone_number"]),
        (&json!(client), &json!("31612345678"))
    );
    assert_eq!(channel["client"]["partner_payload"], "crm-1");
    hub.app.settle().await;
    hub.call("POST", &format!("/channels/{id}/api_keys")).send().await.expect(201);
    // The same address again: nothing is made, and nobody is let in without the password.
    let again = hub.sign_up("IT@bakery.example", "31612345679").await;
    assert!(page(&again).contains("sign in"));
    assert_eq!(hub.get("/channels").await["total"], 1);
    for form in [
        "step=sign-up",
        "step=sign-up&name=x&email=x&password=long+enough&number=31612345678",
        "step=sign-up&name=x&email=a@b.example&password=short&number=31612345678",
        "step=sign-up&name=x&email=a@b.example&password=long+enough&number=x",
    ] {
        let refused = hub.submit(form).await;
        assert_eq!(refused.status, 200);
        assert!(page(&refused).contains("problem"), "{form}");
    }
    assert_eq!(hub.get("/clients").await["total"], 1);
    hub.app.settle().await;
}

#[tokio::test]
async fn somebody_signs_in_and_decides_anew() {
    let hub = Box::pin(Hub::welcoming()).await;
    let led = back(&hub.sign_up("it@bakery.example", "31612345678").await);
    let id = of(&led, "channels").unwrap().trim_matches(['[', ']']).to_owned();
    hub.app.settle().await;
    let wrong = hub.submit("step=sign-in&email=it@bakery.example&password=not+that").await;
    assert!(page(&wrong).contains("Wrong"));
    let sign_in = async || {
        let shown = hub.submit("step=sign-in&email=it@bakery.example&password=long+enough").await;
        let html = page(&shown);
        let (_, rest) = html.split_once("name=\"token\" value=\"").expect("a token");
        (rest.split_once('"').expect("its end").0.to_owned(), html)
    };
    let (token, html) = sign_in().await;
    assert!(html.contains("+31612345678") && html.contains("checked"));
    let raw = id.strip_suffix("CH").unwrap();
    // The permission is withdrawn, and one more number comes.
    let form = format!("step=permissions&token={token}&number=31612345670");
    let led = back(&hub.submit(&form).await);
    assert_eq!(of(&led, "revoked"), Some(format!("[{id}]").as_str()));
    let added = of(&led, "channels").unwrap().trim_matches(['[', ']']).to_owned();
    assert!(added.ends_with("CH") && added != id);
    hub.call("POST", &format!("/channels/{id}/api_keys")).send().await.expect(403);
    let (token, _) = sign_in().await;
    let led =
        back(&hub.submit(&format!("step=permissions&token={token}&channel={raw}&channel=zzzzzz")).await);
    assert_eq!(of(&led, "channels"), Some(format!("[{id}]").as_str()));
    assert_eq!(of(&led, "revoked"), Some(format!("[{added}]").as_str()));
    hub.call("POST", &format!("/channels/{id}/api_keys")).send().await.expect(201);
    let (token, _) = sign_in().await;
    hub.app.clock.advance(Duration::from_secs(901));
    assert_eq!(hub.submit(&format!("step=permissions&token={token}")).await.status, 401, "too late");
    assert_eq!(hub.submit("step=permissions&token=").await.status, 401);
    hub.app.settle().await;
}

#[tokio::test]
async fn links_are_signed_fresh_and_used_once() {
    let hub = Box::pin(Hub::welcoming()).await;
    let command = (hub.partner.account.id, hub.app.vault.clone());
    let secret = hub.app.store.write(command, partner::rotate_secret).await.unwrap();
    hub.set(Patch { signed_onboarding: Some(true), ..Patch::default() }).await;
    assert_eq!(hub.show("").await.status, 403);
    let handle = partner_api(&hub.partner).1.to_owned();
    let signed = |seconds: i64| {
        let mut mac = Hmac::<Sha512>::new_from_slice(secret.reveal().as_bytes()).unwrap();
        mac.update(format!("{handle}|{seconds}").as_bytes());
        rookery::core::secret::hex(&mac.finalize().into_bytes())
    };
    let now = hub.app.clock.now_us() / 1_000_000;
    let pair = format!("io_signature={}&io_timestamp={now}", signed(now));
    let shown = hub.show(&format!("?{pair}")).await;
    assert_eq!(shown.status, 200);
    assert!(page(&shown).contains(&signed(now)), "the form takes it along");
    for wrong in [
        format!("?io_signature={}&io_timestamp={}", signed(now), now + 1),
        format!("?io_signature={}&io_timestamp={}", signed(now - 400), now - 400),
        format!("?io_signature=00&io_timestamp={now}"),
        format!("?io_timestamp={now}"),
    ] {
        assert_eq!(hub.show(&wrong).await.status, 403, "{wrong}");
    }
    let form = |email: &str| {
        format!("step=sign-up&name=B&email={email}&password=long+enough&number=31612345678&{pair}")
    };
    let led = back(&hub.submit(&form("a@b.example")).await);
    let seconds: i64 = of(&led, "io_timestamp").unwrap().parse().unwrap();
    assert_eq!(of(&led, "io_signature"), Some(signed(seconds).as_str()), "the redirect is signed as well");
    assert_eq!(hub.submit(&form("c@d.example")).await.status, 403, "a signature is good for one attempt");
    let upper = form("c@d.example").replace(&signed(now), &signed(now).to_ascii_uppercase());
    let plus = form("c@d.example").replace(&format!("timestamp={now}"), &format!("timestamp=%2B{now}"));
    for variant in [upper, plus] {
        assert_eq!(hub.submit(&variant).await.status, 403, "however it is written: {variant}");
    }
    // What leads back proves that, and opens nothing.
    hub.app.clock.advance(Duration::from_secs(2));
    let now = hub.app.clock.now_us() / 1_000_000;
    let form = |email: &str, seconds: i64| {
        format!(
            "step=sign-up&name=B&email={email}&password=long+enough&number=31612345679&io_signature={}&io_timestamp={seconds}",
            signed(seconds)
        )
    };
    let led = back(&hub.submit(&form("c@d.example", now - 1)).await);
    let seconds: i64 = of(&led, "io_timestamp").unwrap().parse().unwrap();
    assert_eq!(hub.submit(&form("e@f.example", seconds)).await.status, 403);
    assert_eq!(hub.get("/clients").await["total"], 2);
    hub.app.settle().await;
}

#[tokio::test]
async fn pages_refuse_what_is_not_the_partners() {
    let hub = Box::pin(Hub::welcoming()).await;
    for (query, status) in [
        ("?redirect_url=https%3A%2F%2Facme.example%2Fother", 200),
        ("?redirect_url=https%3A%2F%2Fevil.example%2F", 400),
        ("?redirect_url=javascript%3Aalert(1)", 400),
        ("?redirect_url=x", 400),
    ] {
        let shown = hub.show(query).await;
        assert_eq!(shown.status, status, "{query}");
        page(&shown);
    }
    let missing = hub.app.request("GET", "/onboarding/Zz9Zz9PA").send().await;
    assert_eq!(missing.status, 404);
    page(&missing);
    page(&hub.app.request("GET", "/onboarding").send().await);
    let nowhere = hub.app.partner("Nowhere").await;
    let entrance = format!("/onboarding/{}", partner_api(&nowhere).1);
    assert_eq!(hub.app.request("GET", &entrance).send().await.status, 400, "nobody knows where to lead");
    let body = json!({"allow_client_to_add_phone_no": false});
    hub.call("PATCH", "").json(&body).send().await.expect(200);
    assert!(!page(&hub.show("").await).contains("Sign up"));
    assert!(page(&hub.sign_up("it@bakery.example", "31612345678").await).contains("No numbers"));
    assert_eq!(text(&hub.get("").await["partner_redirect_url"]), BACK);
    hub.app.settle().await;
}
