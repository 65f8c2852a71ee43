//! Blue-green: a second set of workloads beside the live one, and a switch.
//!
//! Invariants: the live workloads are not touched before the new ones have proved themselves with traffic; a Service's
//! selector always names exactly one release; whatever fails before the switch costs users nothing, whatever fails after it
//! costs them a switch back. What fails once the release is proved costs nothing: it is said, and made good later.

mod create;
mod finish;
mod follow;
mod switch;

pub(super) use create::belongs;
pub(super) use switch::{old_selectors, original, remove_services};

use super::{Delivery, Snapshot, back, begin, checks};
use crate::action::{Outcome, Shape};
use crate::inputs::BlueGreenKnobs;
use crate::unit::BlueGreenShape;
use crate::{DeliveryError, Failure};

/// Delivers, and goes back where that fails.
pub(super) async fn deliver(delivery: &Delivery<'_>, knobs: &BlueGreenKnobs) -> Result<Outcome, DeliveryError> {
    let Shape::BlueGreen(shape) = delivery.plan.shape()? else {
        return Err(Failure::new("the plan is not one of blue-green", "").next("plan it again").into());
    };
    let before = begin::blue_green(delivery, &shape).await?;
    let result = match back::halted(delivery.progress) {
        Some(error) => Err(error),
        None => forward(delivery, knobs, &shape, &before).await,
    };
    back::settle(delivery, &before, result).await
}

/// The steps, in order.
async fn forward(
    delivery: &Delivery<'_>,
    knobs: &BlueGreenKnobs,
    shape: &BlueGreenShape,
    before: &Snapshot,
) -> Result<Outcome, DeliveryError> {
    if !delivery.reached("switched") {
        switch::narrow(delivery, shape, before).await?;
        create::in_place(delivery, shape).await?;
        create::beside(delivery, shape, before).await?;
        let pods = create::ready(delivery, shape).await?;
        checks::every_pod(delivery, &pods).await?;
        switch::make_previews(delivery, shape).await?;
        checks::preview(delivery, shape).await?;
        checks::measure(delivery, before).await?;
        switch::all(delivery, shape, before, &pods).await?;
    }
    follow::traffic(delivery, knobs, shape).await?;
    switch::remove_previews(delivery, shape).await?;
    finish::after(delivery, shape).await?;
    finish::drain(delivery, knobs).await?;
    checks::public(delivery).await?;
    checks::watch(delivery, before).await?;
    finish::tidy(delivery, knobs, shape, before).await
}
