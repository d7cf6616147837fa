//! A door for the fuzz targets alone, behind the feature `fuzzing`: a body as fal might send it, read.

use super::decimal::{Decimal, NanoUsd};
use super::rows;

/// Every figure that is read of a body, whichever of fal's answers it is taken for.
#[derive(Debug, Default)]
pub struct Figures {
    /// Quantities and prices.
    pub decimals: Vec<Decimal>,
    /// Amounts.
    pub amounts: Vec<NanoUsd>,
}

/// Reads the body as each answer of fal's in turn.
pub fn read(body: &[u8]) -> Figures {
    let mut figures = Figures::default();
    for (series, summary) in [(true, false), (false, true), (false, false)] {
        let Ok((usage, _)) = rows::usage(body, series, summary) else { continue };
        let rows = usage.buckets.into_iter().flat_map(|bucket| bucket.rows).chain(usage.summary);
        for row in rows {
            figures.decimals.extend([row.quantity, row.unit_price]);
            figures.decimals.extend(row.percent_discount);
            figures.amounts.extend([row.cost, row.cost_subtotal, row.cost_discount].into_iter().flatten());
        }
    }
    if let Ok((events, _)) = rows::events(body) {
        for event in events {
            let decimals = [event.output_units, event.unit_price, event.percent_discount];
            figures.decimals.extend(decimals.into_iter().flatten());
            figures.amounts.extend(event.cost());
            figures.amounts.extend([event.cost_subtotal, event.cost_discount].into_iter().flatten());
        }
    }
    if let Ok((prices, _)) = rows::prices(body) {
        figures.decimals.extend(prices.into_iter().map(|price| price.unit_price));
    }
    if let Ok(account) = rows::account(body) {
        figures.amounts.extend(account.balance);
    }
    figures
}
