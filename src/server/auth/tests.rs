//! The guard against a scripted database: what is known, what is not, and what is not known any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::guard::{Refused, Verdict};
use super::known::GOOD_FOR;
use super::*;
use crate::clock::Clock;
use crate::ledger::Micros;
use crate::pb;
use crate::store::StoreError;
use crate::store::tokens::{CreatedToken, KnownTokens, NewToken, TokenRow, TokenStore, WhichTokens};

const CHARGE: &str = "/scrip.v1.BillingService/Charge";
const LIST_USERS: &str = "/scrip.v1.BillingService/ListUsers";

/// A database whose tokens the test puts in, and which may be away.
#[derive(Default)]
struct Script {
    known: std::sync::Mutex<KnownTokens>,
    is_away: AtomicBool,
}

impl Script {
    fn put(&self, token: &str, row: TokenRow) {
        let mut known = self.known.lock().unwrap();
        known.any = true;
        known.live.push((digest_of(token), row));
    }
}

impl TokenStore for Script {
    fn known(&self) -> BoxFuture<'_, Result<KnownTokens, StoreError>> {
        Box::pin(async {
            if self.is_away.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable { what: "reading tokens", source: "away".into() });
            }
            Ok(self.known.lock().unwrap().clone())
        })
    }

    fn list(&self, _: i64, _: u32) -> BoxFuture<'_, Result<Vec<TokenRow>, StoreError>> {
        unimplemented!("no guard lists")
    }

    fn create<'a>(&'a self, _: &'a NewToken) -> BoxFuture<'a, Result<CreatedToken, StoreError>> {
        unimplemented!("no guard creates")
    }

    fn revoke<'a>(
        &'a self,
        _: &'a WhichTokens,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Vec<TokenRow>, StoreError>> {
        unimplemented!("no guard revokes")
    }
}

/// The moment every token is judged by.
struct At(i64);

impl Clock for At {
    fn now(&self) -> Micros {
        Micros(self.0)
    }
}

fn row(roles: &str) -> TokenRow {
    TokenRow {
        id: 1,
        name: "checkout".into(),
        roles: roles.into(),
        users: None,
        create_time: Micros(0),
        expire_time: None,
        revoke_time: None,
    }
}

async fn guard(script: &Arc<Script>, demand: Demand) -> Guard {
    let store = Arc::clone(script) as Arc<dyn TokenStore>;
    let tokens = Tokens::watch(store, Arc::new(At(1_000))).await.unwrap();
    Guard::new(demand, Some(tokens), CertificateRoles::default())
}

fn bearing(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !token.is_empty() {
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    headers
}

/// How a call ends at the door: the caller's name, or code and reason.
async fn judge(guard: &Guard, path: &str, token: &str) -> Result<String, (Code, String)> {
    let judged = match guard.judge(path, &bearing(token), None) {
        Verdict::Pass(caller) => Ok(caller),
        Verdict::Refuse(refused) => Err(refused.status),
        Verdict::Ask(question) => guard.ask(question).await.map_err(|refused| refused.status),
    };
    let told = |status: Status| {
        let reason = status.get_details_error_info().map(|info| info.reason);
        (status.code(), reason.unwrap_or_default())
    };
    judged.map(|caller| caller.name().to_string()).map_err(told)
}

fn unauthenticated() -> Result<String, (Code, String)> {
    Err((Code::Unauthenticated, "UNAUTHENTICATED".to_owned()))
}

fn denied() -> Result<String, (Code, String)> {
    Err((Code::PermissionDenied, "PERMISSION_DENIED".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn without_any_token_everybody_is_let_in_and_with_the_first_nobody_else() {
    let script = Arc::new(Script::default());
    let guard = guard(&script, Demand::WithFirstToken).await;
    assert_eq!(judge(&guard, CHARGE, "").await, Ok("anonymous".to_owned()));
    assert_eq!(
        judge(&guard, CHARGE, "scrip_nobodys").await,
        unauthenticated(),
        "who shows a token wants to be known"
    );

    script.put("scrip_a", row("biller"));
    // It works from the moment it is made, without waiting for the next reading.
    assert_eq!(judge(&guard, CHARGE, "scrip_a").await, Ok("checkout".to_owned()));
    assert_eq!(judge(&guard, CHARGE, "").await, unauthenticated());
    assert_eq!(judge(&guard, CHARGE, "scrip_b").await, unauthenticated());
}

#[tokio::test(start_paused = true)]
async fn a_database_that_had_a_token_lets_nobody_in_without_one_again() {
    let script = Arc::new(Script::default());
    script.put("scrip_a", row("biller"));
    let guard = guard(&script, Demand::WithFirstToken).await;
    assert_eq!(judge(&guard, CHARGE, "scrip_a").await, Ok("checkout".to_owned()));
    script.known.lock().unwrap().live.clear();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(judge(&guard, CHARGE, "scrip_a").await, unauthenticated(), "revoked");
    assert_eq!(judge(&guard, CHARGE, "").await, unauthenticated());
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_lets_nobody_in_once_what_was_known_is_old() {
    let unavailable = || Err((Code::Unavailable, "STORE_UNAVAILABLE".to_owned()));
    for (demand, has_token) in
        [(Demand::WithFirstToken, false), (Demand::WithFirstToken, true), (Demand::Always, true)]
    {
        let script = Arc::new(Script::default());
        if has_token {
            script.put("scrip_a", row("biller"));
        }
        let guard = guard(&script, demand).await;
        script.is_away.store(true, Ordering::SeqCst);
        tokio::time::sleep(GOOD_FOR / 2).await;
        if has_token {
            assert_eq!(judge(&guard, CHARGE, "scrip_a").await, Ok("checkout".to_owned()));
            assert_eq!(judge(&guard, CHARGE, "scrip_b").await, unavailable(), "it may be a new one");
        } else {
            assert_eq!(judge(&guard, CHARGE, "").await, Ok("anonymous".to_owned()));
        }
        tokio::time::sleep(GOOD_FOR).await;
        assert_eq!(judge(&guard, CHARGE, "scrip_a").await, unavailable(), "{demand:?}");
        let without = judge(&guard, CHARGE, "").await;
        assert_eq!(without, if has_token { unauthenticated() } else { unavailable() }, "{demand:?}");
        // It is back: the first call is judged by what it says, without waiting for the next reading.
        script.is_away.store(false, Ordering::SeqCst);
        let again = judge(&guard, CHARGE, if has_token { "scrip_a" } else { "" }).await;
        assert!(again.is_ok(), "{again:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_at_the_start_stops_it() {
    let script = Arc::new(Script::default());
    script.is_away.store(true, Ordering::SeqCst);
    let store = Arc::clone(&script) as Arc<dyn TokenStore>;
    assert!(Tokens::watch(store, Arc::new(At(0))).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_good_until_the_moment_it_expires() {
    let script = Arc::new(Script::default());
    script.put("scrip_young", TokenRow { expire_time: Some(Micros(1_001)), ..row("biller") });
    script.put("scrip_old", TokenRow { expire_time: Some(Micros(1_000)), ..row("biller") });
    let guard = guard(&script, Demand::Always).await;
    assert_eq!(judge(&guard, CHARGE, "scrip_young").await, Ok("checkout".to_owned()));
    assert_eq!(judge(&guard, CHARGE, "scrip_old").await, unauthenticated());
}

#[tokio::test(start_paused = true)]
async fn every_method_is_for_the_roles_of_the_table_and_for_no_other() {
    let script = Arc::new(Script::default());
    for role in Role::ALL {
        script.put(role.as_str(), row(role.as_str()));
    }
    // Of a later release: nobody knows what it may.
    script.put("emperor", row("emperor"));
    let guard = guard(&script, Demand::Always).await;
    let mut judged = 0;
    for path in served_methods(&[pb::DESCRIPTOR_SET]).unwrap() {
        let access = access(&path).unwrap();
        for role in Role::ALL {
            let may = match access {
                Access::Open | Access::Known => true,
                Access::Roles(roles) => role == Role::Admin || roles.contains(&role),
            };
            let answer = judge(&guard, &path, role.as_str()).await;
            let expected = match access {
                Access::Open => Ok("anonymous".to_owned()),
                _ if may => Ok("checkout".to_owned()),
                _ => denied(),
            };
            assert_eq!(answer, expected, "{path} {role}");
            judged += 1;
        }
        let without = judge(&guard, &path, "").await;
        let expected = if access == Access::Open { Ok("anonymous".to_owned()) } else { unauthenticated() };
        assert_eq!(without, expected, "{path}");
        if access != Access::Open {
            assert_eq!(judge(&guard, &path, "emperor").await, unauthenticated(), "{path}");
        }
    }
    assert!(judged > 150, "{judged}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_method_and_the_role() {
    let script = Arc::new(Script::default());
    script.put("scrip_a", row("biller,runner"));
    let guard = guard(&script, Demand::Always).await;
    let path = "/scrip.v1.BillingService/Credit";
    let Verdict::Refuse(Refused { status, actor }) = guard.judge(path, &bearing("scrip_a"), None) else {
        panic!("it is refused")
    };
    let info = status.get_details_error_info().unwrap();
    assert_eq!((&*info.metadata["method"], &*info.metadata["role"]), (path, "biller,runner"));
    assert_eq!(&*actor.unwrap(), "checkout", "for the log");
    assert!(status.message().starts_with("checkout (role: biller,runner) has no role"), "{status:?}");
    let Verdict::Refuse(Refused { status, .. }) = guard.judge(path, &HeaderMap::new(), None) else {
        panic!("it is refused")
    };
    assert_eq!(status.get_details_error_info().unwrap().metadata["method"], path);
}

#[tokio::test(start_paused = true)]
async fn who_is_bound_to_users_calls_nothing_that_is_about_all() {
    let script = Arc::new(Script::default());
    let users = Some((7, 9));
    script.put("scrip_a", TokenRow { users, ..row("biller,runner,cashier,auditor,admin") });
    let guard = guard(&script, Demand::Always).await;
    assert_eq!(judge(&guard, LIST_USERS, "scrip_a").await, denied());
    assert_eq!(judge(&guard, "/scrip.v1.KeyService/CreateAccount", "scrip_a").await, denied());
    let Verdict::Pass(caller) = guard.judge(CHARGE, &bearing("scrip_a"), None) else { panic!("it may") };
    for (user_id, may) in [(0, false), (6, false), (7, true), (9, true), (10, false), (i64::MIN, false)] {
        assert_eq!(caller.may_touch(user_id), may, "{user_id}");
        assert_eq!(caller.touch(user_id).is_ok(), may, "{user_id}");
    }
    assert!(caller.touch_all().is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_served_is_nobodys() {
    let script = Arc::new(Script::default());
    script.put("scrip_a", row("admin"));
    let guard = guard(&script, Demand::Always).await;
    for path in [
        "/scrip.v1.BillingService/GiveAway",
        "/",
        "",
        "/scrip.v1.BillingService/charge",
        "//scrip.v1.BillingService/Charge",
    ] {
        let refused = judge(&guard, path, "scrip_a").await.unwrap_err();
        assert_eq!(refused.0, Code::Unimplemented, "{path}");
    }
}
