//! A body from fal: usage, billing events, prices, the account. Whatever it is, it is read or refused; and each figure that
//! was read is written as a decimal that reads back as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scrip::fal::fuzzing::read;
use scrip::fal::{Decimal, NanoUsd};

fuzz_target!(|body: &[u8]| {
    let figures = read(body);
    for decimal in figures.decimals {
        assert_eq!(decimal.to_string().parse::<Decimal>(), Ok(decimal));
        // The figures of an audit are sums and products of these.
        let _ = decimal.checked_mul(decimal).and_then(Decimal::to_nano_usd);
        let _ = decimal.checked_add(decimal.negated());
    }
    for amount in figures.amounts {
        assert_eq!(NanoUsd::from_nano_text(&amount.0.to_string()), Ok(amount));
    }
});
