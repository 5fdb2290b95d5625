//! A page as a browser shows it: rendered here, with no script, no picture and nothing from anywhere else.

use crate::wire::Own;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::LazyLock;
use url::Url;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f3f4f6;color:#111827}\
main{max-width:26rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.4rem}h2{font-size:1.1rem;margin:0}\
form{background:#fff;border:1px solid #d1d5db;border-radius:.5rem;padding:1rem;margin:1rem 0;display:grid;gap:.75rem}\
label{display:grid;gap:.25rem}label.box{display:flex;gap:.5rem;align-items:center}\
input{font:inherit;padding:.5rem;border:1px solid #9ca3af;border-radius:.375rem}\
button{font:inherit;padding:.6rem;border:0;border-radius:.375rem;background:#1d4ed8;color:#fff;cursor:pointer}\
p{margin:.5rem 0}form p{font-size:.875rem;color:#374151;margin:0}.problem{background:#fee2e2;border:1px solid #f87171;\
border-radius:.375rem;padding:.5rem .75rem}";

/// The hash by which the one style is let through.
static STYLE_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE.as_bytes())));

/// A text that may stand in HTML, in an attribute too.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// A page being written.
pub(super) struct Page {
    title: String,
    body: String,
}

impl Page {
    pub(super) fn new(title: &str) -> Self {
        let title = escaped(title);
        Page { body: format!("<h1>{title}</h1>"), title }
    }

    pub(super) fn paragraph(mut self, text: &str) -> Self {
        self.add(format_args!("<p>{}</p>", escaped(text)));
        self
    }

    /// What was wrong with what was sent.
    pub(super) fn problem(mut self, text: &str) -> Self {
        self.add(format_args!("<p class=\"problem\" role=\"alert\">{}</p>", escaped(text)));
        self
    }

    /// A form: what goes along unseen, the fields (name, kind, label, value), and a note that is HTML already.
    pub(super) fn form(
        mut self,
        title: &str,
        hidden: &[(&str, &str)],
        fields: &[(&str, &str, &str, &str)],
        note: &str,
    ) -> Self {
        self.add(format_args!("<form method=\"post\"><h2>{title}</h2>"));
        self.hidden(hidden);
        self.fields(fields, true);
        self.add(format_args!("<p>{note}</p><button>{title}</button></form>"));
        self
    }

    /// A form of boxes to tick (value, label, whether it is ticked) and fields that may stay empty.
    pub(super) fn boxes(
        mut self,
        hidden: &[(&str, &str)],
        boxes: &[(String, String, bool)],
        fields: &[(&str, &str, &str, &str)],
    ) -> Self {
        self.add(format_args!("<form method=\"post\">"));
        self.hidden(hidden);
        for (value, label, ticked) in boxes {
            let (value, label) = (escaped(value), escaped(label));
            let ticked = if *ticked { " checked" } else { "" };
            self.add(format_args!(
                "<label class=\"box\"><input type=\"checkbox\" name=\"channel\" value=\"{value}\"{ticked}>{label}</label>"
            ));
        }
        self.fields(fields, false);
        self.add(format_args!("<button>Confirm</button></form>"));
        self
    }

    fn hidden(&mut self, hidden: &[(&str, &str)]) {
        for (name, value) in hidden {
            self.add(format_args!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value)));
        }
    }

    fn fields(&mut self, fields: &[(&str, &str, &str, &str)], required: bool) {
        let required = if required { " required" } else { "" };
        for (name, kind, label, value) in fields {
            let value = escaped(value);
            self.add(format_args!(
                "<label>{label}<input type=\"{kind}\" name=\"{name}\" value=\"{value}\"{required}></label>"
            ));
        }
    }

    fn add(&mut self, html: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.body.write_fmt(html);
    }

    /// The page as an answer. Its forms may lead to itself and, by the redirect at the end, to `back`.
    pub(super) fn answer(self, status: StatusCode, back: Option<&Url>) -> Response<Body> {
        let Page { title, body } = self;
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
             <style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
        );
        let back = back.map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; form-action 'self' {back}; base-uri 'none'; frame-ancestors 'none'",
            *STYLE_HASH
        );
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        response.extensions_mut().insert(Own);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_said_becomes_html() {
        assert_eq!(
            escaped("<b a=\"x\" c='y'>&</b>"),
            "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;&lt;/b&gt;"
        );
    }
}
