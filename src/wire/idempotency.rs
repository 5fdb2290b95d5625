//! `Idempotency-Key` on every POST: the same request under the same key counts once, and is answered alike.
//!
//! A handler that makes something does so through [`Once::create`], which keeps the answer in the same unit, or fails there
//! if there is one already. `wire::Service` looks for an earlier answer when a handler failed: the usual request, which
//! is the first under its key, pays no read.

use super::refusal::Refusal;
use super::{Context, Shared, State};
use crate::core::idempotency::{self, Answer, Claim, FIELD, KEY_MAX};
use crate::core::{Code, Error, Scope, Violation};
use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use store::Tx;

/// The request's header.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Tells a client that this answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// When a request that is still under way may be asked about again.
const AGAIN: Duration = Duration::from_secs(1);

/// Requests with a key that this process is at work on.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<HashSet<Claim>>);

/// One of them; ends with it.
pub(super) struct Turn<'a> {
    under_way: &'a UnderWay,
    claim: Claim,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.claim);
    }
}

impl UnderWay {
    /// Begins a request, unless the same one has not ended yet.
    pub(super) fn begin(&self, claim: Claim) -> Result<Turn<'_>, Refusal> {
        let is_first = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(claim);
        if is_first { Ok(Turn { under_way: self, claim }) } else { Err(still_running()) }
    }
}

fn still_running() -> Refusal {
    Error::Limited { retry_after: AGAIN }.into()
}

/// The claim of a request, if it has a key. `within` is what keeps it apart from requests of the same account to the same
/// path that are other ones: nothing, or which of the account's channels they are for.
pub(super) fn claim(
    scope: Scope,
    within: Option<&str>,
    parts: &Parts,
    body: Option<&Bytes>,
) -> Result<Option<Claim>, Refusal> {
    let Some(key) = parts.headers.get(KEY) else { return Ok(None) };
    let invalid = |code| Violation::new(FIELD, code);
    let key = key.to_str().map_err(|_| invalid(Code::Invalid))?.trim();
    if key.is_empty() {
        return Err(invalid(Code::Blank).into());
    }
    if key.len() > KEY_MAX {
        return Err(invalid(Code::TooLong(KEY_MAX)).into());
    }
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let content = [query, body.map_or(&[][..], |body| body)];
    let path = match within {
        Some(within) => format!("{within} {}", parts.uri.path()),
        None => parts.uri.path().to_owned(),
    };
    Ok(Some(Claim::new(scope, parts.method.as_str(), &path, key, &content)))
}

/// The answer that this request got before.
pub(super) async fn earlier(state: &State, claim: Claim) -> Result<Option<Response<Body>>, Refusal> {
    let found = state.store.read((claim, state.vault.clone()), idempotency::earlier).await?;
    Ok(found.map(|answer| {
        let mut response = respond(answer);
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }))
}

fn respond(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Makes something once.
#[derive(Debug, Clone, Copy)]
pub struct Once(Option<Claim>);

impl Once {
    /// Runs a unit and answers 201 with what it made. Under a key the answer is kept in the same unit.
    pub async fn create<C, O, F, B>(
        self,
        state: &Shared,
        command: C,
        unit: F,
        body: impl Fn(O) -> B + Send + 'static,
    ) -> Result<Response<Body>, Refusal>
    where
        C: Send + 'static,
        O: Send + 'static,
        B: Serialize,
        F: for<'t, 'c> AsyncFn(&'t mut Tx, &'c C) -> crate::core::Result<O> + Send + 'static,
    {
        let render = move |made: O| {
            let body = serde_json::to_vec(&body(made));
            let body = body.map_err(|_| Error::Internal("an answer is no JSON".into()))?;
            Ok(Answer { status: StatusCode::CREATED.as_u16(), body })
        };
        self.answer(state, command, unit, render).await
    }

    /// Runs a unit and answers what is made of what it answers. Under a key the answer is kept in the same unit.
    pub async fn answer<C, O, F>(
        self,
        state: &Shared,
        command: C,
        unit: F,
        render: impl Fn(O) -> crate::core::Result<Answer> + Send + 'static,
    ) -> Result<Response<Body>, Refusal>
    where
        C: Send + 'static,
        O: Send + 'static,
        F: for<'t, 'c> AsyncFn(&'t mut Tx, &'c C) -> crate::core::Result<O> + Send + 'static,
    {
        let Some(claim) = self.0 else {
            let made = state.store.write(command, unit).await?;
            return Ok(respond(render(made)?));
        };
        let vault = state.vault.clone();
        let kept = async move |tx: &mut Tx, command: &C| {
            let answer = render(unit(tx, command).await?)?;
            // A refusal that is said in words of its own has done nothing either: it may be tried again.
            if !(200..300).contains(&answer.status) || idempotency::keep(tx, &claim, &vault, &answer).await? {
                Ok(answer)
            } else {
                // Another process was first; what was done here is undone with this error.
                Err(Error::Limited { retry_after: AGAIN })
            }
        };
        Ok(respond(state.store.write(command, kept).await?))
    }
}

impl<S: Sync> FromRequestParts<S> for Once {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(Once(Context::of(parts)?.claim))
    }
}
