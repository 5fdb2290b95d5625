//! Gives parts to their carriers and records what those say. One task for each carrier; it holds the carrier's lease.
//! Here is who works for which carrier; `simulated`, `smpp` and `http_carrier` are the desks, and `clerk` what they do alike.
//!
//! Nothing is sent first and recorded later: a part is marked in a unit of its own before the carrier sees it, and what
//! the carrier answers is recorded before anything follows from it.

use super::Stopped;
use super::clerk::Means;
use super::{http_carrier, simulated, smpp};
use crate::core::Violation;
use crate::core::carrier::{self, Carrier, CarrierId, CarrierKind};
use crate::core::http_carrier::HttpSettings;
use crate::core::secret::{Place, Vault};
use crate::core::smpp_carrier::SmppSettings;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Between two looks at the list of carriers.
const CARRIERS_EVERY: Duration = Duration::from_secs(2);
/// What the carriers' tasks work with.
pub(super) struct Office {
    pub(super) means: Means,
    pub(super) vault: Vault,
}

/// A carrier's task, and what it was started for.
struct Job {
    of: Carrier,
    task: AbortHandle,
    /// Its end tells the task to stop.
    _stop: watch::Sender<bool>,
}

/// Runs every carrier's task: starts those of new carriers, ends those of removed ones, and begins anew where settings
/// have changed.
pub(super) async fn run(office: Office, mut stopped: Stopped) {
    let mut tasks = JoinSet::new();
    let mut jobs: HashMap<CarrierId, Job> = HashMap::new();
    // A carrier has one task at a time: the next begins when the one before has given back what it has.
    let mut ending: HashMap<CarrierId, AbortHandle> = HashMap::new();
    loop {
        match office.means.store.read((), carrier::all).await {
            Ok(carriers) => {
                let same = |job: &Job| carriers.iter().any(|carrier| alike(carrier, &job.of));
                for (id, job) in jobs.extract_if(|_, job| job.task.is_finished() || !same(job)) {
                    ending.insert(id, job.task);
                }
                ending.retain(|_, task| !task.is_finished());
                for carrier in carriers {
                    if jobs.contains_key(&carrier.id) || ending.contains_key(&carrier.id) {
                        continue;
                    }
                    let (stop, until) = watch::channel(false);
                    if let Some(task) = office.start(&carrier, &mut tasks, Stopped(until)) {
                        jobs.insert(carrier.id, Job { of: carrier, task, _stop: stop });
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "carriers cannot be read; trying again"),
        }
        if stopped.after(CARRIERS_EVERY).await {
            break;
        }
        while tasks.try_join_next().is_some() {}
    }
    drop(jobs);
    while tasks.join_next().await.is_some() {}
}

/// Whether nothing has changed that a task was started with.
fn alike(one: &Carrier, other: &Carrier) -> bool {
    one.id == other.id
        && one.kind == other.kind
        && one.settings == other.settings
        && one.secret == other.secret
}

/// A carrier's settings; none if one is wrong, which is said.
fn understood<T>(carrier: &Carrier, settings: std::result::Result<T, Violation>) -> Option<T> {
    settings
        .inspect_err(|wrong| {
            tracing::error!(carrier = %carrier.name, setting = wrong.field, "a carrier's setting is wrong; set it with `rookery carrier set`");
        })
        .ok()
}

impl Office {
    /// What a carrier knows us by, which may be nothing; none if it does not open, which is said.
    fn secret(&self, carrier: &Carrier) -> Option<String> {
        let Some(sealed) = carrier.secret.as_deref().filter(|sealed| !sealed.is_empty()) else {
            return Some(String::new());
        };
        let opened = self.vault.open(Place::Carrier(carrier.id.0), sealed).ok();
        let secret = opened.and_then(|bytes| String::from_utf8(bytes).ok());
        if secret.is_none() {
            tracing::error!(carrier = %carrier.name, "a carrier's password does not open; set it anew");
        }
        secret
    }

    /// Starts a carrier's task; none if it cannot work, which is said.
    fn start(&self, carrier: &Carrier, tasks: &mut JoinSet<()>, stopped: Stopped) -> Option<AbortHandle> {
        let means = self.means.clone();
        tracing::info!(carrier = %carrier.name, kind = carrier.kind.name(), "carrier");
        match carrier.kind {
            CarrierKind::Simulated => Some(tasks.spawn(simulated::Desk::new(means, carrier.id).run(stopped))),
            CarrierKind::Smpp => {
                let settings = understood(carrier, SmppSettings::read(&carrier.settings))?;
                let password = self.secret(carrier)?;
                let tls = match settings.tls.is_some().then(super::egress::tls_client).transpose() {
                    Ok(tls) => tls,
                    Err(error) => {
                        tracing::error!(carrier = %carrier.name, %error, "a carrier's TLS cannot be set up");
                        return None;
                    }
                };
                let desk = smpp::Desk::new(means, carrier, settings, &password, tls);
                Some(tasks.spawn(desk.run(stopped)))
            }
            CarrierKind::Http => {
                let settings = understood(carrier, HttpSettings::read(&carrier.settings))?;
                let secret = self.secret(carrier)?;
                let egress = match http_carrier::way(&settings) {
                    Ok(egress) => egress,
                    Err(error) => {
                        tracing::error!(carrier = %carrier.name, %error, "there is no way to a carrier");
                        return None;
                    }
                };
                let desk = http_carrier::Desk::new(means, carrier, settings, &secret, egress);
                Some(tasks.spawn(desk.run(stopped)))
            }
        }
    }
}
