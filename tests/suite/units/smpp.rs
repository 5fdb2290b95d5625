//! Users of the SMPP server, and the parts that they send.

use super::{Act, World};
use rookery::core::phone::Msisdn;
use rookery::core::secret::Vault;
use rookery::core::smpp_outbox::Receipts;
use rookery::core::smpp_part::{self, Arrived, Completion, Series};
use rookery::core::smpp_user::{self, SystemId};
use rookery::core::{AccountId, Result, Scope};
use smpp::short_message::{Place, RegisteredDelivery};
use store::Tx;

/// What one side does about users of the SMPP server and what they send.
pub(super) async fn act(tx: &mut Tx, world: &World, act: Act) -> Result<String> {
    use Act::{Complete, Keep, MakeUser, RevokeUser, Supersede};
    let scope = world.scope;
    match act {
        MakeUser(name) => {
            let name = world.user.as_str().replace("old", name);
            let user = SystemId::parse(&name).expect("a name");
            smpp_user::create(tx, &new_user(scope.account, &user, &world.vault)).await?;
        }
        RevokeUser => return smpp_user::revoke(tx, &world.user).await.map(|was| was.to_string()),
        Keep(number) => {
            let kept = smpp_part::keep(tx, &arrived(scope, &world.user, 3, number)).await?;
            return Ok(kept.is_some().to_string());
        }
        Complete => {
            let last = arrived(scope, &world.user, 2, 2);
            let completion = Completion { last, others: vec![world.waiting], plan: world.plans[1].clone() };
            return smpp_part::complete(tx, &completion).await.map(|made| made.is_some().to_string());
        }
        Supersede => smpp_part::supersede(tx, &arrived(scope, &world.user, 2, 1).series).await?,
        _ => {}
    }
    Ok("done".into())
}

pub(super) fn new_user(account: AccountId, system_id: &SystemId, vault: &Vault) -> smpp_user::New {
    smpp_user::New {
        account,
        system_id: Some(system_id.clone()),
        password: None,
        is_test: false,
        binds: 1,
        window: 1,
        throughput: None,
        vault: vault.clone(),
    }
}

/// A part of a message of so many.
pub(super) fn arrived(scope: Scope, user: &SystemId, total: u8, number: u8) -> Arrived {
    let place = Place { reference: total.into(), total, number };
    Arrived {
        series: Series::of(scope, user, "Rookery", Msisdn(79_000_000_000), place),
        part: smpp::concatenation::Part { place, data_coding: 0, header: 6, octets: vec![number] },
        receipts: Receipts::asked(RegisteredDelivery::FINAL),
    }
}
