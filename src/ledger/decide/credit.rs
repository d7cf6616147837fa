//! Credit and debit: money in and money out that no task is charged for.

use super::super::command::{Credit, Debit};
use super::super::state::State;
use super::super::{Money, Operation, Rejection, SourceType, Text, User};
use super::posting::{self, Movement};
use super::{Context, Effect};

pub(super) fn credit(
    state: &mut State,
    context: &Context<'_>,
    command: &Credit,
) -> Result<Effect, Rejection> {
    let mut user = state.user(command.user_id).unwrap_or_else(|| User::new(command.user_id, state.now));
    let given = Money::of(command.purse, command.amount);
    if user.balance.checked_add(given).and_then(|balance| balance.checked_total()).is_none() {
        return Err(Rejection::field("amount", "the user's balance would overflow"));
    }
    let none = Text::from("");
    let movement = Movement {
        operation: Operation::Credit,
        source_type: command.source_type,
        order_id: &command.order_id,
        title: &posting::title_or(&command.title, &Text::from(command.source_type.as_str())),
        deployment_uuid: &none,
        pay_type: command.pay_type,
    };
    let entries = posting::give(&mut user, given, &movement, context, state.now);
    state.put_user(user);
    state.add_entries(&entries);
    Ok(Effect::new(None, user, entries))
}

pub(super) fn debit(state: &mut State, context: &Context<'_>, command: &Debit) -> Result<Effect, Rejection> {
    let mut user = state.user(command.user_id).ok_or(Rejection::UserNotFound(command.user_id))?;
    let drawn = posting::draw(&user, command.amount, command.funding)?;
    let none = Text::from("");
    let movement = Movement {
        operation: Operation::Debit,
        source_type: SourceType::System,
        order_id: &command.order_id,
        title: &posting::title_or(&command.title, &Text::from("debit")),
        deployment_uuid: &none,
        pay_type: 0,
    };
    let entries = posting::take(&mut user, drawn, &movement, context, state.now);
    state.put_user(user);
    state.add_entries(&entries);
    Ok(Effect::new(None, user, entries))
}
