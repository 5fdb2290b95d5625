//! Jasmin, which needs a broker and a database of its own: one that runs already is measured, so that its memory and its
//! time on processors are not known here.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;

use super::kannel::escaped;
use crate::messages::request::{MARK, recipient, text};
use crate::messages::send::Write;

/// Writes requests that ask for one receipt, of delivery. What Jasmin adds to a URL ends in the last pair's value.
pub(crate) fn requests(address: SocketAddr, report_url: &str) -> anyhow::Result<Arc<Write>> {
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let (user, password) = (escaped(&variable("JASMIN_USER")?), escaped(&variable("JASMIN_PASSWORD")?));
    let report_url = escaped(report_url);
    Ok(Arc::new(move |n, to, _| {
        to.clear();
        let written = write!(
            to,
            "GET /send?username={user}&password={password}&from=Bakery&to={}&content={}&dlr=yes&dlr-level=2&dlr-method=GET\
             &dlr-url={report_url}%3Freference%3D{MARK}{n}%26status%3Ddelivered%26more%3D HTTP/1.1\r\nHost: {address}\r\n\r\n",
            recipient(n),
            text(n).replace(' ', "+")
        );
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }))
}
