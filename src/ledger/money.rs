//! Points and purses. 1 point = 1 fen (1/100 CNY), always an `i64`, always checked.

use super::text_enum::text_enum;

text_enum! {
    /// Which of a user's two purses a movement belongs to.
    Purse {
        /// Prepaid points: bought, given or refunded.
        Points = "points",
        /// Agent revenue, withdrawable.
        Cash = "cash",
    }
}

impl Purse {
    /// The seed's `is_cash` column.
    pub const fn is_cash(self) -> bool {
        matches!(self, Purse::Cash)
    }
}

text_enum! {
    /// Which purses a draw may take from.
    Funding {
        /// Points first, then cash: the default.
        PointsThenCash = "points_then_cash",
        /// Points alone.
        PointsOnly = "points_only",
        /// Cash alone.
        CashOnly = "cash_only",
    }
}

/// An amount of points in each purse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Money {
    /// Points of the points purse.
    pub points: i64,
    /// Points of the cash purse.
    pub cash: i64,
}

impl Money {
    /// Nothing in either purse.
    pub const ZERO: Money = Money { points: 0, cash: 0 };

    /// All of `amount` in one purse.
    pub const fn of(purse: Purse, amount: i64) -> Self {
        match purse {
            Purse::Points => Money { points: amount, cash: 0 },
            Purse::Cash => Money { points: 0, cash: amount },
        }
    }

    /// The amount in one purse.
    pub const fn get(self, purse: Purse) -> i64 {
        match purse {
            Purse::Points => self.points,
            Purse::Cash => self.cash,
        }
    }

    /// Both purses together; `None` on overflow.
    pub const fn checked_total(self) -> Option<i64> {
        self.points.checked_add(self.cash)
    }

    /// Both purses together.
    ///
    /// # Panics
    /// On overflow, which [`crate::ledger::decide()`] never lets a stored pair reach.
    #[allow(
        clippy::expect_used,
        reason = "every stored pair was checked to have a total when it was written"
    )]
    pub const fn total(self) -> i64 {
        self.checked_total().expect("the purses of one row have a total")
    }

    /// Purse by purse; `None` on overflow.
    pub const fn checked_add(self, other: Money) -> Option<Money> {
        match (self.points.checked_add(other.points), self.cash.checked_add(other.cash)) {
            (Some(points), Some(cash)) => Some(Money { points, cash }),
            _ => None,
        }
    }

    /// Purse by purse; `None` where a purse would go below zero.
    pub const fn checked_sub(self, other: Money) -> Option<Money> {
        match (self.points.checked_sub(other.points), self.cash.checked_sub(other.cash)) {
            (Some(points), Some(cash)) if points >= 0 && cash >= 0 => Some(Money { points, cash }),
            _ => None,
        }
    }

    /// Whether both purses are empty.
    pub const fn is_zero(self) -> bool {
        self.points == 0 && self.cash == 0
    }

    /// What `funding` may draw from these purses.
    pub const fn usable(self, funding: Funding) -> Money {
        match funding {
            Funding::PointsThenCash => self,
            Funding::PointsOnly => Money { points: self.points, cash: 0 },
            Funding::CashOnly => Money { points: 0, cash: self.cash },
        }
    }

    /// Takes `amount` from these purses, points first, then cash; `None` if they do not hold it.
    pub fn draw(self, amount: i64, funding: Funding) -> Option<Money> {
        let usable = self.usable(funding);
        let points = amount.min(usable.points);
        let cash = amount.checked_sub(points)?;
        (cash <= usable.cash).then_some(Money { points, cash })
    }

    /// Takes `amount` back in the reverse order of a draw: cash first, then points; `None` if they do not hold it.
    pub fn give_back(self, amount: i64) -> Option<Money> {
        let cash = amount.min(self.cash);
        let points = amount.checked_sub(cash)?;
        (points <= self.points).then_some(Money { points, cash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_takes_points_first_then_cash() {
        let purse = Money { points: 400, cash: 500 };
        assert_eq!(purse.draw(600, Funding::PointsThenCash), Some(Money { points: 400, cash: 200 }));
        assert_eq!(purse.draw(901, Funding::PointsThenCash), None);
        assert_eq!(purse.draw(401, Funding::PointsOnly), None);
        assert_eq!(purse.draw(500, Funding::CashOnly), Some(Money { points: 0, cash: 500 }));
    }

    #[test]
    fn money_goes_back_last_drawn_first() {
        let charged = Money { points: 400, cash: 200 };
        assert_eq!(charged.give_back(300), Some(Money { points: 100, cash: 200 }));
        assert_eq!(charged.give_back(600), Some(charged));
        assert_eq!(charged.give_back(601), None);
    }
}
