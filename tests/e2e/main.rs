//! End to end: the real server process, real databases, the generated clients. Each test runs on both stores.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod auth;
mod auth_bound;
mod auth_matrix;
mod auth_tls;
mod availability;
mod billing;
mod certificates;
mod crowded;
mod holds;
mod idempotency;
mod keys;
mod lists;
mod peers;
mod reconciliation;
mod refusals;
mod service;
mod tasks;

/// Stamps each named test on both stores. A test is an `async fn(Scrip)` beside the line.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::client::Scrip::on_sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(scrip) = crate::support::client::Scrip::on_postgres().await else { return };
                super::$name(scrip).await;
            })+
        }
    };
}
pub(crate) use on_both_stores;
