//! The service around the ledger: health, reflection, a graceful stop.

use scrip::pb;
use scrip::pb::billing_service_client::BillingServiceClient;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::on_both_stores;
use crate::support::client::{Scrip, charge, verify};

on_both_stores!(each_service_is_healthy, a_stop_answers_what_was_accepted_and_loses_nothing);

async fn each_service_is_healthy(scrip: Scrip) {
    let mut health = HealthClient::new(scrip.server.channel().await);
    for service in ["", "scrip.v1.BillingService", "scrip.v1.TaskService"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(HealthCheckRequest { service: "scrip.v1.Nothing".into() }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}

async fn a_stop_answers_what_was_accepted_and_loses_nothing(mut scrip: Scrip) {
    scrip.with_points(7, 1_000_000).await;
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let channel = scrip.server.channel().await;
        callers.spawn(async move {
            let mut billing = BillingServiceClient::new(channel);
            let mut acknowledged = Vec::new();
            for n in 0.. {
                let task_id = format!("job-{caller}-{n}");
                match billing.charge(charge(7, &task_id, 1)).await {
                    Ok(_) => acknowledged.push(task_id),
                    Err(_) => break,
                }
            }
            acknowledged
        });
    }
    // Under load: once some charges are through, stop.
    let mut billing = scrip.billing.clone();
    crate::support::eventually("charges flow", || {
        let mut billing = billing.clone();
        async move {
            let request = pb::GetBalanceRequest { user_id: 7, as_of_time: None };
            billing.get_balance(request).await.unwrap().into_inner().balance.unwrap().entry_seq > 100
        }
    })
    .await;
    scrip.server.sigterm().await;
    let acknowledged: Vec<String> = callers.join_all().await.into_iter().flatten().collect();
    let status = scrip.server.wait().await;
    assert!(status.success(), "{status:?}\n{}", scrip.server.logs());
    assert!(billing.get_balance(pb::GetBalanceRequest::default()).await.is_err());

    let (code, output) = verify(&scrip.database_url).await;
    assert_eq!(code, Some(0), "{output}");
    let mut again =
        Scrip::on(crate::support::server::Launch::new(&scrip.database_url), scrip.database_url.clone(), None)
            .await;
    for task_id in &acknowledged {
        assert_eq!(again.task(task_id).await.money, 1, "{task_id} was acknowledged");
    }
    assert!(acknowledged.len() as i64 <= again.balance(7).await.entry_seq);
}
