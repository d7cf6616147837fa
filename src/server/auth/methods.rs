//! The table: every method that is served, who may call it, and whether it is about users.
//!
//! Written out in full and compared with the descriptors at start, so that a method somebody adds is served to nobody
//! until somebody says to whom.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use prost::Message;
use prost_types::FileDescriptorSet;
use thiserror::Error;

use super::role::Role;
use super::role::Role::{Auditor, Biller, Cashier, Runner};

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, known or not.
    Open,
    /// Every caller that is known, whatever its roles.
    Known,
    /// A caller with one of these roles, or an admin.
    Roles(&'static [Role]),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method {
    /// As in the request's URI.
    pub(super) path: &'static str,
    pub(super) access: Access,
    /// Whether its handler knows the users it is about, and asks [`super::Caller`] whether it may touch them. A caller
    /// that is bound to some users may call no others.
    pub(super) is_of_users: bool,
}

const fn of_users(path: &'static str, roles: &'static [Role]) -> Method {
    Method { path, access: Access::Roles(roles), is_of_users: true }
}

const fn of_all(path: &'static str, roles: &'static [Role]) -> Method {
    Method { path, access: Access::Roles(roles), is_of_users: false }
}

const fn of_nobody(path: &'static str, access: Access) -> Method {
    // Nothing of a user is in them, so whoever may call them may touch all that they touch.
    Method { path, access, is_of_users: true }
}

/// Roles that no account of fal is anybody's business of: admins alone.
const ADMINS: &[Role] = &[];

const METHODS: &[Method] = &[
    of_users("/scrip.v1.BillingService/Charge", &[Biller]),
    of_users("/scrip.v1.BillingService/BatchCharge", &[Biller]),
    of_users("/scrip.v1.BillingService/Authorize", &[Biller]),
    of_users("/scrip.v1.BillingService/Capture", &[Biller]),
    of_users("/scrip.v1.BillingService/Void", &[Biller]),
    of_users("/scrip.v1.BillingService/Refund", &[Biller]),
    of_users("/scrip.v1.BillingService/Credit", &[Cashier]),
    of_users("/scrip.v1.BillingService/Debit", &[Cashier]),
    of_users("/scrip.v1.BillingService/GetBalance", &[Biller, Auditor]),
    of_users("/scrip.v1.BillingService/ListEntries", &[Biller, Auditor]),
    of_users("/scrip.v1.BillingService/ListPointsDetails", &[Biller, Auditor]),
    of_users("/scrip.v1.BillingService/ListFinancialTransactions", &[Biller, Auditor]),
    of_all("/scrip.v1.BillingService/ListUsers", &[Biller, Auditor]),
    of_users("/scrip.v1.TaskService/GetTask", &[Biller, Auditor]),
    of_users("/scrip.v1.TaskService/ListTasks", &[Biller, Auditor]),
    of_users("/scrip.v1.TaskService/StartTask", &[Runner]),
    of_users("/scrip.v1.TaskService/CompleteTask", &[Runner]),
    of_users("/scrip.v1.TaskService/FailTask", &[Runner]),
    of_users("/scrip.v1.KeyService/SelectKey", &[Runner]),
    of_users("/scrip.v1.KeyService/RenewLease", &[Runner]),
    of_users("/scrip.v1.KeyService/ReleaseKey", &[Runner]),
    of_all("/scrip.v1.KeyService/CreateAccount", ADMINS),
    of_all("/scrip.v1.KeyService/UpdateAccount", ADMINS),
    of_all("/scrip.v1.KeyService/DeleteAccount", ADMINS),
    of_all("/scrip.v1.KeyService/GetAccount", &[Auditor]),
    of_all("/scrip.v1.KeyService/ListAccounts", &[Auditor]),
    of_all("/scrip.v1.ReconciliationService/QueryUsage", &[Auditor]),
    of_all("/scrip.v1.ReconciliationService/StartReconciliation", &[Auditor]),
    of_all("/scrip.v1.ReconciliationService/WatchReconciliation", &[Auditor]),
    of_all("/scrip.v1.ReconciliationService/GetReconciliation", &[Auditor]),
    of_all("/scrip.v1.ReconciliationService/ListReconciliations", &[Auditor]),
    of_all("/scrip.v1.ReconciliationService/ListFindings", &[Auditor]),
    // Load balancers and orchestrators ask without a name; the answer is one word.
    of_nobody("/grpc.health.v1.Health/Check", Access::Open),
    of_nobody("/grpc.health.v1.Health/Watch", Access::Open),
    // What is served and by which build is what a stranger asks first.
    of_nobody("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Known),
    of_nobody("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Known),
];

/// The line of a method; `None` if it is not served.
pub(super) fn find(path: &str) -> Option<&'static Method> {
    static TABLE: LazyLock<HashMap<&'static str, &'static Method>> =
        LazyLock::new(|| METHODS.iter().map(|method| (method.path, method)).collect());
    TABLE.get(path).copied()
}

/// Who may call the method of this path (`/scrip.v1.BillingService/Charge`); `None` if it is not served.
pub fn access(path: &str) -> Option<Access> {
    find(path).map(|method| method.access)
}

/// The table and what is served do not go together: a bug of the build, not of its configuration.
#[derive(Debug, Error)]
pub enum MethodsError {
    /// A descriptor set could not be read.
    #[error("the descriptors of what is served cannot be read")]
    Unreadable,
    /// Methods without a line.
    #[error("these methods have no role and would be served to nobody; add them to the table of roles: {0}")]
    Unlisted(String),
    /// Lines without a method.
    #[error("the table of roles has methods that do not exist: {0}")]
    Unserved(String),
}

/// The paths of all methods in these encoded `FileDescriptorSet`s, and of health and reflection.
///
/// # Errors
/// [`MethodsError::Unreadable`].
pub fn served_methods(descriptor_sets: &[&[u8]]) -> Result<BTreeSet<String>, MethodsError> {
    let own = [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut paths = BTreeSet::new();
    for set in own.iter().chain(descriptor_sets) {
        let set = FileDescriptorSet::decode(*set).map_err(|_| MethodsError::Unreadable)?;
        for file in set.file {
            for service in &file.service {
                let methods = service.method.iter();
                paths.extend(
                    methods.map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())),
                );
            }
        }
    }
    Ok(paths)
}

/// Holds the table against what is served: exactly the same methods.
///
/// # Errors
/// The methods in one and not in the other.
pub fn check_methods(descriptor_sets: &[&[u8]]) -> Result<(), MethodsError> {
    let served = served_methods(descriptor_sets)?;
    let listed: BTreeSet<String> = METHODS.iter().map(|method| method.path.to_owned()).collect();
    let named = |paths: Vec<&String>| paths.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let unlisted = named(served.difference(&listed).collect());
    if !unlisted.is_empty() {
        return Err(MethodsError::Unlisted(unlisted));
    }
    let unserved = named(listed.difference(&served).collect());
    if !unserved.is_empty() {
        return Err(MethodsError::Unserved(unserved));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    #[test]
    fn the_table_is_of_all_methods_there_are_and_of_no_others() {
        check_methods(&[pb::DESCRIPTOR_SET]).unwrap();
    }

    #[test]
    fn a_method_that_nobody_gave_a_role_is_named() {
        let mut set = FileDescriptorSet::decode(pb::DESCRIPTOR_SET).unwrap();
        let service = set.file.iter_mut().find_map(|file| file.service.first_mut()).unwrap();
        service.method[0].name = Some("GiveAway".to_owned());
        let refused = check_methods(&[&set.encode_to_vec()]).unwrap_err().to_string();
        assert!(refused.contains("have no role") && refused.contains("/GiveAway"), "{refused}");
        let refused = check_methods(&[]).unwrap_err().to_string();
        assert!(refused.contains("do not exist: /scrip.v1.BillingService/"), "{refused}");
        assert!(check_methods(&[b"\xff\xff"]).is_err());
    }

    #[test]
    fn no_path_is_listed_twice() {
        let paths: BTreeSet<&str> = METHODS.iter().map(|method| method.path).collect();
        assert_eq!(paths.len(), METHODS.len());
    }
}
