//! What is sent to a customer's URL, as it is kept with its callback: so that every repetition is the same bytes.

use url::Url;

/// A request as it was rendered once. It is kept as one text: the URL, and below it, if there is a body, its type and the
/// body; no URL and no type holds a line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Absolute, as it is called and signed.
    pub url: String,
    /// The type of the body and the body; without one it is a GET request.
    pub body: Option<(String, String)>,
}

impl Rendered {
    /// Everything stands in the URL.
    pub fn get(url: String) -> Self {
        Rendered { url, body: None }
    }

    /// Reads what was kept.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.splitn(3, '\n');
        let url = lines.next().unwrap_or_default().to_owned();
        let body = lines.next().zip(lines.next()).map(|(kind, body)| (kind.to_owned(), body.to_owned()));
        Rendered { url, body }
    }

    /// As it is kept.
    pub fn text(&self) -> String {
        match &self.body {
            None => self.url.clone(),
            Some((kind, body)) => [&self.url, kind.as_str(), body].join("\n"),
        }
    }

    /// `GET` or `POST`.
    pub fn method(&self) -> &'static str {
        if self.body.is_some() { "POST" } else { "GET" }
    }

    /// The URL with the values of the customer's own parameters hidden: they may be secrets of theirs.
    pub fn shown_url(&self, configured: &str) -> String {
        let own = Url::parse(configured).ok();
        let names: Vec<String> =
            own.iter().flat_map(Url::query_pairs).map(|(name, _)| name.into_owned()).collect();
        let Some((path, query)) = self.url.split_once('?').filter(|_| !names.is_empty()) else {
            return self.url.clone();
        };
        let hidden = query.split('&').map(|pair| {
            let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = url::form_urlencoded::parse(name.as_bytes()).next();
            let is_own = plain.is_some_and(|(name, _)| names.iter().any(|own| *own == name));
            if is_own { format!("{name}=***") } else { pair.to_owned() }
        });
        format!("{path}?{}", hidden.collect::<Vec<_>>().join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let get = Rendered::get("https://hooks.example/in?a=1".into());
        let post = Rendered {
            url: "https://hooks.example/in".into(),
            body: Some(("text/plain".into(), "one\ntwo\n".into())),
        };
        let empty = Rendered { body: Some(("text/plain".into(), String::new())), ..get.clone() };
        for (one, method) in [(get, "GET"), (post, "POST"), (empty, "POST")] {
            assert_eq!((Rendered::parse(&one.text()), one.method()), (one.clone(), method));
        }
    }

    #[test]
    fn a_customers_own_parameters_are_not_shown() {
        let sent = Rendered::get("https://hooks.example/in?id=7&my+key=s3cret&status=sent".into());
        let shown = sent.shown_url("https://hooks.example/in?my%20key=s3cret");
        assert_eq!(shown, "https://hooks.example/in?id=7&my+key=***&status=sent");
        assert_eq!(sent.shown_url("https://hooks.example/in"), sent.url);
    }
}
