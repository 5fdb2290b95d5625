//! What the process counts, in the text form of Prometheus. Labels come from closed sets: never a path as sent, a key or
//! an address.

use axum::extract::MatchedPath;
use axum::http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::{Layer, Service};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    surface: &'static str,
    method: &'static str,
    route: Template,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    surface: &'static str,
}

/// Upper bounds of the time classes, in seconds.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 4.0];

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<Timed, Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = Family::<Labels, Counter>::default();
        let seconds = Family::<Timed, Histogram>::new_with_constructor(|| Histogram::new(SECONDS));
        let mut registry = Registry::with_prefix("rookery");
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register(
            "http_request_seconds",
            "Time from the request's head to its answer",
            seconds.clone(),
        );
        Metrics { registry, requests, seconds }
    }
}

/// The path of a route, with `{placeholders}`; none for a path that no route has.
#[derive(Debug, Clone)]
struct Template(Option<MatchedPath>);

impl Template {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("none", MatchedPath::as_str)
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Template {}

impl Hash for Template {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Template {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

/// The route that answered.
#[derive(Debug, Clone)]
pub struct Route {
    method: &'static str,
    template: Template,
}

impl Metrics {
    /// Counts an answered request.
    pub(super) fn request(
        &self,
        surface: &'static str,
        route: Option<Route>,
        status: StatusCode,
        taken_us: i64,
    ) {
        let Route { method, template } = route.unwrap_or(Route { method: "other", template: Template(None) });
        let labels = Labels { surface, method, route: template, status: status.as_u16() };
        self.requests.get_or_create(&labels).inc();
        let seconds = std::time::Duration::from_micros(taken_us.max(0).unsigned_abs()).as_secs_f64();
        self.seconds.get_or_create(&Timed { surface }).observe(seconds);
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// Leaves the matched route in the answer's extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct RouteLayer;

impl<S> Layer<S> for RouteLayer {
    type Service = RouteService<S>;

    fn layer(&self, inner: S) -> RouteService<S> {
        RouteService(inner)
    }
}

/// See [`RouteLayer`].
#[derive(Debug, Clone)]
pub(super) struct RouteService<S>(S);

impl<S, B, A> Service<Request<B>> for RouteService<S>
where
    S: Service<Request<B>, Response = Response<A>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = RouteFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let template = request.extensions().get::<MatchedPath>().cloned();
        let method = match request.method().as_str() {
            "GET" => "GET",
            "POST" => "POST",
            "PUT" => "PUT",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            _ => "other",
        };
        let route = template.map(|path| Route { method, template: Template(Some(path)) });
        RouteFuture { answer: self.0.call(request), route }
    }
}

pin_project! {
    /// See [`RouteLayer`].
    pub(super) struct RouteFuture<F> {
        #[pin]
        answer: F,
        route: Option<Route>,
    }
}

impl<F, A, E> Future for RouteFuture<F>
where
    F: Future<Output = Result<Response<A>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut answer = std::task::ready!(this.answer.poll(cx));
        if let (Ok(response), Some(route)) = (&mut answer, this.route.take()) {
            response.extensions_mut().insert(route);
        }
        Poll::Ready(answer)
    }
}
