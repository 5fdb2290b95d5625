//! The OpenAPI document of everything that is served, made from the routers themselves.

use super::{Endpoint, d360, messagebird};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{Components, Info, OpenApi, Paths, Tag};
use utoipa_axum::router::OpenApiRouter;

/// Each product's part of the document.
fn products() -> [(&'static str, OpenApi); 5] {
    let document = |mut routes: OpenApiRouter<super::Shared>| routes.to_openapi();
    [
        ("rest", document(messagebird::rest())),
        ("partner-accounts", document(messagebird::partner_accounts())),
        ("hub", document(d360::hub())),
        ("token", document(d360::token())),
        // On one origin these paths need their prefix: the rest host has the same ones.
        ("waba-v2", document(OpenApiRouter::new().nest("/_waba-v2", d360::messaging::routes()))),
    ]
}

/// The sections, in the order in which the documentation shows them.
const SECTIONS: [(&str, &str); 14] = [
    ("SMS", "Messages: send, read, list, delete"),
    ("Balance", "What an account has left"),
    ("Contacts", "The address book"),
    ("Groups", "Contacts, put together"),
    ("Partner Accounts", "A partner's child accounts"),
    ("Token", "Signing in"),
    ("Partner Management", "The partner itself"),
    ("Client Management", "A partner's clients, which are its child accounts"),
    ("Account Sharing", "How a client's number comes to a partner"),
    ("Channel Management", "A client's channels and their keys"),
    ("WABA Account Management", "The accounts at the network that channels belong to"),
    ("Templates Management", "Templates of messages"),
    ("Webhook Management", "Where a channel's events go"),
    ("Messaging", "What a channel's key opens"),
];

/// The document of all products, on one origin.
pub(super) fn document() -> OpenApi {
    let mut info = Info::new("Rookery", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "The classic MessageBird APIs and the 360dialog Partner API, served by this installation. The same paths are \
         served on hosts whose first label is `rest`, `partner-accounts`, `hub` or `waba-v2` (there without `/_waba-v2`)."
            .into(),
    );
    let mut whole = OpenApi::new(info, Paths::new());
    for (_, product) in products() {
        whole.merge(product);
    }
    let section = |(name, text): (&str, &str)| {
        let mut tag = Tag::new(name);
        tag.description = Some(text.into());
        tag
    };
    whole.tags = Some(SECTIONS.map(section).into());
    let components = whole.components.get_or_insert_with(Components::new);
    let header = |name: &str, text: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, text)))
    };
    components
        .add_security_scheme("AccessKey", header("Authorization", "`AccessKey` and the key: `AccessKey …`"));
    components.add_security_scheme("PartnerApiKey", header("X-API-Key", "The partner's API key"));
    components.add_security_scheme("ChannelKey", header("D360-API-KEY", "The channel's API key"));
    components.add_security_scheme(
        "Bearer",
        header("Authorization", "`Bearer` and a token of `POST /api/v2/token`: `Bearer …`"),
    );
    whole
}

/// The document as it is served and committed.
pub(super) fn json() -> String {
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Every endpoint of every product.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = Vec::new();
    for (surface, product) in products() {
        for (path, item) in product.paths.paths {
            let methods = [
                ("GET", item.get.is_some()),
                ("POST", item.post.is_some()),
                ("PUT", item.put.is_some()),
                ("PATCH", item.patch.is_some()),
                ("DELETE", item.delete.is_some()),
            ];
            let present = methods.into_iter().filter(|(_, present)| *present);
            all.extend(present.map(|(method, _)| Endpoint {
                surface,
                method: method.into(),
                path: path.clone(),
            }));
        }
    }
    all
}
