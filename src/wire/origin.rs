//! Which product a request is for, and how links to it are written.
//!
//! The vendors serve each product on a host of its own. Here a request is routed by the first label of its `Host`; on any
//! other host the same labels serve as path prefixes (`/_rest/…`), and what collides with nothing is served without one
//! (docs/spec/00-overview.md section 1). Links keep the form that the request came by.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::fmt::Display;
use std::sync::Arc;

/// A product, as far as wire conventions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// `rest`: SMS, contacts, groups, balance and the like.
    Rest,
    /// `partner-accounts`: child accounts.
    PartnerAccounts,
    /// `hub`: the 360dialog Partner API.
    Hub,
    /// Where people sign in for tokens of the hub.
    Token,
    /// `waba-v2`: the messages of a channel.
    Channel,
    /// The pages on which a partner's clients share their numbers.
    Onboarding,
    /// Our own API.
    Platform,
    /// A vendor's product that is not served yet: every path is unknown, in the shape of the rest host.
    Absent,
    /// What every installation has: health, metrics, documentation, and what carriers call.
    System,
}

impl Surface {
    /// The name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Surface::Rest => "rest",
            Surface::PartnerAccounts => "partner-accounts",
            Surface::Hub => "hub",
            Surface::Token => "token",
            Surface::Channel => "waba-v2",
            Surface::Onboarding => "onboarding",
            Surface::Platform => "platform",
            Surface::Absent => "absent",
            Surface::System => "system",
        }
    }

    /// Whether `_method` and query attributes mean something (docs/spec/00-overview.md section 3).
    pub fn is_messagebird(self) -> bool {
        matches!(self, Surface::Rest | Surface::PartnerAccounts | Surface::Absent)
    }
}

/// The labels that lead somewhere.
const LABELS: &[(&str, Surface)] = &[
    ("rest", Surface::Rest),
    ("partner-accounts", Surface::PartnerAccounts),
    ("hub", Surface::Hub),
    ("voice", Surface::Absent),
    ("numbers", Surface::Absent),
    ("conversations", Surface::Absent),
    ("contacts", Surface::Absent),
    ("messaging", Surface::Absent),
    ("integrations", Surface::Absent),
    ("waba-v2", Surface::Channel),
    ("waba", Surface::Channel),
    ("waba-sandbox", Surface::Channel),
];

/// Where tokens are given.
const TOKEN_PATH: &str = "/api/v2/token";
/// Where onboarding begins (docs/spec/32-360-webhooks-onboarding.md section 4.1).
const ONBOARDING_PATHS: &[&str] = &["/dashboard/app", "/onboarding"];

const SYSTEM_PATHS: &[&str] =
    &["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/_carrier", "/_transport"];

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The product.
    pub surface: Surface,
    /// The prefix that the path came with, such as `/_rest`, or nothing.
    pub prefix: &'a str,
    /// The path within the product, without a trailing slash.
    pub path: &'a str,
}

/// Finds the product and the path within it.
pub fn locate<'a>(host: &str, path: &'a str) -> Place<'a> {
    let labelled = host.split(['.', ':']).next().and_then(labelled);
    let (prefix, rest, surface) = match prefixed(path) {
        Some((prefix, rest, surface)) if labelled.is_none() => (prefix, rest, Some(surface)),
        _ => ("", path, labelled),
    };
    let trimmed = rest.trim_end_matches('/');
    let path = if trimmed.is_empty() { "/" } else { trimmed };
    let begins =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let system = prefix.is_empty() && SYSTEM_PATHS.iter().any(|root| begins(root));
    let surface = match surface {
        _ if system => Surface::System,
        Some(Surface::Hub) | None if path == TOKEN_PATH => Surface::Token,
        Some(Surface::Hub) | None if ONBOARDING_PATHS.iter().any(|root| begins(root)) => Surface::Onboarding,
        Some(surface) => surface,
        None if path == "/" => Surface::System,
        None if begins("/child-accounts") || begins("/v1/child-accounts") => Surface::PartnerAccounts,
        None if begins("/platform/v1") => Surface::Platform,
        None if begins("/api/v2") || begins("/v1/partners") => Surface::Hub,
        None => Surface::Rest,
    };
    Place { surface, prefix, path }
}

fn labelled(label: &str) -> Option<Surface> {
    LABELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(label)).map(|(_, surface)| *surface)
}

fn prefixed(path: &str) -> Option<(&str, &str, Surface)> {
    let label = path.strip_prefix("/_")?;
    let end = label.find('/').unwrap_or(label.len());
    let surface = labelled(&label[..end])?;
    let (prefix, rest) = path.split_at(end + 2);
    Some((prefix, rest, surface))
}

/// What absolute links begin with: scheme, host and, if the request came by one, the prefix of the product.
#[derive(Debug, Clone)]
pub struct Origin(Arc<str>);

impl Origin {
    /// From the configured public URL, else from the request.
    pub fn new(public_url: Option<&str>, scheme: &str, host: &str, prefix: &str) -> Self {
        match public_url {
            Some(url) => Origin(format!("{}{prefix}", url.trim_end_matches('/')).into()),
            None => Origin(format!("{scheme}://{}{prefix}", presentable(host)).into()),
        }
    }

    /// What absolute links to another product begin with, which is served beside this one: on the host of its label if
    /// this one came by its label, else under its prefix.
    pub fn of(&self, own: &str, other: &str) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("http", &self.0));
        let labelled = rest.strip_prefix(own).filter(|rest| rest.starts_with('.'));
        if let Some(domain) = labelled {
            format!("{scheme}://{other}{domain}")
        } else {
            let host = rest.strip_suffix(&format!("/_{own}")).unwrap_or(rest);
            format!("{scheme}://{host}/_{other}")
        }
    }

    /// An absolute link to a path of the product.
    pub fn link(&self, path: impl Display) -> String {
        format!("{}{path}", self.0)
    }
}

/// A host as it may stand in a link; what no host can look like is not reflected.
fn presentable(host: &str) -> &str {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if !host.is_empty() && host.len() <= 255 && host.bytes().all(fits) { host } else { "localhost" }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = super::refusal::Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        super::Context::of(parts).map(|context| context.origin.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, path: &str) -> (Surface, String, String) {
        let place = locate(host, path);
        (place.surface, place.prefix.to_owned(), place.path.to_owned())
    }

    #[test]
    fn finds_the_product_by_label_by_prefix_and_on_one_origin() {
        let place = |surface, prefix: &str, path: &str| (surface, prefix.to_owned(), path.to_owned());
        assert_eq!(at("rest.acme.example", "/balance/"), place(Surface::Rest, "", "/balance"));
        assert_eq!(at("REST.acme.example:8443", "/contacts"), place(Surface::Rest, "", "/contacts"));
        assert_eq!(at("sms.acme.example", "/_rest/contacts"), place(Surface::Rest, "/_rest", "/contacts"));
        assert_eq!(at("sms.acme.example", "/_voice/calls"), place(Surface::Absent, "/_voice", "/calls"));
        assert_eq!(at("sms.acme.example", "/_nothing/x"), place(Surface::Rest, "", "/_nothing/x"));
        assert_eq!(
            at("localhost:8080", "/v1/child-accounts/7"),
            place(Surface::PartnerAccounts, "", "/v1/child-accounts/7")
        );
        assert_eq!(at("localhost:8080", "/child-accountsx"), place(Surface::Rest, "", "/child-accountsx"));
        assert_eq!(at("localhost:8080", "/api/v2/partners/a"), place(Surface::Hub, "", "/api/v2/partners/a"));
        assert_eq!(at("hub.acme.example", "/contacts"), place(Surface::Hub, "", "/contacts"));
        assert_eq!(at("localhost:8080", "/"), place(Surface::System, "", "/"));
        assert_eq!(at("rest.acme.example", "/"), place(Surface::Rest, "", "/"));
        assert_eq!(at("rest.acme.example", "/healthz"), place(Surface::System, "", "/healthz"));
        assert_eq!(at("rest.acme.example", "/_carrier/a/t"), place(Surface::System, "", "/_carrier/a/t"));
        assert_eq!(at("localhost", "/_rest"), place(Surface::Rest, "/_rest", "/"));
    }

    #[test]
    fn a_host_that_is_none_is_not_reflected() {
        let link = |host| Origin::new(None, "https", host, "").link("/x");
        assert_eq!(link("rest.acme.example"), "https://rest.acme.example/x");
        assert_eq!(link("evil\"><script>"), "https://localhost/x");
        assert_eq!(
            Origin::new(Some("https://a.example/"), "http", "b", "/_rest").link("/x"),
            "https://a.example/_rest/x"
        );
    }
}
