//! Page tokens: the place in a list, and the list it is a place in.
//!
//! A token is URL-safe base64 of a version, the key of the last row answered, and a checksum over the method, the
//! query and that key. So it serves on every replica, a token of another query is refused, and so is a mangled one.
//! It is no secret and guards nothing: whatever it says, only rows that match the query are answered.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::engine::rows::Page;
use crate::ledger::limits::Checks;

/// Rows of a page if the caller does not say, and at most.
const DEFAULT_SIZE: u32 = 50;
const MAX_SIZE: u32 = 1_000;

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 16;

/// Where a call stands in its list, and how far it may go. `N` numbers are the key that the list is sorted by.
#[derive(Clone, Debug)]
pub(super) struct Paging<const N: usize> {
    size: u32,
    after: Option<[i64; N]>,
    /// Has read the method and the query.
    checksum: Sha256,
}

impl<const N: usize> Paging<N> {
    /// Reads the paging of a call. `query` is the request without its `page_size` and `page_token`: what is encoded of
    /// it is what a page token is bound to.
    pub(super) fn read(
        method: &str,
        query: &impl Message,
        page_size: i32,
        page_token: &str,
        checks: &mut Checks<'_>,
    ) -> Self {
        let size = match u32::try_from(page_size) {
            Ok(0) => DEFAULT_SIZE,
            Ok(size) => size.min(MAX_SIZE),
            Err(_) => {
                checks.violation("page_size", format!("must be 0 or more, not {page_size}"));
                DEFAULT_SIZE
            }
        };
        let query = query.encode_to_vec();
        let mut checksum = Sha256::new();
        checksum.update([VERSION]);
        for part in [method.as_bytes(), &query] {
            checksum.update((part.len() as u64).to_be_bytes());
            checksum.update(part);
        }
        let mut paging = Self { size, after: None, checksum };
        if !page_token.is_empty() {
            paging.after = paging.place(page_token);
            if paging.after.is_none() {
                const WRONG: &str = "must be the next_page_token of a call with the same method and fields";
                checks.violation("page_token", WRONG);
            }
        }
        paging
    }

    /// Rows of this page at most.
    pub(super) const fn size(&self) -> usize {
        self.size as usize
    }

    /// Rows to fetch: one more than the page has tells whether there is another page.
    pub(super) const fn fetch(&self) -> u32 {
        self.size.saturating_add(1)
    }

    /// The key of the last row of the page before.
    pub(super) const fn after(&self) -> Option<[i64; N]> {
        self.after
    }

    /// Cuts the extra row off; the token of the next page is empty if there was none.
    pub(super) fn cut<R>(&self, mut rows: Vec<R>, key: impl Fn(&R) -> [i64; N]) -> (Vec<R>, String) {
        if rows.len() <= self.size() {
            return (rows, String::new());
        }
        rows.truncate(self.size());
        let token = rows.last().map(|last| self.token(key(last))).unwrap_or_default();
        (rows, token)
    }

    /// The token of the page after the row with this key.
    pub(super) fn token(&self, key: [i64; N]) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes(key))
    }

    fn bytes(&self, key: [i64; N]) -> Vec<u8> {
        let key = key.map(i64::to_be_bytes);
        let checksum = self.checksum.clone().chain_update(key.as_flattened()).finalize();
        [&[VERSION], key.as_flattened(), &checksum[..CHECKSUM_BYTES]].concat()
    }

    /// The key in a token; `None` unless it is exactly the token this list would have given for it.
    fn place(&self, token: &str) -> Option<[i64; N]> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (numbers, _) = bytes.get(1..)?.as_chunks::<8>();
        let mut key = [0; N];
        for (place, number) in key.iter_mut().zip(numbers.get(..N)?) {
            *place = i64::from_be_bytes(*number);
        }
        (self.bytes(key) == bytes).then_some(key)
    }
}

impl Paging<1> {
    /// What to ask the store for, where one number is the key.
    pub(super) fn first(&self) -> Page {
        Page { before: self.after.map(|[key]| key), limit: self.fetch() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::{FieldViolation, Limits};
    use crate::pb;

    fn entries_of(user_id: i64) -> pb::ListEntriesRequest {
        pb::ListEntriesRequest { user_id, ..pb::ListEntriesRequest::default() }
    }

    fn read<const N: usize>(
        method: &str,
        query: &impl Message,
        size: i32,
        token: &str,
    ) -> Result<Paging<N>, Vec<FieldViolation>> {
        let limits = Limits::default();
        let mut checks = Checks::new(&limits);
        let paging = Paging::read(method, query, size, token, &mut checks);
        checks.finish().map(|()| paging)
    }

    fn refused(result: Result<Paging<1>, Vec<FieldViolation>>) -> &'static str {
        result.unwrap_err()[0].field
    }

    #[test]
    fn sizes_have_a_default_and_a_maximum_and_are_not_negative() {
        for (asked, size) in [(0, 50), (1, 1), (1_000, 1_000), (1_001, 1_000), (i32::MAX, 1_000)] {
            assert_eq!(read::<1>("ListEntries", &entries_of(1), asked, "").unwrap().size(), size);
        }
        assert_eq!(refused(read("ListEntries", &entries_of(1), -1, "")), "page_size");
    }

    #[test]
    fn an_extra_row_makes_a_next_page_and_is_not_answered() {
        let paging = read::<1>("ListEntries", &entries_of(1), 2, "").unwrap();
        assert_eq!(paging.first(), Page { before: None, limit: 3 });
        assert_eq!(paging.cut(vec![9, 8], |row| [*row]), (vec![9, 8], String::new()));
        let (rows, token) = paging.cut(vec![9, 8, 7], |row| [*row]);
        assert_eq!(rows, [9, 8]);
        let next = read::<1>("ListEntries", &entries_of(1), 500, &token).unwrap();
        assert_eq!(next.first(), Page { before: Some(8), limit: 501 });
    }

    #[test]
    fn a_token_of_another_query_method_or_kind_is_refused() {
        let token = read::<1>("ListEntries", &entries_of(1), 0, "").unwrap().token([8]);
        assert_eq!(refused(read("ListEntries", &entries_of(2), 0, &token)), "page_token");
        assert_eq!(refused(read("ListPointsDetails", &entries_of(1), 0, &token)), "page_token");
        assert!(read::<2>("ListEntries", &entries_of(1), 0, &token).is_err());
        let wider = pb::ListEntriesRequest { order_id: "o".to_owned(), ..entries_of(1) };
        assert_eq!(refused(read("ListEntries", &wider, 0, &token)), "page_token");
    }

    proptest! {
        #[test]
        fn a_token_reads_back(time: i64, user_id: i64) {
            let query = pb::ListUsersRequest::default();
            let token = read::<2>("ListUsers", &query, 0, "").unwrap().token([time, user_id]);
            let next = read::<2>("ListUsers", &query, 0, &token).unwrap();
            prop_assert_eq!(next.after(), Some([time, user_id]));
        }

        #[test]
        fn no_other_text_is_a_token(text in "[A-Za-z0-9_=-]{0,40}|\\PC{1,40}", at in 0..33usize, to in "[A-Za-z0-9_-]") {
            let query = entries_of(1);
            prop_assume!(!text.is_empty());
            prop_assert!(read::<1>("ListEntries", &query, 0, &text).is_err());
            let token = read::<1>("ListEntries", &query, 0, "").unwrap().token([8]);
            let mut mangled = token.clone();
            mangled.replace_range(at..=at, &to);
            prop_assume!(mangled != token);
            prop_assert!(read::<1>("ListEntries", &query, 0, &mangled).is_err());
        }
    }
}
