//! Peers that share no code with us: grpcurl, and Python's grpcio, both knowing the service by reflection alone.

use std::process::Stdio;

use tokio::process::Command;

use crate::on_both_stores;
use crate::support::client::Scrip;
use crate::support::{peers, say_not_run};

on_both_stores!(grpcurl_drives_the_tour, python_drives_the_service_by_reflection);

async fn grpcurl(program: &std::path::Path, words: &[&str]) -> (bool, String) {
    let output =
        Command::new(program).arg("-plaintext").args(words).stdin(Stdio::null()).output().await.unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

async fn grpcurl_drives_the_tour(scrip: Scrip) {
    let Some(program) = peers::grpcurl() else {
        say_not_run("grpcurl is not installed");
        return;
    };
    let address = scrip.server.addr().to_string();
    let (ok, services) = grpcurl(&program, &[&address, "list"]).await;
    assert!(ok, "{services}");
    for service in ["scrip.v1.BillingService", "scrip.v1.TaskService", "grpc.health.v1.Health"] {
        assert!(services.contains(service), "{services}");
    }
    let call = async |method: &str, body: &str| grpcurl(&program, &["-d", body, &address, method]).await;
    let credit = r#"{"request_id":"order-1","user_id":42,"amount":1000,"purse":"PURSE_POINTS","source_type":"SOURCE_TYPE_RECHARGE"}"#;
    let (ok, answer) = call("scrip.v1.BillingService/Credit", credit).await;
    assert!(ok, "{answer}");
    let (ok, answer) = call("scrip.v1.BillingService/Credit", credit).await;
    assert!(ok && answer.contains(r#""replayed": true"#), "{answer}");
    let (ok, answer) = call(
        "scrip.v1.BillingService/Charge",
        r#"{"user_id":42,"task_id":"job-1","amount":300,"app_name":"fal-ai/flux/dev"}"#,
    )
    .await;
    assert!(ok && answer.contains(r#""total": "700""#), "{answer}");
    let (ok, answer) =
        call("scrip.v1.TaskService/FailTask", r#"{"task_id":"job-1","error":"upstream 503"}"#).await;
    assert!(ok && answer.contains("TASK_STATUS_FAILED"), "{answer}");
    let (ok, answer) =
        call("scrip.v1.BillingService/Charge", r#"{"user_id":42,"task_id":"job-3","amount":99999}"#).await;
    assert!(
        !ok && answer.contains("INSUFFICIENT_BALANCE") && answer.contains("FailedPrecondition"),
        "{answer}"
    );
}

const PYTHON: &str = r#"
import sys
import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

channel = grpc.insecure_channel(sys.argv[1])
pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))

def call(service, method, **fields):
    rpc = pool.FindServiceByName(service).FindMethodByName(method)
    request, response = GetMessageClass(rpc.input_type), GetMessageClass(rpc.output_type)
    stub = channel.unary_unary(f"/{service}/{method}", request.SerializeToString, response.FromString)
    return stub(request(**fields), timeout=30)

billing = "scrip.v1.BillingService"
credit = call(billing, "Credit", request_id="p1", user_id=5, amount=100, purse="PURSE_POINTS", source_type="SOURCE_TYPE_GIFT")
assert credit.balance.total == 100 and not credit.replayed, credit
charge = call(billing, "Charge", user_id=5, task_id="py-1", amount=30, app_name="fal-ai/flux/dev")
assert charge.balance.total == 70 and charge.entries[0].amount == -30, charge
assert call(billing, "Charge", user_id=5, task_id="py-1", amount=30, app_name="fal-ai/flux/dev").replayed
try:
    call(billing, "Charge", user_id=5, task_id="py-1", amount=31, app_name="fal-ai/flux/dev")
    raise SystemExit("other content must be refused")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.ALREADY_EXISTS, error
assert call("scrip.v1.TaskService", "GetTask", task_id="py-1").task.money == 30
print("python is served")
"#;

async fn python_drives_the_service_by_reflection(scrip: Scrip) {
    let Some(python) = peers::python_with_grpc() else {
        say_not_run("python with grpcio is not installed");
        return;
    };
    let output = Command::new(python)
        .args(["-c", PYTHON, &scrip.server.addr().to_string()])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("python is served"), "{text}");
}
