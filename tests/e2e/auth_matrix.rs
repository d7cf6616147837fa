//! Every method there is, as each role, over the wire: generated from the descriptors, so that none is forgotten.

use scrip::pb;
use scrip::server::auth::{Access, Role, access, served_methods};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::on_both_stores;
use crate::support::client::{Scrip, authorize, charge, refused};
use crate::support::tokens::{self, Bearing};

on_both_stores!(
    each_role_may_call_its_methods_and_no_others,
    a_key_with_a_charge_takes_the_runners_role_as_well,
);

/// Calls a method with an empty message; answers how that ended, if not well.
async fn call(bearing: &Bearing, path: &str) -> Result<(), Status> {
    let mut grpc = Grpc::new(bearing.channel.clone());
    grpc.ready().await.unwrap();
    let path = PathAndQuery::try_from(path).unwrap();
    // A unary answer is a stream of one; it need not be read.
    let codec = ProstCodec::<(), ()>::default();
    grpc.server_streaming(Request::new(()), path, codec).await.map(drop)
}

async fn each_role_may_call_its_methods_and_no_others(scrip: Scrip) {
    let paths = served_methods(&[pb::DESCRIPTOR_SET]).unwrap();
    let mut cells = 0;
    for role in Role::ALL {
        let token = tokens::create(&scrip.database_url, &format!("the-{role} --role {role}")).await;
        let bearing = Bearing::new(scrip.server.channel().await, &token);
        for path in &paths {
            let access = access(path).unwrap();
            let may = match access {
                Access::Open | Access::Known => true,
                Access::Roles(roles) => role == Role::Admin || roles.contains(&role),
            };
            let ended = call(&bearing, path).await;
            let code = ended.as_ref().map_or_else(Status::code, |()| Code::Ok);
            assert_eq!(code != Code::PermissionDenied, may, "{role} {path}: {ended:?}");
            assert_ne!(code, Code::Unauthenticated, "{role} {path}: {ended:?}");
            if !may {
                let info = ended.unwrap_err().get_details_error_info().unwrap();
                assert_eq!(info.reason, "PERMISSION_DENIED");
                assert_eq!((&info.metadata["method"], &*info.metadata["role"]), (path, role.as_str()));
            }
            cells += 1;
        }
    }
    assert!(cells >= 5 * 35, "{cells}");
    let nobody = Bearing::new(scrip.server.channel().await, "scrip_nobodys");
    for path in &paths {
        let code = call(&nobody, path).await.map_or_else(|status| status.code(), |()| Code::Ok);
        let expected = if access(path).unwrap() == Access::Open { Code::Ok } else { Code::Unauthenticated };
        assert_eq!(code, expected, "{path}");
    }
    // What is none of them is nobody's.
    let token = tokens::create(&scrip.database_url, "more --role admin").await;
    let admin = Bearing::new(scrip.server.channel().await, &token);
    assert_eq!(
        call(&admin, "/scrip.v1.BillingService/GiveAway").await.unwrap_err().code(),
        Code::Unimplemented
    );
}

async fn a_key_with_a_charge_takes_the_runners_role_as_well(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let biller = tokens::create(&scrip.database_url, "biller-alone --role biller").await;
    let both = tokens::create(&scrip.database_url, "both --role biller --role runner").await;
    let mut biller = Bearing::new(scrip.server.channel().await, &biller);
    let mut both = Bearing::new(scrip.server.channel().await, &both);
    let select_key = Some(pb::KeySelection::default());
    let charging = pb::ChargeRequest { select_key: select_key.clone(), ..charge(7, "job", 10) };
    let holding = pb::AuthorizeRequest { select_key, ..authorize(7, "hold", 10) };

    let metadata =
        refused(biller.billing.charge(charging.clone()).await, Code::PermissionDenied, "PERMISSION_DENIED");
    assert_eq!((&*metadata["method"], &*metadata["role"]), ("/scrip.v1.BillingService/Charge", "biller"));
    refused(biller.billing.authorize(holding.clone()).await, Code::PermissionDenied, "PERMISSION_DENIED");
    // Both come as far as there being no key.
    refused(both.billing.charge(charging).await, Code::ResourceExhausted, "NO_KEY_AVAILABLE");
    refused(both.billing.authorize(holding).await, Code::ResourceExhausted, "NO_KEY_AVAILABLE");
    biller.billing.charge(charge(7, "job", 10)).await.unwrap();
}
