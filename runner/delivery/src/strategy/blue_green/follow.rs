//! What goes with the traffic: autoscalers drive the new workloads, disruption budgets count the new pods.

use super::super::Delivery;
use super::super::put::{Moved, put};
use super::super::traffic::move_field;
use crate::DeliveryError;
use crate::inputs::BlueGreenKnobs;
use crate::inputs::deploy::Follow;
use crate::unit::BlueGreenShape;

/// Applies them with the release's other fields, then moves them.
pub(super) async fn traffic(
    delivery: &Delivery<'_>,
    knobs: &BlueGreenKnobs,
    shape: &BlueGreenShape,
) -> Result<(), DeliveryError> {
    let autoscalers = shape.autoscalers.iter().filter(|_| knobs.autoscaler == Follow::Follow);
    let budgets = shape.budgets.iter().filter(|_| knobs.pdb == Follow::Follow);
    let moved =
        autoscalers.map(|each| (each, "/spec/scaleTargetRef")).chain(budgets.map(|each| (each, "/spec/selector")));
    for (object, pointer) in moved {
        put(&delivery.cluster, object, Moved::Traffic, delivery.rules()).await?;
        let target = object.0.pointer(pointer).cloned().unwrap_or_default();
        if move_field(&delivery.cluster, object, pointer, &target).await? {
            delivery.say(format!("{} follows to {}", object.id(), delivery.plan.version));
        }
    }
    Ok(())
}
